//! Colours. With `NO_COLOR` set (<https://no-color.org>) everything is told apart by its text and by
//! bold, dim and reversed letters.

use ratatui::style::{Color, Modifier, Style};

use crate::state::lines::Tone;

/// Names of authors, readable on dark and on light.
const AUTHORS: [Color; 6] =
    [Color::Green, Color::Yellow, Color::Blue, Color::Magenta, Color::LightRed, Color::LightGreen];

/// Which styles to use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    /// Whether colours may be used.
    pub(crate) colour: bool,
}

impl Theme {
    /// As the environment wishes.
    pub(crate) fn from_env() -> Self {
        Self { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn with(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colour { style.fg(colour) } else { style }
    }

    /// The gutter of a row.
    pub(crate) fn gutter(self, tone: Tone) -> Style {
        match tone {
            Tone::Theirs(_) | Tone::Own => self.dim(),
            Tone::Read => self.with(Color::Green, Modifier::BOLD),
            Tone::Failed | Tone::Alarm => self.with(Color::Red, Modifier::BOLD),
            Tone::Gap => self.with(Color::Yellow, Modifier::BOLD),
            Tone::Info | Tone::Day | Tone::Picture => self.with(Color::Cyan, Modifier::DIM),
        }
    }

    /// The name of an author.
    pub(crate) fn head(self, tone: Tone) -> Style {
        match tone {
            Tone::Theirs(number) => {
                let colour = AUTHORS.get(usize::from(number) % AUTHORS.len()).copied();
                self.with(colour.unwrap_or_default(), Modifier::BOLD)
            }
            _ => self.with(Color::Cyan, Modifier::BOLD),
        }
    }

    /// What was said.
    pub(crate) fn body(self, tone: Tone) -> Style {
        match tone {
            Tone::Theirs(_) | Tone::Own | Tone::Read => Style::new(),
            Tone::Failed | Tone::Alarm => self.with(Color::Red, Modifier::empty()),
            Tone::Gap => self.with(Color::Yellow, Modifier::empty()),
            Tone::Info | Tone::Day => self.with(Color::Cyan, Modifier::empty()),
            // What reads it needs light blocks on a dark ground, whatever the terminal's own colours are.
            Tone::Picture if self.colour => Style::new().fg(Color::White).bg(Color::Black),
            Tone::Picture => Style::new(),
        }
    }

    /// What is of less weight.
    pub(crate) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Bars.
    pub(crate) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The tab that is shown.
    pub(crate) fn tab_shown(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// A tab with something new.
    pub(crate) fn tab_unread(self) -> Style {
        self.with(Color::Yellow, Modifier::BOLD)
    }

    /// Something to look at, in a bar.
    pub(crate) fn bar_alarm(self) -> Style {
        self.with(Color::Red, Modifier::REVERSED | Modifier::BOLD)
    }
}
