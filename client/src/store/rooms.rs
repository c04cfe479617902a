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
        let mut put = self
            .db
            .prepare_cached("INSERT OR REPLACE INTO rooms (name, conversation, joined) VALUES (?,?,?)")?;
        put.execute(params![name, b(&conversation), joined])?;
        Ok(())
    }

    pub(crate) fn members(&self, room: &str) -> Result<Vec<PeerId>, StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT peer FROM members WHERE room_hash = hashed('members.room', ?) ORDER BY peer",
        )?;
        let rows = all.query_map([room], |row| row.get(0).map(PeerId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A member, or one seen again; the time is written once a day.
    pub(crate) fn put_member(&self, room: &str, peer: PeerId, now: Timestamp) -> Result<(), StoreError> {
        let mut is_fresh = self.db.prepare_cached(
            "SELECT 1 FROM members WHERE room_hash = hashed('members.room', ?) AND peer = ? AND ? - last_seen <= 86400000",
        )?;
        if !is_fresh.exists(params![room, b(&peer), int(now.0)])? {
            let sql = "INSERT OR REPLACE INTO members (room, peer, last_seen) VALUES (?,?,?)";
            self.db.prepare_cached(sql)?.execute(params![room, b(&peer), int(now.0)])?;
        }
        Ok(())
    }

    /// Whether there was such a member.
    pub(crate) fn remove_member(&self, room: &str, peer: PeerId) -> Result<bool, StoreError> {
        let this = "room_hash = hashed('members.room', ?) AND peer = ?";
        let mut remove = self.db.prepare_cached(&format!("DELETE FROM members WHERE {this} RETURNING 1"))?;
        let removed = remove.query_map(params![room, b(&peer)], |_| Ok(()))?;
        Ok(!removed.collect::<Result<Vec<()>, _>>()?.is_empty())
    }

    pub(crate) fn remove_members_unseen_since(&self, then: Timestamp) -> Result<usize, StoreError> {
        let mut remove = self.db.prepare_cached("DELETE FROM members WHERE last_seen < ? RETURNING 1")?;
        let removed = remove.query_map([int(then.0)], |_| Ok(()))?;
        Ok(removed.collect::<Result<Vec<()>, _>>()?.len())
    }

    pub(crate) fn remove_all_members(&self, room: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM members WHERE room_hash = hashed('members.room', ?)")?
            .execute([room])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_room_is_joined_and_left_and_stays_known() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        assert_eq!(store.rooms().unwrap(), []);
        let conversation = ConversationId([1; 16]);
        store.put_room("#lobby", conversation, true).unwrap();
        store.put_room("#lobby", conversation, false).unwrap();
        assert_eq!(store.rooms().unwrap(), [("#lobby".to_owned(), conversation, false)]);
    }

    #[test]
    fn a_member_stays_one_until_it_leaves_or_is_unseen() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let [anna, bob, eve] = [1, 2, 3].map(|n| PeerId([n; 32]));
        for (room, peer) in [("#a", eve), ("#a", anna), ("#a", bob), ("#b", eve)] {
            store.put_member(room, peer, Timestamp(1)).unwrap();
        }
        assert_eq!(store.members("#a").unwrap(), [anna, bob, eve]);
        assert!(store.remove_member("#a", bob).unwrap());
        assert!(!store.remove_member("#a", bob).unwrap());
        // Seen again within a day is not written, after a day it is.
        store.put_member("#a", anna, Timestamp(1 + DAY_MS)).unwrap();
        store.put_member("#a", eve, Timestamp(2 + DAY_MS)).unwrap();
        assert_eq!(store.remove_members_unseen_since(Timestamp(2 + DAY_MS)).unwrap(), 2);
        assert_eq!((store.members("#a").unwrap(), store.members("#b").unwrap()), (vec![eve], vec![]));
        store.put_member("#b", bob, Timestamp(1)).unwrap();
        store.remove_all_members("#a").unwrap();
        assert_eq!((store.members("#a").unwrap(), store.members("#b").unwrap()), (vec![], vec![bob]));
    }
}
