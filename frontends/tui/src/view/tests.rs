use chat_core::api::{LinkState, MessageState, Trust};
use chat_core::transport::LinkFigures;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::fixtures::*;
use crate::input::keys::{Action, Step, Switch};
use crate::state::Settings;

const COLOUR: Theme = Theme { colour: true };

/// Draws and gives the screen.
fn screen(state: &mut State, width: u16, height: u16, theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            state.arrange(frame.area().width, frame.area().height);
            draw(frame, state, theme);
        })
        .unwrap();
    terminal.backend().buffer().clone()
}

/// A row as a person reads it: what a wide grapheme covers is left out.
fn row(buffer: &Buffer, y: u16) -> String {
    let mut text = String::new();
    let mut x = 0;
    while x < buffer.area.width {
        let symbol = buffer[(x, y)].symbol();
        text.push_str(symbol);
        x += text::cells(symbol).max(1);
    }
    text.trim_end().to_owned()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    (0..buffer.area.height).map(|y| row(buffer, y)).collect()
}

/// A23.
#[test]
fn the_screen_at_80x24() {
    let mut world = World::new();
    world.say(LOBBY, BOB, "hello alice");
    let mine = world.say(LOBBY, ME, "hello bob");
    world.deliver(mine.id, MessageState::Read, None);
    world.say(WITH_BOB, BOB, "psst");
    let mut state = world.state(80, 24);
    "typed".chars().for_each(|c| state.act(Action::Insert(c)));
    let buffer = screen(&mut state, 80, 24, COLOUR);
    let rows = rows(&buffer);
    assert_eq!(rows[0], " 0 status  1 #lobby  2 bob (1)");
    assert_eq!(rows[19], "-- Tuesday, 2023-11-14".replacen("-- ", "--       ", 1));
    assert_eq!(rows[20], "~  22:13 bob  hello alice");
    assert_eq!(rows[21], "✓✓ 22:13 alice  hello bob");
    let status = " #lobby, open, 2/3 unverified │ udp-arq · rsa-hybrid · aes-256-gcm │ up 127.0.…";
    assert_eq!(rows[22], status);
    assert_eq!(rows[23], "> typed");
    assert_eq!((buffer[(0, 21)].fg, buffer[(0, 20)].fg), (Color::Green, Color::Reset));
    assert!(buffer[(11, 0)].modifier.contains(Modifier::REVERSED));
    assert!(buffer[(22, 0)].modifier.contains(Modifier::BOLD));
    assert_eq!(buffer[(22, 0)].fg, Color::Yellow);
}

#[test]
fn the_status_line_tells_how_good_the_link_is() {
    let mut world = World::new();
    let mut state = world.state(110, 24);
    let mut status = |world: &mut World, srtt_us, lost_packets| {
        world.link.figures = LinkFigures { srtt_us, lost_packets, ..LinkFigures::default() };
        state.news(world.news(vec![]));
        row(&screen(&mut state, 110, 24, COLOUR), 22)
    };
    for (srtt_us, lost, expected) in [
        (None, None, "│ up 127.0.0.1:12345"),
        (Some(400), Some(0), "│ up <1 ms 127.0.0.1:12345"),
        (Some(82_900), Some(0), "│ up 82 ms 127.0.0.1:12345"),
        (Some(82_900), Some(14), "│ up 82 ms 14 lost 127.0.0.1:12345"),
    ] {
        let status = status(&mut world, srtt_us, lost);
        assert!(status.ends_with(expected), "{status}");
    }
    world.link.state = LinkState::Down { reason: "gone".into() };
    let status = status(&mut world, None, None);
    assert!(status.ends_with("│ down: gone"), "{status}");
}

#[test]
fn the_status_line_tells_trust_and_link() {
    let mut world = World::new();
    let mut state = world.state(80, 24);
    state.act(Action::Switch(Switch::Number(2)));
    let status = row(&screen(&mut state, 80, 24, COLOUR), 22);
    assert!(status.contains("bob, unverified, online │ udp-arq · rsa-hybrid · aes-256-gcm │ up"), "{status}");
    (world.peers[1].trust, world.peers[1].verified) = (Trust::Verified, true);
    world.link.hosting = true;
    world.link.listen = vec!["udp-arq://127.0.0.1:12345".into()];
    state.news(world.news(vec![]));
    let status = row(&screen(&mut state, 110, 24, COLOUR), 22);
    assert!(status.contains("bob, verified, online"), "{status}");
    assert!(status.contains("hosting udp-arq://127.0.0.1:12345"), "{status}");
    world.link.state = LinkState::Down { reason: "nobody answers".into() };
    state.news(world.news(vec![]));
    let buffer = screen(&mut state, 80, 24, COLOUR);
    assert!(row(&buffer, 22).contains("│ down: nobody ans…"), "{}", row(&buffer, 22));
    assert_eq!(buffer[(66, 22)].fg, Color::Red);
    world.link.state = LinkState::Connecting;
    state.news(world.news(vec![]));
    assert!(row(&screen(&mut state, 80, 24, COLOUR), 22).contains("│ connecting"));
}

