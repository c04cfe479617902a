//! What a relay does about crowds of strangers, as a client sees it.

use std::sync::Arc;

use chat_core::api::{Event, LinkState, MessageState};
use chat_core::ids::PeerId;
use chat_core::nick::RoomName;
use chat_core::transport::NoStats;
use chat_core::wire::relay::{CONNECTED_AGAIN, Refusal};
use chat_core::wire::{FromRelay, ToRelay};

use super::world::World;
use crate::engine::link::{ANNOUNCE_AGAIN_MS, ANNOUNCE_SELDOM_MS};
use crate::engine::rooms::MAX_MEMBERS;
use crate::engine::{Input, LinkInfo, Turn};

fn refused(why: Refusal, detail: &str) -> Input {
    Input::Record(FromRelay::Error { why, detail: detail.to_owned() })
}

/// The relay's clock and its answers are the test's.
fn pass(world: &mut World, who: &str, ms: u64) -> Turn {
    world.now = world.now.plus_ms(ms);
    world.turn(who, vec![Input::Tick])
}

#[test]
fn a_link_that_the_relay_does_not_take_is_given_up_with_its_reason() {
    let mut world = World::of(&["alice"]);
    world.disconnect("alice");
    let alarms = world.alarms("alice").len();
    for _ in 0..3 {
        let link = LinkInfo {
            relay: "map".into(),
            fingerprint: None,
            hosting: false,
            listen: vec![],
            stats: Arc::new(NoStats),
            choice: None,
        };
        let up = world.turn("alice", vec![Input::LinkUp(link)]);
        assert!(!up.events.iter().any(|event| matches!(event, Event::LinkUp(_))));
        let turn = world.turn("alice", vec![refused(Refusal::TooFast, "too many new peers\u{202e}")]);
        let reason = turn.drop_link.unwrap();
        assert!(reason.contains("TooFast") && reason.contains("too many new peers"), "{reason}");
        assert!(!reason.contains('\u{202e}'));
        world.input("alice", vec![Input::LinkDown { reason: "the relay closed the link".into() }]);
        assert!(matches!(world.snapshot("alice").link.state, LinkState::Down { .. }));
    }
    assert_eq!(world.alarms("alice").len(), alarms);
    let told =
        world.person("alice").events.iter().filter(
            |event| matches!(event, Event::LinkDown(down) if down.reason.contains("too many new peers")),
        );
    assert_eq!(told.count(), 1, "once, not for each attempt");
}

#[test]
fn what_was_refused_for_a_while_is_told_again_ever_more_seldom() {
    let mut world = World::of(&["alice"]);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let twice = || refused(Refusal::TooFast, "slow down");
        world.turn("alice", vec![twice(), twice()]);
        let mut waited = 0;
        let again = loop {
            waited += 1000;
            let turn = pass(&mut world, "alice", 1000);
            if !turn.records.is_empty() {
                break turn.records;
            }
        };
        assert!(again.iter().any(|record| matches!(record, ToRelay::Join { .. })), "{again:?}");
        waits.push(waited);
    }
    assert_eq!(waits[..3], [ANNOUNCE_AGAIN_MS, 2 * ANNOUNCE_AGAIN_MS, 4 * ANNOUNCE_AGAIN_MS]);
    assert_eq!(waits[9], ANNOUNCE_SELDOM_MS);
    // A new link begins anew.
    world.disconnect("alice");
    world.connect("alice");
    world.settle();
    world.turn("alice", vec![refused(Refusal::TooFast, "slow down")]);
    assert!(pass(&mut world, "alice", ANNOUNCE_AGAIN_MS - 1).records.is_empty());
    assert!(!pass(&mut world, "alice", 1).records.is_empty());
}

