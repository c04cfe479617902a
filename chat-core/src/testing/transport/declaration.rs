//! What the plugin says of itself.

use super::bench::Bench;
use crate::testing::Violation;
use crate::testing::declared::Declared;
use crate::transport::Transport;

fn declared<'a>(bench: &'a Bench<'_>) -> Option<&'a Declared<dyn Transport>> {
    let declared = bench.subject().declared();
    if declared.is_none() {
        bench.note("it is no plugin by itself");
    }
    declared
}

pub(super) async fn is_registered_and_its_example_builds(bench: &Bench<'_>) -> Result<(), Violation> {
    declared(bench).map_or(Ok(()), Declared::is_registered_and_its_example_builds)
}

pub(super) async fn unknown_options_are_refused(bench: &Bench<'_>) -> Result<(), Violation> {
    declared(bench).map_or(Ok(()), Declared::unknown_options_are_refused)
}

pub(super) async fn name_and_summary_are_well_formed(bench: &Bench<'_>) -> Result<(), Violation> {
    declared(bench).map_or(Ok(()), Declared::words_are_well_formed)
}
