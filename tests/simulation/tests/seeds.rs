//! Seeds, and what must hold of them.

use std::time::Duration;

use chat_simulation::plan::{Fault, Plan};
use chat_simulation::run::{Sabotage, run, run_with};

const TWO_MINUTES: Duration = Duration::from_secs(120);

/// Plans that failed once, each in a file that says what it found: the whole of it, so that it stays what it was when
/// seeds stand for something else.
#[test]
fn plans_that_failed_once_hold() {
    let mut files: Vec<_> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().file_name());
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{path:?} does not say what it found");
        let plan = Plan::from_toml(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let outcome = run(plan);
        assert_eq!(outcome.violations, [], "{path:?}");
        assert!(outcome.figures.messages > 0, "{path:?}: nothing happened");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for stack in ["udp-arq/x25519/aes-256-gcm", "tcp/x25519/aes-256-gcm", "memory/x25519/aes-256-gcm"] {
        let stack = Some(stack.parse().unwrap());
        let draw = |seed| run(Plan::draw(seed, Duration::from_secs(30), stack));
        let (first, again, other) = (draw(7), draw(7), draw(8));
        assert!(first.figures.messages > 0, "{:?}", first.figures);
        assert_eq!(first.trace, again.trace, "{stack:?}");
        assert_eq!(first.figures, again.figures);
        assert_ne!(first.trace, other.trace);
    }
}

/// A disk that says it has synced and has not: the checker must see what is lost with the power.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let broken: Vec<&str> = sabotaged(Sabotage::LyingDisks);
    assert!(broken.contains(&"P1") || broken.contains(&"P2") || broken.contains(&"P9"), "{broken:?}");
}

fn sabotaged(sabotage: Sabotage) -> Vec<&'static str> {
    let mut broken = Vec::new();
    for seed in 0..6 {
        let mut plan = Plan::draw(seed, TWO_MINUTES, None);
        plan.fault_every_ms = 4_000;
        plan.faults = vec![Fault::PowerClient, Fault::PowerRelay];
        broken.extend(run_with(plan, Some(sabotage)).violations.into_iter().map(|found| found.promise));
    }
    broken
}
