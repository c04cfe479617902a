//! One-time keys: each is erased in the transaction that gives it out.

use bytes::Bytes;
use chat_core::{PeerId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::super::{Stocked, Taken};
use super::writer::{Writer, from_sql, to_sql};

/// How long it is remembered who has had keys of whom.
const BUDGET_MS: u64 = 24 * 60 * 60 * 1000;

impl Writer {
    pub(super) fn one_time_keys_left(&self, peer: i64, now: Timestamp) -> rusqlite::Result<u32> {
        self.db
            .prepare_cached("SELECT count(*) FROM one_time_keys WHERE peer = ?1 AND expires > ?2")?
            .query_row([peer, to_sql(now.0)], |row| row.get(0))
    }

    pub(super) fn put_one_time_keys(
        &mut self,
        peer: PeerId,
        keys: &[(Bytes, Timestamp)],
        anew: bool,
        now: Timestamp,
    ) -> rusqlite::Result<Stocked> {
        let id = self.peer_id(peer)?;
        let bytes: u64 = keys.iter().map(|(key, _)| key.len() as u64).sum();
        if !keys.is_empty() && self.counters.directory_bytes + bytes > self.limits.directory_bytes {
            return Ok(Stocked::Full);
        }
        if anew {
            self.erase_one_time_keys(
                "DELETE FROM one_time_keys WHERE peer = ?1 RETURNING length(key)",
                [id],
            )?;
        }
        for (key, expires) in keys {
            self.db
                .prepare_cached("INSERT INTO one_time_keys(peer, expires, key) VALUES(?1, ?2, ?3)")?
                .execute(params![id, to_sql(expires.0), &key[..]])?;
        }
        self.counters.directory_bytes += bytes;
        self.erase_one_time_keys(
            "DELETE FROM one_time_keys WHERE peer = ?1 AND n NOT IN
               (SELECT n FROM one_time_keys WHERE peer = ?1 ORDER BY n DESC LIMIT ?2) RETURNING length(key)",
            [id, i64::from(self.limits.one_time_keys)],
        )?;
        Ok(Stocked::Left(self.one_time_keys_left(id, now)?))
    }

    /// Erases rows; the query gives back the lengths of what it erased.
    pub(super) fn erase_one_time_keys(
        &mut self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> rusqlite::Result<usize> {
        let erased: Vec<i64> =
            self.db.prepare_cached(sql)?.query_map(params, |row| row.get(0))?.collect::<Result<_, _>>()?;
        let bytes: u64 = erased.iter().map(|len| from_sql(*len)).sum();
        self.counters.directory_bytes = self.counters.directory_bytes.saturating_sub(bytes);
        Ok(erased.len())
    }

    /// The oldest that has not expired, if the asker and the floor allow it.
    pub(super) fn take_one_time_key(
        &mut self,
        peer: PeerId,
        asker: PeerId,
        now: Timestamp,
    ) -> rusqlite::Result<Taken> {
        let (Some(id), Some(asker)) = (self.known_peer(peer)?, self.known_peer(asker)?) else {
            return Ok(Taken { key: None, left: 0 });
        };
        let left = self.one_time_keys_left(id, now)?;
        let none = Taken { key: None, left };
        let Some((n, key)) = self.oldest_one_time_key(id, now)? else { return Ok(none) };
        let (since, had) = self.given(id, asker, now)?;
        if had >= self.limits.one_time_keys_per_asker || !self.floor_allows(id, left, now)? {
            return Ok(none);
        }
        self.erase_one_time_keys("DELETE FROM one_time_keys WHERE n = ?1 RETURNING length(key)", [n])?;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO one_time_keys_given VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![id, asker, since, had + 1])?;
        self.db
            .prepare_cached("UPDATE peers SET gave_at = ?2 WHERE id = ?1")?
            .execute([id, to_sql(now.0)])?;
        Ok(Taken { key: Some(key.into()), left: left.saturating_sub(1) })
    }

    fn oldest_one_time_key(&self, peer: i64, now: Timestamp) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.db
            .prepare_cached(
                "SELECT n, key FROM one_time_keys WHERE peer = ?1 AND expires > ?2 ORDER BY n LIMIT 1",
            )?
            .query_row([peer, to_sql(now.0)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// Since when an asker's day counts, and how many it has had in it. A day that lies ahead was begun under a wrong
    /// clock, and is over.
    fn given(&self, peer: i64, asker: i64, now: Timestamp) -> rusqlite::Result<(i64, u32)> {
        let given: Option<(i64, u32)> = self
            .db
            .prepare_cached("SELECT since, count FROM one_time_keys_given WHERE peer = ?1 AND asker = ?2")?
            .query_row([peer, asker], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let is_of_today = |since: i64| from_sql(since) <= now.0 && now.0 - from_sql(since) < BUDGET_MS;
        Ok(given.filter(|(since, _)| is_of_today(*since)).unwrap_or((to_sql(now.0), 0)))
    }

    fn floor_allows(&self, peer: i64, left: u32, now: Timestamp) -> rusqlite::Result<bool> {
        if left > self.limits.one_time_keys_floor {
            return Ok(true);
        }
        let gave_at: i64 = self
            .db
            .prepare_cached("SELECT gave_at FROM peers WHERE id = ?1")?
            .query_row([peer], |row| row.get(0))?;
        let gave_at = from_sql(gave_at);
        Ok(gave_at > now.0 || now.0 - gave_at >= self.limits.one_time_keys_floor_ms)
    }

    /// Forgets keys that have expired and days that are over, a piece of them; whether none is left to forget.
    pub(super) fn sweep_one_time_keys(&mut self, now: Timestamp) -> rusqlite::Result<bool> {
        let rows = self.limits.sweep_rows;
        let expired = self.erase_one_time_keys(
            "DELETE FROM one_time_keys WHERE n IN
               (SELECT n FROM one_time_keys WHERE expires <= ?1 LIMIT ?2) RETURNING length(key)",
            params![to_sql(now.0), rows],
        )?;
        let over = self
            .db
            .prepare_cached(
                "DELETE FROM one_time_keys_given WHERE (peer, asker) IN
                   (SELECT peer, asker FROM one_time_keys_given WHERE since < ?1 LIMIT ?2)",
            )?
            .execute(params![to_sql(now.0.saturating_sub(BUDGET_MS)), rows])?;
        Ok(!self.is_full_piece(expired) && !self.is_full_piece(over))
    }
}
