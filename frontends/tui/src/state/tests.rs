use chat_core::api::command::{self, Reply};
use chat_core::api::event::{
    Alarm, AlarmKind, LinkDown, LinkUp, MessageGap, MessageStatus, PeerEvent, PeerKeyChanged, Ready,
    RoomChanged, StackChanged,
};
use chat_core::api::snapshot::Author;
use chat_core::api::{CommandError, Counts, ErrorKind, MessageState, MessageView};
use chat_core::nick::Nick;

use super::*;
use crate::fixtures::*;
use crate::input::keys::{Action, Edit, Step, Switch};

fn type_in(state: &mut State, text: &str) {
    text.chars().for_each(|c| state.act(Action::Insert(c)));
}

fn typed(state: &State) -> &str {
    state.tab().unwrap().editor.text()
}

/// The commands among effects, with their tokens.
fn commands(effects: Vec<Effect>) -> Vec<(Token, Command)> {
    let command = |effect| match effect {
        Effect::Submit(token, command) => Some((token, command)),
        _ => None,
    };
    effects.into_iter().filter_map(command).collect()
}

/// Answers what the state asks of history, until it asks no more.
fn serve_history(world: &World, state: &mut State, (width, height): (u16, u16)) -> usize {
    let mut served = 0;
    loop {
        state.arrange(width, height);
        let asked: Vec<_> = commands(state.take_effects());
        let mut any = false;
        for (token, command) in asked {
            if let Command::History(history) = command {
                let Destination::Conversation(id) = history.with else { panic!("{history:?}") };
                let limit = history.limit.unwrap() as usize;
                state.answer(token, Ok(world.older(id, history.before.unwrap(), limit)));
                (any, served) = (true, served + 1);
            } else {
                state.answer(token, Ok(Reply::Done {}));
            }
        }
        if !any {
            return served;
        }
        assert!(served < 1000, "asks for ever");
    }
}

/// The texts in the timeline that is shown, without the program's lines.
fn texts(state: &State) -> Vec<String> {
    let mut texts: Vec<_> =
        state.tab().unwrap().timeline.newest_first().map(|message| message.text.clone()).collect();
    texts.reverse();
    texts
}

#[test]
fn text_goes_to_the_conversation_that_is_shown() {
    let mut state = World::new().state(80, 24);
    assert_eq!(state.tab().unwrap().id, Some(LOBBY));
    let effects = enter(&mut state, "hello\nthere");
    let [(_, Command::Send(send))] = &commands(effects)[..] else { panic!() };
    assert_eq!((&send.to, send.text.as_str()), (&Destination::Conversation(LOBBY), "hello\nthere"));
    assert_eq!(typed(&state), "");
    state.act(Action::Edit(Edit::Up));
    assert_eq!(typed(&state), "hello\nthere");
    assert!(enter(&mut World::new().state(80, 24), "   ").is_empty());
}

#[test]
fn a_refused_text_comes_back() {
    let mut state = World::new().state(80, 24);
    let asked = commands(enter(&mut state, "hello"));
    let busy = CommandError::new(ErrorKind::Busy, "too many commands at once");
    state.answer(asked[0].0, Err(busy));
    state.arrange(80, 24);
    assert_eq!(typed(&state), "hello");
    assert!(seen(&state).last().unwrap().starts_with("!!|too many commands"), "{:?}", seen(&state));
    // Not over what was typed since.
    let asked = commands(enter(&mut state, " again"));
    type_in(&mut state, "new");
    state.answer(asked[0].0, Err(CommandError::new(ErrorKind::Store, "full")));
    assert_eq!(typed(&state), "new");
}

#[test]
fn msg_opens_the_conversation_once_it_is_there() {
    let mut world = World::new();
    let bob = world.histories.remove(1);
    let mut state = world.state(80, 24);
    let asked = commands(enter(&mut state, "/msg bob hi"));
    let [(token, Command::Send(send))] = &asked[..] else { panic!() };
    assert_eq!(send.to, Destination::Nick("bob".into()));
    state.answer(*token, Ok(Reply::Sent { id: MessageId([0; 16]) }));
    assert_eq!(state.tab().unwrap().id, Some(LOBBY));
    world.histories.push(bob);
    state.news(world.news(vec![]));
    assert_eq!(state.tab().unwrap().id, Some(WITH_BOB));
}

