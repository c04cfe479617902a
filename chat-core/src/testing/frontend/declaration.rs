//! What the plugin says of itself; one that is no plugin by itself has nothing to say.

use super::Subject;
use crate::testing::Violation;
use crate::testing::declared::Declared;

pub(super) fn is_registered_and_its_example_builds(subject: &Subject) -> Result<(), Violation> {
    subject.declared().map_or(Ok(()), Declared::is_registered_and_its_example_builds)
}

pub(super) fn unknown_options_are_refused(subject: &Subject) -> Result<(), Violation> {
    subject.declared().map_or(Ok(()), Declared::unknown_options_are_refused)
}

pub(super) fn name_and_summary_are_well_formed(subject: &Subject) -> Result<(), Violation> {
    subject.declared().map_or(Ok(()), Declared::words_are_well_formed)
}
