//! The n-th failing system call, for n = 1, 2, 3 … until all runs through: on the relay, on whoever writes, on whoever
//! reads, while they work and at their first start. Only calls on the files of the data directory fail: a failing write
//! anywhere else may be the program's own way to wake a thread.

use std::fmt;

use chat_tests::profiles::TCP_X25519;

use crate::Fault;
use crate::kills::{bequeathed, heal, look_alone};
use crate::ledger::{Depth, Rule};
use crate::news::State;
use crate::program::Failing;
use crate::report::Report;
use crate::town::{Hosting, Link, Part, Town};

/// Files of a data directory that are of interest; those that one does not have are never called upon.
const FILES: &[&str] = &[
    "",
    "identity.key",
    "lock",
    "store.key",
    "store.key.new",
    "client.db",
    "client.db-wal",
    "client.db-shm",
    "client.db-journal",
    "client.count",
    "client.count.new",
    "relay.db",
    "relay.db-wal",
    "relay.db-shm",
    "relay.db-journal",
    "relay.db.lock",
];
/// What may go wrong with them.
pub const TROUBLES: &[(&str, &str)] = &[
    ("fsync,fdatasync", "error=EIO"),
    ("fsync,fdatasync", "error=ENOSPC"),
    ("write,pwrite64", "error=ENOSPC"),
    ("write,pwrite64", "error=EIO"),
    ("openat", "error=EMFILE"),
    ("openat", "error=EIO"),
    ("openat", "error=ENOSPC"),
    ("read,pread64", "error=EIO"),
    ("ftruncate,unlink,rename,renameat2,linkat", "error=EIO"),
    ("openat,fsync,fdatasync,write,pwrite64,ftruncate,unlink,rename,renameat2,linkat", KILL),
];
/// Not an error: the process is not there any more.
const KILL: &str = "signal=KILL";
/// One who writes. Both do both, but only this one stays away to see what becomes of what was stored.
pub const WRITER: usize = 0;
/// One who reads.
pub const READER: usize = 1;
/// Messages that everybody writes in a round of a run, and the rounds.
const MESSAGES: u32 = 6;
const ROUNDS: u32 = 3;

/// When calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The data directory does not exist yet.
    FirstStart,
    /// Started again, and then in traffic.
    Work,
}

/// A kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Whose calls fail.
    pub victim: Part,
    /// When.
    pub moment: Moment,
    /// Which.
    pub calls: &'static str,
    /// And how.
    pub how: &'static str,
    /// All behind the n-th as well.
    pub onwards: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { victim, moment, calls, how, onwards } = self;
        let onwards = if *onwards { ", from the n-th on" } else { "" };
        write!(f, "{victim:?} {moment:?} {calls}:{how}{onwards}")
    }
}

/// All kinds.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for victim in [Part::Relay, Part::Person(WRITER), Part::Person(READER)] {
        for moment in [Moment::FirstStart, Moment::Work] {
            for &(calls, how) in TROUBLES {
                // At first starts those who write and those who read are the same.
                if moment == Moment::FirstStart && victim == Part::Person(READER) {
                    continue;
                }
                cases.push(Case { victim, moment, calls, how, onwards: false });
                if how.starts_with("error=") && moment == Moment::Work {
                    cases.push(Case { victim, moment, calls, how, onwards: true });
                }
            }
        }
    }
    cases
}

/// Runs a case for these n, until one of them is not met.
pub fn run(case: &Case, nths: impl IntoIterator<Item = u32>) -> Result<Report, Fault> {
    match case.moment {
        Moment::FirstStart => first_starts(case, nths),
        Moment::Work => work(case, nths),
    }
}

fn failing(case: &Case, town: &Town, nth: u32) -> Failing {
    let data = town.data(case.victim);
    Failing {
        calls: case.calls,
        how: case.how,
        nth,
        onwards: case.onwards,
        paths: FILES
            .iter()
            .map(|file| if file.is_empty() { data.to_owned() } else { data.join(file) })
            .collect(),
        trace: town.folder().join(format!("trace-{nth}")),
    }
}

/// A first start that fails somewhere, and then one that does not: it opens, and is still the same.
fn first_starts(case: &Case, nths: impl IntoIterator<Item = u32>) -> Result<Report, Fault> {
    let mut report = Report::default();
    for nth in nths {
        let mut town = Town::new(1, TCP_X25519, Hosting::Apart { alone: nth % 2 == 0 })?;
        let failing = failing(case, &town, nth);
        let ready = town.launch(case.victim, Link::Nowhere, Some(&failing))?;
        let ended = stop(&mut town, case)?;
        let met = met(case, &failing, ended);
        report.failed += u32::from(met);
        report.ended += u32::from(ended && met);
        if !met && !ready {
            return Err(format!("{case}: not ready, without a failing call").into());
        }
        if !town.launch(case.victim, Link::Nowhere, None)? {
            town.gone(case.victim)?;
        }
        report.close(town, &format!("n = {nth}, {}", failing.which()));
        if !report.violations.is_empty() || !met {
            report.through = !met;
            break;
        }
    }
    Ok(report)
}

