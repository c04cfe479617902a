//! Seeds, and what must hold of them.

use std::time::Duration;

use chat_simulation::plan::{Fault, Hosting, Plan};
use chat_simulation::run::{Sabotage, run, run_with};

const TWO_MINUTES: Duration = Duration::from_secs(120);

/// Plans that failed once, each in a file that says what it found: the whole of it, so that it stays what it was when
/// seeds stand for something else.
#[test]
fn plans_that_failed_once_hold() {
    let mut files: Vec<_> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().file_name());
    assert!(files.len() >= 9, "{files:?}");
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

/// Also where a mailbox can't be opened, in a second world of the same process.
#[test]
fn the_same_plan_of_hosts_gives_the_same_trace() {
    let mut plan = Plan::draw(480, Duration::from_secs(60), None);
    (plan.hosting, plan.fault_every_ms) = (Hosting::Auto, 1_000);
    plan.faults = vec![Fault::DiskClient, Fault::DiskRelay, Fault::KillRelay];
    let (first, again) = (run(plan.clone()), run(plan));
    assert!(first.figures.hosts > 2, "{:?}", first.figures);
    assert_eq!(first.trace, again.trace);
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

/// A panic is a broken promise also if nobody waits for who panics.
#[test]
fn a_task_that_panics_is_found_out() {
    let mut plan = Plan::draw(2, Duration::from_secs(5), None).calm();
    plan.people = 2;
    let broken = run_with(plan, Some(Sabotage::Panic)).violations;
    assert!(matches!(&broken[..], [found] if found.promise == "P10"), "{broken:?}");
}

/// With `host = "auto"` whoever is there first is the relay; others take its place when it goes, however it goes.
#[test]
fn hosts_come_and_go() {
    let (mut changes, mut runs) = (0, 0);
    for stack in ["udp-arq/x25519/aes-256-gcm", "tcp/x25519-ratchet/aes-256-gcm", "memory/x25519/aes-256-gcm"]
    {
        for faults in
            [vec![Fault::ReplaceRelay], vec![Fault::KillRelay, Fault::PowerRelay, Fault::CommitRelay]]
        {
            let mut plan = Plan::draw(2, Duration::from_secs(60), Some(stack.parse().unwrap())).calm();
            (plan.people, plan.send_every_ms, plan.text_bytes) = (3, 500, 2_000);
            (plan.hosting, plan.faults, plan.fault_every_ms) = (Hosting::Auto, faults, 10_000);
            let outcome = run(plan);
            assert_eq!(outcome.violations, [], "{stack}");
            assert!(outcome.figures.messages > 20, "{stack}: {:?}", outcome.figures);
            (changes, runs) = (changes + outcome.figures.hosts - 1, runs + 1);
        }
    }
    assert!(changes >= 2 * runs, "{changes} changes of the host in {runs} runs");
}

/// On links within the process too, what a machine had is gone with it.
#[test]
fn faults_of_machines_hold_on_memory_too() {
    for seed in 0..4 {
        let stack = "memory/x25519/aes-256-gcm".parse().unwrap();
        let mut plan = Plan::draw(seed, Duration::from_secs(60), Some(stack));
        (plan.hosting, plan.fault_every_ms) = (Hosting::Apart, 4_000);
        let outcome = run(plan);
        assert_eq!(outcome.violations, [], "seed {seed}");
    }
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
