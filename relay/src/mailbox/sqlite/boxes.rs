//! Which envelopes wait in which box.
//!
//! An index by box would take each envelope into a page of its recipient's own, which is most of what a commit writes. So
//! a new one is listed in memory, and when there are many there, those that are neighbours in the table `boxes` go to it
//! together; what is acknowledged before never gets there. After a kill the log says again what was in memory: its rows
//! from `counters.listed_n` on are looked through when the mailbox is opened.
//!
//! The thread that reads looks into memory beside a snapshot of the tables, which may be older than the last commit. What
//! has left memory stays visible to a read that had begun before; what is not yet committed, or came later, has a number
//! that the snapshot does not know. So a read misses nothing, and may find something twice, or what is gone: both show.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Row, params};

use super::shares::Sent;
use super::writer::{Writer, from_sql, to_sql};

/// Most entries in memory, about; each takes some hundred bytes.
const MAX_RECENT: usize = 16_384;
/// How many go to `boxes` at a time; more than a transaction usually adds.
const MOVED: usize = 1024;

/// A box, and the number of an envelope in it.
pub(super) type Key = (i64, i64);

const FIRST: Key = (i64::MIN, 0);

/// An envelope that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) size: u64,
    pub(super) sent: Sent,
}

impl Listed {
    /// Of four columns, the first of which is named: `sender, size, payer, stranger`.
    fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let sent =
            Sent { sender: row.get(first)?, payer: row.get(first + 2)?, stranger: row.get(first + 3)? };
        Ok(Self { size: from_sql(row.get(first + 1)?), sent })
    }
}

/// What is not in the table `boxes`.
#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Listed>,
    /// Keys that the transaction which is open has added,
    added: Vec<Key>,
    /// and what it has taken out.
    leaving: BTreeMap<Key, Listed>,
    /// What was taken out while somebody was reading.
    left: BTreeMap<Key, Listed>,
    readers: usize,
}

/// The part of the list that is in memory. The writer changes it, and the reader's thread looks into it.
#[derive(Default)]
pub(super) struct Recent(Mutex<State>);

impl Recent {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the snapshot is taken, and dropped when both were read.
    pub(super) fn reading(&self) -> Reading<'_> {
        self.state().readers += 1;
        Reading(self)
    }

    /// All of it, for counting.
    pub(super) fn all(&self) -> Vec<Listed> {
        self.state().entries.values().copied().collect()
    }

    fn insert(&self, key: Key, listed: Listed) {
        let mut state = self.state();
        state.entries.insert(key, listed);
        state.added.push(key);
    }

    fn contains(&self, key: Key) -> bool {
        self.state().entries.contains_key(&key)
    }

    fn remove(&self, key: Key) -> Option<Listed> {
        let mut state = self.state();
        let listed = state.entries.remove(&key)?;
        state.leaving.insert(key, listed);
        Some(listed)
    }

    /// What the transaction that is open sees.
    pub(super) fn in_box(&self, box_id: i64, through: i64) -> Vec<(i64, Listed)> {
        let state = self.state();
        let found = state.entries.range((box_id, i64::MIN)..=(box_id, through));
        found.map(|((_, n), listed)| (*n, *listed)).collect()
    }

    /// So many that come after a key.
    fn behind(&self, key: Key, most: usize) -> Vec<(Key, Listed)> {
        let state = self.state();
        let found = state.entries.range((Bound::Excluded(key), Bound::Unbounded));
        found.take(most).map(|(key, listed)| (*key, *listed)).collect()
    }

    fn len(&self) -> usize {
        self.state().entries.len()
    }

    pub(super) fn committed(&self) {
        let state = &mut *self.state();
        state.added.clear();
        if state.readers > 0 {
            state.left.append(&mut state.leaving);
        } else {
            state.leaving.clear();
        }
    }

    pub(super) fn roll_back(&self) {
        let state = &mut *self.state();
        state.entries.append(&mut state.leaving);
        for key in state.added.drain(..) {
            state.entries.remove(&key);
        }
    }
}

/// A read that has begun.
pub(super) struct Reading<'a>(&'a Recent);

