//! The link moves to another transport of the profile's list: nothing is lost or doubled, nobody has gone, and the user is
//! told what carries it.

use chat_core::api::{Event, LinkState, MessageState, TransportView};
use chat_core::ids::Timestamp;
use chat_core::wire::{FromRelay, ToRelay, WIRE_VERSION};

use super::world::World;
use crate::engine::Input;
use crate::engine::link::CONFIRM_MS;

/// alice has two transports, the first one in use; she knows bob.
fn world() -> World {
    let mut world = World::of(&["alice", "bob"]);
    let way =
        |number| TransportView { kind: format!("way{number}"), address: "map".into(), in_use: number == 0 };
    world.person("alice").engine.config.stack.transports = vec![way(0), way(1)];
    world.send("alice", "bob", "hello");
    world.settle();
    world.person("alice").events.clear();
    world
}

fn welcome() -> Input {
    let now = Timestamp::now();
    Input::Record(FromRelay::Welcome { version: WIRE_VERSION, now, one_time_keys: None })
}

/// What is told of the link, in order.
fn of_the_link(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| match event {
        Event::LinkUp(up) => Some(format!("up {}", up.relay)),
        Event::LinkDown(down) => Some(format!("down {}", down.reason)),
        Event::StackChanged(it) => Some(format!("{} {:?}", it.transport, it.reason)),
        Event::PeerLost(_) | Event::Alarm(_) => Some(format!("{event:?}")),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

#[test]
fn what_was_not_confirmed_is_handed_over_again_and_arrives_once() {
    let mut world = world();
    // The relay never hears of these on the old link.
    let mut lost = Vec::new();
    for text in ["one", "two"] {
        let (reply, _) = tokio::sync::oneshot::channel();
        let to = chat_core::api::Destination::Nick("bob".into());
        let send = chat_core::api::command::Send { to, text: text.into(), client_id: None };
        let command = chat_core::api::Command::Send(send);
        let request = chat_core::api::handle::Request { command, reply };
        lost.extend(world.turn("alice", vec![Input::Command(request)]).records);
    }
    assert!(lost.iter().any(|record| matches!(record, ToRelay::Submit { .. })), "{lost:?}");
    let before = world.relay.record.len();
    world.input("alice", vec![World::moved(1, "way0://map gives no answer")]);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "one", "two"]);
    assert!(world.relay.record.len() > before);
    // The same to the byte: what the old link had carried arrives late, and changes nothing.
    for record in lost {
        world.late("alice", record);
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello", "one", "two"]);
    let bob = world.snapshot("alice").conversations.iter().find(|view| view.name == "bob").unwrap().clone();
    let states = bob.messages.iter().map(|message| message.delivery.as_ref().unwrap().state);
    assert_eq!(states.collect::<Vec<_>>(), [MessageState::Delivered; 3]);
    assert_eq!((world.alarms("alice"), world.alarms("bob")), (vec![], vec![]));
}

#[test]
fn what_carries_it_is_told_and_nothing_else() {
    let mut world = world();
    world.input("alice", vec![World::moved(1, "way0://map gives no answer")]);
    world.input("alice", vec![World::moved(0, "way0://map works again")]);
    world.input("alice", vec![World::moved(0, "once more")]);
    let told = of_the_link(&world.person("alice").events);
    let expected = [
        "up way1://map",
        "way1 Some(\"way0://map gives no answer\")",
        "up way0://map",
        "way0 Some(\"way0://map works again\")",
        "up way0://map",
    ];
    assert_eq!(told, expected);
    let snapshot = world.snapshot("alice");
    assert_eq!((snapshot.link.state, snapshot.stack.transport.as_str()), (LinkState::Up, "way0"));
    let in_use: Vec<bool> = snapshot.stack.transports.iter().map(|way| way.in_use).collect();
    assert_eq!(in_use, [true, false]);
    // No word of it was for bob.
    assert!(world.snapshot("bob").peers.iter().all(|peer| peer.online));
}

/// Who left while the link moved is missed after a while, who is named is not.
#[test]
fn who_is_not_named_on_the_new_link_has_gone() {
    for named in [true, false] {
        let mut world = world();
        let bob = world.id("bob");
        world.turn("alice", vec![World::moved(1, "")]);
        let mut turn = world.turn("alice", vec![welcome()]);
        if named {
            turn = world.turn("alice", vec![Input::Record(FromRelay::Presence { peer: bob, online: true })]);
        }
        assert!(!turn.events.iter().any(|event| matches!(event, Event::PeerLost(_))));
        world.now = world.now.plus_ms(CONFIRM_MS - 1);
        assert_eq!(of_the_link(&world.turn("alice", vec![Input::Tick]).events), [""; 0]);
        world.now = world.now.plus_ms(1);
        let told = of_the_link(&world.turn("alice", vec![Input::Tick]).events);
        assert_eq!(told.len(), usize::from(!named), "{told:?}");
    }
}

#[test]
fn a_link_that_comes_to_nothing_is_told_to_be_down() {
    let mut world = world();
    world.input("alice", vec![Input::LinkDown { reason: "gone".into() }]);
    world.connect("alice");
    world.person("alice").events.clear();
    // The same words as the last time, and news all the same: it was up meanwhile.
    world.turn("alice", vec![World::moved(1, "")]);
    let down = world.turn("alice", vec![Input::LinkDown { reason: "gone".into() }]);
    assert_eq!(of_the_link(&down.events)[0], "down gone");
}

#[test]
fn an_impostor_is_an_alarm() {
    let mut world = world();
    world.input("alice", vec![Input::Impostor("whoever answers at way0://map is not the relay".into())]);
    let alarms = world.alarms("alice");
    assert!(alarms.iter().any(|alarm| alarm.contains("way0://map")), "{alarms:?}");
}
