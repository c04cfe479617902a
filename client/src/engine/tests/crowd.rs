//! Crowds that a relay has made up: they keep nobody out for good.

use chat_core::api::MessageState;
use chat_core::ids::{ConversationId, PeerId};
use chat_core::nick::RoomName;
use chat_core::wire::envelope::open_room_conversation;
use chat_core::wire::membership::{Change, Operation, SignedOperation};

use super::world::World;
use crate::engine::crowd::MAX_CONTACTS;
use crate::engine::peers::Contact;

fn lobby() -> ConversationId {
    open_room_conversation(&RoomName::new("#lobby").unwrap())
}

fn made_up(n: u64) -> PeerId {
    let mut peer = PeerId([0xcc; 32]);
    peer.0[..8].copy_from_slice(&n.to_be_bytes());
    peer
}

/// As many as can be remembered, all made up after `like`: in #lobby, as the relay says.
fn crowd(world: &mut World, like: PeerId) {
    let (now, engine) = (world.now, &mut world.person("alice").engine);
    let contact = &engine.contacts[&like];
    let (row, bundle) = (contact.row.clone(), contact.bundle.clone());
    for n in 0..MAX_CONTACTS as u64 {
        let peer = made_up(n);
        let mut row = row.clone();
        (row.peer, row.name, row.nick, row.had) = (peer, format!("made-up-{n}"), format!("made-up-{n}"), 0);
        (row.sending, row.last_seen) = (None, now);
        engine.contacts.insert(peer, Contact { row, bundle: bundle.clone(), online: false });
        engine.open_room(lobby()).unwrap().members.insert(peer);
    }
}

#[test]
fn there_is_room_for_somebody_new_and_nobody_goes_whom_the_user_has_dealt_with() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "hello");
    world.settle();
    let bob = world.id("bob");
    world.disconnect("bob");
    crowd(&mut world, bob);
    world.now = world.now.plus_ms(1_000);
    world.add("carol", "carol", 9, "aes-256-gcm");
    world.settle();
    let carol = world.id("carol");
    let id = world.send("carol", "alice", "I am new here");
    world.settle();
    assert_eq!(world.state("carol", id), MessageState::Delivered);
    assert_eq!(world.texts("alice", "carol"), ["I am new here"]);
    let engine = &world.person("alice").engine;
    assert!(engine.contacts.len() <= MAX_CONTACTS);
    assert!(engine.contacts.contains_key(&bob) && engine.contacts.contains_key(&carol));
}

/// A member of a room that is known here, who needs no key to be one.
fn put_into(world: &mut World, by: &str, room: ConversationId, peer: PeerId) {
    let (identity, parents) = {
        let engine = &world.person(by).engine;
        (engine.config.identity.clone(), engine.rooms[&room].closed().unwrap().log.parents())
    };
    let author = *identity.public().as_bytes();
    let operation = Operation { room, author, parents, change: Change::Admit { peer } };
    let signed = SignedOperation::sign(&operation, &identity);
    for who in [by, "alice"] {
        let engine = &mut world.person(who).engine;
        engine.store.begin().unwrap();
        assert_eq!(engine.take_operation(room, signed.verify().unwrap()).unwrap(), Ok(true));
        engine.store.commit().unwrap();
    }
}

/// Strangers can bring one into rooms of their own, and name whom they like.
#[test]
fn members_of_strangers_rooms_are_forgotten_and_those_of_chosen_ones_are_not() {
    let mut world = World::of(&["alice", "mallory"]);
    let (theirs, strange) = world.create("mallory", "#theirs");
    world.admit("mallory", &theirs, "alice").unwrap();
    world.settle();
    let (_, chosen) = world.create("mallory", "#chosen");
    world.admit("mallory", "#chosen", "alice").unwrap();
    world.settle();
    world.send("alice", "#chosen", "so this is where you meet");
    world.settle();
    // Made up, and the least of all: nothing was ever heard of them.
    put_into(&mut world, "mallory", strange, made_up(0));
    put_into(&mut world, "mallory", chosen, made_up(1));
    let mallory = world.id("mallory");
    crowd(&mut world, mallory);
    let engine = &mut world.person("alice").engine;
    // Of nobody was seen less.
    for n in 0..3 {
        engine.contacts.get_mut(&made_up(n)).unwrap().row.last_seen = Default::default();
    }
    engine.contacts.get_mut(&made_up(2)).unwrap().row.blocked = true;
    engine.store.begin().unwrap();
    assert!(engine.has_room_for_contact().unwrap());
    engine.store.commit().unwrap();
    let knows = |peer: PeerId| engine.contacts.contains_key(&peer);
    assert!(!knows(made_up(0)), "that it is in a room says a stranger");
    assert!(knows(made_up(1)) && knows(made_up(2)) && knows(mallory));
}
