//! What a relay, or anybody, may try: refused, state unchanged, and the next genuine message opens.

use chat_core::api::MessageState;
use chat_core::ids::{ConversationId, EnvelopeId, MessageId};
use chat_core::wire::Envelope;
use chat_core::wire::envelope::open_room_conversation;

use super::world::World;

/// Sends "one", then tampers with "two" in a copy that arrives before the genuine envelope.
fn tampered(established: bool, alter: impl Fn(&mut Envelope) + 'static) -> World {
    let mut world = World::of(&["alice", "bob", "carol"]);
    if established {
        world.send("alice", "bob", "one");
        world.settle();
        world.send("bob", "alice", "uno");
        world.settle();
        world.send("alice", "bob", "one and a half");
        world.settle();
    }
    let alice = world.id("alice");
    world.meddle = Box::new(move |envelope| {
        if envelope.from != alice {
            return vec![envelope];
        }
        let mut copy = envelope.clone();
        alter(&mut copy);
        vec![copy, envelope]
    });
    let id = world.send("alice", "bob", "two");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice").last().map(String::as_str), Some("two"));
    assert_eq!(world.texts("bob", "alice").iter().filter(|text| *text == "two").count(), 1);
    world
}

fn alarm_of(established: bool, expected: &str, alter: impl Fn(&mut Envelope) + 'static) {
    let mut world = tampered(established, move |envelope| {
        envelope.id = EnvelopeId([0xee; 16]);
        alter(envelope);
    });
    let alarms = world.alarms("bob");
    assert!(alarms.iter().any(|alarm| alarm.starts_with(expected)), "{expected}: {alarms:?}");
}

/// C15, A07.
#[test]
fn a_flipped_bit_in_a_frame_is_an_alarm_and_the_genuine_one_opens() {
    for established in [false, true] {
        alarm_of(established, "Tampered", |envelope| envelope.frame[40] ^= 1);
        alarm_of(established, "Tampered", |envelope| {
            envelope.frame.pop();
        });
        alarm_of(established, "Tampered", |envelope| envelope.frame.truncate(3));
    }
}

/// C17.
#[test]
fn a_relabelled_envelope_is_an_alarm_and_the_genuine_one_opens() {
    for established in [false, true] {
        alarm_of(established, "Tampered", |envelope| envelope.message = MessageId([9; 16]));
        alarm_of(established, "Tampered", |envelope| envelope.conversation = ConversationId([9; 16]));
        alarm_of(established, "Tampered", |envelope| {
            let lobby = chat_core::nick::RoomName::new("#lobby").unwrap();
            envelope.conversation = open_room_conversation(&lobby);
        });
    }
}

/// The id of an envelope is the relay's word: what is remembered under it must not stand in for another message.
#[test]
fn an_envelope_under_the_id_of_another_one_takes_nothing_from_that_one() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = World::over(exchange, &["alice", "bob"]);
        world.send("alice", "bob", "hello");
        world.settle();
        world.send("bob", "alice", "hello");
        world.settle();
        world.disconnect("bob");
        let before = world.relay.record.len();
        let (first, second) = (world.send("alice", "bob", "first"), world.send("alice", "bob", "second"));
        world.settle();
        let genuine: Vec<_> = world.relay.record[before..].to_vec();
        assert_eq!(genuine.len(), 2);
        let mut relabelled = genuine[0].clone();
        relabelled.id = genuine[1].id;
        world.relay.boxes.clear();
        let bob = world.id("bob");
        world.relay.boxes.entry(bob).or_default().push((1_000, relabelled));
        world.connect("bob");
        world.settle();
        for (n, envelope) in (1_001..).zip(genuine) {
            world.relay.boxes.entry(bob).or_default().push((n, envelope));
        }
        world.settle();
        assert_eq!(world.texts("bob", "alice"), ["hello", "hello", "first", "second"], "{exchange}");
        for id in [first, second] {
            assert_eq!(world.state("alice", id), MessageState::Delivered, "{exchange}");
        }
        assert_eq!(world.alarms("bob"), [""; 0], "{exchange}: each is what its sender has sent");
    }
}

/// The handshake of a first message is anybody's to copy: what is refused of it does not use up its sender's share.
#[test]
fn relabelled_copies_of_a_first_message_do_not_lock_its_sender_out() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let id = world.send("alice", "bob", "first");
    world.settle();
    let genuine = world.relay.record.last().unwrap().clone();
    let bob = world.id("bob");
    world.relay.boxes.clear();
    for n in 0..30 {
        let mut copy = genuine.clone();
        (copy.id, copy.message) = (EnvelopeId([n; 16]), MessageId([n; 16]));
        world.relay.boxes.entry(bob).or_default().push((1_000 + u64::from(n), copy));
    }
    world.relay.boxes.entry(bob).or_default().push((2_000, genuine));
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["first"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

#[test]
fn a_handshake_damaged_at_any_byte_begins_nothing() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    world.send("alice", "bob", "two");
    let genuine = world.relay.record[0].clone();
    let bytes = genuine.handshake.clone().unwrap();
    // Away, so that a renewal which bob asks for brings nothing.
    world.disconnect("alice");
    world.relay.boxes.clear();
    world.connect("bob");
    let bob = world.id("bob");
    for i in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        let mut bad = genuine.clone();
        bad.handshake.as_mut().unwrap()[i] ^= 0x10;
        bad.session = chat_core::wire::Handshake::session_id(bad.handshake.as_ref().unwrap());
        bad.id = EnvelopeId([i as u8; 16]);
        world.relay.boxes.entry(bob).or_default().push((i as u64 + 100, bad));
        world.settle();
    }
    let sessions: i64 = world
        .person("bob")
        .engine
        .store
        .db
        .query_row("SELECT count(*) FROM sessions", [], |r| r.get(0))
        .unwrap();
    assert!(sessions <= 1, "only the renewal that bob asks for himself: {sessions}");
    assert!(world.texts("bob", "alice").is_empty());
}

