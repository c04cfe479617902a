//! Rooms, and who is in the open ones.

use chat_core::ids::{ConversationId, PeerId, Timestamp};
use rusqlite::params;

use super::{Store, StoreError, b, int};

/// To version 3 of the schema: rooms by conversation, and closed ones.
pub(super) const FROM_VERSION_2: &str = "
CREATE TABLE new_rooms (
    conversation BLOB PRIMARY KEY, address TEXT NOT NULL UNIQUE, closed INTEGER NOT NULL, joined INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO new_rooms SELECT conversation, name, 0, joined FROM rooms;
CREATE TABLE new_members (
    room BLOB NOT NULL, peer BLOB NOT NULL, last_seen INTEGER NOT NULL, PRIMARY KEY (room, peer)
) WITHOUT ROWID;
INSERT INTO new_members
    SELECT r.conversation, m.peer, m.last_seen FROM members m JOIN rooms r ON r.name = m.room;
DROP TABLE rooms;
DROP TABLE members;
ALTER TABLE new_rooms RENAME TO rooms;
ALTER TABLE new_members RENAME TO members;
CREATE TABLE room_operations (
    room BLOB NOT NULL, n INTEGER NOT NULL, operation BLOB NOT NULL, PRIMARY KEY (room, n)
) WITHOUT ROWID;
CREATE TABLE room_peers (
    room BLOB NOT NULL, peer BLOB NOT NULL, told INTEGER NOT NULL, heard BLOB, PRIMARY KEY (room, peer)
) WITHOUT ROWID;
CREATE TABLE closed_texts (message BLOB PRIMARY KEY, roster BLOB NOT NULL) WITHOUT ROWID;
";

/// A room ever joined, or one that admitted this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomRow {
    pub(crate) conversation: ConversationId,
    /// What it is called here.
    pub(crate) address: String,
    pub(crate) closed: bool,
    /// Whether one is in it now.
    pub(crate) joined: bool,
}

impl Store {
    pub(crate) fn rooms(&self) -> Result<Vec<RoomRow>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT conversation, address, closed, joined FROM rooms")?;
        let rows = all.query_map([], |row| {
            Ok(RoomRow {
                conversation: ConversationId(row.get(0)?),
                address: row.get(1)?,
                closed: row.get(2)?,
                joined: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn put_room(&self, row: &RoomRow) -> Result<(), StoreError> {
        let known = "SELECT 1 FROM rooms WHERE conversation = ?";
        let known = self.db.prepare_cached(known)?.exists([b(&row.conversation)])?;
        if known {
            let sql = "UPDATE rooms SET address = ?, joined = ? WHERE conversation = ?";
            let mut put = self.db.prepare_cached(sql)?;
            put.execute(params![row.address, row.joined, b(&row.conversation)])?;
        } else {
            let sql = "INSERT INTO rooms (conversation, address, closed, joined) VALUES (?,?,?,?)";
            let mut put = self.db.prepare_cached(sql)?;
            put.execute(params![b(&row.conversation), row.address, row.closed, row.joined])?;
        }
        Ok(())
    }

    pub(crate) fn members(&self, room: ConversationId) -> Result<Vec<PeerId>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT peer FROM members WHERE room = ? ORDER BY peer")?;
        let rows = all.query_map([b(&room)], |row| row.get(0).map(PeerId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A member, or one seen again; the time is written once a day.
    pub(crate) fn put_member(
        &self,
        room: ConversationId,
        peer: PeerId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_fresh = "SELECT 1 FROM members WHERE room = ? AND peer = ? AND ? - last_seen <= 86400000";
        let is_fresh = self.db.prepare_cached(is_fresh)?.exists(params![b(&room), b(&peer), int(now.0)])?;
        if !is_fresh {
            let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO members VALUES (?,?,?)")?;
            put.execute(params![b(&room), b(&peer), int(now.0)])?;
        }
        Ok(())
    }

    /// Whether there was such a member.
    pub(crate) fn remove_member(&self, room: ConversationId, peer: PeerId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM members WHERE room = ? AND peer = ? RETURNING 1";
        let mut remove = self.db.prepare_cached(sql)?;
        let removed = remove.query_map(params![b(&room), b(&peer)], |_| Ok(()))?;
        Ok(!removed.collect::<Result<Vec<()>, _>>()?.is_empty())
    }

    pub(crate) fn remove_members_unseen_since(&self, then: Timestamp) -> Result<usize, StoreError> {
        let mut remove = self.db.prepare_cached("DELETE FROM members WHERE last_seen < ? RETURNING 1")?;
        let removed = remove.query_map([int(then.0)], |_| Ok(()))?;
        Ok(removed.collect::<Result<Vec<()>, _>>()?.len())
    }

    pub(crate) fn remove_all_members(&self, room: ConversationId) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM members WHERE room = ?")?.execute([b(&room)])?;
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
        let row = |joined| RoomRow { conversation, address: "#lobby".into(), closed: false, joined };
        store.put_room(&row(true)).unwrap();
        store.put_room(&row(false)).unwrap();
        assert_eq!(store.rooms().unwrap(), [row(false)]);
        let renamed = RoomRow { address: "#lobby·0101".into(), ..row(true) };
        store.put_room(&renamed).unwrap();
        assert_eq!(store.rooms().unwrap(), std::slice::from_ref(&renamed));
        // The name is another's now.
        let other = RoomRow { conversation: ConversationId([2; 16]), ..row(true) };
        store.put_room(&other).unwrap();
        assert_eq!(store.rooms().unwrap(), [renamed, other]);
    }

    #[test]
    fn a_member_stays_one_until_it_leaves_or_is_unseen() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let [anna, bob, eve] = [1, 2, 3].map(|n| PeerId([n; 32]));
        let [one, two] = [1, 2].map(|n| ConversationId([n; 16]));
        for (room, peer) in [(one, eve), (one, anna), (one, bob), (two, eve)] {
            store.put_member(room, peer, Timestamp(1)).unwrap();
        }
        assert_eq!(store.members(one).unwrap(), [anna, bob, eve]);
        assert!(store.remove_member(one, bob).unwrap());
        assert!(!store.remove_member(one, bob).unwrap());
        // Seen again within a day is not written, after a day it is.
        store.put_member(one, anna, Timestamp(1 + DAY_MS)).unwrap();
        store.put_member(one, eve, Timestamp(2 + DAY_MS)).unwrap();
        assert_eq!(store.remove_members_unseen_since(Timestamp(2 + DAY_MS)).unwrap(), 2);
        assert_eq!((store.members(one).unwrap(), store.members(two).unwrap()), (vec![eve], vec![]));
        store.put_member(two, bob, Timestamp(1)).unwrap();
        store.remove_all_members(one).unwrap();
        assert_eq!((store.members(one).unwrap(), store.members(two).unwrap()), (vec![], vec![bob]));
    }
}
