//! What a hostile relay or a hostile member can do: each of these was a defect once.

use super::world::World;
use crate::engine::Input;
use chat_core::api::MessageState;
use chat_core::identity::Identity;
use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId, Timestamp};
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::bundle::{Bundle, SignedBundle};
use chat_core::wire::{Envelope, FromRelay, Recipient};

fn rec(world: &mut World, who: &str, record: FromRelay) {
    world.input(who, vec![Input::Record(record)]);
}

pub(super) fn forged(from: PeerId, to: PeerId, n: u8) -> Envelope {
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

pub(super) fn bundle_of(seed: [u8; 32], nick: &str, now: Timestamp, world: &mut World) -> (PeerId, Vec<u8>) {
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

/// A36, C24: A replay older than the window begins a new session.
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
                one_time: None,
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
