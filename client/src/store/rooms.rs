//! Rooms and who is in them.

use chat_core::ids::{ConversationId, PeerId, Timestamp};
use rusqlite::params;

use super::{Store, StoreError, b, int};

impl Store {
    /// Name and conversation of every room ever joined, and whether one is in it now.
    pub(crate) fn rooms(&self) -> Result<Vec<(String, ConversationId, bool)>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT name, conversation, joined FROM rooms")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, ConversationId(row.get(1)?), row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn put_room(
        &self,
        name: &str,
        conversation: ConversationId,
        joined: bool,
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO rooms VALUES (?,?,?)")?;
        put.execute(params![name, b(&conversation), joined])?;
        Ok(())
    }

    pub(crate) fn members(&self, room: &str) -> Result<Vec<PeerId>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT peer FROM members WHERE room = ? ORDER BY peer")?;
        let rows = all.query_map([room], |row| row.get(0).map(PeerId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A member, or one seen again; the time is written once a day.
    pub(crate) fn put_member(&self, room: &str, peer: PeerId, now: Timestamp) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "INSERT INTO members VALUES (?1,?2,?3)
             ON CONFLICT (room, peer) DO UPDATE SET last_seen = ?3 WHERE ?3 - last_seen > 86400000",
        )?;
        put.execute(params![room, b(&peer), int(now.0)])?;
        Ok(())
    }

    /// Whether there was such a member.
    pub(crate) fn remove_member(&self, room: &str, peer: PeerId) -> Result<bool, StoreError> {
        let mut remove = self.db.prepare_cached("DELETE FROM members WHERE room = ? AND peer = ?")?;
        Ok(remove.execute(params![room, b(&peer)])? > 0)
    }

    pub(crate) fn remove_members_unseen_since(&self, then: Timestamp) -> Result<usize, StoreError> {
        Ok(self.db.execute("DELETE FROM members WHERE last_seen < ?", [int(then.0)])?)
    }

    pub(crate) fn remove_all_members(&self, room: &str) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM members WHERE room = ?")?.execute([room])?;
        Ok(())
    }
}
