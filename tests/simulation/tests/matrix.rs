//! Every stack that the program can be made of. `cargo test -p chat-simulation --test matrix -- --nocapture` prints the
//! table.

use std::time::Duration;

// Links what the program has.
use chat as _;
use chat_core::Registry;
use chat_simulation::plan::Plan;
use chat_simulation::run::run;
use chat_simulation::stack::{CIPHERS, KEY_EXCHANGES, Stack, TRANSPORTS};

/// Their libraries draw their own randomness, so no seed repeats them; that of QUIC keeps its own time as well.
const NOT_REPEATABLE: [&str; 2] = ["quic", "tls"];

/// A plugin that the program gets has a place in the simulation too.
#[test]
fn the_stacks_are_those_of_the_program() {
    let registry = Registry::linked().unwrap();
    let linked = |kind: &str| -> Vec<&str> {
        let of_kind = registry.iter().filter(|entry| entry.kind.to_string() == kind);
        of_kind.map(|entry| entry.name).filter(|name| !NOT_REPEATABLE.contains(name)).collect()
    };
    for (kind, mine) in
        [("transport", &TRANSPORTS[..]), ("key exchange", &KEY_EXCHANGES[..]), ("cipher", &CIPHERS[..])]
    {
        let mut mine = mine.to_vec();
        mine.sort_unstable();
        assert_eq!(linked(kind), mine, "{kind}");
    }
}

/// Every stack carries two people through the same story, without faults.
#[test]
fn every_stack_carries_two_people() {
    let mut table = String::from(
        "| transport/key-exchange/cipher | messages | receptions | packets |\n|---|---|---|---|\n",
    );
    let mut stacks = 0;
    for stack in Stack::all() {
        let mut plan = Plan::draw(2, Duration::from_secs(20), Some(stack)).calm();
        (plan.people, plan.send_every_ms, plan.text_bytes) = (2, 500, 2_000);
        let outcome = run(plan);
        assert_eq!(outcome.violations, [], "{stack}");
        let figures = outcome.figures;
        assert!(figures.messages > 10 && figures.received == figures.messages, "{stack}: {figures:?}");
        table +=
            &format!("| {stack} | {} | {} | {} |\n", figures.messages, figures.received, figures.packets);
        stacks += 1;
    }
    println!("{table}");
    assert_eq!(stacks, TRANSPORTS.len() * KEY_EXCHANGES.len() * CIPHERS.len());
}
