//! Ending the programs of a town, and what is to be said about their ends.

use super::{NICKS, Part, Town};
use crate::child::Child;
use crate::ledger::Rule;
use crate::{Fault, Who};

impl Town {
    /// `kill -9` to these people, and the relay, at one instant; waits until they are gone.
    pub fn kill(&mut self, people: &[Who], relay: bool) -> Result<(), Fault> {
        self.news.change(|state| {
            people.iter().for_each(|who| state.people[*who].killing = true);
            state.relay.killing |= relay;
        });
        let mut victims: Vec<Child> = people.iter().filter_map(|who| self.people[*who].take()).collect();
        if relay {
            self.relays_killed += u64::from(self.relay.is_some());
            victims.extend(self.relay.take());
        }
        victims.iter_mut().for_each(Child::strike);
        for victim in &mut victims {
            victim.gone()?;
            self.kills += 1;
            self.panicked(&victim.stderr());
        }
        self.news.change(|state| people.iter().for_each(|who| state.ledger.ended(*who)));
        Ok(())
    }

    /// The same to one program.
    pub fn kill_part(&mut self, part: Part) -> Result<(), Fault> {
        match part {
            Part::Relay => self.kill(&[], true),
            Part::Person(who) => self.kill(&[who], false),
        }
    }

    /// Waits until a program that has ended by itself is gone. A broken promise, unless it says why on standard error,
    /// and with its exit code.
    pub fn gone(&mut self, part: Part) -> Result<(), Fault> {
        let (child, name) = match part {
            Part::Relay => (self.relay.take(), "the relay"),
            Part::Person(who) => (self.people[who].take(), NICKS[who]),
        };
        let Some(mut child) = child else { return Ok(()) };
        let status = child.gone()?;
        let stderr = child.stderr();
        self.panicked(&stderr);
        self.news.change(|state| {
            if let Part::Person(who) = part {
                state.ledger.ended(who);
            }
            let said = stderr.lines().any(|line| line.starts_with("error"));
            if !matches!(status.code(), Some(1..=4)) || !said {
                let what = format!("{name} ends with {status} and says {stderr:?}");
                state.ledger.broken(Rule::Ended, what);
            }
        });
        Ok(())
    }

    fn panicked(&self, stderr: &str) {
        if stderr.contains("panicked at") {
            self.news.change(|state| state.ledger.broken(Rule::Ended, format!("a panic: {stderr}")));
        }
    }

    /// The end of what somebody's program said on standard error.
    pub fn stderr_of(&self, who: Who) -> String {
        self.people[who].as_ref().map(Child::stderr).unwrap_or_default()
    }

    pub(super) fn kill_all(&mut self) {
        self.news.change(|state| {
            state.stop = true;
            state.relay.killing = true;
            state.people.iter_mut().for_each(|presence| presence.killing = true);
        });
        self.people.iter_mut().for_each(|child| *child = None);
        self.relay = None;
        self.talkers = None;
    }
}
