//! The relay keeps one envelope back, and everything is stolen later: the thief of `theft.rs` reads it within the week in
//! which it might still have come, and not after that.

use std::cell::RefCell;
use std::rc::Rc;

use chat_core::api::command::OfPeer;
use chat_core::api::{Command, Destination};
use chat_core::ids::Timestamp;
use chat_core::wire::Envelope;

use super::theft::{Loot, TICK_MS, days_pass};
use super::world::World;
use crate::engine::MINUTE_MS;

/// An envelope, and when it was kept back: a thief sets his clock as he likes.
struct Kept(Envelope, Timestamp);

/// Two who talk, an envelope of alice's that the relay keeps back for good, and one of later that it has delivered.
fn with_one_kept_back() -> (World, Kept) {
    let mut world = World::over("x25519-ratchet", &["alice", "bob"]);
    for (from, to) in [("alice", "bob"), ("bob", "alice"), ("alice", "bob")] {
        world.send(from, to, "we talk");
        world.settle();
    }
    let kept: Rc<RefCell<Option<Envelope>>> = Rc::default();
    let (alice, keeps) = (world.id("alice"), Rc::clone(&kept));
    world.meddle = Box::new(move |envelope| {
        let mut kept = keeps.borrow_mut();
        let kept = kept.get_or_insert_with(|| envelope.clone());
        assert_eq!(kept.from, alice);
        // As often as it is sent: it is sent again byte by byte.
        if kept.frame == envelope.frame { Vec::new() } else { vec![envelope] }
    });
    for text in ["kept back", "and the next"] {
        world.send("alice", "bob", text);
        world.settle();
    }
    let kept = Kept(kept.borrow().clone().unwrap(), world.now);
    (world, kept)
}

fn decide(world: &mut World, command: fn(OfPeer) -> Command) {
    let peer = Destination::try_from("alice".to_owned()).unwrap();
    world.run("bob", command(OfPeer { peer })).unwrap();
    world.settle();
}

/// Whether whoever steals bob's data now reads it.
fn is_read(world: &mut World, Kept(kept, then): &Kept) -> bool {
    let bob = world.id("bob");
    let loot = Loot::all(bob, world.copy_of("bob").path());
    let config = &world.person("bob").engine.config;
    loot.iter().any(|loot| loot.opens(config, *then, kept))
}

fn days_of_talk(world: &mut World, days: u64) {
    for day in 0..days {
        days_pass(world, 1);
        world.settle();
        for (from, to) in [("alice", "bob"), ("bob", "alice")] {
            world.send(from, to, &format!("day {day}"));
            world.settle();
        }
    }
    world.pass(TICK_MS);
}

/// What was kept back came anew over another session and was read. The keys of the old one are there for a week, so that
/// what was on its way opens, and no longer.
#[test]
fn what_a_relay_keeps_back_is_not_read_a_week_after_a_renewal() {
    let (mut world, kept) = with_one_kept_back();
    decide(&mut world, Command::Block);
    decide(&mut world, Command::Unblock);
    world.settle();
    world.pass(MINUTE_MS);
    let read = |world: &mut World| world.texts("bob", "alice").contains(&"kept back".to_owned());
    assert!(read(&mut world), "it came over the new session: {:?}", world.texts("bob", "alice"));
    days_of_talk(&mut world, 6);
    let sessions = |world: &mut World| {
        let alice = world.id("alice");
        world.person("bob").engine.store.sessions_of(alice).unwrap().len()
    };
    assert_eq!(sessions(&mut world), 2);
    assert!(is_read(&mut world, &kept), "within the week what was on its way opens");
    days_of_talk(&mut world, 1);
    assert!(!is_read(&mut world, &kept));
    assert_eq!(sessions(&mut world), 1);
    assert_eq!((world.alarms("alice"), world.alarms("bob")), (vec![], vec![]));
}

/// Nor a week after it was skipped, if nothing more is said at all.
#[test]
fn what_a_relay_keeps_back_is_not_read_a_week_later_in_a_session_that_rests() {
    let (mut world, kept) = with_one_kept_back();
    days_pass(&mut world, 6);
    assert!(is_read(&mut world, &kept), "within the week what was on its way opens");
    days_pass(&mut world, 1);
    assert!(!is_read(&mut world, &kept));
    // It is not lost: if it comes now, it is asked for again.
    world.meddle = Box::new(|envelope| vec![envelope]);
    world.relay.forget_what_was_had();
    world.disconnect("alice");
    world.connect("alice");
    for _ in 0..3 {
        world.pass(MINUTE_MS);
        world.settle();
    }
    assert!(world.texts("bob", "alice").contains(&"kept back".to_owned()));
    assert_eq!((world.alarms("alice"), world.alarms("bob")), (vec![], vec![]));
}

/// Within the week what was on its way when a session was renewed opens, and nobody is alarmed.
#[test]
fn what_was_on_its_way_at_a_renewal_opens_for_a_week() {
    let (mut world, Kept(kept, _)) = with_one_kept_back();
    decide(&mut world, Command::Block);
    decide(&mut world, Command::Unblock);
    days_of_talk(&mut world, 6);
    world.meddle = Box::new(|envelope| vec![envelope]);
    let bob = world.id("bob");
    world.relay.boxes.entry(bob).or_default().push((1_000_000, kept));
    let begun = world.relay.record.iter().filter(|it| it.handshake.is_some()).count();
    world.settle();
    assert_eq!((world.alarms("alice"), world.alarms("bob")), (vec![], vec![]));
    let later = world.relay.record.iter().filter(|it| it.handshake.is_some()).count();
    assert_eq!(begun, later, "nothing was renewed for it");
}
