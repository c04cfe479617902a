//! What came out, loop by loop: a line of JSON each, so that a long run can be resumed, and a table for people.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::kills::Outcome;
use crate::report::Report;

/// How many loops are wanted, and of how many messages.
const WANTED_LOOPS: usize = 1000;
const WANTED_MESSAGES: u64 = 100_000;
/// What follows this in a report is written by people and stays.
const FINDINGS: &str = "\n## Findings\n";
/// What stands above the table.
const HEAD: &str = "\
# What the crash machine has found

```sh
cargo run --release -p chat-crash-machine -- --loops 1000 --messages 100000 --log tests/crash-machine/results.jsonl --report tests/crash-machine/RESULTS.md
```

A loop takes about a minute on two cores that others use as well. `--minutes` ends it sooner: the same command goes on with
what is not done. A loop of another commit is not done, unless `--any-commit` is given; *commit* is the last one that changed
the programs or this machine, so notes like these are no new one. What broke a promise stays in the log and makes the
command fail each time, until `--again` has run it again and all promises were kept. A loop is traffic of three people with 3 to 7 blows, `kill -9` of one to four processes each at random
moments, and then everything has to arrive; each loop has people of its own. Everybody writes and reads: whoever is killed
and is no relay is a sender and a receiver at once. What is checked stands in the crate's documentation.

*acknowledged*: messages that their author was shown `delivered`, by all recipients. *lost*: acknowledged, stored or
committed, and not there. *doubled*: there twice, in history or in notifications. *other*: every other broken promise.
*overtaken*: alarms over frames that came too late to be opened, such as receipts that lay with a host who was away.

";

/// What stands above the table of cases.
const CASES_HEAD: &str = "
## Failing system calls and full disks

```sh
cargo run --release -p chat-crash-machine -- calls --log tests/crash-machine/results.jsonl --report tests/crash-machine/RESULTS.md   # needs strace
cargo run --release -p chat-crash-machine -- disk --log tests/crash-machine/results.jsonl --report tests/crash-machine/RESULTS.md    # needs root
```

Two people write to each other. In each run the n-th such call on the victim's data directory fails, n = 1, 2, 3 …, or its
disk, a tmpfs, is full; then nothing fails any more and everything that was not refused has to arrive. *failed*: runs in which
it came to that. *ended*: the program ended by itself, with an error, or was killed at that call. *refused*: messages that
their author was told were not said. *revived*: refused because a sync failed, and said all the same after the next start,
which is what a database may do then. *to the end*: n was counted up until there was no n-th call any more; where it says so, not every n was tried.

