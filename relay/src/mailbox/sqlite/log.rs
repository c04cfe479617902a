//! Storing, acknowledging and dropping envelopes.

use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;
use chat_core::{EnvelopeId, PeerId, Timestamp};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::super::{NewEnvelope, Outcome};
use super::writer::{Usage, Writer, from_sql, to_sql};

/// What an envelope takes in the database beside its own bytes, about: its row, index and id, and a row of a
/// recipient that nobody knows.
const ROW_OVERHEAD: u64 = 256;

/// Detects damage on the disk; the end-to-end seal detects malice.
pub(super) fn checksum(n: u64, box_id: i64, envelope: &[u8]) -> [u8; 8] {
    let hash = Sha256::new()
        .chain_update(n.to_be_bytes())
        .chain_update(box_id.to_be_bytes())
        .chain_update(envelope)
        .finalize();
    let mut sum = [0; 8];
    sum.copy_from_slice(hash.get(..8).unwrap_or(&[0; 8]));
    sum
}

impl Writer {
    /// One outcome an envelope, in their order.
    pub(super) fn store(
        &mut self,
        from: PeerId,
        envelopes: &[NewEnvelope],
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Outcome>> {
        self.trim_caches();
        let sender = self.peer_id(from)?;
        envelopes.iter().map(|envelope| self.store_one(sender, envelope, now)).collect()
    }

    fn store_one(
        &mut self,
        sender: i64,
        envelope: &NewEnvelope,
        now: Timestamp,
    ) -> rusqlite::Result<Outcome> {
        let size = envelope.bytes.len() as u64 + ROW_OVERHEAD;
        let box_id = match &envelope.to {
            Recipient::Peer(peer) => match self.known_peer(*peer)? {
                Some(peer) => peer,
                // A stranger's row is made for an envelope that has a place only.
                None if self.is_full(size) || self.over_total(sender, size) > 0 => {
                    return Ok(Outcome::Refused(Refusal::MailboxFull));
                }
                None => self.peer_id(*peer)?,
            },
            Recipient::Room(room) => match self.room_of(room, sender)? {
                Some(room) => -room,
                None => return Ok(Outcome::Refused(Refusal::NotAllowed)),
            },
        };
        let seen = self.seen(box_id, envelope.id)?;
        if let Some((n, stored_at, _)) = seen
            && (now.ms_since(stored_at) < self.limits.redeliver_ms || self.waits(n)?)
        {
            return Ok(Outcome::Known);
        }
        if !self.has_room(box_id, sender, size)? {
            return Ok(Outcome::Refused(Refusal::MailboxFull));
        }
        if let Some((_, _, earlier)) = seen {
            self.senders.forget_id(earlier);
        }
        self.insert(box_id, sender, size, envelope, now).map(Outcome::Stored)
    }

    /// Number, time and sender of an envelope that was stored.
    fn seen(&self, box_id: i64, id: EnvelopeId) -> rusqlite::Result<Option<(i64, Timestamp, i64)>> {
        self.db
            .prepare_cached("SELECT n, stored_at, sender FROM seen WHERE box = ?1 AND id = ?2")?
            .query_row(params![box_id, id.as_ref()], |row| {
                Ok((row.get(0)?, Timestamp(from_sql(row.get(1)?)), row.get(2)?))
            })
            .optional()
    }

    fn waits(&self, n: i64) -> rusqlite::Result<bool> {
        self.db.prepare_cached("SELECT 1 FROM log WHERE n = ?1")?.exists([n])
    }

    fn insert(
        &mut self,
        box_id: i64,
        sender: i64,
        size: u64,
        envelope: &NewEnvelope,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        let n = self.counters.next_n;
        let (id, bytes) = (envelope.id.as_ref(), &envelope.bytes[..]);
        let sum = checksum(n, box_id, bytes);
        let (now, row) = (to_sql(now.0), to_sql(n));
        self.db
            .prepare_cached("INSERT INTO log VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![row, box_id, sender, now, to_sql(size), id, sum, bytes])?;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO seen VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute(params![box_id, id, row, now, sender])?;
        self.counters.next_n += 1;
        self.counters.stored_bytes += size;
        self.senders.add(sender, size);
        self.senders.remember_id(sender);
        self.bound_ids(sender)?;
        let usage = self.usage(box_id)?;
        let senders = usage.by_sender.len();
        usage.total += size;
        *usage.by_sender.entry(sender).or_default() += size;
        let added = usage.by_sender.len() - senders;
        self.usage_entries += added;
        Ok(n)
    }

    /// What waits in a box, from the cache or counted in the index.
    fn usage(&mut self, box_id: i64) -> rusqlite::Result<&mut Usage> {
        if !self.usage.contains_key(&box_id) {
            let mut usage = Usage::default();
            let mut query =
                self.db.prepare_cached("SELECT sender, sum(size) FROM log WHERE box = ?1 GROUP BY sender")?;
            let mut rows = query.query([box_id])?;
            while let Some(row) = rows.next()? {
                let size = from_sql(row.get(1)?);
                usage.total += size;
                usage.by_sender.insert(row.get(0)?, size);
            }
            drop(rows);
            drop(query);
            self.usage_entries += usage.by_sender.len() + 1;
            self.usage.insert(box_id, usage);
        }
        Ok(self.usage.entry(box_id).or_default())
    }

    fn is_full(&self, size: u64) -> bool {
        self.counters.stored_bytes + size > self.limits.stored_bytes
    }

    /// By how much `size` more bytes exceed what a sender may have waiting in all boxes; 0 if it has nothing there,
    /// for an envelope may be larger than that.
    fn over_total(&self, sender: i64, size: u64) -> u64 {
        let total = self.senders.total(sender);
        let share = self.limits.stored_bytes / self.limits.stored_share.max(1);
        (total + size).saturating_sub(share).min(total)
    }

    /// Whether `size` more bytes fit. A room makes room for them.
    fn has_room(&mut self, box_id: i64, sender: i64, size: u64) -> rusqlite::Result<bool> {
        if self.is_full(size) {
            return Ok(false);
        }
        let quota = self.limits.mailbox_bytes;
        let share = quota / self.limits.sender_share.max(1);
        let over_total = self.over_total(sender, size);
        let usage = self.usage(box_id)?;
        let total = usage.total;
        let of_sender = usage.by_sender.get(&sender).copied().unwrap_or_default();
        // One envelope of a sender may be larger than its share, else it could never be sent.
        let over_share = (of_sender + size).saturating_sub(share).min(of_sender).max(over_total);
        if box_id > 0 {
            // Half of what others left: however many senders there are, they never fill the box.
            let left = quota.saturating_sub(total.saturating_sub(of_sender));
            return Ok(over_share == 0 && of_sender + size <= left / 2);
        }
        if over_share == 0 && total + size <= quota {
            return Ok(true);
        }
        // What a sender has in other boxes stays there.
        if size > quota || over_total > of_sender {
            return Ok(false);
        }
        if over_share > 0 {
            self.evict(box_id, Some(sender), over_share)?;
        }
        let over_quota = (self.usage(box_id)?.total + size).saturating_sub(quota);
        if over_quota > 0 {
            self.evict(box_id, None, over_quota)?;
        }
        Ok(true)
    }

    /// Drops the oldest envelopes of a room, of one sender or all, until `bytes` are free.
    fn evict(&mut self, box_id: i64, sender: Option<i64>, bytes: u64) -> rusqlite::Result<()> {
        let (mut freed, mut last) = (0, 0);
        let mut query = self.db.prepare_cached(
            "SELECT n, size FROM log WHERE box = ?1 AND (?2 IS NULL OR sender = ?2) ORDER BY n",
        )?;
        let mut rows = query.query(params![box_id, sender])?;
        while freed < bytes
            && let Some(row) = rows.next()?
        {
            last = row.get(0)?;
            freed += from_sql(row.get(1)?);
        }
        drop(rows);
        drop(query);
        let dropped = self.drop_rows(
            "DELETE FROM log WHERE box = ?1 AND n <= ?2 AND (?3 IS NULL OR sender = ?3)
             RETURNING box, sender, size, id",
            params![box_id, last, sender],
        )?;
        self.forget_ids(&dropped)
    }

    /// Deletes rows of the log with a statement that returns `box, sender, size, id`, and keeps the counts.
    pub(super) fn drop_rows(
        &mut self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
        let rows: Vec<(i64, i64, i64, Vec<u8>)> = self
            .db
            .prepare_cached(sql)?
            .query_map(params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        for (box_id, sender, size, _) in &rows {
            let size = from_sql(*size);
            self.counters.stored_bytes = self.counters.stored_bytes.saturating_sub(size);
            self.senders.subtract(*sender, size);
            if let Some(usage) = self.usage.get_mut(box_id) {
                usage.total = usage.total.saturating_sub(size);
                if let Some(of_sender) = usage.by_sender.get_mut(sender) {
                    *of_sender = of_sender.saturating_sub(size);
                    if *of_sender == 0 {
                        usage.by_sender.remove(sender);
                    }
                }
            }
        }
        Ok(rows.into_iter().map(|(box_id, _, _, id)| (box_id, id)).collect())
    }

    /// So that these envelopes are stored if they are submitted again.
    pub(super) fn forget_ids(&mut self, dropped: &[(i64, Vec<u8>)]) -> rusqlite::Result<()> {
        let mut forget =
            self.db.prepare_cached("DELETE FROM seen WHERE box = ?1 AND id = ?2 RETURNING sender")?;
        for (box_id, id) in dropped {
            if let Some(sender) = forget.query_row(params![box_id, id], |row| row.get(0)).optional()? {
                self.senders.forget_id(sender);
            }
        }
        Ok(())
    }

    /// Forgets a sender's oldest ids over its bound.
    fn bound_ids(&mut self, sender: i64) -> rusqlite::Result<()> {
        let over = self.senders.ids(sender).saturating_sub(self.limits.ids_per_sender.max(1));
        if over == 0 {
            return Ok(());
        }
        let oldest: Vec<(i64, Vec<u8>)> = self
            .db
            .prepare_cached("SELECT box, id FROM seen WHERE sender = ?1 ORDER BY n LIMIT ?2")?
            .query_map([sender, to_sql(over)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        self.forget_ids(&oldest)
    }

    pub(super) fn ack(&mut self, peer: PeerId, through: u64) -> rusqlite::Result<()> {
        let id = self.peer_id(peer)?;
        let through = to_sql(through.min(self.counters.next_n.saturating_sub(1)));
        self.db
            .prepare_cached("UPDATE peers SET acked = ?2 WHERE id = ?1 AND acked < ?2")?
            .execute([id, through])?;
        self.drop_rows(
            "DELETE FROM log WHERE box = ?1 AND n <= ?2 RETURNING box, sender, size, id",
            params![id, through],
        )
        .map(drop)
    }

    pub(super) fn discard(&mut self, numbers: &[u64]) -> rusqlite::Result<()> {
        for n in numbers {
            let dropped =
                self.drop_rows("DELETE FROM log WHERE n = ?1 RETURNING box, sender, size, id", [to_sql(*n)])?;
            self.forget_ids(&dropped)?;
        }
        Ok(())
    }
}
