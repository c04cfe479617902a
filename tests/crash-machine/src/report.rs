//! What came of a case: many runs in which something fails.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ledger::Violation;
use crate::town::Town;

/// How a case went.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Runs in which the call failed, or the disk was full.
    pub failed: u32,
    /// Runs after which the program had ended by itself, with an error.
    pub ended: u32,
    /// It ran through without meeting the n-th call.
    pub through: bool,
    /// Messages that arrived, of all runs.
    pub delivered: u64,
    /// And that were refused.
    pub refused: u64,
    /// And that were there nevertheless: their sync had failed, which says nothing about what is written.
    pub revived: u64,
    /// Acknowledged messages that were not there.
    pub lost: u64,
    /// Messages that were there twice.
    pub doubled: u64,
    /// All broken promises together.
    pub broken: u64,
    /// The first of them, in words.
    #[serde(skip)]
    pub violations: Vec<String>,
    /// Where everything was kept, if there are any.
    #[serde(skip)]
    pub kept: Option<PathBuf>,
}

impl Report {
    /// Notes what came of a town's runs, and keeps the town if a promise was broken.
    pub fn close(&mut self, town: Town, which: &str) {
        let tally = town.news.read().ledger.tally;
        self.delivered += tally.delivered;
        self.refused += tally.refused;
        self.revived += tally.revived;
        self.broken += tally.broken;
        self.lost += tally.lost;
        self.doubled += tally.doubled;
        let violations: Vec<String> =
            town.news.read().ledger.violations().iter().map(Violation::to_string).collect();
        if !violations.is_empty() {
            self.violations.push(which.to_owned());
            self.violations.extend(violations);
            self.kept = Some(town.keep());
        }
    }
}
