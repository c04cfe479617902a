//! Falling behind what happens, without a hole in what is shown.

use super::*;

#[test]
fn a_frontend_that_fell_behind_shows_no_hole() {
    for reading in [false, true] {
        let mut world = World::new();
        for n in 0..100 {
            world.say(LOBBY, BOB, &n.to_string());
        }
        let mut state = world.state(80, 24);
        if reading {
            state.act(Action::Scroll(Step::PageUp));
        }
        state.arrange(80, 24);
        let before = seen(&state);
        for n in 100..1500 {
            world.say(LOBBY, BOB, &n.to_string());
        }
        let news = News { dropped: 1400, ..world.news(vec![]) };
        state.news(news);
        state.take_effects();
        serve_history(&world, &mut state, (80, 24));
        let expected: Vec<String> = match reading {
            true => (0..1500).map(|n| n.to_string()).collect(),
            false => (1300..1500).map(|n| n.to_string()).collect(),
        };
        assert_eq!(texts(&state), expected, "reading: {reading}");
        if reading {
            assert_eq!(seen(&state), before);
        }
        state.act(Action::Scroll(Step::Bottom));
        state.arrange(80, 24);
        let last = &seen(&state)[seen(&state).len() - 3..];
        assert!(last.iter().any(|row| row.contains("1400 notices are not shown")), "{last:?}");
        assert!(last.iter().any(|row| row.ends_with("bob  1499")), "{last:?}");
    }
}

#[test]
fn going_to_the_bottom_over_a_hole_shows_the_newest() {
    let mut world = World::new();
    for n in 0..100 {
        world.say(LOBBY, BOB, &n.to_string());
    }
    let mut state = world.state(80, 24);
    state.act(Action::Scroll(Step::PageUp));
    state.arrange(80, 24);
    for n in 100..1500 {
        world.say(LOBBY, BOB, &n.to_string());
    }
    state.news(world.news(vec![]));
    state.arrange(80, 24);
    let asked = commands(state.take_effects());
    state.act(Action::Scroll(Step::Bottom));
    state.arrange(80, 24);
    assert!(seen(&state).last().unwrap().ends_with("1499"));
    // The answer comes too late to be of use, and does no harm.
    for (token, command) in asked {
        if let Command::History(history) = command {
            state.answer(token, Ok(world.older(LOBBY, history.before.unwrap(), 200)));
        }
    }
    state.arrange(80, 24);
    let numbers: Vec<u32> = texts(&state).iter().map(|text| text.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

/// Of a message of one's own, events tell how far it is and not what it says.
#[test]
fn ones_own_message_that_left_the_snapshot_before_it_was_seen_is_not_lost() {
    for reading in [false, true] {
        let mut world = World::new();
        for n in 0..100 {
            world.say(LOBBY, BOB, &n.to_string());
        }
        let mut state = world.state(80, 24);
        if reading {
            state.act(Action::Scroll(Step::PageUp));
        }
        state.arrange(80, 24);
        let mine = world.say(LOBBY, ME, "100");
        let status = MessageStatus {
            id: mine.id,
            address: Destination::Conversation(LOBBY),
            conversation: LOBBY,
            state: MessageState::Queued,
            reason: None,
            counts: None,
        };
        let mut events = vec![Event::MessageStatus(status)];
        for n in 101..400 {
            events.push(new_message(world.say(LOBBY, BOB, &n.to_string())));
        }
        state.news(world.news(events));
        if !reading {
            state.act(Action::Scroll(Step::Top));
        }
        serve_history(&world, &mut state, (80, 24));
        let shown = texts(&state);
        let first: usize = shown[0].parse().unwrap();
        assert!(first <= 100, "{first}");
        assert_eq!(shown, (first..400).map(|n| n.to_string()).collect::<Vec<_>>(), "reading: {reading}");
    }
}

/// What is kept of the events brings messages that join those of the snapshot, and not those that were here.
#[test]
fn what_was_lost_of_a_quiet_conversation_is_no_hole() {
    let mut world = World::new();
    for n in 0..100 {
        world.say(WITH_BOB, BOB, &n.to_string());
    }
    let mut state = world.state(80, 24);
    state.act(Action::Switch(Switch::Number(2)));
    state.arrange(80, 24);
    for n in 100..150 {
        world.say(WITH_BOB, BOB, &n.to_string());
    }
    let kept = (150..400).map(|n| new_message(world.say(WITH_BOB, BOB, &n.to_string()))).collect();
    state.news(News { dropped: 50, ..world.news(kept) });
    state.act(Action::Scroll(Step::Top));
    serve_history(&world, &mut state, (80, 24));
    let shown = texts(&state);
    let first: usize = shown[0].parse().unwrap();
    assert_eq!(shown, (first..400).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_comes_late_to_a_place_further_up_comes_with_history() {
    let mut world = World::new();
    for n in 0..300 {
        world.say(LOBBY, BOB, &n.to_string());
    }
    let mut state = world.state(80, 24);
    state.arrange(80, 24);
    let mut late = world.say(LOBBY, BOB, "late");
    late.position = 10_500;
    let history = &mut world.history(LOBBY).1;
    history.pop();
    history.insert(10, std::sync::Arc::new(late.clone()));
    state.news(world.news(vec![new_message(late)]));
    assert_eq!(texts(&state).first().map(String::as_str), Some("100"));
    for _ in 0..3 {
        state.act(Action::Scroll(Step::Top));
        serve_history(&world, &mut state, (80, 24));
    }
    let shown = texts(&state);
    assert_eq!(shown[9..12], ["9", "late", "10"]);
    assert_eq!(shown.len(), 301);
}
