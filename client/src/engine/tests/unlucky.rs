//! What a full mailbox, a failed commit, a lost answer or a restored backup can do: each of these was a defect once.

use super::world::World;
use crate::engine::Input;
use chat_core::api::command::InRoom;
use chat_core::api::{Command, Destination, MessageState};
use chat_core::wire::FromRelay;
use chat_core::wire::relay::Refusal;

fn rec(world: &mut World, who: &str, record: FromRelay) {
    world.input(who, vec![Input::Record(record)]);
}

/// A late `Refused` turns delivered into failed.
#[test]
fn delivered_stays_delivered_when_the_relay_refuses_a_repeat() {
    let mut world = World::of(&["alice", "bob"]);
    let id = world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    let envelope = world.relay.record.iter().find(|e| e.message == id).unwrap().id;
    rec(&mut world, "alice", FromRelay::Refused { id: envelope, why: Refusal::NotAllowed });
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

#[test]
fn delivered_gets_no_reason_from_a_temporary_refusal() {
    let mut world = World::of(&["alice", "bob"]);
    let id = world.send("alice", "bob", "hello");
    world.settle();
    let envelope = world.relay.record.iter().find(|e| e.message == id).unwrap().id;
    rec(&mut world, "alice", FromRelay::Refused { id: envelope, why: Refusal::MailboxFull });
    let me = world.id("alice");
    let row = world.person("alice").engine.store.message(me, id).unwrap().unwrap();
    assert_eq!(row.reason, None);
}

/// Failed keeps its reason.
#[test]
fn failed_keeps_its_reason() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let id = world.send("alice", "bob", "hello");
    let envelope = world.relay.record.iter().find(|e| e.message == id).unwrap().id;
    rec(&mut world, "alice", FromRelay::Refused { id: envelope, why: Refusal::NotAllowed });
    assert_eq!(world.state("alice", id), MessageState::Failed);
    rec(&mut world, "alice", FromRelay::Stored { ids: vec![envelope] });
    let me = world.id("alice");
    let row = world.person("alice").engine.store.message(me, id).unwrap().unwrap();
    assert!(row.reason.is_some());
}

/// A35, A11: delivered though the recipient refused it, as it is not in the room.
#[test]
fn delivered_means_in_the_peers_history() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.id("bob");
    // bob leaves; his farewell is lost with the relay that had it.
    world.meddle = Box::new(move |e| if e.from == bob { vec![] } else { vec![e] });
    world.run("bob", Command::Leave(InRoom { room: "#lobby".parse().unwrap() })).unwrap();
    world.settle();
    let id = world.send("alice", "#lobby", "hello all");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Stored);
    // Another relay takes over; alice hands over again what is not delivered.
    world.meddle = Box::new(|e| vec![e]);
    world.relay = Default::default();
    for who in ["alice", "bob"] {
        world.disconnect(who);
        world.connect(who);
    }
    world.settle();
    let held: i64 = world
        .person("bob")
        .engine
        .store
        .db
        .query_row("SELECT count(*) FROM messages", [], |r| r.get(0))
        .unwrap();
    assert_eq!(held, 0, "bob has it nowhere");
    assert_ne!(world.state("alice", id), MessageState::Delivered);
}

