//! Closed rooms: what is said of them, and the lines that make and change them.

use chat_core::PeerId;
use chat_core::api::command::{MemberOf, NewRoom};

use super::*;

fn changed(joined: bool, members: &[PeerId], by: Option<PeerId>) -> Event {
    Event::RoomChanged(RoomChanged {
        room: "#den·0a0a".parse().unwrap(),
        conversation: LOBBY,
        joined,
        open: false,
        members: members.to_vec(),
        by,
    })
}

#[test]
fn who_admits_and_removes_whom_is_said() {
    let mut world = World::new();
    world.close_lobby(&[ME, BOB]);
    let mut state = world.state(100, 30);
    for (members, by, expected) in [
        (&[ME, BOB, CAROL][..], BOB, "bob admitted carol to #den·0a0a"),
        (&[ME, BOB], ME, "you removed carol from #den·0a0a"),
        (&[ME], BOB, "bob left #den·0a0a"),
    ] {
        world.close_lobby(members);
        state.news(world.news(vec![changed(true, members, Some(by))]));
        state.arrange(100, 30);
        let rows = seen(&state).join("\n");
        assert!(rows.contains(expected), "{expected}\n{rows}");
    }
    let alarm =
        Alarm { kind: AlarmKind::Roster, peer_id: Some(BOB), detail: "bob lacks carol (#den)".into() };
    state.news(world.news(vec![Event::Alarm(alarm)]));
    state.arrange(100, 30);
    let rows = seen(&state).join("\n");
    assert!(
        rows.contains("!!|alarm: the members of a closed room are in doubt from bob: bob lacks carol"),
        "{rows}"
    );
}

#[test]
fn coming_into_a_closed_room_and_going_is_said() {
    let mut world = World::new();
    let (lobby, history) = world.histories.remove(0);
    let mut state = world.state(100, 30);
    world.histories.insert(0, (lobby, history));
    world.close_lobby(&[ME, BOB]);
    state.news(world.news(vec![changed(true, &[ME, BOB], Some(BOB))]));
    state.act(Action::Switch(Switch::Number(2)));
    state.arrange(100, 30);
    let rows = seen(&state).join("\n");
    assert!(rows.contains("bob admitted you to #den·0a0a; a closed room"), "{rows}");
    world.histories.remove(0);
    state.news(world.news(vec![changed(false, &[BOB], Some(BOB))]));
    state.act(Action::Switch(Switch::Number(0)));
    state.arrange(100, 30);
    let rows = seen(&state).join("\n");
    assert!(rows.contains("bob removed you from #den·0a0a"), "{rows}");
}

#[test]
fn that_a_room_is_called_otherwise_is_said() {
    let mut world = World::new();
    let mut state = world.state(100, 30);
    world.close_lobby(&[ME, BOB]);
    state.news(world.news(vec![changed(true, &[ME, BOB], None)]));
    state.arrange(100, 30);
    let rows = seen(&state).join("\n");
    assert!(
        rows.contains("this room is called #den·0a0a from now on: #lobby is, or will be, another"),
        "{rows}"
    );
}

#[test]
fn a_room_that_was_made_is_shown() {
    let mut state = World::new().state(80, 24);
    let asked = commands(enter(&mut state, "/create #den"));
    let [(token, Command::Create(NewRoom { .. }))] = &asked[..] else { panic!("{asked:?}") };
    let room = "#den·0a0a".parse().unwrap();
    state.answer(*token, Ok(Reply::Created { room, conversation_id: WITH_BOB }));
    assert_eq!(state.tab().unwrap().id, Some(WITH_BOB));
    let asked = commands(enter(&mut state, "/admit bob #den·0a0a"));
    let expected = MemberOf { room: "#den·0a0a".parse().unwrap(), peer: Destination::Nick("bob".into()) };
    assert!(matches!(&asked[..], [(_, Command::Admit(of))] if *of == expected), "{asked:?}");
}

/// A command that names no room means the one that is shown.
#[test]
fn the_room_that_is_shown_need_not_be_named() {
    let mut world = World::new();
    world.close_lobby(&[ME, BOB]);
    let mut state = world.state(80, 24);
    let den: chat_core::room::RoomAddress = "#den·0a0a".parse().unwrap();
    let shown = state.tabs.iter().position(|tab| tab.id == Some(LOBBY));
    state.act(Action::Switch(Switch::Number(shown.unwrap())));
    let asked = commands(enter(&mut state, "/members"));
    assert!(matches!(&asked[..], [(_, Command::Members(at))] if at.room == den), "{asked:?}");
    let asked = commands(enter(&mut state, "/admit carol"));
    assert!(matches!(&asked[..], [(_, Command::Admit(of))] if of.room == den), "{asked:?}");
    let direct = state.tabs.iter().position(|tab| tab.id == Some(WITH_BOB)).unwrap();
    state.act(Action::Switch(Switch::Number(direct)));
    assert_eq!(commands(enter(&mut state, "/leave")).len(), 0);
    state.arrange(80, 24);
    assert!(seen(&state).join("\n").contains("which room? usage: /leave [ROOM]"));
}
