//! What a hostile relay, a full mailbox, a failed commit or a restored backup can do: each of these was a defect once.

use super::world::World;
use crate::engine::Input;
use chat_core::api::command::InRoom;
use chat_core::api::{Command, Destination, MessageState};
use chat_core::identity::Identity;
use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId, Timestamp};
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::bundle::{Bundle, SignedBundle};
use chat_core::wire::relay::Refusal;
use chat_core::wire::{Envelope, FromRelay, Recipient};

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

/// Delivered though the recipient refused it, as it is not in the room.
#[test]
fn delivered_means_in_the_peers_history() {
    let mut world = World::of(&["alice", "bob"]);
    let bob = world.id("bob");
    // bob leaves; his farewell is lost with the relay that had it.
    world.meddle = Box::new(move |e| if e.from == bob { vec![] } else { vec![e] });
    world.run("bob", Command::Leave(InRoom { room: RoomName::new("#lobby").unwrap() })).unwrap();
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

fn forged(from: PeerId, to: PeerId, n: u8) -> Envelope {
    Envelope {
        id: EnvelopeId([n; 16]),
        to: Recipient::Peer(to),
        from,
        conversation: ConversationId([0; 16]),
        message: MessageId([n; 16]),
        session: SessionId([n; 16]),
        handshake: None,
        frame: vec![n; 100],
    }
}

/// Unauthenticated garbage replaces and finally erases a working session.
#[test]
fn garbage_leaves_the_working_session_in_place() {
    let mut world = World::of(&["alice", "bob"]);
    for _ in 0..3 {
        world.send("alice", "bob", "x");
        world.settle();
        world.send("bob", "alice", "y");
        world.settle();
    }
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let before = world.person("alice").engine.contacts[&bob].row.sending.unwrap();
    for n in 1..=6u8 {
        world.now = world.now.plus_ms(61_000);
        world.relay.boxes.entry(alice).or_default().push((1_000_000 + u64::from(n), forged(bob, alice, n)));
        // The relay keeps what alice writes to bob.
        world.meddle = Box::new(move |e| if e.to == Recipient::Peer(bob) { vec![] } else { vec![e] });
        world.settle();
    }
    let after = world.person("alice").engine.contacts[&bob].row.sending.unwrap();
    let there = world.person("alice").engine.store.session(before).unwrap().is_some();
    assert!(there, "the working session was erased");
    assert_eq!(before, after);
}

/// A replay older than the window begins a new session.
#[test]
fn a_replay_changes_nothing_however_old() {
    let mut world = World::of(&["alice", "bob"]);
    for _ in 0..2 {
        world.send("alice", "bob", "x");
        world.settle();
        world.send("bob", "alice", "y");
        world.settle();
    }
    let old_id = world.send("alice", "bob", "old");
    world.settle();
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let mut old = world.relay.record.iter().find(|e| e.message == old_id).unwrap().clone();
    for n in 0..1100 {
        world.send("alice", "bob", &n.to_string());
    }
    world.settle();
    let before = world.person("bob").engine.contacts[&alice].row.sending;
    old.id = EnvelopeId([0x77; 16]);
    world.relay.boxes.entry(bob).or_default().push((1 << 50, old));
    world.settle();
    assert_eq!(world.person("bob").engine.contacts[&alice].row.sending, before);
}

fn bundle_of(seed: [u8; 32], nick: &str, now: Timestamp, world: &mut World) -> (PeerId, Vec<u8>) {
    let me = Identity::from_seed(&seed);
    let payload = world.person("alice").engine.keys.as_ref().unwrap().stored.payload.clone();
    let bundle = Bundle {
        identity: me.public().as_bytes().to_vec(),
        profile: world.person("alice").engine.profile.clone(),
        nick: Nick::new(nick).unwrap(),
        payload,
        created: now,
        expires: now.plus_ms(86_400_000),
    };
    (me.peer_id(), SignedBundle::sign(&bundle, &me).encode())
}

/// A tick that cannot commit loses the wish for keys for ever.
#[test]
fn keys_are_wanted_again_after_a_failed_turn() {
    let mut world = World::of(&["alice"]);
    // No keys, as at the first start.
    let person = world.person("alice");
    person.engine.keys = None;
    person.engine.keys_wanted = false;
    person.engine.last_keys_wanted = Timestamp::default();
    person.engine.store.db.execute_batch("DELETE FROM bundles").unwrap();
    person.engine.last_housekeeping = Timestamp::default();
    // The disk refuses the first housekeeping.
    person
        .engine
        .store
        .db
        .execute_batch(
            "INSERT INTO controls (envelope_id, peer, envelope, created) VALUES (x'01', x'02', x'03', 0);
         CREATE TRIGGER full BEFORE DELETE ON controls BEGIN SELECT RAISE(ABORT, 'disk full'); END",
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
            "CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    let request = |command| {
        let (reply, _) = tokio::sync::oneshot::channel();
        Input::Command(chat_core::api::handle::Request { command, reply })
    };
    let send = chat_core::api::command::Send {
        to: Destination::Room(RoomName::new("#lobby").unwrap()),
        text: "x".into(),
        client_id: None,
    };
    let turn = world.input("alice", vec![request(Command::Send(send)), request(Command::Shutdown)]);
    assert!(turn.stop);
}

/// Message id squatting
#[test]
fn a_member_cannot_suppress_anothers_message() {
    let mut world = World::of(&["alice", "bob", "mallory"]);
    let (alice, bob, mallory) = (world.id("alice"), world.id("bob"), world.id("mallory"));
    for who in ["bob", "mallory"] {
        world.send(who, "#lobby", "hi");
    }
    world.settle();
    // alice's copy for bob is late (mailbox full, or the relay likes mallory).
    let kept = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let hold = std::rc::Rc::clone(&kept);
    world.meddle = Box::new(move |e| {
        if e.from == alice && e.to == Recipient::Peer(bob) {
            hold.borrow_mut().push(e);
            vec![]
        } else {
            vec![e]
        }
    });
    let id = world.send("alice", "#lobby", "mallory is a thief");
    world.settle();
    // mallory sends bob something of its own under the id it has seen.
    let conversation = world.person("mallory").engine.direct(bob);
    let engine = &mut world.person("mallory").engine;
    engine.store.begin().unwrap();
    let plain = chat_core::wire::Plaintext {
        context: None,
        conversation,
        message: id,
        sent_at: Timestamp(1),
        previous: [0; 16],
        body: chat_core::wire::Body::Text("hi bob".into()),
    };
    let sealed = engine.seal(bob, &plain).unwrap().unwrap();
    engine.store.commit().unwrap();
    let envelope = Envelope {
        id: EnvelopeId([0x42; 16]),
        to: Recipient::Peer(bob),
        from: mallory,
        conversation,
        message: id,
        session: sealed.session,
        handshake: sealed.handshake,
        frame: sealed.frame,
    };
    world.relay.boxes.entry(bob).or_default().push((1 << 40, envelope));
    world.settle();
    world.meddle = Box::new(|e| vec![e]);
    for e in kept.borrow_mut().drain(..) {
        world.relay.boxes.entry(bob).or_default().push((1 << 41, e));
    }
    world.settle();
    assert!(world.texts("bob", "#lobby").contains(&"mallory is a thief".to_owned()));
}

/// Fake members block every sending.
#[test]
fn members_nobody_knows_do_not_stop_us_from_sending() {
    let mut world = World::of(&["alice", "bob"]);
    let members: Vec<PeerId> = (0..9_999u32)
        .map(|n| {
            let mut id = [7u8; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            PeerId(id)
        })
        .collect();
    rec(&mut world, "alice", FromRelay::Room { room: RoomName::new("#lobby").unwrap(), members });
    for _ in 0..11 {}
    world.try_send("alice", "bob", "direct").unwrap();
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
    let exchange = super::world::key_exchange();
    let _ = exchange;
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

/// Strangers use up everybody's accepts.
#[test]
fn strangers_do_not_keep_a_friend_from_beginning_a_session() {
    let mut world = World::of(&["alice", "bob"]);
    let alice = world.id("alice");
    let now = world.now;
    let hash = world.person("alice").engine.keys.as_ref().unwrap().verified.hash;
    let mut items = Vec::new();
    for s in 0..100u8 {
        let (peer, bundle) = bundle_of([s.wrapping_add(50); 32], &format!("s{s}"), now, &mut world);
        for n in 0..10u8 {
            let handshake = chat_core::wire::Handshake {
                bundle: bundle.clone(),
                peer_bundle_hash: hash.to_vec(),
                first: vec![n; 40],
            }
            .encode();
            let mut id = [s; 16];
            id[0] = n;
            items.push(chat_core::wire::relay::Delivery {
                n: 1,
                envelope: Envelope {
                    id: EnvelopeId(id),
                    to: Recipient::Peer(alice),
                    from: peer,
                    conversation: ConversationId([0; 16]),
                    message: MessageId(id),
                    session: chat_core::wire::Handshake::session_id(&handshake),
                    handshake: Some(handshake),
                    frame: vec![0; 100],
                },
            });
        }
    }
    rec(&mut world, "alice", FromRelay::Deliver { items });
    let id = world.send("bob", "alice", "hello friend");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered);
}

/// Leave while offline
#[test]
fn a_room_left_offline_is_left_at_the_relay() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let bob = world.id("bob");
    world.run("bob", Command::Leave(InRoom { room: RoomName::new("#lobby").unwrap() })).unwrap();
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
    world.send("alice", "bob", "first");
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
    let room = || InRoom { room: RoomName::new("#lobby").unwrap() };
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
            "CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        )
        .unwrap();
    let send = chat_core::api::command::Send {
        to: Destination::Room(RoomName::new("#lobby").unwrap()),
        text: "x".into(),
        client_id: None,
    };
    let (reply, _) = tokio::sync::oneshot::channel();
    let command = Input::Command(chat_core::api::handle::Request { command: Command::Send(send), reply });
    // As the driver gathers them: a command first is possible when the link ends right after (or a record that fails).
    world.input("alice", vec![command, Input::LinkDown { reason: "gone".into() }]);
    world.person("alice").engine.store.db.execute_batch("DROP TRIGGER full").unwrap();
    assert!(world.person("alice").engine.link.is_none());
}
