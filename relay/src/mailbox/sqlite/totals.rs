//! What waits in all boxes together, by who sent it, who paid for it and whether it came from strangers; and how many
//! ids are remembered of each sender.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::boxes::{self, Listed, Recent};
use super::seen::Fresh;
use super::shares::Sent;
use super::writer::from_sql;

#[derive(Clone, Copy, Default, PartialEq)]
struct Total {
    bytes: u64,
    ids: u64,
}

/// Of whom a total is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    /// A row of `peers`. It has connected once, so there are about as many as peers that are remembered.
    Sender(i64),
    /// A `log.payer`; nobody is 0, and has no total.
    Payer(i64),
    /// All envelopes to peers who had never written to the sender.
    Strangers,
    Everybody,
}

/// The totals. Those of nothing take no entry.
#[derive(Default)]
pub(super) struct Totals {
    totals: BTreeMap<Of, Total>,
    /// What the totals that changed were before the transaction that is open: counting them again would read
    /// both tables.
    before: BTreeMap<Of, Total>,
}

/// What counting found beside the totals.
pub(super) struct Counted {
    pub(super) totals: Totals,
    /// The highest `log.payer`.
    pub(super) last_payer: i64,
    /// The highest number of an id that is remembered.
    pub(super) last_seen: u64,
}

impl Totals {
    /// Counts them in the list of what waits and in the ids, all of which are read.
    pub(super) fn count(db: &Connection, recent: &Recent, fresh: &Fresh) -> rusqlite::Result<Counted> {
        let mut counted = Counted { totals: Self::default(), last_payer: 0, last_seen: 0 };
        let mut count = |Listed { size, sent }: Listed| {
            counted.totals.add(sent, size);
            counted.last_payer = counted.last_payer.max(sent.payer);
        };
        boxes::sums(db, "", [], &mut count)?;
        recent.all().into_iter().for_each(count);
        let mut query = db.prepare("SELECT sender, count(*), max(n) FROM seen GROUP BY sender")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let ids = from_sql(row.get(1)?);
            counted.totals.change(Of::Sender(row.get(0)?), |total| total.ids += ids);
            counted.last_seen = counted.last_seen.max(from_sql(row.get(2)?));
        }
        for seen in fresh.all() {
            counted.totals.remember_id(seen.sender);
            counted.last_seen = counted.last_seen.max(from_sql(seen.n));
        }
        counted.totals.committed();
        Ok(counted)
    }

    fn of(&self, of: Of) -> Total {
        self.totals.get(&of).copied().unwrap_or_default()
    }

    /// Bytes of one sender that wait.
    pub(super) fn of_sender(&self, sender: i64) -> u64 {
        self.of(Of::Sender(sender)).bytes
    }

    /// Bytes that wait and for which one payer pays; none for nobody.
    pub(super) fn of_payer(&self, payer: i64) -> u64 {
        self.of(Of::Payer(payer)).bytes
    }

    /// Bytes that wait and came from strangers.
    pub(super) fn of_strangers(&self) -> u64 {
        self.of(Of::Strangers).bytes
    }

    /// All bytes that wait.
    pub(super) fn of_everybody(&self) -> u64 {
        self.of(Of::Everybody).bytes
    }

    /// Ids of one sender's envelopes that are remembered.
    pub(super) fn ids(&self, sender: i64) -> u64 {
        self.of(Of::Sender(sender)).ids
    }

    pub(super) fn add(&mut self, sent: Sent, size: u64) {
        self.change_bytes(sent, |bytes| bytes.saturating_add(size));
    }

    pub(super) fn subtract(&mut self, sent: Sent, size: u64) {
        self.change_bytes(sent, |bytes| bytes.saturating_sub(size));
    }

    fn change_bytes(&mut self, sent: Sent, changed: impl Fn(u64) -> u64) {
        let payer = (sent.payer != 0).then_some(Of::Payer(sent.payer));
        let strangers = sent.stranger.then_some(Of::Strangers);
        let all = [Some(Of::Sender(sent.sender)), Some(Of::Everybody), payer, strangers];
        for of in all.into_iter().flatten() {
            self.change(of, |total| total.bytes = changed(total.bytes));
        }
    }

    pub(super) fn remember_id(&mut self, sender: i64) {
        self.change(Of::Sender(sender), |total| total.ids = total.ids.saturating_add(1));
    }

    pub(super) fn forget_id(&mut self, sender: i64) {
        self.change(Of::Sender(sender), |total| total.ids = total.ids.saturating_sub(1));
    }

    fn change(&mut self, of: Of, change: impl FnOnce(&mut Total)) {
        let mut total = self.of(of);
        self.before.entry(of).or_insert(total);
        change(&mut total);
        self.put(of, total);
    }

    fn put(&mut self, of: Of, total: Total) {
        if total == Total::default() {
            self.totals.remove(&of);
        } else {
            self.totals.insert(of, total);
        }
    }

    pub(super) fn committed(&mut self) {
        self.before.clear();
    }

    pub(super) fn roll_back(&mut self) {
        for (of, total) in std::mem::take(&mut self.before) {
            self.put(of, total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sender: i64, payer: i64, stranger: bool) -> Sent {
        Sent { sender, payer, stranger }
    }

    #[test]
    fn a_rollback_brings_back_what_was_committed() {
        let mut totals = Totals::default();
        totals.add(sent(1, 0, false), 10);
        totals.committed();
        totals.add(sent(1, 0, false), 5);
        totals.subtract(sent(1, 0, false), 15);
        totals.add(sent(2, 9, true), 7);
        totals.remember_id(1);
        assert_eq!((totals.of_sender(1), totals.of_sender(2)), (0, 7));
        totals.roll_back();
        assert_eq!((totals.of_sender(1), totals.ids(1), totals.of_sender(2)), (10, 0, 0));
        assert_eq!((totals.of_payer(9), totals.of_strangers(), totals.of_everybody()), (0, 0, 10));
        totals.subtract(sent(1, 0, false), 10);
        totals.committed();
        totals.roll_back();
        assert!(totals.totals.is_empty() && totals.before.is_empty());
    }

    #[test]
    fn nobody_pays_for_a_local_sender() {
        let mut totals = Totals::default();
        for (sent, size) in [(sent(1, 0, true), 1), (sent(2, 5, false), 10), (sent(3, 5, true), 100)] {
            totals.add(sent, size);
        }
        assert_eq!((totals.of_payer(0), totals.of_payer(5)), (0, 110));
        assert_eq!((totals.of_strangers(), totals.of_everybody()), (101, 111));
    }
}
