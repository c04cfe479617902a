//! The terminal frontend: tabs, what was said, a status line, an input line.
//!
//! | room | what is in it |
//! |---|---|
//! | [`state`] | everything that is shown, as plain data; snapshots, events, answers and keys go in, effects come out |
//! | [`view`] | draws the state into a buffer |
//! | [`input`] | which key does what, the line editor, completion |
//! | [`run`], [`wake`] | the loop, and what wakes it |
//! | [`terminal`], [`backend`] | taking the terminal and giving it back; terminals that count cells another way |
//! | [`suspend`] | giving it back while the program is stopped |
//! | [`text`], [`clock`] | text on a grid of cells, moments as a person reads them |
//!
//! It never waits for the engine: commands are queued and their answers polled, and an idle screen sleeps.
//! `cargo run -p frontend-tui --example fake` runs it on a made-up engine.

mod backend;
mod clock;
#[cfg(test)]
mod fixtures;
mod input;
mod run;
mod state;
mod suspend;
mod terminal;
mod text;
mod view;
mod wake;

use chat_core::{ClientHandle, Frontend, FrontendError, Plugin, ProfileError};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use schemars::JsonSchema;
use serde::Deserialize;

use backend::Repainting;
use clock::Clock;
use run::{Outside, Screen};
use state::Settings;
use view::theme::Theme;
use wake::{InputThread, Wakes};

/// Gives the terminal back if the frontend has it, from whatever thread: for a program that ends at once, without
/// waiting for its frontend. Nothing is drawn after it.
pub fn give_back_terminal() {
    terminal::give_back();
}

/// The terminal frontend.
pub struct Tui {
    settings: Settings,
}

/// Its keys in `[frontend]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Whether each line begins with its time.
    #[serde(default = "yes")]
    pub timestamps: bool,
    /// Whether a message of somebody else rings the terminal's bell.
    #[serde(default)]
    pub bell: bool,
}

fn yes() -> bool {
    true
}

impl Plugin<dyn Frontend> for Tui {
    const NAME: &'static str = "tui";
    const SUMMARY: &'static str = "a full-screen terminal interface";
    const EXAMPLE: &'static str = "[frontend]\nkind = \"tui\"\ntimestamps = true\nbell = false\n";
    type Options = Options;

    fn build(options: Options) -> Result<Box<dyn Frontend>, ProfileError> {
        let Options { timestamps, bell } = options;
        Ok(Box::new(Self { settings: Settings { timestamps, bell } }))
    }
}

impl Frontend for Tui {
    fn require(&self) -> Result<(), FrontendError> {
        terminal::require()
    }

    fn run(self: Box<Self>, client: ClientHandle) -> Result<(), FrontendError> {
        self.require()?;
        let guard = terminal::Guard::enter()?;
        let mut screen = Terminal::new(Repainting::new(CrosstermBackend::new(guard.writer()))?)?;
        let (wakes, to) = Wakes::new();
        let _suspending = suspend::Watch::start(to.clone())?;
        let _reading = InputThread::start(to)?;
        let look = (self.settings, Theme::from_env(), Clock::system());
        let outside = Outside { ring: terminal::ring, probe: terminal::probe };
        Screen::new(&mut screen, &client, wakes, look, outside).run()
    }
}

#[cfg(test)]
mod tests {
    use chat_core::Registry;
    use chat_core::profile;

    use super::*;

    #[test]
    fn the_example_builds_and_options_are_strict() {
        let registry = Registry::linked().unwrap();
        let build = |text: &str| {
            let options = profile::Options::parse_table(text, "frontend").unwrap();
            registry.build::<dyn Frontend>(&options)
        };
        let frontend = build(Tui::EXAMPLE).unwrap();
        assert!(frontend.interactive());
        assert!(build("[frontend]\nkind = \"tui\"\n").is_ok());
        for bad in ["mouse = true", "bell = \"yes\"", "timestamps = 1"] {
            assert!(build(&format!("[frontend]\nkind = \"tui\"\n{bad}\n")).is_err(), "{bad}");
        }
    }
}

chat_core::register!(dyn Frontend, Tui);