#[test]
fn mistakes_are_said_and_stay_to_be_put_right() {
    let mut state = World::new().state(80, 24);
    assert!(enter(&mut state, "/mgs bob hi").is_empty());
    state.arrange(80, 24);
    assert_eq!(seen(&state).last().unwrap(), "!!|there is no command /mgs; did you mean /msg?");
    assert_eq!(typed(&state), "/mgs bob hi");
    let mut state = World::new().state(80, 24);
    state.act(Action::Switch(Switch::Number(0)));
    assert!(enter(&mut state, "hello").is_empty());
    state.arrange(80, 24);
    assert!(seen(&state).iter().any(|row| row.starts_with("!!|nobody listens here")), "{:?}", seen(&state));
}

#[test]
fn help_and_answers_are_lines_of_the_program() {
    let mut state = World::new().state(80, 80);
    assert!(enter(&mut state, "/help").is_empty());
    state.arrange(80, 80);
    let rows = seen(&state).join("\n");
    for text in ["/msg TO TEXT…", "/exit", "Alt-Enter", "PageUp"] {
        assert!(rows.contains(text), "{rows}");
    }
    let asked = commands(enter(&mut state, "/peers"));
    let peers = World::new().snapshot().peers.clone();
    state.answer(asked[0].0, Ok(Reply::Peers { peers }));
    state.arrange(80, 80);
    let rows = seen(&state).join("\n");
    assert!(rows.contains("bob  online, unverified") && rows.contains(&BOB.to_string()), "{rows}");
}

#[test]
fn leaving() {
    let mut state = World::new().state(80, 24);
    assert_eq!(enter(&mut state, "/exit"), [Effect::Quit]);
    state.act(Action::Quit);
    assert_eq!(state.take_effects(), [Effect::Quit]);
    type_in(&mut state, "ab");
    state.act(Action::Edit(Edit::Left));
    state.act(Action::DeleteOrQuit);
    assert_eq!(state.take_effects(), [Effect::Typing(LOBBY, true)]);
    assert_eq!(typed(&state), "a");
    state.act(Action::Edit(Edit::Backspace));
    state.act(Action::DeleteOrQuit);
    assert_eq!(state.take_effects(), [Effect::Typing(LOBBY, false), Effect::Quit]);
}

#[test]
fn conversations_are_switched_with_their_drafts() {
    let mut state = World::new().state(80, 24);
    type_in(&mut state, "to the lobby");
    state.act(Action::Switch(Switch::Next));
    assert_eq!((state.tab().unwrap().id, typed(&state)), (Some(WITH_BOB), ""));
    type_in(&mut state, "to bob");
    state.act(Action::Switch(Switch::Next));
    assert_eq!(state.current(), 0);
    state.act(Action::Switch(Switch::Previous));
    assert_eq!(typed(&state), "to bob");
    state.act(Action::Switch(Switch::Number(1)));
    assert_eq!(typed(&state), "to the lobby");
    state.act(Action::Switch(Switch::Number(9)));
    assert_eq!(state.current(), 1);
}

#[test]
fn tabs_keep_their_numbers_and_go_with_their_conversation() {
    let mut world = World::new();
    let mut state = world.state(80, 24);
    world.histories.reverse();
    state.news(world.news(vec![]));
    assert_eq!(state.tabs()[1].id, Some(LOBBY));
    assert_eq!(state.tabs()[2].id, Some(WITH_BOB));
    state.act(Action::Switch(Switch::Number(2)));
    world.histories.retain(|(view, _)| view.id != LOBBY);
    state.news(world.news(vec![]));
    assert_eq!((state.tabs().len(), state.tab().unwrap().id), (2, Some(WITH_BOB)));
    world.histories.clear();
    state.news(world.news(vec![]));
    state.arrange(80, 24);
    assert_eq!((state.tabs().len(), state.current()), (1, 0));
}

