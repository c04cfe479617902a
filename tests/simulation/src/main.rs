//! `cargo run --release -p chat-simulation -- --seeds A..B`: runs seeds, and says which of them break a promise.

use std::ops::Range;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chat_simulation::plan::Plan;
use chat_simulation::run::{Outcome, run};
use chat_simulation::stack::Stack;
use clap::Parser;

/// Runs whole nodes on virtual time over a simulated network and simulated disks, a seed each, and checks what they promise.
#[derive(Parser)]
#[command(name = "chat-simulation")]
struct Arguments {
    /// The seeds, `A..B` without `B`, or one.
    #[arg(long, value_parser = seeds)]
    seeds: Range<u64>,
    /// How many simulated minutes things go wrong in each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: u64,
    /// transport/key-exchange/cipher, instead of what the seed draws.
    #[arg(long)]
    stack: Option<Stack>,
    /// Seeds that run side by side; a thread each.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Each seed twice: both must give the same trace.
    #[arg(long)]
    twice: bool,
    /// A line for each seed, not for those alone that break a promise.
    #[arg(long)]
    list: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no seed"));
    let seeds = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => number(text).map(|seed| seed..seed.saturating_add(1))?,
    };
    if seeds.is_empty() {
        return Err("there is no seed in that; `A..B` are those from A on that are below B".to_owned());
    }
    Ok(seeds)
}

/// Sums over all seeds.
#[derive(Default)]
struct Sums {
    seeds: u64,
    failed: Vec<u64>,
    messages: u64,
    received: u64,
    packets: u64,
    starts: u64,
    crashes: u64,
    trace: u64,
}

fn main() -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    let arguments = Arguments::parse();
    let next = AtomicU64::new(arguments.seeds.start);
    let sums = Mutex::new(Sums::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seeds.end {
                        return;
                    }
                    let plan = Plan::draw(seed, Duration::from_secs(60 * arguments.minutes), arguments.stack);
                    // What panics has a seed too.
                    let ran = catch_unwind(|| {
                        let outcome = run(plan.clone());
                        let again = arguments.twice.then(|| run(plan.clone()).trace);
                        (outcome, again)
                    });
                    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                    match ran {
                        Ok((outcome, again)) => tell(&arguments, &mut sums, &outcome, again),
                        Err(_) => tell_failure(
                            &arguments,
                            &mut sums,
                            &plan,
                            &["it panicked, as said above".to_owned()],
                        ),
                    }
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Sums { seeds, failed, messages, received, packets, starts, crashes, trace } = &sums;
    println!(
        "{seeds} seeds of {} simulated minutes: {messages} messages committed, {received} receptions, \
         {packets} packets, {starts} starts, {crashes} power cuts; trace {trace:016x}; {:.1?}",
        arguments.minutes,
        began.elapsed()
    );
    if failed.is_empty() {
        println!("no promise was broken");
        return ExitCode::SUCCESS;
    }
    println!("{} seeds broke a promise: {failed:?}", failed.len());
    ExitCode::FAILURE
}

fn tell(arguments: &Arguments, sums: &mut Sums, outcome: &Outcome, again: Option<u64>) {
    let Outcome { plan, violations, trace, figures } = outcome;
    sums.seeds += 1;
    sums.messages += figures.messages;
    sums.received += figures.received;
    sums.packets += figures.packets;
    sums.starts += figures.starts;
    sums.crashes += figures.crashes;
    sums.trace ^= trace.rotate_left(u32::try_from(plan.seed % 64).unwrap_or(0));
    if arguments.list {
        println!("{} {trace:016x} {} {figures:?}", plan.seed, plan.stack);
    }
    let same = again.is_none_or(|again| again == *trace);
    if violations.is_empty() && same {
        return;
    }
    let mut found: Vec<String> = violations.iter().map(|it| format!("{}: {}", it.promise, it.what)).collect();
    if !same {
        found.push("the same seed gave another trace the second time".to_owned());
    }
    tell_failure(arguments, sums, plan, &found);
}

/// A seed that failed: what it draws, what was found, and the command that does it again.
fn tell_failure(arguments: &Arguments, sums: &mut Sums, plan: &Plan, found: &[String]) {
    sums.failed.push(plan.seed);
    println!("{plan}");
    for found in found {
        println!("  {found}");
    }
    let Arguments { minutes, stack, .. } = arguments;
    let stack = stack.map(|stack| format!(" --stack {stack}")).unwrap_or_default();
    let seed = plan.seed;
    println!("  again: cargo run --release -p chat-simulation -- --seeds {seed} --minutes {minutes}{stack}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_one_or_a_range_and_never_none() {
        assert_eq!(seeds("7"), Ok(7..8));
        assert_eq!(seeds("0..200"), Ok(0..200));
        for none in ["", "x", "5..3", "7..7", "1..2..3", "-1", "18446744073709551615", "18446744073709551616"]
        {
            assert!(seeds(none).is_err(), "{none}");
        }
    }
}