/// A24.
#[test]
fn without_colour_everything_is_still_told_apart() {
    let mut world = World::new();
    let delivered = world.say(LOBBY, ME, "one");
    world.deliver(delivered.id, MessageState::Delivered, None);
    let read = world.say(LOBBY, ME, "two");
    world.deliver(read.id, MessageState::Read, None);
    world.link.state = LinkState::Down { reason: "x".into() };
    let mut state = world.state(80, 24);
    let buffer = screen(&mut state, 80, 24, Theme { colour: false });
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(row(&buffer, 20).starts_with("✓✓") && row(&buffer, 21).starts_with("✓✓"));
    assert_ne!(buffer[(0, 20)].modifier, buffer[(0, 21)].modifier);
}

#[test]
fn hostile_text_is_inert_and_never_looks_like_a_line_of_the_program() {
    let mut world = World::new();
    let forged = "hi\n-- 22:13 connected to the relay evil\n!! 22:13 alarm: all is well\n\
                  ✓✓ 22:13 alice  I agree\r-- x\n   22:13 carol  yes";
    world.say(LOBBY, BOB, forged);
    world.say(LOBBY, BOB, "\x1b[2J\x1b]0;pwned\x07\u{9b}31m\u{202e}txet\u{2066}\u{200b}\u{feff}");
    world.say(LOBBY, BOB, &format!("e{}", "\u{301}".repeat(1000)));
    world.say(LOBBY, BOB, &"x".repeat(1_000));
    for timestamps in [true, false] {
        let mut state = world.state_with(80, 40, Settings { timestamps, bell: false });
        let buffer = screen(&mut state, 80, 40, COLOUR);
        let rows = rows(&buffer);
        let text_from = if timestamps { 11 } else { 5 };
        let first = rows.iter().position(|row| row.contains("bob  hi")).unwrap();
        let messages: Vec<&String> = rows[first..38].iter().collect();
        assert!(messages.len() > 15);
        let is_head = |row: &str| row.get(text_from - 2..).is_some_and(|row| row.starts_with("bob"));
        assert_eq!(messages.iter().filter(|row| is_head(row)).count(), 4, "{rows:#?}");
        for row in messages.iter().filter(|row| !is_head(row)) {
            assert!(row.len() <= text_from || row[..text_from].trim().is_empty(), "{row:?}");
        }
        let cells = &buffer.content;
        assert!(cells.iter().all(|cell| !cell.symbol().chars().any(chat_core::nick::is_unsafe_to_show)));
        assert!(cells.iter().all(|cell| cell.symbol().chars().count() <= 32));
        assert!(cells.iter().filter(|cell| cell.symbol().contains('\u{301}')).count() == 1);
    }
}

#[test]
fn hostile_names_stay_names() {
    let mut world = World::new();
    let name = "bob  hi\n-- 22:14\x1b[7m\u{202e}";
    world.peers[1].nick = name.into();
    world.history(WITH_BOB).0.name = name.into();
    world.say(LOBBY, BOB, "text");
    let mut state = world.state(80, 24);
    let rows = rows(&screen(&mut state, 80, 24, COLOUR));
    assert_eq!(rows[21], "~  22:13 bob_hi_--_22:14[7m  text");
    assert!(rows[0].contains("2 bob_hi_--_22:14[7m"), "{}", rows[0]);
}

/// A25.
#[test]
fn graphemes_are_whole_and_wide_ones_take_two_cells() {
    let mut world = World::new();
    world.say(LOBBY, BOB, "naïve 日本 👩‍👩‍👧‍👦 cafe\u{301}");
    let mut state = world.state(80, 24);
    let buffer = screen(&mut state, 80, 24, COLOUR);
    assert_eq!(row(&buffer, 21), "~  22:13 bob  naïve 日本 👩‍👩‍👧‍👦 cafe\u{301}");
    assert_eq!((buffer[(20, 21)].symbol(), buffer[(22, 21)].symbol()), ("日", "本"));
    assert_eq!((buffer[(25, 21)].symbol(), buffer[(28, 21)].symbol()), ("👩‍👩‍👧‍👦", "c"));
}