";

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Noted {
    /// A loop of traffic and kills.
    Loop(Outcome),
    /// A case of failing calls or a full disk.
    Case(CaseOutcome),
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CaseOutcome {
    pub commit: String,
    pub date: String,
    pub case: String,
    pub report: Report,
    pub seconds: u64,
}

/// What earlier runs noted.
pub fn read(log: &Path) -> Result<Vec<Noted>, Fault> {
    if !log.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(log)?;
    let parse =
        |line: &str| serde_json::from_str(line).map_err(|error| Fault(format!("{}: {error}", log.display())));
    text.lines().map(parse).collect()
}

/// Notes one more.
pub fn append(log: &Path, noted: &Noted) -> Result<(), Fault> {
    let mut line = serde_json::to_string(noted).map_err(|error| Fault(error.to_string()))?;
    line.push('\n');
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    Ok(file.write_all(line.as_bytes())?)
}

/// The loops among them.
pub fn loops(noted: &[Noted]) -> impl Iterator<Item = &Outcome> {
    noted.iter().filter_map(|noted| match noted {
        Noted::Loop(outcome) => Some(outcome),
        Noted::Case(_) => None,
    })
}

/// The cases among them.
pub fn cases(noted: &[Noted]) -> impl Iterator<Item = &CaseOutcome> {
    noted.iter().filter_map(|noted| match noted {
        Noted::Loop(_) => None,
        Noted::Case(outcome) => Some(outcome),
    })
}

/// Writes the report; what people have found in it stays.
pub fn write(report: &Path, noted: &[Noted]) -> Result<(), Fault> {
    let old = if report.exists() { std::fs::read_to_string(report)? } else { String::new() };
    let findings = old.find(FINDINGS).map_or("", |at| &old[at..]);
    Ok(std::fs::write(report, table(noted) + findings)?)
}

/// All of it as Markdown: a row a commit and kind of run.
pub fn table(noted: &[Noted]) -> String {
    let mut commits: Vec<&str> = Vec::new();
    let mut rows: BTreeMap<(usize, &str, bool, u64), Vec<&Outcome>> = BTreeMap::new();
    for outcome in loops(noted) {
        let known = commits.iter().position(|commit| *commit == outcome.commit);
        let at = known.unwrap_or_else(|| {
            commits.push(&outcome.commit);
            commits.len() - 1
        });
        let kind = (at, &*outcome.profile, outcome.auto, outcome.wanted());
        rows.entry(kind).or_default().push(outcome);
    }
    let mut table = HEAD.to_owned();
    summary(&mut table, noted, &commits);
    table.push_str("| date | commit | profile | relay | seeds | loops | messages a loop | acknowledged | killed | of them relays | lost | doubled | other | overtaken | minutes |\n");
    table.push_str("|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for ((commit, profile, auto, wanted), loops) in &rows {
        let commit = commits[*commit];
        let sum = |of: fn(&Outcome) -> u64| loops.iter().map(|outcome| of(outcome)).sum::<u64>();
        let seeds: Vec<u64> = loops.iter().map(|outcome| outcome.seed).collect();
        let date = loops.iter().map(|outcome| outcome.date.as_str()).max().unwrap_or_default();
        let (lost, doubled) = (sum(|it| it.tally.lost), sum(|it| it.tally.doubled));
        // A `String` takes everything.
        writeln!(
            table,
            "| {date} | {commit} | {} | {} | {} | {} | {wanted} | {} | {} | {} | {lost} | {doubled} | {} | {} | {} |",
            profile.trim_end_matches(".toml"),
            host(*auto),
            span(seeds),
            loops.len(),
            sum(|it| it.tally.delivered),
            sum(|it| it.kills),
            sum(|it| it.relays),
            sum(|it| it.tally.broken) - lost - doubled,
            sum(|it| it.tally.overtaken),
            sum(|it| it.seconds) / 60,
        )
        .ok();
    }
    if cases(noted).next().is_some() {
        case_table(&mut table, noted);
    }
    table
}

/// How many of the long loops are done, commit by commit, and each broken promise.
fn summary(table: &mut String, noted: &[Noted], commits: &[&str]) {
    let is_long =
        |outcome: &&Outcome| outcome.tally.delivered >= WANTED_MESSAGES && outcome.tally.broken == 0;
    for commit in commits {
        let of_it = || loops(noted).filter(|outcome| outcome.commit == *commit);
        // One that was run twice is one.
        let same = |outcome: &&Outcome| (outcome.profile.clone(), outcome.auto, outcome.seed, outcome.turn);
        let long = of_it().filter(is_long).map(|it| same(&it)).collect::<HashSet<_>>().len();
        // A `String` takes everything.
        writeln!(
            table,
            "- `{commit}`: **{long} loops of the {WANTED_LOOPS} that are wanted with {WANTED_MESSAGES} acknowledged messages each** \
             kept all promises; {} others.",
            of_it().filter(|outcome| !is_long(outcome)).count()
        )
        .ok();
    }
    let broken: Vec<String> = broken(noted);
    let broken = if broken.is_empty() { "nowhere".to_owned() } else { broken.join("; ") };
    writeln!(table, "\nA promise was broken: {broken}. (\"Of them relays\" was not counted in the longer loops of the first day.)\n").ok();
}

/// Each loop and case in which a promise was broken, and whether it has kept them since.
fn broken(noted: &[Noted]) -> Vec<String> {
    // What it is, of which commit, and whether all promises were kept.
    let of = |noted: &Noted| match noted {
        Noted::Loop(it) => {
            let (profile, host) = (it.profile.trim_end_matches(".toml"), host(it.auto));
            let name = format!("seed {}, loop {} ({profile}, {host})", it.seed, it.turn);
            (name, it.commit.clone(), it.tally.broken == 0)
        }
        Noted::Case(it) => (it.case.clone(), it.commit.clone(), it.report.broken == 0),
    };
    let mut broken = Vec::new();
    for (at, line) in noted.iter().enumerate() {
        let (name, commit, kept) = of(line);
        if !kept {
            let is_mended = |later: &Noted| of(later) == (name.clone(), commit.clone(), true);
            let since = if noted[at..].iter().any(is_mended) { ", kept when it was run again" } else { "" };
            broken.push(format!("{name} of `{commit}`{since}"));
        }
    }
    broken
}

fn host(auto: bool) -> &'static str {
    if auto { "whoever comes first" } else { "apart" }
}

