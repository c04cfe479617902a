//! The crash machine as a program; see the library for what it does.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use chat_crash_machine::kills::{self, Options};
use chat_crash_machine::{Fault, results};
use chat_tests::{Profile, profiles};
use clap::{Parser, ValueEnum};

/// Kills the built programs while people write to each other, and checks what was promised.
///
/// Without `TEST_CHAT_FOLDER`, which names a folder with `chat` and `chat-relay`, these are built first, with the profile
/// that this program was built with.
#[derive(Debug, Parser)]
struct Arguments {
    /// Loops altogether; over all profiles and hosts in turn.
    #[arg(long, default_value_t = 30)]
    loops: u64,
    /// Messages of a loop.
    #[arg(long, default_value_t = 1000)]
    messages: u64,
    /// Messages that somebody may have on their way before they write more.
    #[arg(long, default_value_t = 500)]
    open: u64,
    /// The first seed; each town has the next one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Loops with the same people and data directories, before others come.
    #[arg(long, default_value_t = 1)]
    per_town: u64,
    /// A built-in profile; all of them in turn if left out.
    #[arg(long)]
    profile: Option<String>,
    /// Who is the relay; both in turn if left out.
    #[arg(long, value_enum)]
    host: Option<Host>,
    /// What is tested, for the log; the commit of this workspace if left out.
    #[arg(long)]
    commit: Option<String>,
    /// A file to which each loop is noted as a line of JSON. Seeds that stand there are done.
    #[arg(long)]
    log: Option<PathBuf>,
    /// A Markdown file with all that stands in the log, written after each loop.
    #[arg(long, requires = "log")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Host {
    /// A process of its own.
    Apart,
    /// Whoever of the people comes first.
    Auto,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            say(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // Nobody reads any more: then nobody misses it.
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Whether all promises were kept.
fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let chosen = chosen(arguments)?;
    let mut outcomes = arguments.log.as_deref().map_or(Ok(Vec::new()), results::read)?;
    let commit = arguments.commit.clone().unwrap_or_else(results::commit);
    let towns = arguments.loops.div_ceil(arguments.per_town.max(1));
    let mut kept = true;
    for town in 0..towns {
        let (profile, auto) = chosen[town as usize % chosen.len()];
        let seed = arguments.seed + town;
        if results::done(&outcomes, profile.name, auto).contains(&seed) {
            continue;
        }
        let loops = arguments.per_town.min(arguments.loops - town * arguments.per_town);
        let options = Options {
            profile,
            auto,
            loops,
            messages: arguments.messages,
            open: arguments.open,
            commit: commit.clone(),
            seed,
        };
        let mut noted = Ok(());
        let result = kills::run(&options, |outcome| {
            let line = serde_json::to_string(&outcome).unwrap_or_default();
            say(&line);
            noted = note(arguments, &mut outcomes, outcome);
        });
        noted?;
        if let Err(report) = result {
            say(&report);
            kept = false;
        }
    }
    Ok(kept)
}

fn chosen(arguments: &Arguments) -> Result<Vec<(Profile, bool)>, Fault> {
    let wanted = |profile: &&Profile| {
        let name = profile.name.trim_end_matches(".toml");
        arguments.profile.as_deref().is_none_or(|wanted| wanted.trim_end_matches(".toml") == name)
    };
    let hosts: &[bool] = match arguments.host {
        None => &[false, true],
        Some(Host::Apart) => &[false],
        Some(Host::Auto) => &[true],
    };
    let profiles = profiles::ALL.iter().filter(wanted);
    let chosen: Vec<_> = profiles.flat_map(|profile| hosts.iter().map(|auto| (*profile, *auto))).collect();
    if chosen.is_empty() { Err("there is no such profile".into()) } else { Ok(chosen) }
}

fn note(
    arguments: &Arguments,
    outcomes: &mut Vec<kills::Outcome>,
    outcome: kills::Outcome,
) -> Result<(), Fault> {
    if let Some(log) = &arguments.log {
        results::append(log, &outcome)?;
    }
    outcomes.push(outcome);
    if let Some(report) = &arguments.report {
        std::fs::write(report, results::table(outcomes))?;
    }
    Ok(())
}
