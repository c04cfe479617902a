//! Names: a stranger who calls himself as somebody is called takes the name out of use for nobody.

use chat_core::api::command::{AcceptKey, Confirm, OfPeer, Verify};
use chat_core::api::{Command, Destination, ErrorKind, Event, MessageState, Reply};
use chat_core::nick::Nick;
use chat_core::profile::Pin;

use super::world::World;
use crate::config::Rules;

fn to(whom: &str) -> Destination {
    Destination::try_from(whom.to_owned()).unwrap()
}

/// alice and bob, and a second of that name; what the second is called.
fn two_bobs() -> (World, String) {
    let mut world = World::of(&["alice", "bob"]);
    world.add("second", "bob", 77, "aes-256-gcm");
    world.settle();
    let name = format!("bob·{}", world.id("second").short());
    (world, name)
}

fn arrives(world: &mut World, at: &'static str, name: &str) {
    let before = world.texts(at, "alice").len();
    let id = world.send("alice", name, "hello");
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered, "{name}");
    assert_eq!(world.texts(at, "alice").len(), before + 1, "{name}");
}

fn decide(world: &mut World, command: Command) {
    assert!(matches!(world.run("alice", command), Ok(Reply::Decided { .. } | Reply::Verification(_))));
}

#[test]
fn the_name_of_whom_was_verified_is_his_whoever_else_takes_it() {
    let (mut world, second) = two_bobs();
    assert_eq!(world.try_send("alice", "bob", "x").unwrap_err().kind, ErrorKind::Ambiguous);
    let (peer, confirm) = (to(&world.id("bob").to_string()), Some(Confirm::Is(true)));
    decide(&mut world, Command::Verify(Verify { peer, confirm }));
    arrives(&mut world, "bob", "bob");
    arrives(&mut world, "second", &second);
}

#[test]
fn the_user_says_whose_the_name_is_also_while_both_are_there() {
    let (mut world, second) = two_bobs();
    decide(&mut world, Command::AcceptKey(AcceptKey { peer: to("bob"), kind: None }));
    arrives(&mut world, "bob", "bob");
    decide(&mut world, Command::AcceptKey(AcceptKey { peer: to(&second), kind: None }));
    arrives(&mut world, "second", "bob");
    let first = format!("bob·{}", world.id("bob").short());
    arrives(&mut world, "bob", &first);
}

#[test]
fn both_can_be_meant_by_digits_before_anything_is_decided_and_who_is_blocked_claims_nothing() {
    let (mut world, second) = two_bobs();
    let first = format!("bob·{}", world.id("bob").short());
    let refused = world.try_send("alice", "bob", "x").unwrap_err();
    assert!(refused.message.contains(&first) && refused.message.contains(&second), "{refused}");
    arrives(&mut world, "bob", &first);
    arrives(&mut world, "second", &second);
    decide(&mut world, Command::Block(OfPeer { peer: to(&second) }));
    arrives(&mut world, "bob", "bob");
}

#[test]
fn a_pinned_name_is_its_keys_whoever_else_takes_it_and_whatever_its_owner_calls_himself() {
    let (mut world, _) = two_bobs();
    let bob = world.id("bob");
    let pin = |nick: &str| Pin { nick: Nick::new(nick).unwrap(), fingerprint: bob };
    let rules = Rules { pins: vec![pin("bob"), pin("robert")], ..Rules::default() };
    world.person("alice").take_profile("x25519", rules);
    world.crash("alice");
    world.connect("alice");
    world.settle();
    arrives(&mut world, "bob", "bob");
    arrives(&mut world, "bob", "robert");
}

/// alice's peer of that key is called so from now on.
fn calls_itself(world: &mut World, who: &'static str, nick: &str) {
    world.now = world.now.plus_ms(1_000);
    world.person(who).rename(nick);
    world.crash(who);
    world.connect(who);
    world.settle();
}

#[test]
fn whoever_takes_another_name_is_told_of() {
    let mut world = World::of(&["alice", "eve"]);
    world.send("eve", "alice", "hello");
    world.settle();
    calls_itself(&mut world, "eve", "bob");
    let told = |event: &Event| matches!(event, Event::PeerSeen(it) | Event::PeerLost(it) if it.nick == "bob" && it.was.as_deref() == Some("eve"));
    assert!(world.person("alice").events.iter().any(told));
}

#[test]
fn a_stranger_takes_no_names_out_of_use_whatever_he_says_and_whom_one_writes_to_few() {
    let mut world = World::of(&["alice", "eve"]);
    let eve = world.id("eve");
    let kept = |world: &mut World| {
        let engine = &world.person("alice").engine;
        assert_eq!(engine.former_names.len(), engine.store.former_names().unwrap().len());
        engine.former_names.values().filter(|owner| **owner == eve).count()
    };
    for n in 0..6 {
        calls_itself(&mut world, "eve", &format!("name{n}"));
    }
    assert_eq!(kept(&mut world), 0, "nothing was ever opened of her");
    world.send("eve", "alice", "hello");
    world.settle();
    for n in 10..20 {
        calls_itself(&mut world, "eve", &format!("name{n}"));
    }
    assert_eq!(kept(&mut world), 0, "anybody can say hello");
    world.send("alice", "name19", "hello");
    world.settle();
    for n in 20..30 {
        calls_itself(&mut world, "eve", &format!("name{n}"));
    }
    assert_eq!(kept(&mut world), 4);
    let engine = &mut world.person("alice").engine;
    engine.store.begin().unwrap();
    engine.forget_stranger(eve).unwrap();
    engine.store.commit().unwrap();
    assert_eq!(kept(&mut world), 0, "who is forgotten has no names");
}
