//! Typing indicators: told to who is there, ended by themselves, never stored.

use chat_core::api::command::SetTyping;
use chat_core::api::{Command, Destination, Event, MessageState};
use chat_core::wire::FromRelay;

use super::world::World;
use crate::config::Rules;
use crate::engine::Input;

fn types(world: &mut World, who: &str, to: &str, typing: bool) {
    let to = Destination::try_from(to.to_owned()).unwrap();
    world.run(who, Command::SetTyping(SetTyping { to, typing })).unwrap();
}

/// What bob was told of alice's typing.
fn told(world: &mut World) -> Vec<bool> {
    let typing = |event: &Event| match event {
        Event::Typing(typing) if typing.from.nick == "alice" => Some(typing.typing),
        _ => None,
    };
    world.person("bob").events.iter().filter_map(typing).collect()
}

fn talking() -> World {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    world.send("bob", "alice", "hello");
    world.settle();
    world
}

/// B12.
#[test]
fn typing_is_told_at_once_and_ends_by_itself_or_with_the_message() {
    let mut world = talking();
    for _ in 0..5 {
        types(&mut world, "alice", "bob", true);
    }
    assert_eq!(told(&mut world), [true]);
    assert_eq!(world.relay.passed.len(), 1, "not with each key");
    assert!(world.relay.boxes.values().all(Vec::is_empty), "in no mailbox");
    for _ in 0..5 {
        world.pass(1_000);
    }
    assert_eq!(told(&mut world), [true, false]);
    types(&mut world, "alice", "bob", true);
    types(&mut world, "alice", "bob", false);
    types(&mut world, "alice", "bob", false);
    assert_eq!(told(&mut world), [true, false, true, false]);
    types(&mut world, "alice", "bob", true);
    let id = world.send("alice", "bob", "done");
    world.settle();
    assert_eq!(told(&mut world), [true, false, true, false, true, false]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    for who in ["alice", "bob"] {
        assert_eq!(world.alarms(who), [""; 0]);
    }
}

#[test]
fn one_who_goes_on_is_told_again_and_does_not_flicker() {
    let mut world = talking();
    for _ in 0..20 {
        types(&mut world, "alice", "bob", true);
        world.pass(1_000);
    }
    assert_eq!(told(&mut world), [true]);
    assert_eq!(world.relay.passed.len(), 10);
}

#[test]
fn in_a_room_its_members_are_told() {
    let mut world = talking();
    types(&mut world, "alice", "#lobby", true);
    let rooms = world.person("bob").events.iter().filter(
        |event| matches!(event, Event::Typing(it) if it.address.to_string() == "#lobby" && it.typing),
    );
    assert_eq!(rooms.count(), 1);
}

#[test]
fn nobody_is_told_who_is_away_or_if_it_is_switched_off() {
    let mut world = talking();
    world.disconnect("bob");
    types(&mut world, "alice", "bob", true);
    assert_eq!(world.relay.passed.len(), 0);
    world.connect("bob");
    world.person("alice").take_profile("x25519", Rules { typing: false, ..Rules::default() });
    world.crash("alice");
    world.connect("alice");
    world.settle();
    types(&mut world, "alice", "bob", true);
    assert_eq!(world.relay.passed.len(), 0);
}

/// What is passed on may be lost for ever without harm to the session; and a relay that keeps it, flips it, says it
/// twice or passes on something else is not heard.
#[test]
fn what_is_passed_on_may_be_lost_or_lied_about() {
    let mut world = talking();
    for _ in 0..300 {
        world.disconnect("bob");
        // alice still believes him to be there.
        let bob = world.id("bob");
        world.input("alice", vec![Input::Record(FromRelay::Presence { peer: bob, online: true })]);
        types(&mut world, "alice", "bob", true);
        world.now = world.now.plus_ms(3_000);
    }
    assert_eq!(world.relay.passed.len(), 100);
    world.connect("bob");
    let id = world.send("alice", "bob", "after all");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    let mut envelope = world.relay.passed[0].clone();
    let events = world.person("bob").events.len();
    let say = |world: &mut World, envelope| {
        world.input("bob", vec![Input::Record(FromRelay::Passed { envelope })]);
    };
    for bit in 0..8 * envelope.frame.len() {
        let mut flipped = envelope.clone();
        flipped.frame[bit / 8] ^= 1 << (bit % 8);
        say(&mut world, flipped);
    }
    assert_eq!(world.person("bob").events.len(), events);
    // Late, but genuine; and a second time.
    say(&mut world, envelope.clone());
    say(&mut world, envelope.clone());
    assert_eq!(told(&mut world), [true]);
    envelope.handshake = Some(vec![1]);
    say(&mut world, envelope);
    let text = world.relay.record.iter().find(|it| it.message == id).unwrap().clone();
    say(&mut world, text);
    assert_eq!(world.alarms("bob"), [""; 0]);
    assert_eq!(world.texts("bob", "alice"), ["hello", "hello", "after all"]);
    world.send("alice", "bob", "and more");
    world.settle();
    assert_eq!(world.texts("bob", "alice").len(), 4);
}

/// A relay keeps what it should pass on, and delivers it as if it had been stored: that is a replay, and costs nobody his
/// session, also after a restart.
#[test]
fn what_was_passed_on_and_is_delivered_later_is_a_replay() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = World::over(exchange, &["alice", "bob"]);
        for (from, to) in [("alice", "bob"), ("bob", "alice")] {
            world.send(from, to, "hello");
            world.settle();
        }
        types(&mut world, "alice", "bob", true);
        let (bob, passed) = (world.id("bob"), world.relay.passed[0].clone());
        for restarted in [false, true] {
            if restarted {
                world.crash("bob");
                world.connect("bob");
                world.settle();
            }
            let (alarms, sent) = (world.alarms("bob").len(), world.relay.record.len());
            world.relay.boxes.entry(bob).or_default().push((u64::MAX / 2, passed.clone()));
            world.settle();
            let told = world.alarms("bob").split_off(alarms);
            assert!(matches!(&told[..], [one] if one.starts_with("Replayed")), "{exchange}: {told:?}");
            assert_eq!(world.relay.record.len(), sent, "nothing follows of it");
        }
    }
}
