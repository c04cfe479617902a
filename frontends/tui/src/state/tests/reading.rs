//! What was said, and moving in it.

use super::*;

#[test]
fn new_messages_do_not_move_what_is_being_read() {
    let mut world = World::new();
    for n in 0..100 {
        world.say(LOBBY, BOB, &format!("message {n}"));
    }
    let mut state = world.state(80, 24);
    assert_eq!(seen(&state).last().unwrap(), "~ |bob  message 99");
    state.act(Action::Scroll(Step::PageUp));
    state.arrange(80, 24);
    let before = seen(&state);
    assert_eq!(state.arranged().unwrap().below, Some(0));
    for n in 100..400 {
        let message = world.say(LOBBY, CAROL, &format!("message {n}"));
        state.news(world.news(vec![new_message(message)]));
        state.arrange(80, 24);
        assert_eq!(seen(&state), before, "{n}");
    }
    assert_eq!(state.arranged().unwrap().below, Some(300));
    // A late message above shifts nothing either.
    let mut late = world.say(LOBBY, BOB, "late");
    late.position = 1500;
    let history = &mut world.history(LOBBY).1;
    history.pop();
    history.insert(1, std::sync::Arc::new(late.clone()));
    state.news(world.news(vec![new_message(late)]));
    state.arrange(80, 24);
    assert_eq!(seen(&state), before);
    state.act(Action::Scroll(Step::Bottom));
    state.arrange(80, 24);
    assert_eq!(seen(&state).last().unwrap(), "~ |carol  message 399");
    assert_eq!(state.arranged().unwrap().below, None);
}

/// A33.
#[test]
fn scrolling_passes_every_row_once() {
    let mut world = World::new();
    for n in 0..60 {
        world.say(LOBBY, BOB, &format!("{n} {}", "word ".repeat(n % 40)));
    }
    let mut state = world.state(60, 20);
    let bottom = seen(&state);
    let mut all = bottom.clone();
    while !state.arranged().unwrap().seen.at_top {
        state.act(Action::Scroll(Step::LineUp));
        state.arrange(60, 20);
        all.insert(0, seen(&state)[0].clone());
        assert!(all.len() < 1000);
    }
    assert!(all.iter().any(|row| row.contains("|bob  0 ")), "{all:?}");
    let messages = all.iter().filter(|row| row.contains("bob  ")).count();
    assert_eq!(messages, 60, "{all:#?}");
    for _ in 0..1000 {
        state.act(Action::Scroll(Step::LineDown));
        state.arrange(60, 20);
    }
    assert_eq!(seen(&state), bottom);
    assert_eq!(state.arranged().unwrap().below, None);
}

#[test]
fn older_messages_are_fetched_at_the_top_until_there_are_none() {
    let mut world = World::new();
    for n in 0..900 {
        world.say(LOBBY, BOB, &format!("message {n}"));
    }
    let mut state = world.state(80, 24);
    state.take_effects();
    assert_eq!(serve_history(&world, &mut state, (80, 24)), 0);
    state.act(Action::Scroll(Step::Top));
    state.arrange(80, 24);
    let first = seen(&state).iter().position(|row| row.ends_with("message 700")).unwrap();
    assert!(first <= 1, "{:?}", seen(&state));
    assert_eq!(serve_history(&world, &mut state, (80, 24)), 1);
    let rows = seen(&state);
    assert!(rows[..2].iter().any(|row| row.ends_with("message 700")), "what was read moved: {rows:?}");
    for _ in 0..4 {
        state.act(Action::Scroll(Step::Top));
        serve_history(&world, &mut state, (80, 24));
    }
    assert!(seen(&state)[1].ends_with("message 0"), "{:?}", seen(&state));
    state.act(Action::Scroll(Step::Bottom));
    state.arrange(80, 24);
    assert!(seen(&state).last().unwrap().ends_with("message 899"));
}

#[test]
fn a_refusal_of_history_is_said_once() {
    let mut world = World::new();
    for n in 0..300 {
        world.say(LOBBY, BOB, &n.to_string());
    }
    let mut state = world.state(80, 24);
    state.take_effects();
    for _ in 0..3 {
        state.act(Action::Scroll(Step::Top));
        for _ in 0..3 {
            state.arrange(80, 24);
            for (token, command) in commands(state.take_effects()) {
                if matches!(command, Command::History(_)) {
                    state.answer(token, Err(CommandError::new(ErrorKind::Store, "disk on fire")));
                }
            }
        }
    }
    state.act(Action::Scroll(Step::Bottom));
    state.arrange(80, 24);
    assert_eq!(seen(&state).iter().filter(|row| row.contains("disk on fire")).count(), 3);
}