impl Reading<'_> {
    /// Numbers and sizes of what waits in a box after one number and before another, each list of it oldest first; not
    /// from this sender.
    pub(super) fn waiting(
        &self,
        box_id: i64,
        not_from: i64,
        (after, before): (i64, i64),
        limit: usize,
    ) -> Vec<(i64, u64)> {
        let mut found = Vec::new();
        if after >= before {
            return found;
        }
        let between = (Bound::Excluded((box_id, after)), Bound::Excluded((box_id, before)));
        let state = self.0.state();
        for part in [&state.entries, &state.leaving, &state.left] {
            let of_others = part.range(between).filter(|(_, listed)| listed.sent.sender != not_from);
            found.extend(of_others.take(limit).map(|((_, n), listed)| (*n, listed.size)));
        }
        found
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.readers -= 1;
        if state.readers == 0 {
            state.left.clear();
        }
    }
}

/// How far the list went from memory to the table.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// What is behind this goes to `boxes` next.
    moved: Key,
    /// Rows of the log before this number are in `boxes` when the round ends.
    ends_at: u64,
}

impl Round {
    pub(super) fn begin(next_n: u64) -> Self {
        Self { moved: FIRST, ends_at: next_n }
    }
}

/// Puts into memory what the log has and `boxes` has not.
pub(super) fn load(db: &Connection, listed_n: u64, recent: &Recent) -> rusqlite::Result<()> {
    let mut query = db.prepare(&format!(
        "SELECT {OF_LOG} AND n >= ?1
         AND NOT EXISTS (SELECT 1 FROM boxes WHERE boxes.box = log.box AND boxes.n = log.n)",
    ))?;
    let mut rows = query.query([to_sql(listed_n)])?;
    let mut entries = BTreeMap::new();
    while let Some(row) = rows.next()? {
        entries.insert((row.get(0)?, row.get(1)?), Listed::read(row, 2)?);
    }
    recent.state().entries = entries;
    Ok(())
}

/// Makes the list anew from the log; nothing of it is in memory then. In a transaction of its own.
pub(super) fn make_anew(db: &Connection, recent: &Recent) -> rusqlite::Result<()> {
    let anew = db.unchecked_transaction()?;
    list_all(&anew)?;
    anew.commit()?;
    let state = &mut *recent.state();
    state.leaving.append(&mut state.entries);
    if state.readers > 0 {
        state.left.append(&mut state.leaving);
    }
    state.leaving.clear();
    Ok(())
}

/// Rows of the log as `boxes` has them. One that is damaged is listed, so that whoever reads it tells; but nobody reads one
/// without a box, and a resend takes its place.
const OF_LOG: &str = "box, n, coalesce(CAST(sender AS INTEGER), 0), coalesce(CAST(size AS INTEGER), 0),
 coalesce(CAST(payer AS INTEGER), 0), coalesce(CAST(stranger AS INTEGER), 0) <> 0 FROM log WHERE typeof(box) = 'integer'";

pub(super) fn list_all(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "DELETE FROM boxes; INSERT INTO boxes SELECT {OF_LOG} ORDER BY box, n;
         UPDATE counters SET listed_n = (SELECT coalesce(max(n), 0) + 1 FROM log);"
    ))
}

/// What waits in boxes, by sender, payer and strangeness, with how much there is of each: the condition is on `boxes`.
pub(super) fn sums(
    db: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
    mut each: impl FnMut(Listed),
) -> rusqlite::Result<()> {
    let mut query = db.prepare_cached(&format!(
        "SELECT sender, sum(size), payer, stranger FROM boxes {condition} GROUP BY sender, payer, stranger"
    ))?;
    let mut rows = query.query(parameters)?;
    while let Some(row) = rows.next()? {
        each(Listed::read(row, 0)?);
    }
    Ok(())
}

impl Writer {
    /// An envelope waits in a box from now on.
    pub(super) fn list(&mut self, key: Key, listed: Listed) {
        self.shared.recent.insert(key, listed);
    }

    pub(super) fn is_listed(&self, key: Key) -> rusqlite::Result<bool> {
        Ok(self.shared.recent.contains(key)
            || self
                .db
                .prepare_cached("SELECT 1 FROM boxes WHERE box = ?1 AND n = ?2")?
                .exists([key.0, key.1])?)
    }

    /// It does no longer. What was said of it, if it was listed.
    pub(super) fn unlist(&mut self, key: Key) -> rusqlite::Result<Option<Listed>> {
        if let Some(listed) = self.shared.recent.remove(key) {
            return Ok(Some(listed));
        }
        let mut delete = self.db.prepare_cached(
            "DELETE FROM boxes WHERE box = ?1 AND n = ?2 RETURNING sender, size, payer, stranger",
        )?;
        let mut rows = delete.query(params![key.0, key.1])?;
        let mut found = None;
        // To the end: a statement that is reset before has changed nothing.
        while let Some(row) = rows.next()? {
            found = Some(Listed::read(row, 0)?);
        }
        Ok(found)
    }

