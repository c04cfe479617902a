//! Sessions that have to be renewed more than once within a minute: what was said arrives within seconds.

use std::collections::BTreeSet;

use chat_core::api::command::OfPeer;
use chat_core::api::{Command, MessageState};
use chat_core::ids::PeerId;
use chat_core::wire::relay::Delivery;
use chat_core::wire::{FromRelay, Recipient};

use super::hostile::forged;
use super::world::World;
use crate::engine::Input;
use crate::engine::peers::Contact;
use crate::store::ContactRow;

fn talking(exchange: &'static str) -> World {
    let mut world = World::over(exchange, &["alice", "bob"]);
    for (from, to) in [("alice", "bob"), ("bob", "alice")] {
        world.send(from, to, "hello");
        world.settle();
    }
    world
}

/// Until a message has arrived; how many seconds that took.
fn seconds_until_it_arrives(world: &mut World, from: &str, id: chat_core::MessageId) -> u64 {
    for seconds in 0..60 {
        world.settle();
        if world.state(from, id) == MessageState::Delivered {
            return seconds;
        }
        world.pass(1_000);
    }
    panic!("it has not arrived within a minute")
}

#[test]
fn who_is_blocked_and_heard_again_more_than_once_in_a_minute() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = talking(exchange);
        let bob = || OfPeer { peer: "bob".to_owned().try_into().unwrap() };
        for n in 0..3 {
            world.run("alice", Command::Block(bob())).unwrap();
            let id = world.send("bob", "alice", &format!("while you don't hear {n}"));
            world.settle();
            world.run("alice", Command::Unblock(bob())).unwrap();
            // The wish is heard at once, or when it is its time.
            let seconds = seconds_until_it_arrives(&mut world, "bob", id);
            assert!(seconds <= 5 << n, "{exchange}: {seconds} s");
        }
        assert_eq!(world.texts("alice", "bob").len(), 5);
    }
}

#[test]
fn a_copy_that_is_put_back_more_than_once_in_a_minute() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = talking(exchange);
        let copies = [world.copy_of("bob"), world.copy_of("bob")];
        for (n, copy) in copies.into_iter().enumerate() {
            for (from, to) in [("alice", "bob"), ("bob", "alice")] {
                let id = world.send(from, to, &format!("before the copy {n}"));
                seconds_until_it_arrives(&mut world, from, id);
            }
            world.disconnect("bob");
            world.restore("bob", copy);
            world.connect("bob");
            let id = world.send("bob", "alice", &format!("from the copy {n}"));
            let seconds = seconds_until_it_arrives(&mut world, "bob", id);
            assert!(seconds <= 20, "{exchange}: {seconds} s");
        }
    }
}

/// Anybody can make a frame that does not open; whoever is asked to seal it anew is a correspondent at the relay from then
/// on, and who asks has begun a session.
#[test]
fn frames_of_strangers_that_do_not_open_bring_about_few_renewals() {
    let mut world = World::of(&["alice", "bob"]);
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    for (from, to) in [("alice", "bob"), ("bob", "alice")] {
        world.send(from, to, "hello");
        world.settle();
    }
    let engine = &mut world.person("alice").engine;
    let (row, bundle) = (engine.contacts[&bob].row.clone(), engine.contacts[&bob].bundle.clone());
    let stranger = |n: u64| {
        let mut peer = PeerId([0xcc; 32]);
        peer.0[..8].copy_from_slice(&n.to_be_bytes());
        peer
    };
    for n in 0..500 {
        let (peer, name) = (stranger(n), format!("stranger-{n}"));
        let row = ContactRow { peer, nick: name.clone(), name, had: 0, sending: None, ..row.clone() };
        engine.contacts.insert(peer, Contact { row, bundle: bundle.clone(), online: true });
    }
    let before = world.relay.record.len();
    for round in 0..3 {
        // Some are known here, and some are not.
        for n in 0..1_000 {
            let envelope = forged(stranger(n), alice, round);
            let items = vec![Delivery { n: 1_000_000 + n, envelope }];
            world.input("alice", vec![Input::Record(FromRelay::Deliver { items })]);
        }
    }
    let written: BTreeSet<String> =
        world.relay.record.drain(before..).map(|envelope| format!("{:?}", envelope.to)).collect();
    assert_eq!(written.len(), 16);
    let engine = &world.person("alice").engine;
    assert!(engine.renew_when_known.len() <= 16 && engine.live.len() <= 32);
    // Of a friend it is asked for as before.
    let items = vec![Delivery { n: 2_000_000, envelope: forged(bob, alice, 9) }];
    world.input("alice", vec![Input::Record(FromRelay::Deliver { items })]);
    assert!(world.relay.record[before..].iter().any(|envelope| envelope.to == Recipient::Peer(bob)));
}

#[test]
fn who_is_looked_for_in_vain_gives_way() {
    let mut world = World::of(&["alice"]);
    let wanted = |n: u64| {
        let mut peer = PeerId([0xdd; 32]);
        peer.0[..8].copy_from_slice(&n.to_be_bytes());
        peer
    };
    let engine = &mut world.person("alice").engine;
    (0..300).for_each(|n| engine.want(wanted(n)));
    assert_eq!(engine.renew_when_known.len(), 256);
    world.pass(60_000);
    let engine = &mut world.person("alice").engine;
    engine.want(wanted(299));
    assert!(engine.renew_when_known.contains_key(&wanted(299)));
}
