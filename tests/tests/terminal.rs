//! The terminal is given back, however the program ends or is stopped.
#![cfg(unix)]

use chat_tests::{Exit, Profile, Screen, World, on_main_profiles};
use rustix::process::Signal;

/// The second screen of a terminal is entered, and left.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

on_main_profiles!(whoever_closes_the_window_has_left_in_good_order);

/// A user in front of a screen, on which `#lobby` is shown.
fn at_a_screen(world: &World, profile: Profile) -> Screen {
    let (folder, relay) = (world.path("alice"), format!("topology.relay={}", world.any_port()));
    let folder = folder.to_str().unwrap();
    let arguments = ["--config", profile.name, "--nick", "alice", "--data-dir", folder, "--set", &relay];
    let mut screen = Screen::start(world.command(&arguments));
    screen.shows(ENTER);
    screen.shows("#lobby");
    screen
}

#[test]
fn every_signal_that_ends_it_gives_the_terminal_back() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let world = World::new();
        let mut screen = at_a_screen(&world, chat_tests::profiles::TCP_X25519);
        assert!(!screen.is_given_back());
        screen.signal(signal);
        screen.shows(LEAVE);
        assert_eq!(screen.wait_exit(), Exit::Code(0), "{signal:?}");
        assert!(screen.is_given_back(), "{signal:?}");
    }
}

/// Stopped, it leaves the terminal to the shell; continued, it draws everything anew and takes keys.
#[test]
fn a_program_that_is_stopped_leaves_the_terminal_to_others() {
    let world = World::new();
    let mut screen = at_a_screen(&world, chat_tests::profiles::TCP_X25519);
    for _ in 0..2 {
        screen.signal(Signal::TSTP);
        screen.shows(LEAVE);
        screen.wait_stopped();
        assert!(screen.is_given_back());
        screen.signal(Signal::CONT);
        screen.shows(ENTER);
        screen.shows("#lobby");
        assert!(!screen.is_given_back());
    }
    // Stopped by force it can do nothing; continued it takes what the shell may have changed.
    screen.signal(Signal::STOP);
    screen.wait_stopped();
    screen.signal(Signal::CONT);
    screen.shows(ENTER);
    screen.shows("#lobby");
    // Ctrl-L does the same, on a terminal that answers no question.
    screen.press("\x0c");
    screen.shows("#lobby");
    screen.press("/exit\r");
    screen.shows(LEAVE);
    assert_eq!(screen.wait_exit(), Exit::Code(0));
    assert!(screen.is_given_back());
}

fn whoever_closes_the_window_has_left_in_good_order(profile: Profile) {
    let world = World::new();
    let mut screen = at_a_screen(&world, profile);
    screen.shows("hosting");
    screen.hang_up();
    assert_eq!(screen.wait_exit(), Exit::Code(0));
}
