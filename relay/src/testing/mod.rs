//! What every [`Mailbox`](crate::Mailbox) must hold, as tests that any crate runs on its own by one line. Behind the
//! feature `testing`.
//!
//! ```ignore
//! relay::mailbox_suite!(|| Box::new(MyShelf::new()) as Box<dyn relay::testing::Shelf>);
//! ```
//!
//! A [`Shelf`] is where mailboxes are kept: what was stored there is there again when it is opened anew, in good order,
//! after the process was killed, or after the power went. A copy of the files of a process that runs shows what `kill -9`
//! leaves behind, and nothing of a power cut: that takes a disk that forgets what was not synced, real or simulated. Each rule becomes a test of its own and begins with an empty shelf. No rule measures a
//! time; what must come is waited for for a minute.
//!
//! `relay/tests/suite` holds, for each rule, a mailbox that is wrong in the one way that the rule is there for, and shows
//! that the rule tells.

mod answers;
mod desk;
mod directory;
mod ends;
mod envelopes;
mod one_time;
mod quotas;
mod rooms;

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;

#[doc(hidden)]
pub use chat_core;
pub use chat_core::testing::Violation;
use chat_core::testing::{Must as _, Rule};
use tokio::runtime::Builder;

use crate::{Mailbox, MailboxLimits};

/// Where mailboxes are kept.
pub trait Shelf: Send + Sync {
    /// Opens what is kept here, or makes a new one. Called again only after the earlier one was closed and dropped.
    /// Runs in a tokio runtime.
    ///
    /// # Errors
    /// In words, what went wrong.
    fn open(&self, limits: &MailboxLimits) -> Result<Arc<dyn Mailbox>, Violation>;

    /// What would be here if the process had been killed at this moment, synced or not; the one that is open goes on.
    /// `None` if that can't be told: then nobody has tried, which the rule says on standard error.
    fn after_a_kill(&self) -> Option<Box<dyn Shelf>>;

    /// What is here after the power goes, at this moment: all that was synced, and of the rest what the disk pleases. The
    /// one that is open is dead from now on, and is dropped without being closed. `None` as above.
    fn after_a_power_cut(&self) -> Option<Box<dyn Shelf>> {
        None
    }
}

/// Makes an empty shelf.
pub type Subject = fn() -> Box<dyn Shelf>;

/// Runs every rule of [`RULES`](crate::testing::RULES) as a test, on mailboxes of one kind: of a function, or a closure that
/// captures nothing, which gives an empty [`Shelf`](crate::testing::Shelf).
#[macro_export]
macro_rules! mailbox_suite {
    ($shelf:expr) => {
        fn mailbox_under_test() -> ::std::result::Result<$crate::testing::Subject, $crate::testing::Violation>
        {
            Ok($shelf)
        }
        $crate::__mailbox_rules!([$crate::testing::chat_core::__rule_tests](
            mailbox_under_test,
            $crate::testing::RULES
        ));
    };
}

/// The list of rules, for the table and for the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __mailbox_rules {
    ([$($then:tt)+] $pass:tt) => {
        $($then)+! { $pass
            answers::{
                answers_come_in_the_order_of_the_changes,
                every_change_is_answered,
                an_answer_that_panics_is_lost_alone,
                reads_see_what_was_answered,
                dropping_write_queues_nothing
            }
            envelopes::{
                every_byte_comes_back_in_order,
                numbers_grow_and_are_never_used_twice,
                a_repeat_is_known,
                a_repeat_of_what_was_acknowledged_comes_again_but_seldom,
                what_was_acknowledged_is_gone,
                an_acknowledgement_of_the_future_skips_nothing,
                pages_are_bounded_and_fit_together,
                what_was_discarded_is_stored_again,
                what_is_too_old_is_forgotten
            }
            rooms::{
                a_rooms_envelope_reaches_every_other_member,
                only_members_write_to_a_room,
                who_joins_gets_what_comes_from_then_on,
                memberships_are_told,
                rooms_and_members_are_bounded
            }
            directory::{
                the_newest_bundle_counts,
                who_is_known_is_found,
                who_has_written_is_known,
                the_directory_is_bounded
            }
            one_time::{
                a_one_time_key_is_given_out_once,
                one_time_keys_end,
                one_time_keys_are_bounded,
                one_asker_does_not_get_all_one_time_keys,
                the_last_one_time_keys_go_slowly
            }
            quotas::{
                a_full_mailbox_refuses_until_there_is_room,
                all_mailboxes_together_are_bounded,
                so_many_peers_are_remembered
            }
            ends::{
                closing_commits_what_was_queued,
                a_closed_mailbox_says_so,
                whoever_closes_waits_for_the_end,
                everything_is_there_after_a_restart,
                a_kill_loses_nothing_that_was_answered,
                a_power_cut_loses_nothing_that_was_answered
            }
        }
    };
}

/// The table: each rule in a runtime of its own.
macro_rules! table {
    (() $($module:ident::{$($rule:ident),*})*) => {
        &[$($(Rule::new(stringify!($rule), |subject| {
            run(*subject, |shelf| Box::pin($module::$rule(shelf)))
        })),*),*]
    };
}

/// What a mailbox has to hold.
pub const RULES: &[Rule<Subject>] = __mailbox_rules!([table]());

type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), Violation>> + 'a>>;

/// Runs a rule on an empty shelf, in a runtime of its own.
fn run(subject: Subject, rule: impl for<'a> FnOnce(&'a dyn Shelf) -> Verdict<'a>) -> Result<(), Violation> {
    let runtime = Builder::new_current_thread().enable_all().build().must("making a runtime")?;
    let shelf = subject();
    let verdict = runtime.block_on(rule(&*shelf));
    runtime.shutdown_background();
    verdict
}

/// Says that something was not tried. Not to the test's output, which is hidden when it passes; if nobody hears it, nothing
/// is lost.
fn note(what: &str) {
    std::io::stderr().write_all(format!("note: {what}\n").as_bytes()).ok();
}

/// Leaves a rule with a [`Violation`] unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err($crate::testing::Violation::new(format!($($words)+)));
        }
    };
}
use ensure;
