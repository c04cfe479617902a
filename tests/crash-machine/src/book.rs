//! The book of a long run: what of it is done, by a commit, and what has broken a promise and is not to be forgotten.
//!
//! A run of days is one command, given again and again. What a line of the log says counts for the commit it was of;
//! of that, what has kept all promises is done. What broke one stays broken, so that the command fails, until it was run
//! again and has kept them (`--again`); an attempt that was interrupted changes nothing.

use std::path::Path;

use crate::Fault;
use crate::kills::Outcome;
use crate::results::{self, CaseOutcome, Noted};

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not done yet.
    Open,
    /// Done, and all promises were kept.
    Kept,
    /// A promise was broken, and since then it was not run again to its end.
    Broken,
}

/// The loops of some people, as a command wants them.
#[derive(Debug, Clone, Copy)]
pub struct Loops<'a> {
    /// The file name of the profile.
    pub profile: &'a str,
    /// The people host.
    pub auto: bool,
    /// Of the people.
    pub seed: u64,
    /// How many loops they go through.
    pub loops: u64,
    /// Messages of a loop.
    pub messages: u64,
}

/// What counts, and what is run.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What is tested.
    pub commit: String,
    /// Lines of all commits count.
    pub any_commit: bool,
    /// What broke a promise is run again.
    pub again: bool,
}

/// The log and the report.
pub struct Book<'a> {
    log: Option<&'a Path>,
    report: Option<&'a Path>,
    terms: Terms,
    noted: Vec<Noted>,
}

impl<'a> Book<'a> {
    /// With what earlier runs noted.
    pub fn open(log: Option<&'a Path>, report: Option<&'a Path>, terms: Terms) -> Result<Self, Fault> {
        let noted = log.map_or(Ok(Vec::new()), results::read)?;
        Ok(Self { log, report, terms, noted })
    }

    /// What is tested.
    pub fn commit(&self) -> &str {
        &self.terms.commit
    }

    /// Notes one more.
    pub fn note(&mut self, noted: Noted) -> Result<(), Fault> {
        if let Some(log) = self.log {
            results::append(log, &noted)?;
        }
        self.noted.push(noted);
        self.write()
    }

    /// Writes the report.
    pub fn write(&self) -> Result<(), Fault> {
        if let Some(report) = self.report {
            results::write(report, &self.noted)?;
        }
        Ok(())
    }

    /// How these loops stand.
    pub fn loops(&self, wanted: &Loops<'_>) -> Standing {
        let is_of_it = |outcome: &&Outcome| {
            (&*outcome.profile, outcome.auto, outcome.seed) == (wanted.profile, wanted.auto, wanted.seed)
                && outcome.wanted() == wanted.messages
                && self.counts(&outcome.commit)
        };
        let (mut standing, mut done) = (Standing::Open, 0);
        for outcome in results::loops(&self.noted).filter(is_of_it) {
            // Each attempt has people of its own, from the first loop on.
            done = if outcome.turn == 0 { 1 } else { done + 1 };
            if outcome.tally.broken > 0 {
                standing = Standing::Broken;
            } else if done >= wanted.loops {
                standing = Standing::Kept;
            }
        }
        standing
    }

    /// How a case stands.
    pub fn case(&self, name: &str) -> Standing {
        let is_it = |outcome: &&CaseOutcome| outcome.case == name && self.counts(&outcome.commit);
        let last = results::cases(&self.noted).filter(is_it).last();
        last.map_or(Standing::Open, |outcome| match outcome.report.broken {
            0 => Standing::Kept,
            _ => Standing::Broken,
        })
    }

    /// Whether something that stands so is to be run.
    pub fn is_due(&self, standing: Standing) -> bool {
        match standing {
            Standing::Open => true,
            Standing::Kept => !self.is_certain(),
            Standing::Broken => self.terms.again || !self.is_certain(),
        }
    }

    /// What is not committed may be something else each time, so nothing of it is done for good.
    fn is_certain(&self) -> bool {
        let commit = self.commit();
        self.terms.any_commit || !(commit.ends_with(results::DIRTY) || commit == results::UNKNOWN)
    }

