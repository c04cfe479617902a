//! The crash machine as a program; see the library for what it does.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use chat_crash_machine::book::{Book, Loops, Standing, Terms};
use chat_crash_machine::kills::{self, Options};
use chat_crash_machine::report::Report;
use chat_crash_machine::results::{CaseOutcome, Noted};
use chat_crash_machine::{Fault, calls, disk, results};
use chat_tests::means::Means;
use chat_tests::{Profile, profiles};
use clap::{Parser, Subcommand, ValueEnum};

/// Kills the built programs while people write to each other, and checks what was promised.
///
/// Without `TEST_CHAT_FOLDER`, which names a folder with `chat` and `chat-relay`, these are built first, with the profile
/// that this program was built with.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
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
    /// Begins no further town after so many minutes; not all is done then, which is no failure. The same command with
    /// the same log goes on.
    #[arg(long)]
    minutes: Option<u64>,
    /// A built-in profile; all of them in turn if left out.
    #[arg(long)]
    profile: Option<String>,
    /// Who is the relay; both in turn if left out.
    #[arg(long, value_enum)]
    host: Option<Host>,
    /// What is tested, for the log; the last commit of this workspace that changed something of it if left out.
    #[arg(long, global = true)]
    commit: Option<String>,
    /// What the log has of other commits is done as well.
    #[arg(long, global = true)]
    any_commit: bool,
    /// Runs what broke a promise again. Until it has kept them all, the command fails whenever it is given.
    #[arg(long, global = true)]
    again: bool,
    /// A file to which each loop or case is noted as a line of JSON. What stands there of this commit is done: the same
    /// command goes on. What is not committed is never done.
    #[arg(long, global = true)]
    log: Option<PathBuf>,
    /// A Markdown file with all that stands in the log, written after each.
    #[arg(long, global = true, requires = "log")]
    report: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes the n-th system call fail, for n = 1, 2, 3 …; needs `strace`.
    Calls {
        /// The first n.
        #[arg(long, default_value_t = 1)]
        from: u32,
        /// Every how-manieth n.
        #[arg(long, default_value_t = 1)]
        step: u32,
        /// The last n, if the program does not run through before.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..65_535))]
        to: u32,
        /// Only cases whose description contains this.
        #[arg(long, default_value = "")]
        case: String,
    },
    /// Lets a disk fill up; needs to be root, to mount it.
    Disk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Host {
    /// A process of its own.
    Apart,
    /// Whoever of the people comes first.
    Auto,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let kept = match &arguments.what {
        None => run(&arguments),
        Some(What::Calls { from, step, to, case }) => failing_calls(&arguments, (*from, *step, *to), case),
        Some(What::Disk) => full_disks(&arguments),
    };
    match kept {
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

/// All cases, one after the other. Whether all promises were kept.
fn failing_calls(
    arguments: &Arguments,
    (from, step, to): (u32, u32, u32),
    only: &str,
) -> Result<bool, Fault> {
    if let Some(reason) = Means::Strace.missing() {
        return Err(Fault(reason));
    }
    let mut book = open(arguments)?;
    let mut kept = true;
    for case in calls::cases().iter().filter(|case| case.to_string().contains(only)) {
        let nths = (from..=to).step_by(step.max(1) as usize);
        // With all n, the name alone.
        let some = if (from, step) == (1, 1) { String::new() } else { format!("; n = {from} + {step}k") };
        kept &= run_case(&mut book, format!("{case}{some}"), || calls::run(case, nths))?;
    }
    Ok(kept)
}

/// The disk of each of them. Whether all promises were kept.
fn full_disks(arguments: &Arguments) -> Result<bool, Fault> {
    let mut book = open(arguments)?;
    let mut kept = true;
    for victim in disk::VICTIMS {
        kept &=
            run_case(&mut book, format!("{victim:?}, a full disk"), || disk::run(victim, disk::ROOMS_KIB))?;
    }
    Ok(kept)
}

/// What earlier runs noted, and on what terms it counts.
fn open(arguments: &Arguments) -> Result<Book<'_>, Fault> {
    let Arguments { log, report, commit, any_commit, again, .. } = arguments;
    let commit = commit.clone().unwrap_or_else(results::commit);
    let terms = Terms { commit, any_commit: *any_commit, again: *again };
    Book::open(log.as_deref(), report.as_deref(), terms)
}

/// Runs a case that is due. Whether it has kept all promises, now or before.
fn run_case(
    book: &mut Book<'_>,
    name: String,
    run: impl FnOnce() -> Result<Report, Fault>,
) -> Result<bool, Fault> {
    let standing = book.case(&name);
    if !book.is_due(standing) {
        if standing == Standing::Broken {
            say(&format!("{name}: broke a promise earlier; --again runs it again"));
        }
        return Ok(standing == Standing::Kept);
    }
    let began = Instant::now();
    let report = run()?;
    let outcome = CaseOutcome {
        commit: book.commit().to_owned(),
        date: results::date(),
        case: name,
        report,
        seconds: began.elapsed().as_secs(),
    };
    say(&serde_json::to_string(&outcome).unwrap_or_default());
    let Report { violations, kept, .. } = &outcome.report;
    if let Some(folder) = kept {
        say(&format!("  {}\nkept: {}", violations.join("\n  "), folder.display()));
    }
    let kept = kept.is_none();
    book.note(Noted::Case(outcome))?;
    Ok(kept)
}

/// Whether all promises were kept, now and before.
fn run(arguments: &Arguments) -> Result<bool, Fault> {
    let chosen = chosen(arguments)?;
    let mut book = open(arguments)?;
    let wanted = towns(arguments, &chosen);
    let (began, mut kept) = (Instant::now(), true);
    for (profile, town) in &wanted {
        if arguments.minutes.is_some_and(|minutes| began.elapsed().as_secs() >= 60 * minutes) {
            break;
        }
        if !book.is_due(book.loops(town)) {
            continue;
        }
        let options = Options {
            profile: *profile,
            auto: town.auto,
            loops: town.loops,
            messages: town.messages,
            open: arguments.open,
            commit: book.commit().to_owned(),
            seed: town.seed,
        };
        let mut noted = Ok(());
        let result = kills::run(&options, |outcome| {
            let line = serde_json::to_string(&outcome).unwrap_or_default();
            say(&line);
            noted = book.note(Noted::Loop(outcome));
        });
        noted?;
        if let Err(report) = result {
            say(&report);
            kept = false;
        }
    }
    // Also of a log that was put together elsewhere.
    book.write()?;
    Ok(sum_up(&book, &wanted) && kept)
}

/// All the loops that a command is about.
fn towns<'a>(arguments: &Arguments, chosen: &'a [(Profile, bool)]) -> Vec<(Profile, Loops<'a>)> {
    let towns = 0..arguments.loops.div_ceil(arguments.per_town.max(1));
    towns
        .map(|town| {
            let (profile, auto) = &chosen[town as usize % chosen.len()];
            let loops = arguments.per_town.min(arguments.loops - town * arguments.per_town);
            let (seed, messages) = (arguments.seed + town, arguments.messages);
            (*profile, Loops { profile: profile.name, auto: *auto, seed, loops, messages })
        })
        .collect()
}

/// Says how far it has come, and what is broken, of whichever run. Whether nothing is.
fn sum_up(book: &Book<'_>, wanted: &[(Profile, Loops<'_>)]) -> bool {
    let (mut kept, mut broken, mut all) = (0, 0, 0);
    for (_, town) in wanted {
        all += town.loops;
        match book.loops(town) {
            Standing::Open => {}
            Standing::Kept => kept += town.loops,
            Standing::Broken => {
                broken += 1;
                let Loops { profile, seed, .. } = town;
                say(&format!("seed {seed} of {profile}: broke a promise; --again runs it again"));
            }
        }
    }
    say(&format!("{}: {kept} of {all} loops kept all promises; {broken} seeds broke one", book.commit()));
    broken == 0
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
