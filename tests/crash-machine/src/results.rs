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

A loop takes about a minute on two cores that others use as well. `--minutes` ends it sooner: the same command goes on after
the last seed in the log. A loop is traffic of three people with 3 to 7 blows, `kill -9` of one to four processes each at random
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

/// The seeds of a kind of run that are done.
pub fn done(noted: &[Noted], profile: &str, auto: bool) -> HashSet<u64> {
    let same = |outcome: &&Outcome| outcome.profile == profile && outcome.auto == auto;
    loops(noted).filter(same).map(|outcome| outcome.seed).collect()
}

/// Whether a case is done.
pub fn is_done(noted: &[Noted], case: &str) -> bool {
    noted.iter().any(|noted| matches!(noted, Noted::Case(outcome) if outcome.case == case))
}

fn loops(noted: &[Noted]) -> impl Iterator<Item = &Outcome> {
    noted.iter().filter_map(|noted| match noted {
        Noted::Loop(outcome) => Some(outcome),
        Noted::Case(_) => None,
    })
}

fn cases(noted: &[Noted]) -> impl Iterator<Item = &CaseOutcome> {
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
    let mut rows: BTreeMap<(&str, &str, bool, u64), Vec<&Outcome>> = BTreeMap::new();
    for outcome in loops(noted) {
        let kind = (&*outcome.commit, &*outcome.profile, outcome.auto, outcome.tally.said);
        rows.entry(kind).or_default().push(outcome);
    }
    let long = loops(noted).filter(|outcome| outcome.tally.delivered >= WANTED_MESSAGES).count();
    let mut table = HEAD.to_owned();
    // A `String` takes everything.
    write!(
        table,
        "**{long} loops of the {WANTED_LOOPS} that are wanted with {WANTED_MESSAGES} acknowledged messages each**, and {} shorter \
         ones. (\"Of them relays\" was not counted in the longer ones of the first day.)\n\n",
        loops(noted).count() - long
    )
    .ok();
    table.push_str("| date | commit | profile | relay | seeds | loops | messages a loop | acknowledged | killed | of them relays | lost | doubled | other | overtaken | minutes |\n");
    table.push_str("|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for ((commit, profile, auto, said), loops) in &rows {
        let sum = |of: fn(&Outcome) -> u64| loops.iter().map(|outcome| of(outcome)).sum::<u64>();
        let seeds: Vec<u64> = loops.iter().map(|outcome| outcome.seed).collect();
        let date = loops.iter().map(|outcome| outcome.date.as_str()).max().unwrap_or_default();
        let (lost, doubled) = (sum(|it| it.tally.lost), sum(|it| it.tally.doubled));
        // A `String` takes everything.
        writeln!(
            table,
            "| {date} | {commit} | {} | {} | {} | {} | {said} | {} | {} | {} | {lost} | {doubled} | {} | {} | {} |",
            profile.trim_end_matches(".toml"),
            if *auto { "whoever comes first" } else { "apart" },
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

/// The commit that is tested, as far as `git` knows it.
pub fn commit() -> String {
    said("git", &["describe", "--always", "--dirty", "--exclude=*"])
}

/// The day, in UTC.
pub fn date() -> String {
    said("date", &["-u", "+%Y-%m-%d"])
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
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
        assert_eq!(done(&noted, "tcp-x25519.toml", false), HashSet::from([1, 2, 4]));
        assert!(done(&noted, "tcp-x25519.toml", true).is_empty());
        let report = folder.path().join("RESULTS.md");
        write(&report, &[]).unwrap();
        let findings = format!("{FINDINGS}\nNone.\n");
        OpenOptions::new().append(true).open(&report).unwrap().write_all(findings.as_bytes()).unwrap();
        write(&report, &noted).unwrap();
        assert_eq!(std::fs::read_to_string(&report).unwrap(), table(&noted) + &findings);
        assert!(is_done(&noted, "Relay Work") && !is_done(&noted, "Relay"));
        let table = table(&noted);
        let row = "| c0ffee0 | Relay Work | 3 | 0 | yes | 36 | 0 | 0 | 1 | 0 | 1 | 7 |";
        assert!(table.contains(row), "{table}");
        let row = "| 2026-11-21 | c0ffee0 | tcp-x25519 | apart | 1–4 | 3 | 100 | 290 | 15 | 6 | 0 | 7 | 3 | 0 | 3 |";
        assert!(table.contains(row), "{table}");
    }
}
