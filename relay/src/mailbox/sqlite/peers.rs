//! Peers, the directory and the rooms.

use bytes::Bytes;
use chat_core::nick::{Nick, RoomName};
use chat_core::{PeerId, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::super::{Attached, IsOnline, Joined, MAX_AHEAD_MS, Published};
use super::checksum;
use super::writer::{Writer, from_sql, to_sql};

impl Writer {
    /// The row of a peer, if there is one.
    pub(super) fn known_peer(&mut self, peer: PeerId) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.peer_ids.get(&peer) {
            return Ok(Some(*id));
        }
        let known = self
            .db
            .prepare_cached("SELECT id FROM peers WHERE peer = ?1")?
            .query_row([peer.as_ref()], |row| row.get(0))
            .optional()?;
        self.peer_ids.extend(known.map(|id| (peer, id)));
        Ok(known)
    }

    /// The row of a peer, made if there is none.
    pub(super) fn peer_id(&mut self, peer: PeerId) -> rusqlite::Result<i64> {
        if let Some(id) = self.known_peer(peer)? {
            return Ok(id);
        }
        let id = self.db.prepare_cached("INSERT INTO peers(peer) VALUES(?1)")?.insert([peer.as_ref()])?;
        self.peer_ids.insert(peer, id);
        Ok(id)
    }

    pub(super) fn attach(&mut self, peer: PeerId, now: Timestamp) -> rusqlite::Result<Option<Attached>> {
        self.trim_caches();
        let is_full = self.counters.peers >= self.limits.max_peers;
        if is_full && self.known_peer(peer)?.is_none() {
            return Ok(None);
        }
        let id = self.peer_id(peer)?;
        let (acked, last_seen): (i64, i64) = self
            .db
            .prepare_cached("SELECT acked, last_seen, acked_sum FROM peers WHERE id = ?1")?
            .query_row([id], |row| {
                let [acked, last_seen, sum] = [0, 1, 2].map(|column| checksum::number(row, column));
                Ok((checksum::cursor(peer.as_ref(), acked, sum), last_seen))
            })?;
        if last_seen == 0 {
            if is_full {
                return Ok(None);
            }
            self.counters.peers += 1;
        }
        self.db
            .prepare_cached("UPDATE peers SET last_seen = ?2 WHERE id = ?1")?
            .execute([id, to_sql(now.0).max(1)])?;
        let rooms = self
            .db
            .prepare_cached(
                "SELECT rooms.name FROM members JOIN rooms ON rooms.id = members.room WHERE members.peer = ?1",
            )?
            .query_map([id], |row| row.get::<_, String>(0))?
            .filter_map(|name| name.map(|name| RoomName::new(name).ok()).transpose())
            .collect::<Result<_, _>>()?;
        let one_time_keys = self.one_time_keys_left(id, now)?;
        Ok(Some(Attached { cursor: from_sql(acked), rooms, one_time_keys }))
    }

    pub(super) fn publish(
        &mut self,
        peer: PeerId,
        nick: &Nick,
        (created, now): (Timestamp, Timestamp),
        bundle: &Bytes,
    ) -> rusqlite::Result<Published> {
        let latest = now.plus_ms(MAX_AHEAD_MS);
        if created > latest {
            return Ok(Published::Ahead);
        }
        let id = self.peer_id(peer)?;
        let (created, latest) = (to_sql(created.0), to_sql(latest.0));
        let known: Option<(i64, i64)> = self
            .db
            .prepare_cached("SELECT created, length(bundle) FROM directory WHERE peer = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // What is dated in the future came when this clock was wrong.
        if known.is_some_and(|(known, _)| known >= created && known <= latest) {
            return Ok(Published::Old);
        }
        let others = self.counters.directory_bytes.saturating_sub(known.map_or(0, |(_, len)| from_sql(len)));
        let bytes = others + bundle.len() as u64;
        if bytes > self.limits.directory_bytes {
            return Ok(Published::Full);
        }
        self.db
            .prepare_cached("INSERT OR REPLACE INTO directory VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![id, nick.as_str(), created, &bundle[..]])?;
        self.counters.directory_bytes = bytes;
        Ok(Published::New)
    }

    fn room_id(&self, room: &RoomName) -> rusqlite::Result<Option<(i64, i64)>> {
        self.db
            .prepare_cached("SELECT id, members FROM rooms WHERE name = ?1")?
            .query_row([room.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn is_member(&self, room: i64, peer: i64) -> rusqlite::Result<bool> {
        self.db.prepare_cached("SELECT 1 FROM members WHERE room = ?1 AND peer = ?2")?.exists([room, peer])
    }

    /// The room, if `peer` is a member of it.
    pub(super) fn room_of(&self, room: &RoomName, peer: i64) -> rusqlite::Result<Option<i64>> {
        let Some((room, _)) = self.room_id(room)? else { return Ok(None) };
        Ok(self.is_member(room, peer)?.then_some(room))
    }

    pub(super) fn join(
        &mut self,
        peer: PeerId,
        room: &RoomName,
        is_online: &IsOnline,
    ) -> rusqlite::Result<Joined> {
        let id = self.peer_id(peer)?;
        let known = self.room_id(room)?;
        if let Some((room, _)) = known
            && self.is_member(room, id)?
        {
            return Ok(Joined::Already);
        }
        let rooms: i64 = self
            .db
            .prepare_cached("SELECT count(*) FROM members WHERE peer = ?1")?
            .query_row([id], |row| row.get(0))?;
        if from_sql(rooms) >= self.limits.rooms_per_peer {
            return Ok(Joined::TooManyRooms);
        }
        if let Some((room, members)) = known
            && from_sql(members) >= self.limits.members_per_room
            && !self.make_room(room, is_online)?
        {
            return Ok(Joined::RoomFull);
        }
        let room = match known {
            Some((room, _)) => room,
            None => self.db.prepare_cached("INSERT INTO rooms(name) VALUES(?1)")?.insert([room.as_str()])?,
        };
        let since = to_sql(self.counters.next_n.saturating_sub(1));
        let sum = checksum::of_membership(room, id, since);
        self.db
            .prepare_cached("INSERT INTO members VALUES(?1, ?2, ?3, ?4)")?
            .execute([room, id, since, sum])?;
        self.db.prepare_cached("UPDATE rooms SET members = members + 1 WHERE id = ?1")?.execute([room])?;
        let bundle: Option<Vec<u8>> = self
            .db
            .prepare_cached("SELECT bundle FROM directory WHERE peer = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok(Joined::New { bundle: bundle.map(Bytes::from) })
    }

    pub(super) fn leave(&mut self, peer: PeerId, room: &RoomName) -> rusqlite::Result<bool> {
        let id = self.peer_id(peer)?;
        let Some((room, _)) = self.room_id(room)? else { return Ok(false) };
        self.remove_member(room, id)
    }

    pub(super) fn remove_member(&self, room: i64, peer: i64) -> rusqlite::Result<bool> {
        let left = self
            .db
            .prepare_cached("DELETE FROM members WHERE room = ?1 AND peer = ?2")?
            .execute([room, peer])?;
        if left > 0 {
            self.db
                .prepare_cached("UPDATE rooms SET members = members - 1 WHERE id = ?1")?
                .execute([room])?;
        }
        Ok(left > 0)
    }
}
