//! First messages: replayed whenever and however, for old keys, crossing each other; and how many sessions there are.

use chat_core::api::MessageState;
use chat_core::ids::EnvelopeId;
use chat_core::wire::bundle::{Bundle, SignedBundle};
use chat_core::wire::relay::Delivery;
use chat_core::wire::{Envelope, FromRelay, Handshake};

use super::world::World;
use crate::engine::{DAY_MS, Input, MINUTE_MS};

impl World {
    pub(super) fn flights(&self) -> Vec<Envelope> {
        self.relay.record.iter().filter(|envelope| envelope.handshake.is_some()).cloned().collect()
    }

    /// Hands it to somebody under an envelope id that was never seen.
    pub(super) fn replay(&mut self, to: &str, envelope: &Envelope, number: u64) {
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let envelope = Envelope { id: EnvelopeId(id), ..envelope.clone() };
        let items = vec![Delivery { n: 1_000_000 + number, envelope }];
        self.input(to, vec![Input::Record(FromRelay::Deliver { items })]);
    }

    fn sessions(&mut self, of: &str, with: &str) -> usize {
        let with = self.id(with);
        self.person(of).engine.store.sessions_of(with).unwrap().len()
    }
}

/// The genuine first message with other bytes around it: each way that anybody but its sender has, and that its sender
/// has.
fn rewrapped(world: &mut World, envelope: &Envelope) -> Vec<Envelope> {
    let genuine = Handshake::decode(envelope.handshake.as_ref().unwrap()).unwrap();
    let alice = world.person("alice").engine.config.identity.clone();
    let bundle: Bundle = SignedBundle::verify(&genuine.bundle).unwrap().bundle;
    // Another valid bundle of the same sender: the same keys, signed anew.
    let newer = Bundle { created: bundle.created.plus_ms(1), ..bundle };
    let bundle = SignedBundle::sign(&newer, &alice).encode();
    let others = [
        Handshake { bundle, ..genuine.clone() },
        Handshake { one_time: None, ..genuine.clone() },
        Handshake { one_time: Some(chat_core::ids::OneTimeKeyId([1; 16])), ..genuine.clone() },
    ];
    let wrapped = |handshake: &[u8]| Envelope {
        session: Handshake::session_id(handshake),
        handshake: Some(handshake.to_vec()),
        ..envelope.clone()
    };
    let bytes = genuine.encode();
    // As a careless encoder would write the same: a longer head, a null at the end.
    let longer = [&[0x98, bytes[0] & 0x1f], &bytes[1..]].concat();
    let with_null = [&[0x84], &bytes[1..], &[0xf6]].concat();
    let others = others.iter().filter(|other| **other != genuine).map(Handshake::encode);
    others.chain([longer, with_null]).map(|handshake| wrapped(&handshake)).collect()
}

#[test]
fn a_first_message_is_taken_once_now_and_after_a_reconnect_and_after_a_restart() {
    for (exchange, with_key) in
        [("x25519", true), ("x25519", false), ("x25519-ratchet", true), ("x25519-ratchet", false)]
    {
        let mut world = World::over(exchange, &["alice", "bob"]);
        if !with_key {
            world.meddle_with_key = Box::new(|_, _| None);
        }
        world.send("alice", "bob", "once");
        world.settle();
        let first = world.flights().remove(0);
        let mut again = rewrapped(&mut world, &first);
        again.push(first);
        let mut number = 0;
        for when in ["now", "after a reconnect", "after a restart", "after the session is gone"] {
            match when {
                "after a reconnect" => {
                    world.disconnect("bob");
                    world.connect("bob");
                }
                "after a restart" => {
                    world.crash("bob");
                    world.connect("bob");
                }
                "after the session is gone" => {
                    let session = again.last().unwrap().session;
                    world.crash("bob");
                    world.person("bob").engine.store.erase_session(session).unwrap();
                    world.connect("bob");
                }
                _ => {}
            }
            let sessions = world.sessions("bob", "alice");
            for envelope in &again {
                number += 1;
                world.replay("bob", envelope, number);
                assert_eq!(world.texts("bob", "alice"), ["once"], "{exchange} {with_key} {when}");
            }
            world.settle();
            // What is asked for anew is a session of bob's own, never the old one.
            assert!(world.sessions("bob", "alice") <= sessions + 1, "{exchange} {with_key} {when}");
            assert!(world.person("bob").engine.store.session(again[0].session).unwrap().is_none());
        }
        let answer = world.send("bob", "alice", "and on");
        world.settle();
        assert_eq!(world.state("bob", answer), MessageState::Delivered, "{exchange} {with_key}");
    }
}

