//! Closed rooms: the membership operations, what others know of them, and the roster each text was written to.

use chat_core::ids::{ConversationId, MessageId, PeerId};
use rusqlite::{OptionalExtension, params};

use super::{DeliveryState, Store, StoreError, b};

/// What a peer knows of a room's operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RoomPeer {
    /// How many of them, in the order in which they became known here, were sent to it.
    pub(crate) told: u32,
    /// The hash of all that it said it knows.
    pub(crate) heard: Option<[u8; 16]>,
}

impl Store {
    /// The signed operations of a room, in the order in which they became known.
    pub(crate) fn room_operations(&self, room: ConversationId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut all =
            self.db.prepare_cached("SELECT operation FROM room_operations WHERE room = ? ORDER BY n")?;
        let rows = all.query_map([b(&room)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn put_room_operation(
        &self,
        room: ConversationId,
        n: usize,
        operation: &[u8],
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT INTO room_operations VALUES (?,?,?)")?;
        put.execute(params![b(&room), i64::try_from(n).unwrap_or(i64::MAX), operation])?;
        Ok(())
    }

    pub(crate) fn room_peers(&self, room: ConversationId) -> Result<Vec<(PeerId, RoomPeer)>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT peer, told, heard FROM room_peers WHERE room = ?")?;
        let rows = all.query_map([b(&room)], |row| {
            Ok((PeerId(row.get(0)?), RoomPeer { told: row.get(1)?, heard: row.get(2)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn put_room_peer(
        &self,
        room: ConversationId,
        peer: PeerId,
        knows: RoomPeer,
    ) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO room_peers VALUES (?,?,?,?)")?;
        let heard = knows.heard.as_ref().map(<[u8; 16]>::as_slice);
        put.execute(params![b(&room), b(&peer), knows.told, heard])?;
        Ok(())
    }

    pub(crate) fn remove_room_peer(&self, room: ConversationId, peer: PeerId) -> Result<(), StoreError> {
        let mut remove = self.db.prepare_cached("DELETE FROM room_peers WHERE room = ? AND peer = ?")?;
        remove.execute(params![b(&room), b(&peer)])?;
        Ok(())
    }

    /// A room that was left is not known any more; what was said in it stays.
    pub(crate) fn erase_room(&self, room: ConversationId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM room_operations WHERE room = ?",
            "DELETE FROM room_peers WHERE room = ?",
            "DELETE FROM members WHERE room = ?",
            "DELETE FROM rooms WHERE conversation = ?",
        ] {
            self.db.prepare_cached(sql)?.execute([b(&room)])?;
        }
        Ok(())
    }

    /// Whether anything was said in a conversation that is still in history.
    pub(crate) fn has_history_in(&self, conversation: ConversationId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM messages WHERE conversation = ? LIMIT 1";
        Ok(self.db.prepare_cached(sql)?.exists([b(&conversation)])?)
    }

    /// What others know of closed rooms is not known any more, and what is known here may be old: of each a row of one's
    /// own says so, until others have been heard.
    pub(crate) fn doubt_closed_rooms(&self, me: PeerId) -> Result<(), StoreError> {
        for room in self.rooms()?.into_iter().filter(|row| row.closed).map(|row| row.conversation) {
            let peers = self.room_peers(room)?.into_iter().map(|(peer, _)| peer);
            for peer in peers.chain([me]) {
                self.put_room_peer(room, peer, RoomPeer::default())?;
            }
        }
        Ok(())
    }

    /// Remembers the members a text of one's own was written to: every copy says so, also one that is sealed later.
    pub(crate) fn put_closed_text(&self, message: MessageId, roster: &[u8; 16]) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO closed_texts VALUES (?,?)")?;
        put.execute(params![b(&message), roster.as_slice()])?;
        Ok(())
    }

    pub(crate) fn closed_text(&self, message: MessageId) -> Result<Option<[u8; 16]>, StoreError> {
        let mut find = self.db.prepare_cached("SELECT roster FROM closed_texts WHERE message = ?")?;
        Ok(find.query_row([b(&message)], |row| row.get(0)).optional()?)
    }

    /// Copies of messages of one's own in a room that have not arrived: of all members, or of one.
    fn open_copies_in(
        &self,
        room: ConversationId,
        peer: Option<PeerId>,
    ) -> Result<Vec<(MessageId, PeerId)>, StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT d.message, d.peer FROM deliveries d JOIN messages m ON m.id = d.message AND m.mine = 1
             WHERE m.conversation = ?1 AND d.state < 3 AND (?2 IS NULL OR d.peer = ?2)",
        )?;
        let peer = peer.as_ref().map(b);
        let rows =
            all.query_map(params![b(&room), peer], |row| Ok((MessageId(row.get(0)?), PeerId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Nobody waits any longer for what a peer has not got of a room's messages. Which messages those were.
    pub(crate) fn drop_copies_in(
        &self,
        room: ConversationId,
        peer: PeerId,
    ) -> Result<Vec<MessageId>, StoreError> {
        let open = self.open_copies_in(room, Some(peer))?;
        for &(message, peer) in &open {
            self.remove_delivery(message, peer)?;
        }
        Ok(open.into_iter().map(|(message, _)| message).collect())
    }

    /// What has not arrived of a room's messages has failed. Which messages those were.
    pub(crate) fn fail_copies_in(
        &self,
        room: ConversationId,
        reason: &str,
    ) -> Result<Vec<MessageId>, StoreError> {
        let open = self.open_copies_in(room, None)?;
        for &(message, peer) in &open {
            self.set_delivery_state(message, peer, DeliveryState::Failed, Some(reason))?;
            self.drop_delivery_envelope(message, peer)?;
        }
        Ok(open.into_iter().map(|(message, _)| message).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;
    use crate::store::RoomRow;

    #[test]
    fn operations_keep_their_order_and_peers_what_they_know() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let (room, peer) = (ConversationId([1; 16]), PeerId([2; 32]));
        for n in [0, 2, 1] {
            store.put_room_operation(room, n, &[n as u8]).unwrap();
        }
        assert!(store.put_room_operation(room, 1, &[9]).is_err());
        assert_eq!(store.room_operations(room).unwrap(), [[0], [1], [2]]);
        for knows in [RoomPeer { told: 3, heard: None }, RoomPeer { told: 1, heard: Some([7; 16]) }] {
            store.put_room_peer(room, peer, knows).unwrap();
            assert_eq!(store.room_peers(room).unwrap(), [(peer, knows)]);
        }
        store
            .put_room(&RoomRow { conversation: room, address: "#den".into(), closed: true, joined: true })
            .unwrap();
        store.doubt_closed_rooms(PeerId([9; 32])).unwrap();
        let nothing = RoomPeer::default();
        assert_eq!(store.room_peers(room).unwrap(), [(peer, nothing), (PeerId([9; 32]), nothing)]);
        store.remove_room_peer(room, PeerId([9; 32])).unwrap();
        assert_eq!(store.room_peers(room).unwrap(), [(peer, nothing)]);
        let message = MessageId([3; 16]);
        assert_eq!(store.closed_text(message).unwrap(), None);
        store.put_closed_text(message, &[4; 16]).unwrap();
        assert_eq!(store.closed_text(message).unwrap(), Some([4; 16]));
    }
}
