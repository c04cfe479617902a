//! What is to happen next, and when.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tokio::time::Instant;

/// Something that is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Somebody says something.
    Say,
    /// Somebody does something about a closed room.
    Room,
    /// A machine has its fault.
    Fault,
    /// A direction between two hosts changes.
    Weather(IpAddr, IpAddr),
    /// A program that went down starts again: a person's by index, or the relay's, behind all of them.
    Start(usize),
}

/// What is to happen, by time, and by order of being planned at one time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeMap<(Instant, u64), Due>,
    planned: u64,
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn plan(&mut self, at: Instant, due: Due) {
        self.planned += 1;
        self.due.insert((at, self.planned), due);
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// What is due by now, one thing at a time.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next_at()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, due)| due)
    }

    pub(super) fn clear(&mut self) {
        self.due.clear();
    }
}