/// What was accepted is known for as long as its keys are here: at least until they are erased.
#[test]
fn an_accepted_first_message_is_remembered_longer_than_its_keys() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "once");
    world.settle();
    let first = world.flights().remove(0);
    let session = first.session;
    let hash = Handshake::decode(first.handshake.as_ref().unwrap()).unwrap().peer_bundle_hash;
    for day in 1..=100_u64 {
        world.now = world.now.plus_ms(DAY_MS);
        for _ in 0..3 {
            world.pass(61 * MINUTE_MS);
        }
        let store = &world.person("bob").engine.store;
        let (remembered, keys) =
            (store.handshake_is_known(session).unwrap(), store.bundle(&hash).unwrap().is_some());
        assert!(remembered || !keys, "day {day}");
        if day == 20 {
            assert!(keys, "old keys are kept for those who still have them");
        }
        if day == 33 {
            assert!(!keys && remembered, "and erased after 30 days");
        }
    }
}

/// A peer who has the bundle of before the last one begins a session with it; with an expired one it does not.
#[test]
fn old_keys_are_taken_while_they_are_kept_and_expired_ones_are_not_used() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.id("bob");
    let old = world.person("alice").engine.contacts[&bob].bundle.hash;
    world.disconnect("alice");
    // A week later bob has new keys, of which alice has not heard.
    world.now = world.now.plus_ms(8 * DAY_MS);
    world.make_keys("bob");
    assert_ne!(world.person("bob").engine.keys.as_ref().unwrap().verified.hash, old);
    world.disconnect("bob");
    world.quiet = true;
    world.connect("alice");
    let sent = world.send("alice", "bob", "for the old keys");
    let handshake = world.flights().remove(0).handshake.unwrap();
    assert_eq!(Handshake::decode(&handshake).unwrap().peer_bundle_hash, old);
    world.connect("bob");
    world.settle();
    assert_eq!(world.state("alice", sent), MessageState::Delivered);
    assert_eq!(world.alarms("alice").len() + world.alarms("bob").len(), 0);

    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    world.now = world.now.plus_ms(31 * DAY_MS);
    world.make_keys("alice");
    world.send("alice", "bob", "to expired keys");
    world.settle();
    assert_eq!(world.flights().len(), 0, "nothing is sealed with an expired bundle");
}

/// However many sessions a peer begins, five are kept, and what is said over the newest arrives.
#[test]
fn five_sessions_a_peer_are_kept() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.id("bob");
    for n in 0..9 {
        world.person("alice").engine.initiate(bob).unwrap();
        world.input("alice", vec![]);
        world.pass(10 * MINUTE_MS);
        world.person("alice").engine.contacts.get_mut(&bob).unwrap().row.sending = None;
        world.send("alice", "bob", &format!("{n}"));
        world.settle();
        assert!(world.sessions("alice", "bob") <= 5 && world.sessions("bob", "alice") <= 5);
    }
    assert_eq!(world.sessions("bob", "alice"), 5);
    assert_eq!(world.texts("bob", "alice").len(), 9);
    let back = world.send("bob", "alice", "back");
    world.settle();
    assert_eq!(world.state("bob", back), MessageState::Delivered);
}

/// Both begin at once, neither having heard of the other, with and without one-time keys: both receive, and in the end both
/// send over the same session.
#[test]
fn two_first_messages_at_once() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = World::over(exchange, &["alice", "bob"]);
        let (alice, bob) = (world.id("alice"), world.id("bob"));
        // Neither gets its mail until both have sent.
        let to_bob = world.send("alice", "bob", "hello bob");
        let to_alice = world.send("bob", "alice", "hello alice");
        assert_eq!(world.flights().len(), 2, "{exchange}");
        world.settle();
        assert_eq!(world.state("alice", to_bob), MessageState::Delivered);
        assert_eq!(world.state("bob", to_alice), MessageState::Delivered);
        world.send("alice", "bob", "on");
        world.send("bob", "alice", "on");
        world.settle();
        let sending = |world: &mut World, who: &str, to| world.person(who).engine.contacts[&to].row.sending;
        assert_eq!(sending(&mut world, "alice", bob), sending(&mut world, "bob", alice), "{exchange}");
        assert_eq!((world.sessions("alice", "bob"), world.sessions("bob", "alice")), (2, 2), "{exchange}");
    }
}

/// A session of a week is renewed with the next message, and the one after that goes over the new one.
#[test]
fn a_session_is_renewed_after_a_week() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.id("bob");
    world.send("alice", "bob", "one");
    world.send("bob", "alice", "two");
    world.settle();
    let before = world.person("alice").engine.contacts[&bob].row.sending;
    world.now = world.now.plus_ms(7 * DAY_MS);
    for who in ["alice", "bob"] {
        world.make_keys(who);
    }
    world.settle();
    let texts: Vec<_> = (0..2).map(|n| world.send("alice", "bob", &format!("later {n}"))).collect();
    world.settle();
    assert_ne!(world.person("alice").engine.contacts[&bob].row.sending, before);
    assert!(texts.into_iter().all(|id| world.state("alice", id) == MessageState::Delivered));
    // Bob's receipt may have renewed it too, at the same time.
    let sessions: std::collections::BTreeSet<_> = world.flights().iter().map(|it| it.session).collect();
    assert!((2..=3).contains(&sessions.len()), "{}", sessions.len());
}
