//! What came out, loop by loop: a line of JSON each, so that a long run can be resumed, and a table for people.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::Fault;
use crate::kills::Outcome;

/// What stands above the table.
const HEAD: &str = "\
# What the crash machine has found

```sh
cargo run --release -p chat-crash-machine -- --loops 1000 --messages 100000 --log crash.jsonl --report tests/crash-machine/RESULTS.md
```

`kill -9` at random moments, see the crate's documentation for what is checked. A loop is traffic of three people with 3 to 7
blows of one to four processes, and then everything has to arrive; each loop has people of its own. *acknowledged*: messages
that their author was shown `delivered`, by all recipients. *lost*: acknowledged, stored or committed, and not there.
*doubled*: there twice, in history or in notifications. *other*: every other broken promise. *overtaken*: alarms over
frames that came too late to be opened, such as receipts that lay with a host who was away.

";

/// Outcomes of earlier runs.
pub fn read(log: &Path) -> Result<Vec<Outcome>, Fault> {
    if !log.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(log)?;
    let parse =
        |line: &str| serde_json::from_str(line).map_err(|error| Fault(format!("{}: {error}", log.display())));
    text.lines().map(parse).collect()
}

/// Notes one more.
pub fn append(log: &Path, outcome: &Outcome) -> Result<(), Fault> {
    let mut line = serde_json::to_string(outcome).map_err(|error| Fault(error.to_string()))?;
    line.push('\n');
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    Ok(file.write_all(line.as_bytes())?)
}

/// The seeds of a kind of run that are done.
pub fn done(outcomes: &[Outcome], profile: &str, auto: bool) -> HashSet<u64> {
    let same = |outcome: &&Outcome| outcome.profile == profile && outcome.auto == auto;
    outcomes.iter().filter(same).map(|outcome| outcome.seed).collect()
}

/// All of it as Markdown: a row a commit and kind of run.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut rows: BTreeMap<(&str, &str, bool), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        rows.entry((&outcome.commit, &outcome.profile, outcome.auto)).or_default().push(outcome);
    }
    let mut table = HEAD.to_owned();
    table.push_str("| date | commit | profile | relay | seeds | loops | acknowledged | fewest a loop | killed | lost | doubled | other | overtaken | minutes |\n");
    table.push_str("|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for ((commit, profile, auto), loops) in &rows {
        let sum = |of: fn(&Outcome) -> u64| loops.iter().map(|outcome| of(outcome)).sum::<u64>();
        let seeds: Vec<u64> = loops.iter().map(|outcome| outcome.seed).collect();
        let date = loops.iter().map(|outcome| outcome.date.as_str()).max().unwrap_or_default();
        let (lost, doubled) = (sum(|it| it.tally.lost), sum(|it| it.tally.doubled));
        let fewest = loops.iter().map(|outcome| outcome.tally.delivered).min().unwrap_or_default();
        // A `String` takes everything.
        writeln!(
            table,
            "| {date} | {commit} | {} | {} | {} | {} | {} | {fewest} | {} | {lost} | {doubled} | {} | {} | {} |",
            profile.trim_end_matches(".toml"),
            if *auto { "whoever comes first" } else { "apart" },
            ranges(seeds),
            loops.len(),
            sum(|it| it.tally.delivered),
            sum(|it| it.kills),
            sum(|it| it.tally.broken) - lost - doubled,
            sum(|it| it.tally.overtaken),
            sum(|it| it.seconds) / 60,
        )
        .ok();
    }
    table
}

/// `1–4, 7`
fn ranges(mut numbers: Vec<u64>) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let show = |(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}–{to}") };
    ranges.iter().map(show).collect::<Vec<_>>().join(", ")
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
        let tally = Tally { delivered, doubled: seed, broken: seed + 1, ..Tally::default() };
        Outcome {
            commit: "c0ffee0".into(),
            date: "2026-11-21".into(),
            profile: "tcp-x25519.toml".into(),
            auto: false,
            seed,
            turn: 0,
            tally,
            kills: 5,
            seconds: 61,
        }
    }

    #[test]
    fn outcomes_are_read_as_they_were_noted_and_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.jsonl");
        assert!(read(&log).unwrap().is_empty());
        let noted = [outcome(1, 100), outcome(2, 90), outcome(4, 100)];
        noted.iter().for_each(|outcome| append(&log, outcome).unwrap());
        assert_eq!(read(&log).unwrap(), noted);
        assert_eq!(done(&noted, "tcp-x25519.toml", false), HashSet::from([1, 2, 4]));
        assert!(done(&noted, "tcp-x25519.toml", true).is_empty());
        let table = table(&noted);
        let row =
            "| 2026-11-21 | c0ffee0 | tcp-x25519 | apart | 1–2, 4 | 3 | 290 | 90 | 15 | 0 | 7 | 3 | 0 | 3 |";
        assert!(table.contains(row), "{table}");
    }
}