/// Whether the n-th call was made.
fn met(case: &Case, failing: &Failing, ended: bool) -> bool {
    failing.happened() || (case.how == KILL && ended)
}

/// Ends the victim if it has not ended by itself; whether it had.
fn stop(town: &mut Town, case: &Case) -> Result<bool, Fault> {
    let ended = !case.victim.is_alive(&town.news.read());
    // What is killed has nothing to say.
    if ended && case.how != KILL {
        town.gone(case.victim)?
    } else {
        town.kill_part(case.victim)?
    }
    Ok(ended)
}

/// The same people and the same data directories, run after run.
fn work(case: &Case, nths: impl IntoIterator<Item = u32>) -> Result<Report, Fault> {
    let mut report = Report::default();
    let mut town = Town::new(2, TCP_X25519, Hosting::Apart { alone: false })?;
    town.talk(7, usize::MAX);
    town.news.change(|state| {
        state.ledger.syncs_fail = case.calls.contains("sync");
        state.ledger.relay_fails = case.victim == Part::Relay;
    });
    town.launch(Part::Relay, Link::Town, None)?;
    town.start(WRITER)?;
    town.start(READER)?;
    town.meet()?;
    town.kill_part(case.victim)?;
    let (mut last, mut which) = (0, String::new());
    for nth in nths {
        let failing = failing(case, &town, nth);
        let result = one(&mut town, case, &failing, &mut report);
        (last, which) = (nth, failing.which());
        if let Err(fault) = &result {
            let what = format!("{fault}; open: {}", town.news.read().ledger.waiting());
            town.news.change(|state| state.ledger.broken(Rule::Stuck, what));
        }
        std::fs::remove_file(&failing.trace).ok();
        report.through = result == Ok(false);
        if report.through || !town.news.read().ledger.violations().is_empty() {
            break;
        }
        town.kill_part(case.victim)?;
    }
    if report.through || town.news.read().ledger.violations().is_empty() {
        for who in town.people() {
            if town.news.read().people[who].alive {
                town.look(who, Depth::Whole)?;
            }
        }
        town.news.change(|state| state.ledger.close());
    }
    report.close(town, &format!("n = {last}, {}", which));
    Ok(report)
}

/// Traffic with a failing call; then without, and everything has to arrive. Whether the call was met.
fn one(town: &mut Town, case: &Case, failing: &Failing, report: &mut Report) -> Result<bool, Fault> {
    // Its process is gone as soon as it says that it is not ready; until then it may be written to.
    if town.launch(case.victim, Link::Town, Some(failing))? {
        town.news.change(|state| {
            if let Part::Person(who) = case.victim {
                state.people[who].writing = true;
            }
        });
        traffic(town, case, failing)?;
    }
    let ended = stop(town, case)?;
    let met = met(case, failing, ended);
    report.failed += u32::from(met);
    report.ended += u32::from(ended && met);
    recover(town, case.victim, failing.nth % 2 == 1)?;
    Ok(met)
}

/// The victim, which is not there any more, comes back, and everything has to arrive: what a relay was shown to have
/// stored also while its author is not there, if that is wanted.
pub fn recover(town: &mut Town, victim: Part, without_author: bool) -> Result<(), Fault> {
    match victim {
        Part::Person(who) => {
            look_alone(town, who)?;
            town.start(who)?;
        }
        Part::Relay if without_author => {
            town.kill(&[WRITER], false)?;
            restart_relay(town)?;
            bequeathed(town, WRITER)?;
            town.start(WRITER)?;
        }
        Part::Relay => restart_relay(town)?,
    }
    heal(town)?;
    for who in town.people() {
        town.look(who, Depth::Due)?;
    }
    Ok(())
}

fn restart_relay(town: &mut Town) -> Result<(), Fault> {
    if town.launch(Part::Relay, Link::Town, None)? {
        Ok(())
    } else {
        Err("the relay does not start again".into())
    }
}

/// Everybody writes, round by round; until all is answered and, unless it is certain by then that the call has failed,
/// delivered; or the victim has ended. Every fourth time everything has to be delivered in spite of the failed call: the
/// program carries on, or ends.
fn traffic(town: &mut Town, case: &Case, failing: &Failing) -> Result<(), Fault> {
    let patient = failing.nth % 4 == 2 && !failing.onwards;
    for _ in 0..ROUNDS {
        town.news.change(|state| state.people.iter_mut().for_each(|presence| presence.to_say += MESSAGES));
        town.news.wait("a round with a failing call", |state: &mut State| {
            if !case.victim.is_alive(state) {
                return Some(());
            }
            let answered = state.people.iter().all(|presence| presence.is_quiet());
            let over = state.ledger.open() == 0 || (!patient && failing.happened());
            (answered && over).then_some(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_happens_to_everybody() {
        let cases = cases();
        for victim in [Part::Relay, Part::Person(WRITER), Part::Person(READER)] {
            for (calls, how) in TROUBLES {
                let same = |case: &&Case| case.victim == victim && (case.calls, case.how) == (calls, how);
                assert!(
                    cases.iter().filter(same).any(|case| case.moment == Moment::Work),
                    "{victim:?} {calls}"
                );
            }
        }
        assert!(cases.iter().any(|case| case.onwards));
    }
}