#[test]
fn what_is_seen_at_the_bottom_is_marked_as_read_once() {
    let mut world = World::new();
    let mut state = world.state(80, 24);
    let message = world.say(LOBBY, BOB, "hi");
    state.news(world.news(vec![new_message(message.clone())]));
    state.arrange(80, 24);
    let asked = commands(state.take_effects());
    let with = Destination::Conversation(LOBBY);
    let expected = Command::MarkRead(command::MarkRead { with, up_to: Some(message.id) });
    assert_eq!(asked.iter().map(|(_, command)| command).collect::<Vec<_>>(), [&expected]);
    state.arrange(80, 24);
    state.answer(asked[0].0, Ok(Reply::Done {}));
    state.arrange(80, 24);
    assert!(state.take_effects().is_empty());
    // Elsewhere, scrolled up, or on a screen too small to show it: not read.
    let message = world.say(WITH_BOB, BOB, "psst");
    state.news(world.news(vec![new_message(message)]));
    state.arrange(80, 24);
    state.act(Action::Switch(Switch::Number(2)));
    state.arrange(30, 5);
    assert!(state.take_effects().is_empty());
    state.arrange(80, 24);
    assert_eq!(commands(state.take_effects()).len(), 1);
}

#[test]
fn notices_stand_where_they_concern() {
    let mut world = World::new();
    let mut state = world.state(100, 30);
    let bob = || PeerEvent { peer_id: BOB, nick: "bob".into(), verified: false, was: None };
    let down = LinkDown { relay: "10.0.0.1:1".into(), reason: "nobody\nanswers\x1b[2J".into() };
    let alarm = Alarm { kind: AlarmKind::Tampered, peer_id: Some(BOB), detail: "bad tag".into() };
    let changed = PeerKeyChanged {
        claims: "bob".into(),
        known: BOB,
        peer_id: CAROL,
        nick: "bob·0303".into(),
        verified: false,
        held: true,
    };
    let left = RoomChanged {
        room: "#lobby".parse().unwrap(),
        conversation: LOBBY,
        joined: true,
        open: true,
        members: vec![ME, BOB],
        by: None,
    };
    let over_tcp = StackChanged {
        transport: "tcp".into(),
        relay: "tcp://10.0.0.1:1".into(),
        reason: Some("udp-arq://10.0.0.1:1 gives\nno answer\x1b[2J".into()),
        transports: vec![],
    };
    let mut events = vec![Event::LinkDown(down), Event::Alarm(alarm), Event::PeerKeyChanged(changed)];
    events.push(Event::StackChanged(over_tcp));
    events.push(Event::RoomChanged(left));
    events.extend((0..100).flat_map(|_| [Event::PeerLost(bob()), Event::PeerSeen(bob())]));
    state.news(world.news(events));
    state.arrange(100, 30);
    let rows = seen(&state).join("\n");
    for expected in [
        "!!|the link to the relay 10.0.0.1:1 is down: nobody answers[2J",
        "!!|alarm: tampered with, and refused from bob: bad tag",
        "!!|another key claims the name bob. It is kept apart as bob·0303.",
        "--|now over tcp: udp-arq://10.0.0.1:1 gives no answer[2J",
        "--|carol left #lobby",
        "--|bob is here",
    ] {
        assert!(rows.contains(expected), "{expected}\n{rows}");
    }
    assert_eq!(rows.matches("bob is here").count(), 1);
    assert!(!rows.contains('×'), "{rows}");
    // Each row is marked, not only the first of a line.
    assert!(seen(&state).iter().all(|row| row.starts_with("!!|") || row.starts_with("--|")), "{rows}");
    state.act(Action::Switch(Switch::Number(0)));
    state.arrange(100, 30);
    let rows = seen(&state).join("\n");
    assert!(rows.contains("is down") && rows.contains("alarm:") && !rows.contains("left #lobby"), "{rows}");
    state.act(Action::Switch(Switch::Number(2)));
    state.arrange(100, 30);
    assert!(seen(&state).join("\n").contains("bob is here"));
}

#[test]
fn a_peer_nothing_can_be_sent_to_is_said() {
    let mut world = World::new();
    let mut state = world.state(80, 24);
    world.peers[1].problem = Some("it uses another cipher: aes-128".into());
    state.news(world.news(vec![]));
    state.news(world.news(vec![]));
    state.act(Action::Switch(Switch::Number(2)));
    state.arrange(80, 24);
    let said = "!!|nothing can be sent to bob: it uses another cipher: aes-128";
    assert_eq!(seen(&state).iter().filter(|row| *row == said).count(), 1, "{:?}", seen(&state));
}

