//! What every [`Frontend`](crate::Frontend) must hold: a script of what happens and what is asked for gives the same
//! screen, whatever it looks like.
//!
//! A frontend is looked at through a [`Seat`], which is a small adapter that its tests bring: it says what is shown, types what
//! somebody would type, and sees the answers. Behind the frontend is a real [`ClientHandle`], and an engine that the
//! suite plays.
//!
//! ```ignore
//! chat_core::frontend_suite!(|client| Ok(Box::new(MySeat::new(client))));
//! ```
//!
//! No rule measures a time. What must come is waited for for a minute.

mod asking;
mod ending;
mod follower;
mod screen;
mod script;
mod showing;
mod stage;
mod world;

use super::rule::{Rule, Violation};
use crate::api::{ClientHandle, EventId};

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

/// Starts a frontend with somebody in front of it.
pub type Subject = fn(ClientHandle) -> Result<Box<dyn Seat>, Violation>;

/// Runs every rule of [`RULES`](crate::testing::frontend::RULES) as a test, on one frontend: a function, or a closure that
/// captures nothing, which starts it on a [`ClientHandle`](crate::ClientHandle) and gives the
/// [`Seat`](crate::testing::frontend::Seat) in front of it.
#[macro_export]
macro_rules! frontend_suite {
    ($start:expr) => {
        fn frontend_under_test()
        -> ::std::result::Result<$crate::testing::frontend::Subject, $crate::testing::Violation> {
            Ok($start)
        }
        $crate::__frontend_rules!(__rule_tests(frontend_under_test, $crate::testing::frontend::RULES));
    };
}

/// The list of rules, for the table and for the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __frontend_rules {
    ($then:ident $pass:tt) => {
        $crate::$then! { $pass
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