    fn counts(&self, commit: &str) -> bool {
        self.terms.any_commit || commit == self.terms.commit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Tally;
    use crate::report::Report;

    const WANTED: Loops<'_> = Loops { profile: "p.toml", auto: false, seed: 7, loops: 2, messages: 100 };

    fn turn(commit: &str, turn: u64, broken: u64) -> Noted {
        Noted::Loop(Outcome {
            commit: commit.into(),
            date: "2026-11-21".into(),
            profile: WANTED.profile.into(),
            auto: WANTED.auto,
            seed: WANTED.seed,
            turn,
            messages: WANTED.messages,
            tally: Tally { broken, ..Tally::default() },
            kills: 3,
            relays: 1,
            seconds: 1,
        })
    }

    fn book(commit: &str, noted: &[Noted]) -> Book<'static> {
        let terms = Terms { commit: commit.into(), any_commit: false, again: false };
        Book { log: None, report: None, terms, noted: noted.to_vec() }
    }

    #[test]
    fn what_broke_a_promise_stays_broken_until_it_has_kept_them_all() {
        let mut book = book("now", &[]);
        assert_eq!(book.loops(&WANTED), Standing::Open);
        for (noted, then) in [
            (turn("now", 0, 0), Standing::Open),
            (turn("now", 1, 1), Standing::Broken),
            // Interrupted behind the first loop; and once more.
            (turn("now", 0, 0), Standing::Broken),
            (turn("now", 0, 0), Standing::Broken),
            (turn("now", 1, 0), Standing::Kept),
            (turn("now", 0, 2), Standing::Broken),
        ] {
            book.note(noted).unwrap();
            assert_eq!(book.loops(&WANTED), then);
        }
        assert!(
            !book.is_due(Standing::Broken) && !book.is_due(Standing::Kept) && book.is_due(Standing::Open)
        );
        book.terms.again = true;
        assert!(book.is_due(Standing::Broken) && !book.is_due(Standing::Kept));
    }

    #[test]
    fn only_the_same_loops_of_the_same_commit_are_done() {
        let mut book = book("now", &[turn("before", 0, 0), turn("before", 1, 0)]);
        assert_eq!(book.loops(&WANTED), Standing::Open);
        book.terms.any_commit = true;
        assert_eq!(book.loops(&WANTED), Standing::Kept);
        for other in [
            Loops { profile: "q.toml", ..WANTED },
            Loops { auto: true, ..WANTED },
            Loops { seed: 8, ..WANTED },
            Loops { loops: 3, ..WANTED },
            Loops { messages: 1000, ..WANTED },
        ] {
            assert_eq!(book.loops(&other), Standing::Open, "{other:?}");
        }
    }

    #[test]
    fn what_is_not_committed_is_never_done() {
        for commit in ["c0ffee0-dirty", "unknown"] {
            let mut book = book(commit, &[turn(commit, 0, 0), turn(commit, 1, 0)]);
            let standing = book.loops(&WANTED);
            assert_eq!((standing, book.is_due(standing)), (Standing::Kept, true));
            book.terms.any_commit = true;
            assert!(!book.is_due(Standing::Kept));
        }
    }

    #[test]
    fn cases_stand_as_their_last_run() {
        let case = |commit: &str, broken| {
            Noted::Case(CaseOutcome {
                commit: commit.into(),
                date: "2026-11-21".into(),
                case: "Relay Work".into(),
                report: Report { broken, ..Report::default() },
                seconds: 1,
            })
        };
        let mut book = book("now", &[case("before", 0)]);
        assert_eq!(book.case("Relay Work"), Standing::Open);
        for (broken, then) in [(1, Standing::Broken), (0, Standing::Kept), (2, Standing::Broken)] {
            book.note(case("now", broken)).unwrap();
            assert_eq!((book.case("Relay Work"), book.case("Relay")), (then, Standing::Open));
        }
    }
}
