//! What each sender has waiting in all boxes together, and how many ids of its envelopes are remembered.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::writer::from_sql;

#[derive(Clone, Copy, Default, PartialEq)]
struct Total {
    bytes: u64,
    ids: u64,
}

/// Totals by sender. A sender has connected once, so there are about as many as peers that are remembered.
#[derive(Default)]
pub(super) struct Senders {
    totals: BTreeMap<i64, Total>,
    /// What the totals that changed were before the transaction that is open: counting them again would read
    /// both tables.
    before: BTreeMap<i64, Total>,
}

impl Senders {
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut totals: BTreeMap<i64, Total> = BTreeMap::new();
        let mut query = db.prepare("SELECT sender, sum(size) FROM log GROUP BY sender")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            totals.entry(row.get(0)?).or_default().bytes = from_sql(row.get(1)?);
        }
        let mut query = db.prepare("SELECT sender, count(*) FROM seen GROUP BY sender")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            totals.entry(row.get(0)?).or_default().ids = from_sql(row.get(1)?);
        }
        Ok(Self { totals, before: BTreeMap::new() })
    }

    fn of(&self, sender: i64) -> Total {
        self.totals.get(&sender).copied().unwrap_or_default()
    }

    /// Bytes that wait.
    pub(super) fn total(&self, sender: i64) -> u64 {
        self.of(sender).bytes
    }

    /// Ids that are remembered.
    pub(super) fn ids(&self, sender: i64) -> u64 {
        self.of(sender).ids
    }

    pub(super) fn add(&mut self, sender: i64, size: u64) {
        self.change(sender, |total| total.bytes = total.bytes.saturating_add(size));
    }

    pub(super) fn subtract(&mut self, sender: i64, size: u64) {
        self.change(sender, |total| total.bytes = total.bytes.saturating_sub(size));
    }

    pub(super) fn remember_id(&mut self, sender: i64) {
        self.change(sender, |total| total.ids = total.ids.saturating_add(1));
    }

    pub(super) fn forget_id(&mut self, sender: i64) {
        self.change(sender, |total| total.ids = total.ids.saturating_sub(1));
    }

    fn change(&mut self, sender: i64, change: impl FnOnce(&mut Total)) {
        let mut total = self.of(sender);
        self.before.entry(sender).or_insert(total);
        change(&mut total);
        self.put(sender, total);
    }

    fn put(&mut self, sender: i64, total: Total) {
        if total == Total::default() {
            self.totals.remove(&sender);
        } else {
            self.totals.insert(sender, total);
        }
    }

    pub(super) fn committed(&mut self) {
        self.before.clear();
    }

    pub(super) fn roll_back(&mut self) {
        for (sender, total) in std::mem::take(&mut self.before) {
            self.put(sender, total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_brings_back_what_was_committed() {
        let mut senders = Senders::default();
        senders.add(1, 10);
        senders.committed();
        senders.add(1, 5);
        senders.subtract(1, 15);
        senders.add(2, 7);
        senders.remember_id(1);
        assert_eq!((senders.total(1), senders.total(2)), (0, 7));
        senders.roll_back();
        assert_eq!((senders.total(1), senders.ids(1), senders.total(2)), (10, 0, 0));
        senders.subtract(1, 10);
        senders.committed();
        senders.roll_back();
        assert!(senders.totals.is_empty() && senders.before.is_empty());
    }
}