/// A row a case.
fn case_table(table: &mut String, noted: &[Noted]) {
    table.push_str(CASES_HEAD);
    table.push_str("| commit | victim, moment, calls: what happens | failed | ended | to the end | acknowledged | refused | revived | lost | doubled | other | seconds |\n");
    table.push_str("|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for CaseOutcome { commit, case, report, seconds, .. } in cases(noted) {
        let Report { failed, ended, delivered, refused, revived, lost, doubled, broken, .. } = report;
        let through = if report.through { "yes" } else { "no" };
        let other = broken - lost - doubled;
        // A `String` takes everything.
        writeln!(
            table,
            "| {commit} | {case} | {failed} | {ended} | {through} | {delivered} | {refused} | {revived} | {lost} | {doubled} | {other} | {seconds} |"
        )
        .ok();
    }
}

/// The first and the last: kinds of run take turns, so there are others between.
fn span(mut numbers: Vec<u64>) -> String {
    numbers.sort_unstable();
    match (numbers.first(), numbers.last()) {
        (Some(first), Some(last)) if first != last => format!("{first}–{last}"),
        (first, _) => first.map_or_else(String::new, u64::to_string),
    }
}

/// Behind a commit: what is tested is not committed.
pub const DIRTY: &str = "-dirty";
/// Where there is no `git`.
pub const UNKNOWN: &str = "unknown";
/// What neither the programs nor this machine are made of. Not named here is, to be on the safe side.
const IRRELEVANT: [&str; 13] = [
    "*.md",
    "*/tests/*",
    ".cargo/mutants.toml",
    ".ci",
    "bench",
    "clippy.toml",
    "docs",
    "examples",
    "fuzz",
    "tests/crash-machine/results.jsonl",
    "tests/hostile",
    "tests/privacy",
    "tests/simulation",
];

