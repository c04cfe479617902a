//! `cargo run --release -p chat-simulation -- --seeds A..B`: runs seeds, and says which of them break a promise.

use std::ops::Range;
use std::panic::catch_unwind;
use std::path::PathBuf;
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
    #[arg(long, value_parser = seeds, required_unless_present = "plan")]
    seeds: Option<Range<u64>>,
    /// A plan in a file, instead of what a seed draws. May be given again.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "minutes", "stack"])]
    plan: Vec<PathBuf>,
    /// The folder in which the plans that fail are kept, a file each; it is made if need be.
    #[arg(long, value_name = "FOLDER", default_value = "failed-plans")]
    keep: PathBuf,
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

/// What is to be run.
enum Work {
    Seeds(Range<u64>),
    Plans(Vec<Plan>),
}

impl Work {
    fn of(arguments: &Arguments) -> Result<Self, String> {
        if let Some(seeds) = &arguments.seeds {
            return Ok(Self::Seeds(seeds.clone()));
        }
        let read = |file: &PathBuf| {
            let wrong = |why: String| format!("{}: {why}", file.display());
            let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
            Plan::from_toml(&text).map_err(wrong)
        };
        arguments.plan.iter().map(read).collect::<Result<_, _>>().map(Self::Plans)
    }

    fn get(&self, number: u64, arguments: &Arguments) -> Option<Plan> {
        match self {
            Self::Seeds(seeds) => {
                let seed = seeds.start.checked_add(number).filter(|seed| *seed < seeds.end)?;
                Some(Plan::draw(seed, Duration::from_secs(60 * arguments.minutes), arguments.stack))
            }
            Self::Plans(plans) => plans.get(usize::try_from(number).ok()?).cloned(),
        }
    }
}

/// Sums over all that ran.
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
    let work = match Work::of(&arguments) {
        Ok(work) => work,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let Sums { seeds, failed, messages, received, packets, starts, crashes, trace } =
        run_all(&arguments, &work);
    let lasting = match &work {
        Work::Seeds(_) => format!("seeds of {} simulated minutes", arguments.minutes),
        Work::Plans(_) => "plans".to_owned(),
    };
    println!(
        "{seeds} {lasting}: {messages} messages committed, {received} receptions, {packets} packets, {starts} starts, \
         {crashes} power cuts; trace {trace:016x}; {:.1?}",
        began.elapsed()
    );
    if failed.is_empty() {
        println!("no promise was broken");
        return ExitCode::SUCCESS;
    }
    println!("{} seeds broke a promise: {failed:?}", failed.len());
    ExitCode::FAILURE
}

fn run_all(arguments: &Arguments, work: &Work) -> Sums {
    let next = AtomicU64::new(0);
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while let Some(plan) = work.get(next.fetch_add(1, Ordering::Relaxed), arguments) {
                    // What panics has a seed too.
                    let ran = catch_unwind(|| {
                        let outcome = run(plan.clone());
                        let again = arguments.twice.then(|| run(plan.clone()).trace);
                        (outcome, again)
                    });
                    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                    sums.seeds += 1;
                    match ran {
                        Ok((outcome, again)) => tell(arguments, &mut sums, &outcome, again),
                        Err(_) => {
                            let found = ["it panicked, as said above".to_owned()];
                            tell_failure(arguments, &mut sums, &plan, &found);
                        }
                    }
                }
            });
        }
    });
    sums.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn tell(arguments: &Arguments, sums: &mut Sums, outcome: &Outcome, again: Option<u64>) {
    let Outcome { plan, violations, trace, figures } = outcome;
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

/// A plan that failed: what it is, what was found, and the command that does it again; kept in a file.
fn tell_failure(arguments: &Arguments, sums: &mut Sums, plan: &Plan, found: &[String]) {
    sums.failed.push(plan.seed);
    print!("{plan}");
    for found in found {
        println!("  {found}");
    }
    let file = arguments.keep.join(format!("{}.toml", plan.seed));
    let comments: String = found.iter().map(|found| format!("# {}\n", found.replace('\n', " "))).collect();
    let kept = std::fs::create_dir_all(&arguments.keep)
        .and_then(|()| std::fs::write(&file, format!("{comments}{}", plan.to_toml())));
    match kept {
        Ok(()) => {
            println!("  again: cargo run --release -p chat-simulation -- --plan {}", file.display());
        }
        Err(error) => println!("  {} could not be written: {error}", file.display()),
    }
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
