//! Rooms that others bring somebody into: strangers take the place of nobody else, and what was left is forgotten.

use chat_core::api::{Command, ConversationKind, ErrorKind};

use super::closed_rooms::at;
use super::world::World;

const STRANGERS: [&str; 10] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];

impl World {
    /// Addresses of the closed rooms somebody is in.
    fn dens(&mut self, who: &str) -> Vec<String> {
        let snapshot = self.snapshot(who);
        let closed = snapshot
            .conversations
            .iter()
            .filter(|view| matches!(view.with, ConversationKind::ClosedRoom { .. }));
        closed.map(|view| view.name.clone()).collect()
    }

    fn brings(&mut self, who: &str, peer: &str, rooms: std::ops::Range<usize>) {
        for n in rooms {
            let (room, _) = self.create(who, &format!("#{who}-{n}"));
            self.admit(who, &room, peer).unwrap();
        }
        self.settle();
    }
}

#[test]
fn strangers_share_a_bound_and_friends_have_their_own() {
    let people: Vec<&'static str> = ["alice", "friend"].into_iter().chain(STRANGERS).collect();
    let mut world = World::of(&people);
    world.send("alice", "friend", "do come");
    world.settle();
    for stranger in STRANGERS {
        world.brings(stranger, "alice", 0..10);
        assert!(world.dens("alice").iter().filter(|name| name.contains(stranger)).count() <= 8);
    }
    let of_strangers = world.dens("alice");
    assert_eq!(of_strangers.len(), 64);
    let told: Vec<String> =
        world.alarms("alice").into_iter().filter(|it| it.contains("admits you to")).collect();
    assert_eq!(told.len(), 1, "now and then, not each time: {told:?}");
    // Whoever was written to is none of them.
    world.brings("friend", "alice", 0..10);
    assert_eq!(world.dens("alice").len(), 74);
    // Nor is one who is verified.
    let s9 = world.id("s9");
    world.person("alice").engine.contacts.get_mut(&s9).unwrap().row.verified = true;
    world.brings("s9", "alice", 10..20);
    assert!(world.dens("alice").iter().filter(|name| name.contains("s9")).count() >= 10);
    world.create("alice", "#mine");
    // What was left makes room for others.
    for name in of_strangers {
        world.run("alice", Command::Leave(at(&name))).unwrap();
    }
    world.settle();
    world.brings("s8", "alice", 20..21);
    assert!(world.dens("alice").contains(&"#s8-20".to_owned()));
}

/// Removed and admitted again: that is no way around it.
#[test]
fn who_comes_back_is_counted() {
    let mut world = World::of(&["alice", "s0"]);
    world.brings("s0", "alice", 0..8);
    for n in 0..4 {
        world.remove("s0", &format!("#s0-{n}"), "alice").unwrap();
    }
    world.settle();
    world.brings("s0", "alice", 8..12);
    assert_eq!(world.dens("alice").len(), 8);
    world.admit("s0", "#s0-0", "alice").unwrap();
    world.settle();
    assert_eq!(world.dens("alice").len(), 8);
    // It comes when there is room for it.
    world.run("alice", Command::Leave(at("#s0-8"))).unwrap();
    for _ in 0..140 {
        world.pass(crate::engine::MINUTE_MS);
        world.settle();
    }
    assert!(world.dens("alice").contains(&"#s0-0".to_owned()), "{:?}", world.dens("alice"));
}

#[test]
fn rooms_that_were_left_are_forgotten_those_with_history_last() {
    let mut world = World::of(&["alice"]);
    world.create("alice", "#kept");
    world.send("alice", "#kept", "a note");
    world.run("alice", Command::Leave(at("#kept"))).unwrap();
    for n in 0..520 {
        let (room, _) = world.create("alice", &format!("#r{n}"));
        world.run("alice", Command::Leave(at(&room))).unwrap();
    }
    assert!(world.person("alice").engine.rooms.len() < 260);
    assert_eq!(world.all_messages("alice", "#kept"), [("alice".to_owned(), "a note".to_owned())]);
    world.crash("alice");
    assert!(world.person("alice").engine.rooms.len() < 260);
    // What is said when there are too many is true.
    let have = world.person("alice").engine.rooms.values().filter(|room| room.joined).count();
    for n in have..256 {
        world.create("alice", &format!("#now{n}"));
    }
    let new = chat_core::api::command::NewRoom { room: "#more".to_owned().try_into().unwrap() };
    let error = world.run("alice", Command::Create(new.clone())).unwrap_err();
    assert!(error.kind == ErrorKind::TooLarge && error.message.contains("you are in 256 rooms"), "{error}");
    world.run("alice", Command::Leave(at("#now255"))).unwrap();
    world.run("alice", Command::Create(new)).unwrap();
}