    /// What waits in a box up to and with a number, oldest first.
    pub(super) fn listed(&self, box_id: i64, through: i64) -> rusqlite::Result<Vec<(i64, Listed)>> {
        let mut found: Vec<(i64, Listed)> = self
            .db
            .prepare_cached(
                "SELECT n, sender, size, payer, stranger FROM boxes WHERE box = ?1 AND n <= ?2 ORDER BY n",
            )?
            .query_map([box_id, through], |row| Ok((row.get(0)?, Listed::read(row, 1)?)))?
            .collect::<Result<_, _>>()?;
        found.extend(self.shared.recent.in_box(box_id, through));
        found.sort_unstable_by_key(|(n, _)| *n);
        Ok(found)
    }

    /// Keeps what is in memory within its bound.
    pub(super) fn bound_recent(&mut self) -> rusqlite::Result<()> {
        if self.shared.recent.len() > MAX_RECENT {
            self.move_recent(MOVED)?;
        }
        Ok(())
    }

    /// All of it goes to `boxes`, for whoever asks that table.
    pub(super) fn settle_recent(&mut self) -> rusqlite::Result<()> {
        self.round = Round::begin(self.counters.next_n);
        self.move_recent(usize::MAX)
    }

    fn move_recent(&mut self, most: usize) -> rusqlite::Result<()> {
        let moving = self.shared.recent.behind(self.round.moved, most);
        let mut insert =
            self.db.prepare_cached("INSERT OR REPLACE INTO boxes VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?;
        for (key, Listed { size, sent }) in &moving {
            let Sent { sender, payer, stranger } = sent;
            insert.execute(params![key.0, key.1, sender, to_sql(*size), payer, stranger])?;
            self.shared.recent.remove(*key);
        }
        match moving.last() {
            Some((last, _)) if moving.len() == most => self.round.moved = *last,
            _ => {
                self.counters.listed_n = self.round.ends_at;
                self.round = Round::begin(self.counters.next_n);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(size: u64) -> Listed {
        Listed { size, sent: Sent { sender: 7, payer: 0, stranger: false } }
    }

    fn numbers(reading: &Reading<'_>, before: i64) -> Vec<i64> {
        let mut found: Vec<i64> = reading.waiting(1, 0, (0, before), 9).into_iter().map(|(n, _)| n).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_rollback_leaves_what_was_committed() {
        let recent = Recent::default();
        recent.insert((1, 1), listed(10));
        recent.insert((1, 2), listed(10));
        recent.committed();
        recent.insert((1, 3), listed(10));
        assert_eq!(recent.remove((1, 1)), Some(listed(10)));
        assert_eq!(recent.remove((1, 3)), Some(listed(10)));
        assert_eq!((recent.remove((1, 3)), recent.in_box(1, 9)), (None, vec![(2, listed(10))]));
        recent.roll_back();
        assert_eq!(recent.in_box(1, 9), [(1, listed(10)), (2, listed(10))]);
    }

    /// Its snapshot may be from before the commit that moved or dropped something.
    #[test]
    fn a_read_that_has_begun_still_sees_what_leaves() {
        let recent = Recent::default();
        recent.insert((1, 1), listed(10));
        recent.committed();
        let reading = recent.reading();
        recent.remove((1, 1));
        assert_eq!(numbers(&reading, 2), [1], "not committed");
        recent.committed();
        assert_eq!(numbers(&reading, 2), [1], "committed after the read began");
        recent.insert((1, 2), listed(10));
        assert_eq!(numbers(&reading, 2), [1], "a number that its snapshot does not know");
        assert_eq!(numbers(&reading, 0), [0_i64; 0], "nor does an earlier one know this");
        let later = recent.reading();
        drop(reading);
        assert_eq!(numbers(&later, 3), [1, 2], "as long as anybody reads");
        drop(later);
        assert_eq!(numbers(&recent.reading(), 3), [2]);
    }

    #[test]
    fn neighbours_go_round() {
        let recent = Recent::default();
        for n in 0..10 {
            recent.insert((n % 2, n), listed(1));
        }
        let keys = |after, most| -> Vec<Key> {
            recent.behind(after, most).into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(FIRST, 3), [(0, 0), (0, 2), (0, 4)]);
        assert_eq!(keys((0, 4), 3), [(0, 6), (0, 8), (1, 1)]);
        assert_eq!(keys((1, 5), 3), [(1, 7), (1, 9)]);
    }
}