#[test]
fn completion_takes_names_from_the_snapshot() {
    let mut state = World::new().state(80, 24);
    type_in(&mut state, "/ms");
    state.act(Action::Complete { backwards: false });
    assert_eq!(typed(&state), "/msg ");
    type_in(&mut state, "b");
    state.act(Action::Complete { backwards: false });
    assert_eq!(typed(&state), "/msg bob ");
    state.act(Action::Complete { backwards: false });
    assert_eq!(typed(&state), "/msg b");
    // One's own name isn't offered.
    let mut state = World::new().state(80, 24);
    type_in(&mut state, "a");
    state.act(Action::Complete { backwards: false });
    assert_eq!(typed(&state), "a");
    let mut world = World::new();
    let id = world.say(LOBBY, ME, "lost").id;
    world.deliver(id, MessageState::Failed, None);
    let mut state = world.state(80, 24);
    type_in(&mut state, "/retry ");
    state.act(Action::Complete { backwards: false });
    assert_eq!(typed(&state), format!("/retry {id}"));
}

#[test]
fn the_bell_rings_for_others_only_and_once() {
    let mut world = World::new();
    let mut state = world.state_with(80, 24, Settings { timestamps: true, bell: true });
    let mine = world.say(LOBBY, ME, "x");
    state.news(world.news(vec![new_message(mine)]));
    assert!(!state.take_effects().contains(&Effect::Bell));
    let theirs: Vec<MessageView> = (0..3).map(|_| world.say(LOBBY, BOB, "x")).collect();
    state.news(world.news(theirs.into_iter().map(new_message).collect()));
    let rings = state.take_effects().into_iter().filter(|effect| *effect == Effect::Bell).count();
    assert_eq!(rings, 1);
}

#[test]
fn a_script_of_everything_at_random_never_panics() {
    // A linear congruential generator: the same script each time.
    let mut seed = 7u32;
    let mut random = move |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    let texts = [
        "hi",
        "日本語 ".repeat(50).leak(),
        "👩‍👩‍👧‍👦\u{301}\n\n\t",
        "\x1b[2J\u{202e}",
        "x".repeat(5000).leak(),
        "",
    ];
    let steps = [Step::PageUp, Step::PageDown, Step::LineUp, Step::LineDown, Step::Top, Step::Bottom];
    let edits =
        [Edit::Backspace, Edit::Left, Edit::Home, Edit::KillWord, Edit::Up, Edit::Down, Edit::KillToStart];
    let mut world = World::new();
    let mut state = world.state(80, 24);
    let (mut width, mut height) = (80, 24);
    for _ in 0..4000 {
        match random(9) {
            0 => (width, height) = (random(201) as u16, random(61) as u16),
            1 | 2 => {
                let text = texts[random(6) as usize];
                let from = [ME, BOB, CAROL][random(3) as usize];
                let message = world.say([LOBBY, WITH_BOB][random(2) as usize], from, text);
                if random(4) > 0 {
                    state.news(world.news(vec![new_message(message)]));
                }
            }
            3 => state.act(Action::Scroll(steps[random(6) as usize])),
            4 => state.act(Action::Edit(edits[random(7) as usize])),
            5 => state.paste(texts[random(6) as usize]),
            6 => state.act(Action::Switch(Switch::Number(random(4) as usize))),
            7 => state.act(Action::Complete { backwards: random(2) == 0 }),
            _ => state.act(Action::Enter),
        }
        state.arrange(width, height);
        for (token, command) in commands(state.take_effects()) {
            match command {
                Command::History(history) if random(2) == 0 => {
                    let Destination::Conversation(id) = history.with else { panic!() };
                    state.answer(token, Ok(world.older(id, history.before.unwrap(), 50)));
                }
                _ => state.answer(token, Err(CommandError::new(ErrorKind::Busy, "busy"))),
            }
        }
        if let Some(arranged) = state.arranged() {
            let rows = arranged.pane_rows + arranged.input_rows + 2 + u16::from(arranged.below.is_some());
            assert_eq!(rows, height);
            assert!(arranged.seen.rows.len() <= usize::from(arranged.pane_rows));
        }
    }
    assert!(!world.histories[0].1.is_empty());
}

mod behind;
mod closed;
mod failed;
mod reading;
mod trust;
