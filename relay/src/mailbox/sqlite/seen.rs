//! Which envelopes were stored, so that a repeat is known; also after their recipient has them.
//!
//! Ids are random, and a table ordered by them takes each into a page of its own, which is most of what a commit would
//! write. So a new one is kept in memory, and on the disk its envelope's row says it; when that goes first, it goes to the
//! end of the table `fresh`. When there are many, those that are neighbours in the table `seen` go there together.

use std::collections::BTreeMap;
use std::ops::Bound;

use chat_core::EnvelopeId;
use rusqlite::{Connection, OptionalExtension, params};

use super::writer::{Counters, Writer, to_sql};

/// Most ids that are not in `seen`, about; each takes some hundred bytes of memory.
const MAX_FRESH: usize = 16_384;
/// How many go to `seen` at a time; more than a transaction usually adds.
const MOVED: usize = 1024;

/// An envelope that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) n: i64,
    pub(super) stored_at: i64,
    pub(super) sender: i64,
}

type Key = (i64, EnvelopeId);

/// What is not in the table `seen`.
pub(super) struct Fresh {
    ids: BTreeMap<Key, Seen>,
    /// What is behind this goes to `seen` next.
    moved: Key,
    /// Ids before this number are in `seen` when the round ends. Their rows in `fresh` are deleted then, for they are
    /// neighbours: one by one they would dirty a page each.
    round_n: u64,
}

/// What `fresh` and the log have and `seen` has not, the rows of the log from a number on.
const NOT_MOVED: &str = "
SELECT box, id, n, stored_at, sender FROM fresh WHERE NOT EXISTS
 (SELECT 1 FROM seen WHERE seen.box = fresh.box AND seen.id = fresh.id AND seen.n = fresh.n)
UNION SELECT box, id, n, stored_at, sender FROM log WHERE n >= ?1 AND NOT EXISTS
 (SELECT 1 FROM seen WHERE seen.box = log.box AND seen.id = log.id AND seen.n >= log.n) ORDER BY n";

const FIRST: Key = (i64::MIN, EnvelopeId([0; 16]));

impl Fresh {
    pub(super) fn load(db: &Connection, counters: &Counters) -> rusqlite::Result<Self> {
        let mut query = db.prepare(NOT_MOVED)?;
        let mut rows = query.query([to_sql(counters.seen_n)])?;
        let mut ids = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let number = |column| row.get_ref(column).ok()?.as_i64().ok();
            let id = row.get_ref(1)?.as_blob().ok().and_then(EnvelopeId::from_slice);
            let found = || Some(Seen { n: number(2)?, stored_at: number(3)?, sender: number(4)? });
            let (Some(box_id), Some(id), Some(seen)) = (number(0), id, found()) else {
                tracing::error!("the id of a stored envelope is damaged; a repeat of it will not be known");
                continue;
            };
            ids.insert((box_id, id), seen);
        }
        Ok(Self { ids, moved: FIRST, round_n: counters.next_n })
    }

    /// All of it, for counting.
    pub(super) fn all(&self) -> impl Iterator<Item = &Seen> {
        self.ids.values()
    }

    /// So many that are neighbours in `seen`, or fewer at the end of the round.
    fn neighbours(&mut self, most: usize) -> Vec<(Key, Seen)> {
        let behind = (Bound::Excluded(self.moved), Bound::Unbounded);
        let found: Vec<_> = self.ids.range(behind).take(most).map(|(key, seen)| (*key, *seen)).collect();
        self.moved = found.last().filter(|_| found.len() == most).map_or(FIRST, |(key, _)| *key);
        found
    }

    /// The oldest of one sender.
    fn oldest_of(&self, sender: i64, most: u64) -> Vec<(i64, Vec<u8>)> {
        let mut found: Vec<_> = self
            .ids
            .iter()
            .filter(|(_, seen)| seen.sender == sender)
            .map(|(key, seen)| (seen.n, *key))
            .collect();
        found.sort_unstable();
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        found.into_iter().map(|(_, (box_id, id))| (box_id, id.as_ref().to_vec())).collect()
    }
}

impl Writer {
    pub(super) fn seen(&self, box_id: i64, id: EnvelopeId) -> rusqlite::Result<Option<Seen>> {
        if let Some(seen) = self.fresh.ids.get(&(box_id, id)) {
            return Ok(Some(*seen));
        }
        self.db
            .prepare_cached("SELECT n, stored_at, sender FROM seen WHERE box = ?1 AND id = ?2")?
            .query_row(params![box_id, id.as_ref()], |row| {
                Ok(Seen { n: row.get(0)?, stored_at: row.get(1)?, sender: row.get(2)? })
            })
            .optional()
    }

    /// Remembers an id that is not remembered.
    pub(super) fn remember(&mut self, box_id: i64, id: EnvelopeId, seen: Seen) -> rusqlite::Result<()> {
        self.fresh.ids.insert((box_id, id), seen);
        self.totals.remember_id(seen.sender);
        self.bound_ids(seen.sender)
    }

    /// The row of an envelope goes, and its id is still to be known.
    pub(super) fn keep_id(&self, box_id: i64, n: i64, id: &[u8]) -> rusqlite::Result<()> {
        let fresh = EnvelopeId::from_slice(id).and_then(|id| self.fresh.ids.get(&(box_id, id)));
        if let Some(Seen { stored_at, sender, .. }) = fresh.filter(|seen| seen.n == n) {
            self.db
                .prepare_cached("INSERT OR REPLACE INTO fresh VALUES(?1, ?2, ?3, ?4, ?5)")?
                .execute(params![n, box_id, id, stored_at, sender])?;
        }
        Ok(())
    }