/// With no room in common one still finds whom one has the peer id of.
#[test]
fn a_message_to_an_unknown_peer_id_asks_the_relay_for_it() {
    let mut world = World::new();
    world.quiet = true;
    world.add("alice", "alice", 1, "aes-256-gcm");
    world.add("bob", "bob", 2, "aes-256-gcm");
    let bob = world.id("bob").to_string();
    let error = world.try_send("alice", &bob, "are you there?").unwrap_err();
    assert!(error.message.contains("is asked"), "{error:?}");
    world.settle();
    let id = world.try_send("alice", &bob, "are you there?").unwrap();
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    let nobody = "ab".repeat(32);
    for _ in 0..3 {
        world.try_send("alice", &nobody, "you?").unwrap_err();
    }
}

fn named(world: &mut World, last: bool, members: Vec<PeerId>) -> Turn {
    let room = RoomName::new("#lobby").unwrap();
    let record = match last {
        true => FromRelay::Room { room, members },
        false => FromRelay::Members { room, members },
    };
    world.turn("alice", vec![Input::Record(record)])
}

fn phantom(n: u32) -> PeerId {
    let mut id = [0xee; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

#[test]
fn the_list_of_a_room_comes_in_pieces_and_counts_when_it_is_complete() {
    let mut world = World::new();
    world.quiet = true;
    world.add("alice", "alice", 1, "aes-256-gcm");
    let told = |turn: &Turn| {
        turn.events.iter().find_map(|event| match event {
            Event::RoomChanged(changed) => Some(changed.members.len()),
            _ => None,
        })
    };
    assert_eq!(told(&named(&mut world, false, vec![phantom(1)])), None);
    // Whoever writes now means all of the room, so it waits for the rest.
    let id = world.send("alice", "#lobby", "hello");
    assert_eq!(world.state("alice", id), MessageState::Queued);
    assert_eq!(told(&named(&mut world, false, vec![phantom(2)])), None);
    assert_eq!(world.state("alice", id), MessageState::Queued);
    assert_eq!(told(&named(&mut world, true, vec![phantom(3)])), Some(4));
    assert_eq!(world.state("alice", id), MessageState::Stored, "to the nobody of whom a bundle is known");
    // From now on they are those who join.
    assert_eq!(told(&named(&mut world, false, vec![phantom(4)])), Some(5));
    assert_eq!(told(&named(&mut world, false, vec![phantom(4)])), None, "no news");
}

#[test]
fn in_a_room_full_of_phantoms_somebody_who_is_known_finds_a_place() {
    let mut world = World::new();
    world.quiet = true;
    world.add("alice", "alice", 1, "aes-256-gcm");
    let crowd = u32::try_from(MAX_MEMBERS).unwrap() + 5;
    named(&mut world, true, (0..crowd).map(phantom).collect());
    let members = |world: &mut World| {
        let room = RoomName::new("#lobby").unwrap();
        let room = chat_core::wire::envelope::open_room_conversation(&room);
        world.person("alice").engine.rooms[&room].open().unwrap().members.clone()
    };
    assert_eq!(members(&mut world).len(), MAX_MEMBERS);
    world.quiet = false;
    world.add("bob", "bob", 2, "aes-256-gcm");
    let bob = world.id("bob");
    named(&mut world, false, vec![bob]);
    assert!(members(&mut world).contains(&bob));
    assert_eq!(members(&mut world).len(), MAX_MEMBERS);
    named(&mut world, false, vec![phantom(crowd)]);
    assert!(!members(&mut world).contains(&phantom(crowd)), "a phantom takes nobody's place");
}

/// Whoever's folder was copied, or stolen, must hear of it in words.
#[test]
fn a_second_copy_of_an_identity_is_told_as_such() {
    let mut world = World::of(&["alice"]);
    world.input("alice", vec![refused(Refusal::NotAllowed, CONNECTED_AGAIN)]);
    let alarms = world.alarms("alice");
    assert!(alarms.last().unwrap().contains("a second copy of your identity is in use"), "{alarms:?}");
    world.input("alice", vec![refused(Refusal::NotAllowed, "a member of too many rooms")]);
    let alarms = world.alarms("alice");
    assert!(alarms.last().unwrap().contains("too many rooms"), "{alarms:?}");
}
