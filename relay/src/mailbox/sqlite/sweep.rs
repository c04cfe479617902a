//! Forgetting what is too old, a bounded piece at a time so that nobody waits long for it.

use chat_core::nick::RoomName;
use chat_core::{PeerId, Timestamp};
use rusqlite::params;

use super::super::Swept;
use super::writer::{Counters, Writer, to_sql};

/// A sweep more than this after the last one is done only when the clock has stood by it for a while.
const JUMP_MS: u64 = 24 * 60 * 60 * 1000;
/// That while.
const JUMP_HOLDS_MS: u64 = 60 * 60 * 1000;

impl Writer {
    /// Whether the wall clock is believed. One that jumped ahead would drop the mail of everybody; but it also seems to
    /// jump when the relay was off, so it is believed when it still says so after an hour.
    pub(super) fn believes(&mut self, now: u64) -> bool {
        let Counters { swept_at, jumped_at, .. } = self.counters;
        let jumps = |since: u64| now.saturating_sub(since) > JUMP_MS;
        if swept_at > 0 && jumps(swept_at) {
            if jumped_at == 0 || now < jumped_at || jumps(jumped_at) {
                self.counters.jumped_at = now;
                tracing::warn!("the clock has jumped more than a day ahead; nothing is swept for an hour");
                return false;
            }
            if now - jumped_at < JUMP_HOLDS_MS {
                return false;
            }
        }
        self.counters.swept_at = now;
        self.counters.jumped_at = 0;
        true
    }

    /// One piece; see [`Swept`].
    pub(super) fn sweep(&mut self, now: Timestamp, online: &[PeerId]) -> rusqlite::Result<Swept> {
        if !self.believes(now.0) {
            return Ok(Swept::default());
        }
        for peer in online {
            let id = self.peer_id(*peer)?;
            self.db
                .prepare_cached("UPDATE peers SET last_seen = ?2 WHERE id = ?1")?
                .execute([id, to_sql(now.0).max(1)])?;
        }
        self.settle_fresh()?;
        self.settle_recent()?;
        let expired = to_sql(now.0.saturating_sub(self.limits.ttl_ms));
        // Numbers and times grow together, so the oldest are found without looking at the rest.
        let dropped = self.drop_expired(expired, self.limits.sweep_rows)?;
        // Once a round.
        if self.swept.0 == i64::MIN {
            self.sweep_room_logs()?;
        }
        let round_done = self.sweep_seen(expired)?;
        let (rooms, peers_left) = self.sweep_unseen(to_sql(now.0.saturating_sub(self.limits.unseen_ms)))?;
        let silent_done = self.sweep_silent(to_sql(now.0.saturating_sub(self.limits.silent_ms)))?;
        let keys_done = self.sweep_one_time_keys(now)?;
        let more = !round_done || !silent_done || !keys_done || peers_left || self.is_full_piece(dropped);
        Ok(Swept { rooms, more })
    }

    pub(super) fn is_full_piece(&self, rows: usize) -> bool {
        rows >= usize::try_from(self.limits.sweep_rows).unwrap_or(usize::MAX).max(1)
    }