#[test]
fn memory_is_bounded_while_following() {
    let mut world = World::new();
    let mut state = world.state(80, 24);
    for n in 0..3000 {
        let message = world.say(LOBBY, BOB, &n.to_string());
        if n % 50 == 0 {
            state.news(world.news(vec![new_message(message)]));
            state.arrange(80, 24);
        } else {
            state.news(News { events: world.news(vec![new_message(message)]).events, ..world.news(vec![]) });
        }
    }
    let timeline = &state.tab().unwrap().timeline;
    assert!(timeline.entries().len() <= 1000 && timeline.has_older);
    state.arrange(80, 24);
    assert!(state.layouts.len() <= 24, "{}", state.layouts.len());
    for n in 0..2000 {
        state.say(1, Severity::Info, Topic::None, n.to_string());
    }
    let lines = state.tab().unwrap().timeline.entries().values();
    assert!(lines.filter(|entry| matches!(entry, timeline::Entry::System(_))).count() <= 500);
}

/// A32.
#[test]
fn delivery_is_marked() {
    let mut world = World::new();
    let counts = |stored, delivered, read| Some(Counts { stored, delivered, read, of: 3 });
    for (text, state, counts) in [
        ("a", MessageState::Queued, None),
        ("b", MessageState::Sent, counts(1, 0, 0)),
        ("c", MessageState::Stored, counts(3, 2, 0)),
        ("d", MessageState::Delivered, counts(3, 3, 1)),
        ("e", MessageState::Read, counts(3, 3, 3)),
        ("f", MessageState::Failed, None),
    ] {
        let id = world.say(LOBBY, ME, text).id;
        world.deliver(id, state, counts);
    }
    let state = world.state(80, 24);
    let rows = seen(&state);
    assert_eq!(rows[0], "--|Tuesday, 2023-11-14");
    let expected = [
        "… |alice  a",
        "› |alice (stored 1/3)  b",
        "✓ |alice (delivered 2/3)  c",
        "✓✓|alice (read 1/3)  d",
        "✓✓|alice  e",
        "✗ |alice  f",
    ];
    assert_eq!(rows[1..7], expected);
    assert!(rows[7].starts_with("!!|not delivered: no such peer"), "{rows:?}");
    assert_eq!(rows.len(), 8);
}

#[test]
fn events_carry_messages_that_left_the_snapshot() {
    let mut world = World::new();
    let mine = world.say(LOBBY, ME, "mine");
    let mut state = world.state(80, 24);
    for n in 0..300 {
        let message = world.say(LOBBY, BOB, &n.to_string());
        state.news(world.news(vec![new_message(message)]));
    }
    world.deliver(mine.id, MessageState::Delivered, None);
    let status = MessageStatus {
        address: Destination::Conversation(LOBBY),
        id: mine.id,
        conversation: LOBBY,
        state: MessageState::Delivered,
        reason: None,
        counts: None,
    };
    let from = Author { peer_id: BOB, nick: "bob".into(), verified: false };
    let before = world.history(LOBBY).1[5].id;
    let (address, conversation, filled) = (Destination::Conversation(LOBBY), LOBBY, false);
    let gap = MessageGap { address, conversation, from, before, filled };
    let filled = Event::MessageGap(MessageGap { filled: true, ..gap.clone() });
    state.news(world.news(vec![Event::MessageStatus(status), Event::MessageGap(gap)]));
    state.act(Action::Scroll(Step::Top));
    state.arrange(80, 24);
    let rows = seen(&state);
    assert_eq!(rows[1], "✓✓|alice  mine");
    assert_eq!(rows[6..8], ["??|something bob said before this has not arrived", "~ |bob  4"]);
    state.news(world.news(vec![filled]));
    state.arrange(80, 24);
    assert_eq!(seen(&state)[5..7], ["~ |bob  3", "~ |bob  4"]);
}

#[test]
fn history_by_command_opens_and_goes_up() {
    let mut world = World::new();
    for n in 0..300 {
        world.say(WITH_BOB, BOB, &n.to_string());
    }
    let mut state = world.state(80, 24);
    let asked = commands(enter(&mut state, "/history bob 30"));
    let [(token, Command::History(history))] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((state.tab().unwrap().id, history.limit), (Some(WITH_BOB), Some(30)));
    state.answer(*token, Ok(world.older(WITH_BOB, history.before.unwrap(), 30)));
    assert_eq!(texts(&state).len(), 230);
}