/// What a relay has once delivered under another id comes again under its own, because the receipt was lost: it is
/// answered. Under any third id, or with other labels, it is a replay, of which nothing follows.
#[test]
fn what_came_under_another_id_is_answered_when_it_comes_again_under_its_own() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = World::over(exchange, &["alice", "bob"]);
        for (from, to) in [("alice", "bob"), ("bob", "alice"), ("alice", "bob")] {
            world.send(from, to, "hello");
            world.settle();
        }
        let (alice, bob) = (world.id("alice"), world.id("bob"));
        world.meddle = Box::new(move |envelope| match envelope.from == alice {
            true => vec![Envelope { id: EnvelopeId([8; 16]), ..envelope }],
            false => vec![],
        });
        let id = world.send("alice", "bob", "once");
        world.settle();
        assert_eq!(world.texts("bob", "alice").last().unwrap(), "once");
        assert_eq!(world.state("alice", id), MessageState::Stored);
        world.meddle = Box::new(|envelope| vec![envelope]);
        let genuine = world.relay.record.iter().rfind(|it| it.from == alice).unwrap().clone();
        let before = world.relay.record.len();
        let hand = |world: &mut World, n: u64, envelope: Envelope| {
            world.relay.boxes.entry(bob).or_default().push((1_000 + n, envelope));
            world.settle();
        };
        hand(&mut world, 1, Envelope { message: MessageId([7; 16]), ..genuine.clone() });
        hand(&mut world, 2, Envelope { id: EnvelopeId([9; 16]), ..genuine.clone() });
        let alarms = world.alarms("bob");
        assert!(alarms.len() == 2 && alarms.iter().all(|it| it.starts_with("Replayed")), "{alarms:?}");
        assert_eq!(world.relay.record.len(), before, "bob says nothing to it");
        hand(&mut world, 3, genuine.clone());
        assert_eq!(world.state("alice", id), MessageState::Delivered, "{exchange}");
        hand(&mut world, 4, Envelope { id: EnvelopeId([8; 16]), ..genuine });
        assert_eq!(world.alarms("bob"), alarms, "{exchange}");
        assert_eq!(world.texts("bob", "alice").iter().filter(|text| *text == "once").count(), 1);
    }
}

/// A36, C24.
#[test]
fn replays_under_new_ids_and_from_others_are_refused() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.send("alice", "bob", "one");
    world.settle();
    let genuine =
        world.relay.record.iter().find(|e| e.from == world.people["alice"].engine.config.identity.peer_id());
    let genuine = genuine.unwrap().clone();
    let (bob, carol) = (world.id("bob"), world.id("carol"));
    let mut again = genuine.clone();
    again.id = EnvelopeId([1; 16]);
    let mut as_carol = genuine.clone();
    (as_carol.id, as_carol.from) = (EnvelopeId([2; 16]), carol);
    let mut without = genuine;
    (without.id, without.handshake) = (EnvelopeId([3; 16]), None);
    for (n, envelope) in [again, as_carol, without].into_iter().enumerate() {
        world.relay.boxes.entry(bob).or_default().push((n as u64 + 1_000, envelope));
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one"]);
    assert!(world.texts("bob", "carol").is_empty());
    let alarms = world.alarms("bob");
    assert_eq!(alarms.iter().filter(|alarm| alarm.starts_with("Replayed")).count(), 2, "{alarms:?}");
    assert_eq!(alarms.iter().filter(|alarm| alarm.starts_with("Tampered")).count(), 1, "{alarms:?}");
    // Also after a restart.
    world.crash("bob");
    world.person("bob").events.clear();
    let mut again = world.relay.record[0].clone();
    again.id = EnvelopeId([4; 16]);
    world.connect("bob");
    world.relay.boxes.entry(bob).or_default().push((9_000, again));
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one"]);
}

#[test]
fn a_receipt_from_one_who_was_no_recipient_says_nothing() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.disconnect("bob");
    let id = world.send("alice", "bob", "for bob only");
    let alice = world.id("alice");
    world.person("carol").engine.owe_receipt(alice, id);
    world.pass(1_000);
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Stored);
}