    /// Drops envelopes of rooms that every member but their sender has acknowledged.
    fn sweep_room_logs(&mut self) -> rusqlite::Result<()> {
        let boxes: Vec<i64> = self
            .db
            .prepare_cached("SELECT DISTINCT box FROM boxes WHERE box < 0")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for box_id in boxes {
            // The two members who are furthest behind: the first may be the sender, who gets nothing of its own.
            let behind: Vec<(i64, i64)> = self
                .db
                .prepare_cached(
                    "SELECT members.peer, max(peers.acked, members.since) AS has FROM members
                     JOIN peers ON peers.id = members.peer WHERE members.room = ?1 ORDER BY has LIMIT 2",
                )?
                .query_map([-box_id], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let last = behind.first().map_or((0, i64::MAX), |last| *last);
            let last_but_one = behind.get(1).map_or(i64::MAX, |(_, has)| *has);
            let all_have = |n: i64, sender| n <= last.1 || sender == last.0 && n <= last_but_one;
            let through = last.1.max(last_but_one);
            let mut done = self.listed(box_id, through)?;
            done.retain(|(n, listed)| all_have(*n, listed.sent.sender));
            self.drop_from(box_id, done.into_iter().map(|(n, _)| n))?;
        }
        Ok(())
    }

    /// Forgets ids of envelopes stored too long ago; goes round the table in pieces. Whether a round is done.
    fn sweep_seen(&mut self, expired: i64) -> rusqlite::Result<bool> {
        let (box_id, id) = std::mem::take(&mut self.swept);
        let looked_at: Vec<(i64, Vec<u8>, i64)> = self
            .db
            .prepare_cached(
                "SELECT box, id, stored_at FROM seen WHERE (box, id) > (?1, ?2) ORDER BY box, id LIMIT ?3",
            )?
            .query_map(params![box_id, id, self.limits.sweep_rows], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let round_done = !self.is_full_piece(looked_at.len());
        self.swept = match looked_at.last() {
            Some((box_id, id, _)) if !round_done => (*box_id, id.clone()),
            _ => (i64::MIN, Vec::new()),
        };
        let old: Vec<(i64, Vec<u8>)> = looked_at
            .into_iter()
            .filter(|(_, _, stored_at)| *stored_at < expired)
            .map(|(box_id, id, _)| (box_id, id))
            .collect();
        self.forget_ids(&old)?;
        Ok(round_done)
    }

    /// Ends memberships of peers unseen since `cutoff`, and forgets peers and rooms of which nothing is left. The
    /// rooms that lost members, and whether more is left to do.
    fn sweep_unseen(&mut self, cutoff: i64) -> rusqlite::Result<(Vec<RoomName>, bool)> {
        let rows = i64::from(self.limits.sweep_rows);
        let gone: Vec<(i64, i64, String)> = self
            .db
            .prepare_cached(
                "SELECT members.room, members.peer, rooms.name FROM peers
                 JOIN members ON members.peer = peers.id JOIN rooms ON rooms.id = members.room
                 WHERE peers.last_seen < ?1 LIMIT ?2",
            )?
            .query_map([cutoff, rows], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let gone_is_full = self.is_full_piece(gone.len());
        let mut changed = Vec::new();
        for (room, peer, name) in gone {
            self.remove_member(room, peer)?;
            if let Ok(name) = RoomName::new(name)
                && !changed.contains(&name)
            {
                changed.push(name);
            }
        }
        let forgotten: Vec<(i64, bool)> = self
            .db
            .prepare_cached(
                "DELETE FROM peers WHERE id IN (SELECT id FROM peers WHERE last_seen < ?1
                   AND NOT EXISTS (SELECT 1 FROM boxes WHERE box = peers.id)
                   AND NOT EXISTS (SELECT 1 FROM members WHERE peer = peers.id) LIMIT ?2)
                 RETURNING id, last_seen > 0",
            )?
            .query_map([cutoff, rows], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (id, was_here) in &forgotten {
            self.forget_peer(*id, *was_here)?;
        }
        if !forgotten.is_empty() {
            self.forget_caches();
        }
        self.db
            .prepare_cached(
                "DELETE FROM rooms WHERE members = 0 AND NOT EXISTS (SELECT 1 FROM boxes WHERE box = -rooms.id)",
            )?
            .execute([])?;
        Ok((changed, gone_is_full || self.is_full_piece(forgotten.len())))
    }

    pub(super) fn forget_peer(&mut self, id: i64, was_here: bool) -> rusqlite::Result<()> {
        let bundles: Vec<i64> = self
            .db
            .prepare_cached("DELETE FROM directory WHERE peer = ?1 RETURNING length(bundle)")?
            .query_map([id], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for len in bundles {
            let len = u64::try_from(len).unwrap_or(0);
            self.counters.directory_bytes = self.counters.directory_bytes.saturating_sub(len);
        }
        self.erase_one_time_keys("DELETE FROM one_time_keys WHERE peer = ?1 RETURNING length(key)", [id])?;
        self.db.prepare_cached("DELETE FROM one_time_keys_given WHERE peer = ?1")?.execute([id])?;
        let mut forget = self.db.prepare_cached("DELETE FROM seen WHERE box = ?1 RETURNING sender")?;
        let mut senders = forget.query([id])?;
        while let Some(row) = senders.next()? {
            self.totals.forget_id(row.get(0)?);
        }
        drop(senders);
        drop(forget);
        self.forget_contacts(id)?;
        if was_here {
            self.counters.peers = self.counters.peers.saturating_sub(1);
        }
        Ok(())
    }
}
