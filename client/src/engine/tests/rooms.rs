//! Open rooms.

use chat_core::api::command::InRoom;
use chat_core::api::snapshot::Counts;
use chat_core::api::{Command, MessageState};

use super::world::World;

fn at(room: &str) -> InRoom {
    InRoom { room: room.parse().unwrap() }
}

#[test]
fn everybody_in_the_room_gets_it_once_and_the_state_counts_them() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.disconnect("carol");
    let id = world.send("alice", "#lobby", "hi all");
    world.settle();
    assert_eq!(world.texts("bob", "#lobby"), ["hi all"]);
    assert_eq!(world.state("alice", id), MessageState::Stored);
    let snapshot = world.snapshot("alice");
    let delivery = snapshot.conversations[0].messages[0].delivery.clone().unwrap();
    assert_eq!(delivery.counts, Some(Counts { stored: 2, delivered: 1, read: 0, of: 2 }));
    world.connect("carol");
    world.settle();
    assert_eq!(world.texts("carol", "#lobby"), ["hi all"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

#[test]
fn alone_in_a_room_a_message_is_stored_nought_of_nought() {
    let mut world = World::of(&["alice"]);
    let id = world.send("alice", "#lobby", "echo");
    assert_eq!(world.state("alice", id), MessageState::Stored);
    let snapshot = world.snapshot("alice");
    assert_eq!(
        snapshot.conversations[0].messages[0].delivery.clone().unwrap().counts,
        Some(Counts::default())
    );
    assert!(world.relay.record.is_empty());
}

#[test]
fn a_member_who_leaves_says_so_and_is_no_longer_waited_for() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.disconnect("bob");
    let id = world.send("alice", "#lobby", "before");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Stored);
    // bob leaves before he has read his mail, as far as alice can know.
    world.connect("bob");
    world.run("bob", Command::Leave(at("#lobby"))).unwrap();
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    let later = world.send("alice", "#lobby", "after");
    world.settle();
    assert_eq!(world.state("alice", later), MessageState::Delivered);
    assert_eq!(world.texts("carol", "#lobby"), ["before", "after"]);
    let bob = world.id("bob");
    let copies = world.relay.record.iter().filter(|envelope| envelope.message == later);
    assert!(copies.clone().count() > 0);
    assert!(copies.into_iter().all(|copy| copy.to != chat_core::wire::Recipient::Peer(bob)));
}

#[test]
fn membership_outlives_a_relay_that_has_never_met_the_member() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    world.relay = Default::default();
    world.disconnect("alice");
    world.connect("alice");
    let id = world.send("alice", "#lobby", "are you there?");
    world.settle();
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "#lobby"), ["are you there?"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

#[test]
fn rooms_are_joined_left_and_listed() {
    let mut world = World::of(&["alice", "bob"]);
    for who in ["alice", "bob"] {
        world.run(who, Command::Join(at("#den"))).unwrap();
    }
    world.settle();
    world.send("alice", "#den", "psst");
    world.settle();
    assert_eq!(world.texts("bob", "#den"), ["psst"]);
    world.run("bob", Command::Leave(at("#den"))).unwrap();
    assert!(world.try_send("bob", "#den", "x").is_err());
    assert!(world.run("bob", Command::Leave(at("#den"))).is_err());
    assert!(world.snapshot("bob").conversations.iter().all(|view| view.name != "#den"));
}

#[test]
fn what_is_written_before_the_roster_is_known_waits_for_it() {
    let mut world = World::of(&["alice"]);
    world.add("bob", "bob", 2, "aes-256-gcm");
    world.disconnect("bob");
    world.crash("bob");
    // bob's program has just started: its link is not there yet.
    let id = world.send("bob", "#lobby", "good morning");
    assert_eq!(world.state("bob", id), MessageState::Queued);
    world.crash("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered);
    assert_eq!(world.texts("alice", "#lobby"), ["good morning"]);
}

#[test]
fn who_comes_back_to_a_room_finds_what_was_said_before() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "#lobby", "before");
    world.settle();
    world.run("bob", Command::Leave(at("#lobby"))).unwrap();
    world.settle();
    world.run("bob", Command::Join(at("#lobby"))).unwrap();
    world.settle();
    world.send("alice", "#lobby", "after");
    world.settle();
    assert_eq!(world.texts("bob", "#lobby"), ["before", "after"]);
}
