use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use chat_core::api::handle::{EngineSide, StopReason, channel};
use chat_core::api::{LinkState, Reply, Snapshot, StackView, TransportView};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::backend::TestBackend;

use super::*;
use crate::fixtures::*;

const AT_ONCE: Duration = Duration::from_millis(1);
const OUTSIDE: Outside = Outside { ring: || Ok(()), probe: || Ok(()) };

fn snapshot(world: &World) -> Snapshot {
    Snapshot::clone(&world.snapshot())
}

/// Runs `test` on a screen that shows `world`.
fn with_screen(
    world: &World,
    outside: Outside,
    test: impl FnOnce(&mut Screen<'_, TestBackend>, SyncSender<Woken>, EngineSide),
) {
    let (client, engine) = channel(snapshot(world));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let (wakes, input) = Wakes::new();
    let settings = Settings { timestamps: true, bell: true };
    let look = (settings, Theme { colour: true }, Clock::utc());
    let mut screen = Screen::new(&mut terminal, &client, wakes, look, outside);
    screen.draw().unwrap();
    test(&mut screen, input, engine);
}

fn key(code: KeyCode) -> Woken {
    Woken::Input(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn shown(screen: &Screen<'_, TestBackend>) -> String {
    screen.terminal.backend().buffer().content.iter().map(ratatui::buffer::Cell::symbol).collect()
}

/// Turns until what came is drawn.
fn settle(screen: &mut Screen<'_, TestBackend>) {
    screen.turn(AT_ONCE).unwrap();
    while screen.dirty {
        assert_eq!(screen.perform().unwrap(), Flow::Stay);
        screen.turn(AT_ONCE).unwrap();
    }
}

#[test]
fn an_idle_screen_draws_nothing() {
    with_screen(&World::new(), OUTSIDE, |screen, _input, _engine| {
        settle(screen);
        let before = screen.frames;
        for _ in 0..20 {
            screen.turn(AT_ONCE).unwrap();
            assert_eq!(screen.perform().unwrap(), Flow::Stay);
        }
        assert_eq!(screen.frames, before);
    });
}

#[test]
fn a_thousand_keys_are_one_frame_and_all_are_there() {
    with_screen(&World::new(), OUTSIDE, |screen, input, _engine| {
        for _ in 0..1000 {
            input.send(key(KeyCode::Char('x'))).unwrap();
        }
        let before = screen.frames;
        screen.turn(AT_ONCE).unwrap();
        assert_eq!(screen.frames, before + 1);
        assert_eq!(screen.state.tab().unwrap().editor.text().len(), 1000);
    });
}

/// A27.
#[test]
fn a_key_is_drawn_in_the_turn_it_comes_though_a_peer_floods() {
    let mut world = World::new();
    with_screen(&World::new(), OUTSIDE, |screen, input, engine| {
        for n in 0..5000 {
            let message = world.say(LOBBY, BOB, &format!("flood {n}"));
            let copy = snapshot(&world);
            engine.publish(vec![new_message(message)], |event| Snapshot { event, ..copy });
        }
        input.send(key(KeyCode::Char('k'))).unwrap();
        screen.turn(AT_ONCE).unwrap();
        assert_eq!(screen.state.tab().unwrap().editor.text(), "k");
        assert!(shown(screen).contains("> k"));
        settle(screen);
        assert!(shown(screen).contains("flood 4999"));
        // What was lost on the way is said.
        assert!(shown(screen).contains("904 notices are not shown"), "{}", shown(screen));
    });
}

#[test]
fn news_between_frames_share_one() {
    let mut world = World::new();
    with_screen(&World::new(), OUTSIDE, |screen, _input, engine| {
        settle(screen);
        let before = (screen.frames, Instant::now());
        for n in 0..200 {
            let message = world.say(LOBBY, BOB, &n.to_string());
            let copy = snapshot(&world);
            engine.publish(vec![new_message(message)], |event| Snapshot { event, ..copy });
            screen.turn(AT_ONCE).unwrap();
        }
        let most = before.1.elapsed().as_millis() / FRAME.as_millis() + 1;
        assert!(u128::from(screen.frames - before.0) <= most, "{} frames", screen.frames - before.0);
        settle(screen);
        assert!(shown(screen).contains("bob  199"));
    });
}

#[test]
fn an_answer_alone_wakes_the_screen() {
    with_screen(&World::new(), OUTSIDE, |screen, input, mut engine| {
        for c in "/stack".chars() {
            input.send(key(KeyCode::Char(c))).unwrap();
        }
        input.send(key(KeyCode::Enter)).unwrap();
        screen.turn(AT_ONCE).unwrap();
        assert_eq!(screen.perform().unwrap(), Flow::Stay);
        let request = engine.requests.try_recv().unwrap();
        assert_eq!(request.command, Command::Stack);
        settle(screen);
        let way = |kind: &str, in_use| TransportView { kind: kind.into(), address: "h:1".into(), in_use };
        let stack = StackView {
            transports: vec![way("tcp", true), way("tls", false)],
            ..(*screen.client.snapshot().stack).clone()
        };
        let stack = Arc::new(stack);
        assert!(
            request
                .reply
                .send(Ok(Reply::Stack { stack, link: Default::default(), state: LinkState::Up }))
                .is_ok()
        );
        settle(screen);
        for line in ["forward secrecy: no", "transport: tcp://h:1, in use", "transport: tls://h:1"] {
            assert!(shown(screen).contains(line), "no {line} in {}", shown(screen));
        }
        assert!(screen.answers.is_empty());
    });
}

#[test]
fn a_full_queue_and_a_dead_engine_are_said() {
    with_screen(&World::new(), OUTSIDE, |screen, input, engine| {
        for _ in 0..300 {
            for woken in [key(KeyCode::Char('x')), key(KeyCode::Enter)] {
                input.send(woken).unwrap();
            }
            screen.turn(AT_ONCE).unwrap();
            assert_eq!(screen.perform().unwrap(), Flow::Stay);
        }
        settle(screen);
        assert!(shown(screen).contains("too many commands at once"));
        drop(engine);
        settle(screen);
        assert!(shown(screen).contains("the program is stopping"));
        assert!(screen.answers.is_empty());
    });
}

#[test]
fn quitting_tells_the_engine_and_leaves() {
    with_screen(&World::new(), OUTSIDE, |screen, input, mut engine| {
        let event = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        input.send(Woken::Input(Event::Key(event))).unwrap();
        screen.turn(AT_ONCE).unwrap();
        assert_eq!(screen.perform().unwrap(), Flow::Leave);
        assert_eq!(engine.requests.try_recv().unwrap().command, Command::Shutdown);
    });
}

#[test]
fn an_engine_that_stops_ends_the_loop() {
    let (client, engine) = channel(snapshot(&World::new()));
    let stopper = thread::spawn(move || {
        engine.stop(StopReason { exit_code: 0, message: None });
        engine
    });
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let (wakes, _input) = Wakes::new();
    let look = (Settings { timestamps: true, bell: false }, Theme { colour: true }, Clock::utc());
    Screen::new(&mut terminal, &client, wakes, look, OUTSIDE).run().unwrap();
    stopper.join().unwrap();
}

#[test]
fn a_hang_up_that_stops_the_program_is_no_failure_of_the_terminal() {
    for stops in [true, false] {
        let (client, engine) = channel(snapshot(&World::new()));
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let (wakes, input) = Wakes::new();
        let look = (Settings { timestamps: true, bell: false }, Theme { colour: true }, Clock::utc());
        input.send(Woken::InputEnded(io::ErrorKind::BrokenPipe.into())).unwrap();
        let mut screen = Screen::new(&mut terminal, &client, wakes, look, OUTSIDE);
        let ended = screen.turn(AT_ONCE);
        if stops {
            engine.stop(StopReason { exit_code: 129, message: None });
        }
        assert!(ended.is_err());
        assert_eq!(screen.end(ended).is_ok(), stops);
    }
}

/// Whichever comes first, the end of input or the signal, on whatever transport: it is the same end.
#[test]
fn a_hang_up_whose_signal_comes_late_is_no_failure_either() {
    let gone = Outside { probe: || Err(io::ErrorKind::NotConnected.into()), ..OUTSIDE };
    let (client, _engine) = channel(snapshot(&World::new()));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let (wakes, input) = Wakes::new();
    let look = (Settings { timestamps: true, bell: false }, Theme { colour: true }, Clock::utc());
    input.send(Woken::InputEnded(io::ErrorKind::BrokenPipe.into())).unwrap();
    let mut screen = Screen::new(&mut terminal, &client, wakes, look, gone);
    let ended = screen.turn(AT_ONCE);
    assert!(ended.is_err());
    screen.end(ended).unwrap();
}

#[test]
fn a_terminal_that_was_taken_again_is_drawn_anew() {
    with_screen(&World::new(), OUTSIDE, |screen, input, _engine| {
        settle(screen);
        screen.terminal.backend_mut().clear().unwrap();
        assert!(!shown(screen).contains("#lobby"));
        input.send(Woken::Retaken).unwrap();
        screen.turn(AT_ONCE).unwrap();
        assert!(shown(screen).contains("#lobby"));
    });
}

#[test]
fn a_terminal_that_is_gone_ends_the_loop() {
    let gone = Outside { probe: || Err(io::ErrorKind::NotConnected.into()), ..OUTSIDE };
    with_screen(&World::new(), gone, |screen, _input, _engine| {
        let error = screen.turn(AT_ONCE).unwrap_err();
        assert!(matches!(error, FrontendError::Io(error) if error.kind() == io::ErrorKind::NotConnected));
    });
    with_screen(&World::new(), OUTSIDE, |screen, input, _engine| {
        input.send(Woken::InputEnded(io::ErrorKind::BrokenPipe.into())).unwrap();
        assert!(matches!(screen.turn(AT_ONCE), Err(FrontendError::Io(_))));
    });
}

#[test]
fn resizes_and_the_bell_come_through() {
    thread_local!(static RINGS: RefCell<u32> = const { RefCell::new(0) });
    let outside = Outside {
        ring: || {
            RINGS.with_borrow_mut(|rings| *rings += 1);
            Ok(())
        },
        ..OUTSIDE
    };
    let mut world = World::new();
    with_screen(&World::new(), outside, |screen, input, engine| {
        for (width, height) in [(1, 1), (200, 60), (40, 10), (80, 24), (39, 9), (100, 30)] {
            screen.terminal.backend_mut().resize(width, height);
            input.send(Woken::Input(Event::Resize(width, height))).unwrap();
            screen.turn(AT_ONCE).unwrap();
        }
        assert!(shown(screen).contains("#lobby"));
        let message = world.say(LOBBY, BOB, "ring");
        let copy = snapshot(&world);
        engine.publish(vec![new_message(message)], |event| Snapshot { event, ..copy });
        settle(screen);
        assert_eq!(screen.perform().unwrap(), Flow::Stay);
    });
    assert_eq!(RINGS.with_borrow(|rings| *rings), 1);
}
