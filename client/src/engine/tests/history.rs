//! What was said is found, deleted, and kept as long as the profile says.

use chat_core::api::command::{Command, Delete, DeleteAll, Search};
use chat_core::api::{Destination, Event, MessageState, Reply};
use chat_core::profile::Retention;

use super::world::World;
use crate::engine::{DAY_MS, HOUR_MS, Input};

fn find(world: &mut World, who: &str, query: &str) -> Vec<String> {
    let search = Search { query: query.into(), with: None, limit: None };
    match world.run(who, Command::Search(search)).unwrap() {
        Reply::Found { messages, .. } => messages.into_iter().map(|message| message.text).collect(),
        other => panic!("{other:?}"),
    }
}

fn deleted(world: &mut World, who: &str) -> usize {
    let of = |event: &Event| match event {
        Event::MessageDeleted(deleted) => deleted.ids.len(),
        _ => 0,
    };
    world.person(who).events.iter().map(of).sum()
}

#[test]
fn what_was_said_is_found_after_a_restart_too() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "Große Straße 5");
    world.send("bob", "alice", "naïve question about streets");
    world.settle();
    assert_eq!(find(&mut world, "bob", "strasse"), ["Große Straße 5"]);
    world.send("alice", "bob", "a naive answer");
    world.settle();
    assert_eq!(find(&mut world, "bob", "naive"), ["a naive answer", "naïve question about streets"]);
    world.crash("bob");
    assert_eq!(find(&mut world, "bob", "NAIVE ans"), ["a naive answer"]);
    let limited =
        Search { query: "naive".into(), with: Some(Destination::Nick("alice".into())), limit: Some(1) };
    let reply = world.run("bob", Command::Search(limited)).unwrap();
    assert!(matches!(reply, Reply::Found { messages, has_more: true } if messages.len() == 1));
    let nothing = Search { query: "?!".into(), with: None, limit: None };
    assert!(world.run("bob", Command::Search(nothing)).is_err());
}

#[test]
fn what_was_deleted_is_gone_and_does_not_come_again() {
    let mut world = World::of(&["alice", "bob"]);
    let id = world.send("alice", "bob", "regret");
    world.send("alice", "bob", "kept");
    world.settle();
    world.run("bob", Command::Delete(Delete { id })).unwrap();
    assert_eq!(world.texts("bob", "alice"), ["kept"]);
    assert_eq!((find(&mut world, "bob", "regret"), deleted(&mut world, "bob")), (vec![], 1));
    assert!(world.run("bob", Command::Delete(Delete { id })).is_err());
    // bob forgets his sessions, so alice seals everything anew that she does not know to be delivered.
    world.relay.forget_what_was_had();
    world.settle();
    world.crash("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["kept"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    world.run("bob", Command::DeleteAll(DeleteAll { with: Destination::Nick("alice".into()) })).unwrap();
    assert_eq!(world.texts("bob", "alice"), [""; 0]);
    world.send("alice", "bob", "afterwards");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["afterwards"]);
}

#[test]
fn history_ends_when_the_profile_says_and_what_has_not_arrived_stays() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "old");
    world.settle();
    world.disconnect("bob");
    world.send("alice", "bob", "on its way");
    world.settle();
    world.person("alice").engine.config.history = Retention::Days(2);
    for _ in 0..3 {
        world.now = world.now.plus_ms(DAY_MS - HOUR_MS);
        world.live(2 * 60_000);
    }
    assert_eq!(world.texts("alice", "bob"), ["on its way"]);
    assert_eq!(find(&mut world, "alice", "old"), [""; 0]);
    world.person("bob").engine.config.history = Retention::Off;
    world.live(60_000);
    assert_eq!(world.texts("bob", "alice"), ["old"], "it was said in this run");
}

/// A row that is not what was written ends the run, with its name; nothing is done on it meanwhile.
#[test]
fn a_run_ends_when_the_store_is_found_to_be_damaged() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "seen");
    world.settle();
    world.crash("bob");
    let bob = world.person("bob");
    bob.engine.store.run("UPDATE sealed_seen_envelopes SET at = at + 1").unwrap();
    let turn = world.turn("bob", vec![Input::Tick]);
    let said = turn.damaged.unwrap();
    assert!(said.contains("damaged: seen_envelopes, row "), "{said}");
}

/// Nothing of a run stays when it ends in good order, but what has not arrived; and of a long one, nothing older than a day.
#[test]
fn without_history_a_run_leaves_what_has_not_arrived() {
    let mut world = World::of(&["alice", "bob"]);
    for who in ["alice", "bob"] {
        world.person(who).engine.config.history = Retention::Off;
    }
    world.send("alice", "bob", "said");
    world.settle();
    world.disconnect("bob");
    world.send("alice", "bob", "on its way");
    world.settle();
    for who in ["alice", "bob"] {
        world.person(who).engine.end_run();
        world.crash(who);
    }
    assert_eq!(world.texts("alice", "bob"), ["on its way"]);
    assert_eq!(world.texts("bob", "alice"), [""; 0]);
    world.connect("alice");
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["on its way"]);
    world.person("bob").engine.config.history = Retention::Off;
    for _ in 0..2 {
        world.now = world.now.plus_ms(DAY_MS - HOUR_MS);
        world.live(2 * 60_000);
    }
    assert_eq!(world.texts("bob", "alice"), [""; 0]);
}