    /// So that these envelopes are stored if they are submitted again. How many were remembered.
    pub(super) fn forget_ids(&mut self, dropped: &[(i64, Vec<u8>)]) -> rusqlite::Result<usize> {
        let mut forget =
            self.db.prepare_cached("DELETE FROM seen WHERE box = ?1 AND id = ?2 RETURNING n, sender")?;
        let mut forget_fresh = self.db.prepare_cached("DELETE FROM fresh WHERE n = ?1")?;
        let mut forgotten = 0;
        for (box_id, id) in dropped {
            let fresh = EnvelopeId::from_slice(id).and_then(|id| self.fresh.ids.remove(&(*box_id, id)));
            let seen = match fresh {
                Some(seen) => Some((seen.n, seen.sender)),
                None => {
                    forget.query_row(params![box_id, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?
                }
            };
            if let Some((n, sender)) = seen {
                // It may be in both tables.
                forget_fresh.execute([n])?;
                self.totals.forget_id(sender);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// The same by number, where box or id are not known. Looks through all of them.
    pub(super) fn forget_number(&mut self, n: i64) -> rusqlite::Result<()> {
        let found = self.fresh.ids.iter().find(|(_, seen)| seen.n == n).map(|(key, _)| *key);
        if let Some((box_id, id)) = found {
            return self.forget_ids(&[(box_id, id.as_ref().to_vec())]).map(drop);
        }
        let senders: Vec<i64> = self
            .db
            .prepare_cached("DELETE FROM seen WHERE n = ?1 RETURNING sender")?
            .query_map([n], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        senders.into_iter().for_each(|sender| self.totals.forget_id(sender));
        self.db.prepare_cached("DELETE FROM fresh WHERE n = ?1")?.execute([n])?;
        Ok(())
    }

    /// Forgets a sender's oldest ids over its bound.
    fn bound_ids(&mut self, sender: i64) -> rusqlite::Result<()> {
        let over = self.totals.ids(sender).saturating_sub(self.limits.ids_per_sender.max(1));
        if over == 0 {
            return Ok(());
        }
        let mut oldest: Vec<(i64, Vec<u8>)> = self
            .db
            .prepare_cached("SELECT box, id FROM seen WHERE sender = ?1 ORDER BY n LIMIT ?2")?
            .query_map([sender, to_sql(over)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        oldest.extend(self.fresh.oldest_of(sender, over.saturating_sub(oldest.len() as u64)));
        self.forget_ids(&oldest).map(drop)
    }

    /// Keeps `fresh` within its bound.
    pub(super) fn bound_fresh(&mut self) -> rusqlite::Result<()> {
        if self.fresh.ids.len() > MAX_FRESH {
            self.move_fresh(MOVED)?;
        }
        Ok(())
    }

    /// All of `fresh` goes to `seen`, for whoever asks that table for more than an id.
    pub(super) fn settle_fresh(&mut self) -> rusqlite::Result<()> {
        self.fresh.moved = FIRST;
        self.fresh.round_n = self.counters.next_n;
        self.move_fresh(usize::MAX)
    }

    fn move_fresh(&mut self, most: usize) -> rusqlite::Result<()> {
        let moving = self.fresh.neighbours(most);
        let mut insert = self.db.prepare_cached("INSERT OR REPLACE INTO seen VALUES(?1, ?2, ?3, ?4, ?5)")?;
        for ((box_id, id), Seen { n, stored_at, sender }) in moving {
            insert.execute(params![box_id, id.as_ref(), n, stored_at, sender])?;
            self.fresh.ids.remove(&(box_id, id));
        }
        if self.fresh.moved == FIRST {
            let round_n = std::mem::replace(&mut self.fresh.round_n, self.counters.next_n);
            self.db.prepare_cached("DELETE FROM fresh WHERE n < ?1")?.execute([to_sql(round_n)])?;
            self.counters.seen_n = round_n;
        }
        Ok(())
    }

    /// After a failed transaction: memory says again what the table says.
    pub(super) fn reload_fresh(&mut self) {
        match Fresh::load(&self.db, &self.counters) {
            Ok(fresh) => self.fresh = fresh,
            // A repeat may be stored twice, and its recipient knows it.
            Err(error) => tracing::error!(%error, "the ids of stored envelopes could not be read again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_go_round() {
        let seen = |n| Seen { n, stored_at: 0, sender: 1 };
        let ids = (0..10u8).map(|n| ((i64::from(n) - 5, EnvelopeId([n; 16])), seen(i64::from(n))));
        let mut fresh = Fresh { ids: ids.collect(), moved: FIRST, round_n: 10 };
        let mut numbers =
            |most| -> Vec<i64> { fresh.neighbours(most).iter().map(|(_, seen)| seen.n).collect() };
        assert_eq!(numbers(4), [0, 1, 2, 3]);
        assert_eq!(numbers(4), [4, 5, 6, 7]);
        assert_eq!(numbers(4), [8, 9]);
        assert_eq!(numbers(2), [0, 1], "from the beginning again");
        let oldest: Vec<_> = fresh.oldest_of(1, 2).into_iter().map(|(box_id, _)| box_id).collect();
        assert_eq!((oldest, fresh.oldest_of(2, 5).len()), (vec![-5, -4], 0));
    }
}
