//! Storing, acknowledging and dropping envelopes.

use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;
use chat_core::{PeerId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::super::{NewEnvelope, Outcome};
use super::boxes::{self, Key, Listed};
use super::checksum;
use super::rows::NewRow;
use super::seen::Seen;
use super::shares::{Reserve, Sent, Usage, over};
use super::writer::{Writer, from_sql, to_sql};

/// What an envelope takes in the database beside its own bytes, about: its row, index and id, and a row of a
/// recipient that nobody knows.
const ROW_OVERHEAD: u64 = 256;

impl Writer {
    /// One outcome an envelope, in their order. `payer` is 0 for nobody.
    pub(super) fn store(
        &mut self,
        from: PeerId,
        payer: u64,
        envelopes: &[NewEnvelope],
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Outcome>> {
        self.trim_caches();
        let sender = self.peer_id(from)?;
        // Numbers of payers begin anew with each start of the relay; what is in the log keeps its own.
        let payer = if payer == 0 { 0 } else { to_sql(payer).saturating_add(self.last_payer) };
        envelopes.iter().map(|envelope| self.store_one(sender, payer, envelope, now)).collect()
    }

    fn store_one(
        &mut self,
        sender: i64,
        payer: i64,
        envelope: &NewEnvelope,
        now: Timestamp,
    ) -> rusqlite::Result<Outcome> {
        let size = envelope.bytes.len() as u64 + ROW_OVERHEAD;
        let (box_id, stranger) = match &envelope.to {
            Recipient::Peer(peer) => match self.known_peer(*peer)? {
                Some(peer) => (peer, !self.has_written(peer, sender)?),
                None => {
                    // A row is made for an envelope that has a place only.
                    let sent = Sent { sender, payer, stranger: true };
                    if !self.relay_takes(sent, size) || !Usage::default().takes(sent, size, &self.limits) {
                        return Ok(Outcome::Refused(Refusal::MailboxFull));
                    }
                    (self.peer_id(*peer)?, true)
                }
            },
            Recipient::Room(room) => match self.room_of(room, sender)? {
                Some(room) => (-room, false),
                None => return Ok(Outcome::Refused(Refusal::NotAllowed)),
            },
        };
        let sent = Sent { sender, payer, stranger };
        let seen = self.seen(box_id, envelope.id)?;
        if let Some(Seen { n, stored_at, .. }) = seen
            && (now.ms_since(Timestamp(from_sql(stored_at))) < self.limits.redeliver_ms
                || self.is_listed((box_id, n))?)
        {
            return Ok(Outcome::Known);
        }
        if !self.has_room(box_id, sent, size)? {
            return Ok(Outcome::Refused(Refusal::MailboxFull));
        }
        if seen.is_some() {
            self.forget_ids(&[(box_id, envelope.id.as_ref().to_vec())])?;
        }
        if box_id > 0 {
            self.note_written(sender, box_id, now)?;
        }
        self.insert(box_id, sent, size, envelope, now).map(Outcome::Stored)
    }

    fn insert(
        &mut self,
        box_id: i64,
        sent: Sent,
        size: u64,
        envelope: &NewEnvelope,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        let n = self.counters.next_n;
        let row =
            NewRow { n: to_sql(n), box_id, sent, stored_at: to_sql(now.0), size, envelope: envelope.clone() };
        let (stored_at, sender) = (row.stored_at, sent.sender);
        let n_row = row.n;
        self.unwritten.push(row);
        let n_seen = Seen { n: n_row, stored_at, sender };
        self.counters.next_n += 1;
        self.totals.add(sent, size);
        self.list((box_id, n_row), Listed { size, sent });
        self.remember(box_id, envelope.id, n_seen)?;
        let usage = self.usage(box_id)?;
        let before = usage.entries();
        usage.add(sent, size);
        let added = usage.entries() - before;
        self.usage_entries += added;
        Ok(n)
    }

    /// What waits in a box, from the cache or counted in the list.
    fn usage(&mut self, box_id: i64) -> rusqlite::Result<&mut Usage> {
        if !self.usage.contains_key(&box_id) {
            let mut usage = Usage::default();
            let mut count = |Listed { size, sent }: Listed| usage.add(sent, size);
            boxes::sums(&self.db, "WHERE box = ?1", [box_id], &mut count)?;
            self.shared.recent.in_box(box_id, i64::MAX).into_iter().for_each(|(_, listed)| count(listed));
            self.usage_entries += usage.entries();
            self.usage.insert(box_id, usage);
        }
        Ok(self.usage.entry(box_id).or_default())
    }

    /// By how much `size` more bytes exceed what a sender may have waiting in all boxes.
    fn over_total(&self, sender: i64, size: u64) -> u64 {
        over(self.totals.of_sender(sender), size, self.limits.stored_bytes / self.limits.stored_share.max(1))
    }

    /// Whether all boxes together have room for `size` more bytes, whatever box they are for; what their sender has
    /// elsewhere is left out.
    fn relay_has_room(&self, sent: Sent, size: u64) -> bool {
        let all = self.limits.stored_bytes;
        let total = self.totals.of_everybody();
        let reserve = Reserve::of(all, self.limits.max_peers, &self.limits);
        if reserve.takes(self.totals.of_sender(sent.sender), total, size) {
            return true;
        }
        let of_payer = self.totals.of_payer(sent.payer);
        let strangers = all / self.limits.strangers_stored_share.max(1);
        reserve.spares(total, size)
            && over(of_payer, size, all / self.limits.payer_share.max(1)) == 0
            && (!sent.stranger || self.totals.of_strangers().saturating_add(size) <= strangers)
    }

    fn relay_takes(&self, sent: Sent, size: u64) -> bool {
        self.relay_has_room(sent, size) && self.over_total(sent.sender, size) == 0
    }

    /// Whether `size` more bytes fit. A room makes room for them.
    fn has_room(&mut self, box_id: i64, sent: Sent, size: u64) -> rusqlite::Result<bool> {
        if box_id > 0 {
            if !self.relay_takes(sent, size) {
                return Ok(false);
            }
            self.usage(box_id)?;
            return Ok(self.usage.get(&box_id).is_some_and(|usage| usage.takes(sent, size, &self.limits)));
        }
        if !self.relay_has_room(sent, size) {
            return Ok(false);
        }
        let quota = self.limits.mailbox_bytes;
        let share = quota / self.limits.sender_share.max(1);
        let over_total = self.over_total(sent.sender, size);
        let usage = self.usage(box_id)?;
        let (total, of_sender) = (usage.total.all, usage.of_sender(sent.sender).all);
        let over_share = over(of_sender, size, share).max(over_total);
        if over_share == 0 && total + size <= quota {
            return Ok(true);
        }
        // What a sender has in other boxes stays there.
        if size > quota || over_total > of_sender {
            return Ok(false);
        }
        if over_share > 0 {
            self.evict(box_id, Some(sent.sender), over_share)?;
        }
        let over_quota = (self.usage(box_id)?.total.all + size).saturating_sub(quota);
        if over_quota > 0 {
            self.evict(box_id, None, over_quota)?;
        }
        Ok(true)
    }

    /// Drops the oldest envelopes of a room, of one sender or all, until `bytes` are free.
    fn evict(&mut self, box_id: i64, sender: Option<i64>, bytes: u64) -> rusqlite::Result<()> {
        self.write_rows()?;
        let mut freed = 0;
        for (n, listed) in self.listed(box_id, i64::MAX)? {
            if freed >= bytes {
                break;
            }
            if sender.is_none_or(|sender| listed.sent.sender == sender) {
                freed += listed.size;
                let dropped = self.drop_row(n)?;
                self.unlist_counted((box_id, n))?;
                self.forget_ids(&dropped)?;
            }
        }
        Ok(())
    }

    /// Deletes a row of the log, and gives its box and its envelope's id; nothing for one that is not there.
    fn drop_row(&mut self, n: i64) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
        self.drop_rows("DELETE FROM log WHERE n = ?1 RETURNING n, box, id", [n])
            .map(|rows| rows.into_iter().map(|(_, box_id, id)| (box_id, id)).collect())
    }

    /// Deletes rows of the log with a statement that returns `n, box, id`, which may be damaged.
    fn drop_rows(
        &mut self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<(i64, i64, Vec<u8>)>> {
        self.db
            .prepare_cached(sql)?
            .query_map(params, |row| {
                let box_id = row.get_ref(1)?.as_i64().unwrap_or_default();
                Ok((row.get(0)?, box_id, row.get_ref(2)?.as_blob().unwrap_or_default().to_vec()))
            })?
            .collect()
    }

    /// Takes an envelope off the list, and off what is counted.
    fn unlist_counted(&mut self, key: Key) -> rusqlite::Result<()> {
        if let Some(Listed { size, sent }) = self.unlist(key)? {
            self.totals.subtract(sent, size);
            if let Some(usage) = self.usage.get_mut(&key.0) {
                usage.subtract(sent, size);
            }
        }
        Ok(())
    }

    /// Drops what a box has of these numbers.
    pub(super) fn drop_from(
        &mut self,
        box_id: i64,
        numbers: impl IntoIterator<Item = i64>,
    ) -> rusqlite::Result<()> {
        for n in numbers {
            let id: Option<Vec<u8>> = self
                .db
                .prepare_cached("DELETE FROM log WHERE n = ?1 AND box = ?2 RETURNING id")?
                .query_row([n, box_id], |row| Ok(row.get_ref(0)?.as_blob().unwrap_or_default().to_vec()))
                .optional()?;
            self.unlist_counted((box_id, n))?;
            self.keep_id(box_id, n, &id.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Drops the oldest of what was stored before a time, if they are among the oldest `rows` of the log. How many.
    pub(super) fn drop_expired(&mut self, expired: i64, rows: u32) -> rusqlite::Result<usize> {
        let dropped = self.drop_rows(
            "DELETE FROM log WHERE stored_at < ?1 AND n IN (SELECT n FROM log ORDER BY n LIMIT ?2)
             RETURNING n, box, id",
            params![expired, rows],
        )?;
        for (n, box_id, _) in &dropped {
            self.unlist_counted((*box_id, *n))?;
        }
        let count = dropped.len();
        let ids: Vec<_> = dropped.into_iter().map(|(_, box_id, id)| (box_id, id)).collect();
        self.forget_ids(&ids)?;
        Ok(count)
    }

    pub(super) fn ack(&mut self, peer: PeerId, through: u64) -> rusqlite::Result<()> {
        let id = self.peer_id(peer)?;
        let through = to_sql(through.min(self.counters.next_n.saturating_sub(1)));
        self.db
            .prepare_cached("UPDATE peers SET acked = ?2, acked_sum = ?3 WHERE id = ?1 AND acked < ?2")?
            .execute([id, through, checksum::of_cursor(peer.as_ref(), through)])?;
        let acked = self.listed(id, through)?;
        self.drop_from(id, acked.into_iter().map(|(n, _)| n))
    }

    pub(super) fn discard(&mut self, numbers: &[u64]) -> rusqlite::Result<()> {
        for n in numbers.iter().map(|n| to_sql(*n)) {
            let dropped = self.drop_row(n)?;
            for (box_id, _) in &dropped {
                self.unlist_counted((*box_id, n))?;
            }
            // Box and id may be damaged, too.
            if self.forget_ids(&dropped)? < dropped.len() {
                self.forget_number(n)?;
            }
        }
        Ok(())
    }
}
