//! Peers of whom nobody has had anything: they give way to newcomers, and are forgotten sooner.
//!
//! Identities cost nothing, so a crowd of them can fill a room, or the relay. *Silent* is who has never submitted an
//! envelope and never acknowledged one (within the 30 days that ids are remembered).

use std::collections::BTreeMap;
use std::time::Duration;

use chat_core::PeerId;
use rusqlite::{Connection, params};
use tokio::time::Instant;

use super::super::IsOnline;
use super::writer::{Writer, to_sql};

/// A full room gives the places of so many parts of its members at once, for looking through them takes a while;
const SHARE: u64 = 16;
/// and where nobody gives way, nobody is looked for again in this time.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Most rooms of which that is remembered.
const MAX_ROOMS: usize = 1024;

/// Rooms in which nobody gave way, and when that was.
#[derive(Default)]
pub(super) struct Unyielding(BTreeMap<i64, Instant>);

impl Unyielding {
    fn contains(&mut self, room: i64) -> bool {
        self.0.retain(|_, at| at.elapsed() < LOOK_AGAIN);
        self.0.contains_key(&room)
    }

    fn insert(&mut self, room: i64) {
        if self.0.len() < MAX_ROOMS {
            self.0.insert(room, Instant::now());
        }
    }
}

/// Members of a room who may give way, whoever is first first: no bundle and silent, silent, no bundle; in each the
/// one first whom nobody has seen for longest.
const GIVING_WAY: &str = "
SELECT id, peer FROM (
  SELECT peers.id, peers.peer, peers.last_seen,
    NOT EXISTS (SELECT 1 FROM directory WHERE peer = peers.id) AS unnamed,
    peers.acked = 0 AND NOT EXISTS (SELECT 1 FROM seen WHERE sender = peers.id) AS silent
  FROM members JOIN peers ON peers.id = members.peer WHERE members.room = ?1)
WHERE unnamed OR silent ORDER BY unnamed + 2 * silent DESC, last_seen, id";

fn giving_way(db: &Connection, room: i64, most: u64, is_online: &IsOnline) -> rusqlite::Result<Vec<i64>> {
    let mut query = db.prepare_cached(GIVING_WAY)?;
    let mut rows = query.query([room])?;
    let mut found = Vec::new();
    while (found.len() as u64) < most
        && let Some(row) = rows.next()?
    {
        let peer: Vec<u8> = row.get(1)?;
        if PeerId::from_slice(&peer).is_none_or(|peer| !is_online(peer)) {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}

impl Writer {
    /// Takes members out of a full room who are not connected and of whom nobody has had anything. Whether there is a
    /// place now.
    pub(super) fn make_room(&mut self, room: i64, is_online: &IsOnline) -> rusqlite::Result<bool> {
        if self.unyielding.contains(room) {
            return Ok(false);
        }
        self.settle_fresh()?;
        let most = (self.limits.members_per_room / SHARE).max(1);
        let gone = giving_way(&self.db, room, most, is_online)?;
        for peer in &gone {
            self.remove_member(room, *peer)?;
        }
        if gone.is_empty() {
            self.unyielding.insert(room);
        } else {
            tracing::debug!(members = gone.len(), "silent members gave way in a full room");
        }
        Ok(!gone.is_empty())
    }

    /// Forgets silent peers whom nobody has seen since `cutoff` and for whom nothing waits: those without a bundle, and
    /// where a room of theirs or the relay is more than half full, those with one. Goes round the peers in pieces;
    /// whether a round is done.
    pub(super) fn sweep_silent(&mut self, cutoff: i64) -> rusqlite::Result<bool> {
        let rows = i64::from(self.limits.sweep_rows.max(1));
        let first = self.swept_peers;
        let (count, last): (i64, Option<i64>) = self
            .db
            .prepare_cached(
                "SELECT count(*), max(id) FROM (SELECT id FROM peers WHERE id > ?1 ORDER BY id LIMIT ?2)",
            )?
            .query_row([first, rows], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(last) = last else {
            self.swept_peers = 0;
            return Ok(true);
        };
        let crowded = self.counters.peers.saturating_mul(2) > self.limits.max_peers;
        let silent: Vec<i64> = self
            .db
            .prepare_cached(
                "SELECT id FROM peers WHERE id > ?1 AND id <= ?2 AND last_seen > 0 AND last_seen < ?3 AND acked = 0
                   AND NOT EXISTS (SELECT 1 FROM seen WHERE sender = peers.id)
                   AND NOT EXISTS (SELECT 1 FROM boxes WHERE box = peers.id)
                   AND (?4 OR NOT EXISTS (SELECT 1 FROM directory WHERE peer = peers.id)
                     OR EXISTS (SELECT 1 FROM members JOIN rooms ON rooms.id = members.room
                       WHERE members.peer = peers.id AND rooms.members * 2 > ?5))",
            )?
            .query_map(params![first, last, cutoff, crowded, to_sql(self.limits.members_per_room)], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for peer in &silent {
            self.forget_silent(*peer)?;
        }
        if !silent.is_empty() {
            self.forget_caches();
        }
        let round_done = count < rows;
        self.swept_peers = if round_done { 0 } else { last };
        Ok(round_done)
    }

    fn forget_silent(&mut self, peer: i64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "UPDATE rooms SET members = members - 1 WHERE id IN (SELECT room FROM members WHERE peer = ?1)",
            )?
            .execute([peer])?;
        self.db.prepare_cached("DELETE FROM members WHERE peer = ?1")?.execute([peer])?;
        self.db.prepare_cached("DELETE FROM peers WHERE id = ?1")?.execute([peer])?;
        self.forget_peer(peer, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_where_nobody_gave_way_is_remembered_but_not_any_number_of_them() {
        let mut rooms = Unyielding::default();
        (1..=1025).for_each(|room| rooms.insert(room));
        assert!(rooms.contains(1) && rooms.contains(1024));
        assert!(!rooms.contains(1025) && !rooms.contains(0));
    }
}
