//! The frontend suite.

use std::fmt;

use chat_core::testing::frontend::{RULES, Subject};

use crate::toy_frontend::{Careless, Fault, Unregistered, Wordless, toy};
use crate::{check_each, each_rule_has_its_own_fault, expect};

/// The macro, in all its forms.
mod by_subject {
    use crate::toy_frontend::{Fault, toy};
    chat_core::frontend_suite!(subject: toy(Fault::Nothing));
}
mod by_type {
    use crate::toy_frontend::{Fault, ToyFrontend, sit_down};
    chat_core::frontend_suite!(ToyFrontend, seat: |client| sit_down(client, Fault::Nothing));
}
/// What is no plugin by itself declares nothing.
mod by_seat {
    use crate::toy_frontend::{Fault, sit_down};
    use chat_core::testing::frontend::Subject;
    chat_core::frontend_suite!(subject: Subject::new(|client| sit_down(client, Fault::Nothing)));
}

/// A frontend that may be wrong.
#[derive(Clone, Copy)]
enum Wrong {
    Runs(Fault),
    Declared(&'static str, fn() -> Subject),
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(fault) => write!(f, "a frontend with {fault:?}"),
            Self::Declared(name, _) => f.write_str(name),
        }
    }
}

impl Wrong {
    fn subject(self) -> Subject {
        match self {
            Self::Runs(fault) => toy(fault),
            Self::Declared(_, subject) => subject(),
        }
    }
}

macro_rules! declared {
    ($plugin:ident) => {
        Wrong::Declared(stringify!($plugin), || {
            Subject::of::<$plugin>(|client| crate::toy_frontend::sit_down(client, Fault::Nothing))
        })
    };
}

/// Each wrong frontend, and the rules that tell.
const FAULTS: &[(Wrong, &[&str])] = &[
    (declared!(Unregistered), &["is_registered_and_its_example_builds"]),
    (declared!(Careless), &["unknown_options_are_refused"]),
    (declared!(Wordless), &["name_and_summary_are_well_formed"]),
    (Wrong::Runs(Fault::Nothing), &[]),
    (
        Wrong::Runs(Fault::StartsEmpty),
        &[
            "it_ends_when_it_is_told",
            "it_ends_when_the_engine_is_gone",
            "many_steps_at_once_lead_to_the_same_screen",
            "the_next_one_takes_over",
            "what_there_is_is_shown_at_any_point",
        ],
    ),
    (Wrong::Runs(Fault::StartsWithoutGaps), &["what_there_is_is_shown_at_any_point"]),
    (Wrong::Runs(Fault::MissesFailures), &["every_step_is_shown"]),
    (Wrong::Runs(Fault::SwallowsAlarms), &["every_step_is_shown"]),
    (Wrong::Runs(Fault::AlarmsWithoutWords), &["every_step_is_shown"]),
    (Wrong::Runs(Fault::NeverAsksForHistory), &["many_steps_at_once_lead_to_the_same_screen"]),
    (Wrong::Runs(Fault::IgnoresThatItLags), &["who_lags_ends_at_the_same_screen"]),
    (Wrong::Runs(Fault::TrustsEventsAfterALag), &["who_lags_ends_at_the_same_screen"]),
    (Wrong::Runs(Fault::DrawsWhatItGets), &["hostile_text_acts_on_nothing"]),
    (Wrong::Runs(Fault::DrawsNothing), &["hostile_text_acts_on_nothing"]),
    (Wrong::Runs(Fault::StripsWhatItKeeps), &["hostile_text_acts_on_nothing"]),
    (Wrong::Runs(Fault::CollapsesBlanks), &["commands_reach_the_engine_as_they_were_given"]),
    (Wrong::Runs(Fault::AsksTwice), &["commands_reach_the_engine_as_they_were_given"]),
    (Wrong::Runs(Fault::TakesAnswersInOrder), &["each_answer_finds_its_question"]),
    (Wrong::Runs(Fault::SwallowsRefusals), &["a_refusal_is_shown"]),
    (Wrong::Runs(Fault::RefusesWithoutWords), &["a_refusal_is_shown"]),
    (Wrong::Runs(Fault::RefusesEverAfter), &["a_refusal_is_shown"]),
    (Wrong::Runs(Fault::IgnoresTheEnd), &["it_ends_when_it_is_told", "it_ends_when_the_engine_is_gone"]),
    (Wrong::Runs(Fault::WaitsForAnswersAtTheEnd), &["it_ends_when_it_is_told"]),
    (Wrong::Runs(Fault::FailsWithoutAnswers), &["it_ends_when_the_engine_is_gone"]),
    (Wrong::Runs(Fault::LeavesRoomsWhenItGoes), &["the_next_one_takes_over"]),
];

#[test]
fn each_fault_is_told_by_its_rules_and_by_no_other() {
    check_each(FAULTS, |(wrong, rules)| expect(RULES, &wrong.subject(), &format!("{wrong:?}"), rules));
}

#[test]
fn each_rule_sees_what_no_other_sees() {
    each_rule_has_its_own_fault(RULES, FAULTS);
}
