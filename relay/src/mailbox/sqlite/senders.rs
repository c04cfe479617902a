//! What each sender has waiting in all boxes together.

use std::collections::HashMap;

use rusqlite::Connection;

use super::writer::from_sql;

/// Bytes by sender. A sender has connected once, so there are about as many as peers that are remembered.
#[derive(Default)]
pub(super) struct Senders {
    totals: HashMap<i64, u64>,
    /// What the totals that changed were before the transaction that is open: counting them again would read
    /// the whole log.
    before: HashMap<i64, u64>,
}

impl Senders {
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let totals = db
            .prepare("SELECT sender, sum(size) FROM log GROUP BY sender")?
            .query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?))))?
            .collect::<Result<_, _>>()?;
        Ok(Self { totals, before: HashMap::new() })
    }

    pub(super) fn total(&self, sender: i64) -> u64 {
        self.totals.get(&sender).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, sender: i64, size: u64) {
        self.set(sender, self.total(sender).saturating_add(size));
    }

    pub(super) fn subtract(&mut self, sender: i64, size: u64) {
        self.set(sender, self.total(sender).saturating_sub(size));
    }

    fn set(&mut self, sender: i64, total: u64) {
        let before = self.total(sender);
        self.before.entry(sender).or_insert(before);
        self.put(sender, total);
    }

    fn put(&mut self, sender: i64, total: u64) {
        if total == 0 {
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
        assert_eq!((senders.total(1), senders.total(2)), (0, 7));
        senders.roll_back();
        assert_eq!((senders.total(1), senders.total(2)), (10, 0));
        senders.subtract(1, 10);
        senders.committed();
        senders.roll_back();
        assert!(senders.totals.is_empty() && senders.before.is_empty());
    }
}