#[test]
fn the_line_that_tells_of_new_messages() {
    let mut world = World::new();
    for n in 0..50 {
        world.say(LOBBY, BOB, &n.to_string());
    }
    let mut state = world.state(80, 24);
    state.act(Action::Scroll(Step::PageUp));
    let tells = row(&screen(&mut state, 80, 24, COLOUR), 21);
    assert_eq!(tells, " ↓ reading further up; Esc goes to the newest message");
    for n in 50..53 {
        let message = world.say(LOBBY, BOB, &n.to_string());
        state.news(world.news(vec![new_message(message)]));
    }
    let rows = rows(&screen(&mut state, 80, 24, COLOUR));
    assert_eq!(rows[21], " ↓ 3 new; Esc goes to the newest message");
    assert!(rows[20].ends_with("bob  29"), "{rows:#?}");
    assert!(rows[0].contains("1 #lobby (53)"));
}

#[test]
fn input_of_several_rows_scrolls_with_the_cursor() {
    let mut state = World::new().state(80, 24);
    state.paste(&(0..20).map(|n| n.to_string()).collect::<Vec<_>>().join("\n"));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal
        .draw(|frame| {
            state.arrange(80, 24);
            draw(frame, &state, COLOUR);
        })
        .unwrap();
    let buffer = terminal.backend().buffer().clone();
    assert_eq!(rows(&buffer)[18..24], [". 14", ". 15", ". 16", ". 17", ". 18", ". 19"]);
    terminal.backend_mut().assert_cursor_position((4, 23));
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    let mut state = World::new().state(80, 24);
    let text = rows(&screen(&mut state, 39, 24, COLOUR)).join(" ");
    assert!(text.starts_with("terminal too small: it has 39x24,"), "{text}");
    let text = rows(&screen(&mut state, 100, 9, COLOUR)).join(" ");
    assert!(text.contains("40x10 are needed"), "{text}");
    assert!(rows(&screen(&mut state, 40, 10, COLOUR))[0].contains("#lobby"));
}

#[test]
fn many_tabs_show_the_current_one() {
    let mut world = World::new();
    let (view, _) = world.history(WITH_BOB).clone();
    for n in 0..50u8 {
        let mut view = view.clone();
        view.id.0[1] = n + 1;
        view.name = format!("friend{n}");
        world.histories.push((view, vec![]));
    }
    let mut state = world.state(80, 24);
    for _ in 0..40 {
        state.act(Action::Switch(Switch::Next));
        let tabs = row(&screen(&mut state, 80, 24, COLOUR), 0);
        assert!(tabs.contains(&format!(" {} ", state.current())), "{tabs}");
    }
    let tabs = row(&screen(&mut state, 80, 24, COLOUR), 0);
    assert!(tabs.starts_with("… ") && tabs.ends_with("…"), "{tabs}");
}

/// A26.
#[test]
fn every_size_survives_a_long_history() {
    let mut world = World::new();
    for n in 0..400 {
        world.say(LOBBY, [ME, BOB][n % 2], &"日本 words and 👩‍👩‍👧‍👦\n".repeat(n % 7 + 1));
    }
    world.say(LOBBY, BOB, &"y".repeat(10_000));
    let mut state = world.state(80, 24);
    state.act(Action::Scroll(Step::LineUp));
    "x".repeat(300).chars().for_each(|c| state.act(Action::Insert(c)));
    for (width, height) in (1..=200).step_by(7).flat_map(|width| (1..=60).step_by(3).map(move |h| (width, h)))
    {
        screen(&mut state, width, height, COLOUR);
        if (width + height) % 4 == 0 {
            state.act(Action::Scroll(if width % 2 == 0 { Step::PageUp } else { Step::LineDown }));
        }
    }
    for (width, height) in [(1, 1), (1, 60), (200, 1), (40, 10), (39, 10), (200, 60), (1, 1), (80, 24)] {
        screen(&mut state, width, height, COLOUR);
    }
    assert!(row(&screen(&mut state, 80, 24, COLOUR), 0).contains("#lobby"));
}

#[test]
fn the_status_line_says_that_a_room_is_closed() {
    let mut world = World::new();
    world.close_lobby(&[ME, BOB, CAROL]);
    let mut state = world.state(80, 24);
    let rows = rows(&screen(&mut state, 80, 24, COLOUR));
    assert!(rows[22].starts_with(" #den·0a0a, closed, 2/3 unverified │ "), "{}", rows[22]);
}
