//! The suites are put to the test themselves: a correct plugin keeps every rule, and for each rule there is
//! a plugin that is broken in the one way the rule is there for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

mod cipher;
mod frontend;
mod key_exchange;
mod toy_bytes;
mod toy_cipher;
mod toy_exchange;
mod toy_frontend;
mod toy_transport;
mod transport;

use std::collections::BTreeSet;

use chat_core::testing::{Rule, check};

/// Rules that take a tenth of a second or more. They are tried on sound plugins and on the faults they are
/// there for; on all the others they would take most of the time and tell nothing.
const SLOW: &[&str] = &[
    "messages_of_every_length_open_again",
    "messages_of_all_sizes_go_both_ways",
    "every_flipped_bit_of_a_frame_is_refused",
    "frames_open_in_any_order",
    "a_frame_far_ahead_opens_or_is_called_so",
    "only_changes_are_saved_and_they_are_small",
    "many_steps_at_once_lead_to_the_same_screen",
    "who_lags_ends_at_the_same_screen",
];

/// The names of the rules that the subject breaks, of all that are quick or expected.
fn broken<S>(rules: &[Rule<S>], subject: &S, expected: &[&str]) -> BTreeSet<&'static str> {
    let tried = rules.iter().filter(|rule| !SLOW.contains(&rule.name()) || expected.contains(&rule.name()));
    tried.filter(|rule| rule.check(subject).is_err()).map(Rule::name).collect()
}

/// Each rule is broken, and alone, by one of the faults at least: it sees what no other rule sees.
fn each_rule_has_its_own_fault<S, F>(rules: &[Rule<S>], faults: &[(F, &[&str])]) {
    let alone: BTreeSet<&str> =
        faults.iter().filter_map(|(_, names)| if let [only] = names { Some(*only) } else { None }).collect();
    let without: Vec<_> = rules.iter().map(Rule::name).filter(|name| !alone.contains(name)).collect();
    assert!(without.is_empty(), "no fault breaks these alone: {without:?}");
    let names: BTreeSet<_> = rules.iter().map(Rule::name).collect();
    assert_eq!(names.len(), rules.len(), "a name stands for two rules");
}

/// That these rules are broken, among others.
fn expect_some<S>(rules: &[Rule<S>], subject: &S, what: &str, names: &[&str]) -> Result<(), String> {
    let found: BTreeSet<_> = names.iter().filter(|name| check(rules, name, subject).is_err()).collect();
    if found.len() == names.len() { Ok(()) } else { Err(format!("{what} breaks only {found:?}")) }
}

/// Checks all of them, on as many threads as there are processors, and names every one that fails.
fn check_each<T: Sync>(items: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let check = &check;
    assert!(!items.is_empty());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |n| items.iter().skip(n).step_by(threads).filter_map(|item| check(item).err());
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|n| scope.spawn(move || share(n).collect::<Vec<_>>())).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// That exactly these rules are broken.
fn expect<S>(rules: &[Rule<S>], subject: &S, what: &str, names: &[&str]) -> Result<(), String> {
    let (found, expected) = (broken(rules, subject, names), names.iter().copied().collect());
    if found == expected { Ok(()) } else { Err(format!("{what} breaks {found:?}, not {expected:?}")) }
}