/// A tick that cannot commit loses the wish for keys for ever.
#[test]
fn keys_are_wanted_again_after_a_failed_turn() {
    let mut world = World::of(&["alice"]);
    // No keys, as at the first start.
    let person = world.person("alice");
    person.engine.keys = None;
    person.engine.keys_wanted = false;
    person.engine.last_keys_wanted = None;
    person.engine.store.run("DELETE FROM bundles").unwrap();
    let control =
        "INSERT INTO controls (envelope_id, peer, envelope, created) VALUES (x'01', x'02', x'03', 0)";
    person.engine.store.run(control).unwrap();
    person.engine.last_housekeeping = None;
    // The disk refuses the first housekeeping.
    person
        .engine
        .store
        .db
        .execute_batch(
            "CREATE TRIGGER full BEFORE DELETE ON sealed_controls BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    let turn = world.input("alice", vec![Input::Tick]);
    assert!(!turn.want_keys);
    world.person("alice").engine.store.db.execute_batch("DROP TRIGGER full").unwrap();
    let mut wanted = false;
    for _ in 0..100 {
        world.now = world.now.plus_ms(61_000);
        wanted |= world.input("alice", vec![Input::Tick]).want_keys;
    }
    assert!(wanted);
}

/// Shutdown in a failed turn.
#[test]
fn a_wish_to_stop_survives_a_failed_turn() {
    let mut world = World::of(&["alice"]);
    world
        .person("alice")
        .engine
        .store
        .db
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON sealed_messages BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    let request = |command| {
        let (reply, _) = tokio::sync::oneshot::channel();
        Input::Command(chat_core::api::handle::Request { command, reply })
    };
    let send = chat_core::api::command::Send {
        to: Destination::Room("#lobby".parse().unwrap()),
        text: "x".into(),
        client_id: None,
    };
    let turn = world.input("alice", vec![request(Command::Send(send)), request(Command::Shutdown)]);
    assert!(turn.stop);
}

/// Chain fork
#[test]
fn what_a_restored_peer_says_is_shown_at_the_end() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("bob", "alice", "one");
    world.settle();
    let backup = {
        let (alice, conversation) = (world.id("alice"), {
            let a = world.id("alice");
            world.person("bob").engine.direct(a)
        });
        world.person("bob").engine.store.chain(conversation, alice, true).unwrap().unwrap()
    };
    for text in ["two", "three"] {
        world.send("bob", "alice", text);
    }
    world.send("alice", "bob", "answer");
    world.settle();
    // bob's folder is restored from a copy that was made after "one".
    let alice = world.id("alice");
    let conversation = world.person("bob").engine.direct(alice);
    world.person("bob").engine.store.set_chain(conversation, alice, true, backup).unwrap();
    for text in ["four", "five"] {
        world.send("bob", "alice", text);
    }
    world.settle();
    assert_eq!(
        world.texts("alice", "bob").last().map(String::as_str),
        Some("five"),
        "{:?}",
        world.texts("alice", "bob")
    );
}

/// Unsealed copies are sealed once the peer has begun a session.
#[test]
fn what_waits_is_sealed_when_the_peer_begins_a_session() {
    let mut world = World::of(&["alice", "bob"]);
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    world.disconnect("bob");
    // bob's bundle has expired in alice's eyes.
    world.now = world.now.plus_ms(31 * 24 * 3_600_000);
    world.make_keys("alice");
    let id = world.send("alice", "bob", "are you back?");
    assert_eq!(world.state("alice", id), MessageState::Queued);
    // bob comes back with new keys, not sharing a room: the relay tells alice nothing of him. He writes.
    world.relay.forget_rooms();
    world.person("bob").online = true;
    world.quiet = true;
    world.make_keys("bob");
    let bundle = world.person("alice").engine.keys.as_ref().unwrap().stored.signed.clone();
    rec(&mut world, "bob", FromRelay::Peer { bundle, online: true });
    world.connect("bob");
    world.send("bob", "alice", "I am back");
    world.settle();
    assert_eq!(world.texts("alice", "bob").last().map(String::as_str), Some("I am back"));
    for _ in 0..10 {
        world.pass(61_000);
        world.settle();
    }
    let _ = (alice, bob);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

/// Leave while offline
#[test]
fn a_room_left_offline_is_left_at_the_relay() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let bob = world.id("bob");
    world.run("bob", Command::Leave(InRoom { room: "#lobby".parse().unwrap() })).unwrap();
    world.connect("bob");
    world.settle();
    assert!(!world.relay.is_member("#lobby", bob));
}

/// A temporary refusal of one envelope among many
#[test]
fn one_envelope_tried_again_later_needs_no_new_session() {
    let mut world = World::of(&["alice", "bob"]);
    for _ in 0..2 {
        world.send("alice", "bob", "x");
        world.settle();
        world.send("bob", "alice", "y");
        world.settle();
    }
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let first = world.send("alice", "bob", "first");
    // The relay says TooFast to this one: take it out again.
    let envelope = world.relay.boxes.get_mut(&bob).unwrap().pop().unwrap().1;
    rec(&mut world, "alice", FromRelay::Refused { id: envelope.id, why: Refusal::TooFast });
    world.relay.forget_what_was_had();
    for n in 0..1100 {
        world.send("alice", "bob", &n.to_string());
    }
    world.settle();
    let before = world.person("bob").engine.contacts[&alice].row.sending;
    world.pass(6_000);
    world.settle();
    assert_eq!(world.person("bob").engine.contacts[&alice].row.sending, before);
    assert_eq!(world.state("alice", first), MessageState::Delivered);
}

