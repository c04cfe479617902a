//! What every [`Frontend`] must hold: a script of what happens and what is asked for gives the same
//! screen, whatever it looks like.
//!
//! A frontend is looked at through a [`Seat`], which is a small adapter that its tests bring: it says what is shown, types what
//! somebody would type, and sees the answers. Behind the frontend is a real [`ClientHandle`], and an engine that the
//! suite plays.
//!
//! ```ignore
//! chat_core::frontend_suite!(MyFrontend, seat: |client| Ok(Box::new(MySeat::new(client))));
//! ```
//!
//! No rule measures a time. What must come is waited for for a minute.

mod asking;
mod declaration;
mod ending;
mod follower;
mod screen;
mod script;
mod showing;
mod stage;
mod world;

use super::declared::Declared;
use super::rule::{Rule, Violation};
use crate::api::{ClientHandle, EventId};
use crate::frontend::Frontend;
use crate::plugin::Plugin;

pub use follower::{Follower, Unknown};
pub use screen::{Conversation, Message, Screen};

/// Somebody in front of a frontend that runs. Dropping it kills the frontend, as far as one can be killed: its streams end, its
/// screen is gone.
pub trait Seat {
    /// What is shown once everything up to and with this event was taken in; what somebody sees who looks everywhere.
    ///
    /// # Errors
    /// That the event never came, or what went wrong.
    fn screen(&mut self, event: EventId) -> Result<Screen, Violation>;

    /// Everything that was written to a screen for people, if there is one: all that is to be seen now, without what the
    /// frontend itself sends to place and colour it; rows end with line feeds.
    ///
    /// # Errors
    /// What went wrong.
    fn drawn(&mut self) -> Result<Option<String>, Violation>;

    /// Types a line that begins with a slash, as in [`crate::api::table`], and presses Enter; gives a number to know its answer by.
    ///
    /// # Errors
    /// What went wrong.
    fn type_line(&mut self, line: &str) -> Result<u64, Violation>;

    /// The next answer that is shown; waits for it.
    ///
    /// # Errors
    /// That none came.
    fn answer(&mut self) -> Result<Answered, Violation>;

    /// Waits until the frontend has ended by itself.
    ///
    /// # Errors
    /// That it does not, or how it failed.
    fn end(self: Box<Self>) -> Result<(), Violation>;
}

/// An answer as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What [`Seat::type_line`] gave.
    pub to: u64,
    /// The words of the refusal, if it is one, perhaps among others.
    pub refused: Option<String>,
}

type Start = dyn Fn(ClientHandle) -> Result<Box<dyn Seat>, Violation> + Send + Sync;

/// A frontend that is put to the test: how to start one with somebody in front of it.
pub struct Subject {
    declared: Option<Declared<dyn Frontend>>,
    start: Box<Start>,
}

impl Subject {
    /// A frontend of any make.
    pub fn new(
        start: impl Fn(ClientHandle) -> Result<Box<dyn Seat>, Violation> + Send + Sync + 'static,
    ) -> Self {
        Self { declared: None, start: Box::new(start) }
    }

    /// The plugin `P`.
    pub fn of<P: Plugin<dyn Frontend>>(
        start: impl Fn(ClientHandle) -> Result<Box<dyn Seat>, Violation> + Send + Sync + 'static,
    ) -> Self {
        Self { declared: Some(Declared::of::<P>()), ..Self::new(start) }
    }

    /// What it says of itself, if it is a plugin.
    fn declared(&self) -> Option<&Declared<dyn Frontend>> {
        self.declared.as_ref()
    }

    fn start(&self, client: ClientHandle) -> Result<Box<dyn Seat>, Violation> {
        (self.start)(client)
    }
}

/// Runs every rule of [`RULES`](crate::testing::frontend::RULES) as a test, on one frontend: `seat` is a function that starts
/// it on a [`ClientHandle`](crate::ClientHandle) and gives the [`Seat`](crate::testing::frontend::Seat) in front of it.
///
/// ```ignore
/// chat_core::frontend_suite!(MyFrontend, seat: |client| Ok(Box::new(MySeat::new(client))));
/// chat_core::frontend_suite!(subject: Subject::new(|client| Ok(Box::new(MySeat::new(client))))); // no plugin by itself
/// ```
#[macro_export]
macro_rules! frontend_suite {
    (subject: $subject:expr) => {
        fn frontend_under_test()
        -> ::std::result::Result<$crate::testing::frontend::Subject, $crate::testing::Violation> {
            Ok($subject)
        }
        $crate::__frontend_rules!(__rule_tests(frontend_under_test, $crate::testing::frontend::RULES));
    };
    ($plugin:ty, seat: $start:expr) => {
        $crate::frontend_suite!(subject: $crate::testing::frontend::Subject::of::<$plugin>($start));
    };
}

/// The list of rules, for the table and for the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __frontend_rules {
    ($then:ident $pass:tt) => {
        $crate::$then! { $pass
            [itself] declaration::{
                is_registered_and_its_example_builds,
                unknown_options_are_refused,
                name_and_summary_are_well_formed
            }
            [itself] showing::{
                what_there_is_is_shown_at_any_point,
                every_step_is_shown,
                many_steps_at_once_lead_to_the_same_screen,
                who_lags_ends_at_the_same_screen,
                hostile_text_acts_on_nothing
            }
            [itself] asking::{
                commands_reach_the_engine_as_they_were_given,
                each_answer_finds_its_question,
                a_refusal_is_shown
            }
            [itself] ending::{
                it_ends_when_it_is_told,
                it_ends_when_the_engine_is_gone,
                the_next_one_takes_over
            }
        }
    };
}

/// What a frontend has to hold.
pub const RULES: &[Rule<Subject>] = __frontend_rules!(__rule_table(Subject));