/// The last commit that changed what is tested, as far as `git` knows it: that results are noted in the tree, for
/// instance, changes nothing of it.
pub fn commit() -> String {
    let mut paths = vec!["--".to_owned(), ":/".to_owned()];
    paths.extend(IRRELEVANT.map(|path| format!(":(top,exclude){path}")));
    let git = |args: &[&str]| {
        said("git", args.iter().copied().chain(paths.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    let Some(commit) = git(&["log", "-1", "--abbrev=10", "--format=%h"]) else { return UNKNOWN.to_owned() };
    let dirty = if git(&["status", "--porcelain"]).is_some() { DIRTY } else { "" };
    commit + dirty
}

/// The day, in UTC.
pub fn date() -> String {
    said("date", vec!["-u", "+%Y-%m-%d"]).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// What a program has said, if it has said something.
fn said(program: &str, args: Vec<&str>) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Tally;

    fn outcome(seed: u64, delivered: u64) -> Outcome {
        let tally = Tally { said: 100, delivered, doubled: seed, broken: seed + 1, ..Tally::default() };
        Outcome {
            commit: "c0ffee0".into(),
            date: "2026-11-21".into(),
            profile: "tcp-x25519.toml".into(),
            auto: false,
            seed,
            turn: 0,
            messages: 0,
            tally,
            kills: 5,
            relays: 2,
            seconds: 61,
        }
    }

    #[test]
    fn outcomes_are_read_as_they_were_noted_and_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        assert!(read(&log).unwrap().is_empty());
        let report =
            Report { failed: 3, delivered: 36, through: true, lost: 1, broken: 2, ..Report::default() };
        let case = CaseOutcome {
            commit: "c0ffee0".into(),
            date: "2026-11-21".into(),
            case: "Relay Work".into(),
            report,
            seconds: 7,
        };
        let mut noted =
            [(1, 100), (2, 90), (4, 100)].map(|(seed, sent)| Noted::Loop(outcome(seed, sent))).to_vec();
        noted.insert(1, Noted::Case(case));
        noted.iter().for_each(|outcome| append(&log, outcome).unwrap());
        assert_eq!(read(&log).unwrap(), noted);
        let report = folder.path().join("RESULTS.md");
        write(&report, &[]).unwrap();
        let findings = format!("{FINDINGS}\nNone.\n");
        OpenOptions::new().append(true).open(&report).unwrap().write_all(findings.as_bytes()).unwrap();
        write(&report, &noted).unwrap();
        assert_eq!(std::fs::read_to_string(&report).unwrap(), table(&noted) + &findings);
        let table = table(&noted);
        let row = "| c0ffee0 | Relay Work | 3 | 0 | yes | 36 | 0 | 0 | 1 | 0 | 1 | 7 |";
        assert!(table.contains(row), "{table}");
        let row = "| 2026-11-21 | c0ffee0 | tcp-x25519 | apart | 1–4 | 3 | 100 | 290 | 15 | 6 | 0 | 7 | 3 | 0 | 3 |";
        assert!(table.contains(row), "{table}");
    }

    #[test]
    fn each_commit_is_summed_up_and_each_broken_promise_named() {
        let long = |commit: &str, seed, broken| {
            let mut outcome = outcome(seed, WANTED_MESSAGES);
            (outcome.commit, outcome.tally.doubled, outcome.tally.broken) = (commit.to_owned(), 0, broken);
            Noted::Loop(outcome)
        };
        assert!(table(&[long("b", 1, 0)]).contains("\nA promise was broken: nowhere."));
        let noted =
            [long("b", 1, 0), long("b", 2, 1), long("a", 3, 0), long("a", 2, 0), Noted::Loop(outcome(4, 5))];
        let summed = table(&noted);
        for (commit, done, others) in [("b", 1, 1), ("a", 2, 0), ("c0ffee0", 0, 1)] {
            let line = format!(
                "- `{commit}`: **{done} loops of the 1000 that are wanted with 100000 acknowledged messages each** kept all promises; {others} others."
            );
            assert!(summed.contains(&line), "{summed}");
        }
        let (b, a) = (summed.find("`b`").unwrap(), summed.find("`a`").unwrap());
        assert!(b < a, "in the order of the log");
        let kept =
            "seed 2, loop 0 (tcp-x25519, apart) of `b`; seed 4, loop 0 (tcp-x25519, apart) of `c0ffee0`.";
        assert!(summed.contains(kept), "another commit is no second run: {summed}");
        let again = [&noted[..], &[long("b", 2, 0)]].concat();
        assert!(table(&again).contains("of `b`, kept when it was run again; seed 4"), "{}", table(&again));
    }
}
