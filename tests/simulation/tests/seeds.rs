//! Seeds, and what must hold of them.

use std::time::Duration;

use chat_simulation::plan::{Fault, Plan};
use chat_simulation::run::{Sabotage, run, run_with};

const TWO_MINUTES: Duration = Duration::from_secs(120);

/// Seeds that failed once, and what they found. What a seed draws has changed since (more kinds of trouble are drawn),
/// so they are not what keeps these faults away any more: the engine's tests of refusals that pass, of clocks, and
/// `stores/` beside this file are.
const FOUND: [(u64, &str); 6] = [
    (65, "what the relay refused for a while was forgotten when it took something else meanwhile"),
    (104, "the same; and a clock set back kept messages from history for hours"),
    (301, "a clock set back"),
    (331, "after a sync that failed and a kill -9, what was committed later was lost with the power"),
    (472, "the same"),
    (619, "a clock set back"),
];

#[test]
fn seeds_that_failed_once_hold() {
    for (seed, found) in FOUND {
        let outcome = run(Plan::draw(seed, TWO_MINUTES, None));
        assert_eq!(outcome.violations, [], "seed {seed}, which found: {found}");
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
