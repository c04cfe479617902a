//! Crowds that a relay has made up: they keep nobody out for good.

use chat_core::api::MessageState;
use chat_core::ids::{ConversationId, PeerId};
use chat_core::nick::RoomName;
use chat_core::wire::envelope::open_room_conversation;

use super::world::World;
use crate::engine::crowd::MAX_CONTACTS;
use crate::engine::peers::Contact;

fn lobby() -> ConversationId {
    open_room_conversation(&RoomName::new("#lobby").unwrap())
}

/// As many as can be remembered, all made up after `like`: in #lobby, as the relay says.
fn crowd(world: &mut World, like: PeerId) {
    let (now, engine) = (world.now, &mut world.person("alice").engine);
    let contact = &engine.contacts[&like];
    let (row, bundle) = (contact.row.clone(), contact.bundle.clone());
    for n in 0..MAX_CONTACTS as u64 {
        let mut peer = PeerId([0xcc; 32]);
        peer.0[..8].copy_from_slice(&n.to_be_bytes());
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
