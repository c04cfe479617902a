//! Who is who: keys, names, sessions begun at once, sessions lost.

use chat_core::api::{ErrorKind, Event, MessageState};

use super::world::World;

/// E19.
#[test]
fn a_second_key_for_a_nick_is_kept_apart() {
    let mut world = World::of(&["alice", "bob"]);
    world.add("mallory", "bob", 66, "aes-256-gcm");
    world.settle();
    let mallory = world.id("mallory");
    let name = format!("bob·{}", mallory.short());
    let snapshot = world.snapshot("alice");
    let names: Vec<&str> = snapshot.peers.iter().map(|peer| peer.nick.as_str()).collect();
    assert_eq!(names, ["bob", name.as_str()]);
    let changed = |event: &Event| matches!(event, Event::PeerKeyChanged(it) if it.peer_id == mallory);
    assert!(world.person("alice").events.iter().any(changed));
    assert_eq!(world.try_send("alice", "bob", "secret").unwrap_err().kind, ErrorKind::Ambiguous);
    world.send("alice", &name, "to the second");
    let bob = world.id("bob");
    world.send("alice", &bob.to_string(), "to the first");
    world.settle();
    assert_eq!(world.texts("mallory", "alice"), ["to the second"]);
    assert_eq!(world.texts("bob", "alice"), ["to the first"]);
}

#[test]
fn both_begin_a_session_at_once_and_agree_on_one() {
    let mut world = World::of(&["alice", "bob"]);
    let there = world.send("alice", "bob", "ping");
    let back = world.send("bob", "alice", "pong");
    world.settle();
    assert_eq!(world.state("alice", there), MessageState::Delivered);
    assert_eq!(world.state("bob", back), MessageState::Delivered);
    world.send("alice", "bob", "again");
    world.send("bob", "alice", "again");
    world.settle();
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    let seals = |world: &mut World, who: &str, with| world.person(who).engine.contacts[&with].row.sending;
    assert_eq!(seals(&mut world, "alice", bob), seals(&mut world, "bob", alice));
    for who in ["alice", "bob"] {
        assert_eq!(world.alarms(who), [""; 0]);
    }
}

#[test]
fn a_peer_that_lost_its_sessions_gets_everything_anew_once() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "one");
    world.settle();
    world.disconnect("bob");
    let two = world.send("alice", "bob", "two");
    // bob's sessions are gone, his history is not.
    world.person("bob").engine.store.run("DELETE FROM sessions").unwrap();
    world.crash("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "two"]);
    assert_eq!(world.state("alice", two), MessageState::Delivered);
}

#[test]
fn another_stack_is_refused_by_the_field_that_differs() {
    let mut world = World::of(&["alice"]);
    world.add("bob", "bob", 9, "xchacha20-poly1305");
    world.settle();
    let error = world.try_send("alice", "bob", "x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAllowed);
    assert!(
        error.message.contains("cipher.kind is `aes-256-gcm` here and `xchacha20-poly1305` there"),
        "{error}"
    );
    assert!(world.alarms("alice").iter().any(|alarm| alarm.starts_with("Downgrade")));
    // In a room such a member is shown, and nobody waits for it.
    let id = world.send("alice", "#lobby", "hello");
    assert_eq!(world.state("alice", id), MessageState::Stored);
}

#[test]
fn arrival_and_departure_are_told_once() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    world.connect("bob");
    let seen =
        world.person("alice").events.iter().filter(|event| matches!(event, Event::PeerSeen(_))).count();
    let lost =
        world.person("alice").events.iter().filter(|event| matches!(event, Event::PeerLost(_))).count();
    assert_eq!((seen, lost), (2, 1));
}

#[test]
fn a_new_nick_signs_the_same_keys_again() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "one");
    world.settle();
    let bob = world.id("bob");
    world.person("alice").events.clear();
    // bob restarts as robert, with the same folder.
    let person = world.person("bob");
    person.rename("robert");
    world.crash("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.snapshot("alice").peer(bob).unwrap().nick, "robert");
    let seen = |event: &Event| match event {
        Event::PeerSeen(seen) => Some(seen.nick.clone()),
        _ => None,
    };
    let seen: Vec<String> = world.person("alice").events.iter().filter_map(seen).collect();
    assert_eq!(seen.last().map(String::as_str), Some("robert"), "{seen:?}");
    world.send("alice", "robert", "two");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "two"]);
}