/// One batch is refused for want of disk, the one behind it is stored: the first is not forgotten.
#[test]
fn what_was_refused_for_a_while_is_tried_again_though_others_are_stored() {
    for why in [Refusal::Storage, Refusal::TooFast, Refusal::MailboxFull] {
        let mut world = World::of(&["alice", "bob"]);
        let second = world.send("alice", "bob", "stored");
        let stored = world.relay.record.iter().find(|e| e.message == second).unwrap().id;
        world.relay.refuses = Some(why);
        let first = world.send("alice", "bob", "refused");
        rec(&mut world, "alice", FromRelay::Stored { ids: vec![stored] });
        world.pass(6_000);
        world.settle();
        for id in [first, second] {
            assert_eq!(world.state("alice", id), MessageState::Delivered, "{why:?}");
        }
    }
}

/// A relay told of a member and not of its bundle; without that, what is said in the room would not go to it.
#[test]
fn a_member_who_comes_and_is_not_known_is_asked_for() {
    let mut world = World::of(&["alice", "bob"]);
    let (bob, stranger) = (world.id("bob"), chat_core::PeerId([9; 32]));
    let forgotten = world.person("alice").engine.contacts.remove(&bob);
    assert!(forgotten.is_some());
    for peer in [bob, stranger] {
        rec(&mut world, "alice", FromRelay::Presence { peer, online: true });
    }
    world.settle();
    let contacts = &world.person("alice").engine.contacts;
    assert!(contacts[&bob].online && !contacts.contains_key(&stranger));
}

/// A late farewell
#[test]
fn an_old_farewell_does_not_drop_what_was_sent_after_the_return() {
    let mut world = World::of(&["alice", "bob"]);
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let kept = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let hold = std::rc::Rc::clone(&kept);
    world.meddle = Box::new(move |e| {
        if e.from == bob {
            hold.borrow_mut().push(e);
            vec![]
        } else {
            vec![e]
        }
    });
    let room = || InRoom { room: "#lobby".parse().unwrap() };
    world.run("bob", Command::Leave(room())).unwrap();
    world.settle();
    world.run("bob", Command::Join(room())).unwrap();
    world.settle();
    world.meddle = Box::new(|e| vec![e]);
    world.disconnect("bob");
    let id = world.send("alice", "#lobby", "welcome back");
    for e in kept.borrow_mut().drain(..) {
        world.relay.boxes.entry(alice).or_default().push((1 << 40, e));
    }
    world.settle();
    // The relay is lost with what it had.
    world.relay = Default::default();
    world.disconnect("alice");
    for who in ["alice", "bob"] {
        world.connect(who);
    }
    world.settle();
    assert!(
        world.texts("bob", "#lobby").contains(&"welcome back".to_owned()),
        "state {:?}",
        world.state("alice", id)
    );
}

/// A link lost in a failed turn
#[test]
fn a_link_lost_in_a_failed_turn_is_lost() {
    let mut world = World::of(&["alice", "bob"]);
    world
        .person("alice")
        .engine
        .store
        .db
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON sealed_messages BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    let send = chat_core::api::command::Send {
        to: Destination::Room("#lobby".parse().unwrap()),
        text: "x".into(),
        client_id: None,
    };
    let (reply, _) = tokio::sync::oneshot::channel();
    let command = Input::Command(chat_core::api::handle::Request { command: Command::Send(send), reply });
    // As the driver gathers them: a command first is possible when the link ends right after (or a record that fails).
    let turn = world.input("alice", vec![command, Input::LinkDown { reason: "gone".into() }]);
    let why = turn.drop_link.unwrap();
    assert_eq!(why.matches("the store failed").count(), 1, "{why}");
    world.person("alice").engine.store.db.execute_batch("DROP TRIGGER full").unwrap();
    assert!(world.person("alice").engine.link.is_none());
}
