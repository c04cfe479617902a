//! Sessions as they lie in the store.

use chat_core::ids::{PeerId, SessionId, Timestamp};
use chat_core::key_exchange::{SavedSession, StateChange};
use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::{Store, StoreError, b, int, uint};

/// A session beside its secret state.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) initiator: bool,
    pub(crate) binding: [u8; 32],
    /// Sent along until the peer is known to have it.
    pub(crate) handshake: Option<Vec<u8>>,
    /// A frame of the peer with the right context was opened.
    pub(crate) got_context: bool,
    /// The peer is known to have opened a frame with the context.
    pub(crate) peer_has_context: bool,
    pub(crate) exchange: String,
    pub(crate) cipher: String,
    pub(crate) created: Timestamp,
}

const COLUMNS: &str =
    "id, peer, initiator, binding, handshake, got_context, peer_has_context, exchange, cipher, created";

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: SessionId(row.get(0)?),
        peer: PeerId(row.get(1)?),
        initiator: row.get(2)?,
        binding: row.get(3)?,
        handshake: row.get(4)?,
        got_context: row.get(5)?,
        peer_has_context: row.get(6)?,
        exchange: row.get(7)?,
        cipher: row.get(8)?,
        created: Timestamp(uint(row.get(9)?)),
    })
}

impl Store {
    pub(crate) fn session(&self, id: SessionId) -> Result<Option<(SessionRow, SavedSession)>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, main FROM sessions WHERE id = ?");
        let found = self
            .db
            .prepare_cached(&sql)?
            .query_row([b(&id)], |row| Ok((read(row)?, Zeroizing::new(row.get::<_, Vec<u8>>(10)?))))
            .optional()?;
        let Some((row, main)) = found else { return Ok(None) };
        let mut rows = self.db.prepare_cached("SELECT key, value FROM session_rows WHERE session = ?")?;
        let rows = rows.query_map([b(&id)], |row| Ok((row.get(0)?, Zeroizing::new(row.get(1)?))))?;
        Ok(Some((row, SavedSession { main, rows: rows.collect::<Result<_, _>>()? })))
    }

    /// All sessions with a peer, oldest first.
    pub(crate) fn sessions_of(&self, peer: PeerId) -> Result<Vec<SessionRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sessions WHERE peer = ? ORDER BY created, id");
        let mut all = self.db.prepare_cached(&sql)?;
        let rows = all.query_map([b(&peer)], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Some sessions in the order of their ids, from the one behind `after`, and whose they are. No session has the id of
    /// zeros.
    pub(crate) fn sessions_after(
        &self,
        after: SessionId,
        limit: u32,
    ) -> Result<Vec<(SessionId, PeerId)>, StoreError> {
        let mut some =
            self.db.prepare_cached("SELECT id, peer FROM sessions WHERE id > ? ORDER BY id LIMIT ?")?;
        let rows = some
            .query_map(params![b(&after), limit], |row| Ok((SessionId(row.get(0)?), PeerId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A new session; its state follows by [`Store::save_session`].
    pub(crate) fn insert_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,x'')")?;
        put.execute(params![
            b(&row.id),
            b(&row.peer),
            row.initiator,
            row.binding.as_slice(),
            row.handshake,
            row.got_context,
            row.peer_has_context,
            row.exchange,
            row.cipher,
            int(row.created.0),
        ])?;
        Ok(())
    }

    /// What the engine knows about the session changed.
    pub(crate) fn update_session(&self, row: &SessionRow) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached(
            "UPDATE sessions SET handshake = ?, got_context = ?, peer_has_context = ? WHERE id = ?",
        )?;
        put.execute(params![row.handshake, row.got_context, row.peer_has_context, b(&row.id)])?;
        Ok(())
    }

    /// What the plugin says has changed in its state.
    pub(crate) fn save_session(&self, id: SessionId, change: &StateChange) -> Result<(), StoreError> {
        if let Some(main) = &change.main {
            let mut put = self.db.prepare_cached("UPDATE sessions SET main = ? WHERE id = ?")?;
            put.execute(params![main.as_slice(), b(&id)])?;
        }
        for key in &change.delete {
            let mut delete = self.db.prepare_cached(
                "DELETE FROM session_rows WHERE session = ? AND key_hash = hashed('session_rows.key', ?)",
            )?;
            delete.execute(params![b(&id), key])?;
        }
        for (key, value) in &change.put {
            let mut put = self
                .db
                .prepare_cached("INSERT OR REPLACE INTO session_rows (session, key, value) VALUES (?,?,?)")?;
            put.execute(params![b(&id), key, value.as_slice()])?;
        }
        Ok(())
    }

    pub(crate) fn erase_session(&self, id: SessionId) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM session_rows WHERE session = ?")?.execute([b(&id)])?;
        self.db.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([b(&id)])?;
        Ok(())
    }

    pub(crate) fn remember_handshake(&self, id: SessionId, expires: Timestamp) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO handshakes VALUES (?,?)")?;
        put.execute(params![b(&id), int(expires.0)])?;
        Ok(())
    }

    pub(crate) fn handshake_is_known(&self, id: SessionId) -> Result<bool, StoreError> {
        Ok(self.db.prepare_cached("SELECT 1 FROM handshakes WHERE session = ?")?.exists([b(&id)])?)
    }

    pub(crate) fn forget_handshakes(&self, now: Timestamp) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM handshakes WHERE expires < ?", [int(now.0)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;

    fn row(n: u8, created: u64) -> SessionRow {
        SessionRow {
            id: SessionId([n; 16]),
            peer: PeerId([2; 32]),
            initiator: true,
            binding: [n; 32],
            handshake: Some(vec![n]),
            got_context: false,
            peer_has_context: false,
            exchange: "x".into(),
            cipher: "c".into(),
            created: Timestamp(created),
        }
    }

    fn change(main: Option<u8>, put: &[(u8, u8)], delete: &[u8]) -> StateChange {
        StateChange {
            main: main.map(|byte| Zeroizing::new(vec![byte])),
            put: put.iter().map(|(key, value)| (vec![*key], Zeroizing::new(vec![*value]))).collect(),
            delete: delete.iter().map(|key| vec![*key]).collect(),
        }
    }

    #[test]
    fn a_session_comes_back_as_it_was_last_saved() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        let (newer, mut older) = (row(1, 20), row(2, 10));
        store.insert_session(&newer).unwrap();
        store.insert_session(&older).unwrap();
        let all = store.sessions_of(older.peer).unwrap();
        assert_eq!(format!("{all:?}"), format!("{:?}", [&older, &newer]), "oldest first");
        assert_eq!(store.sessions_of(PeerId([3; 32])).unwrap().len(), 0);
        let after = |id: [u8; 16], limit| {
            let found = store.sessions_after(SessionId(id), limit).unwrap();
            found.iter().map(|(id, _)| id.0[0]).collect::<Vec<_>>()
        };
        assert_eq!((after([0; 16], 9), after([0; 16], 1), after([1; 16], 9)), (vec![1, 2], vec![1], vec![2]));
        store.save_session(older.id, &change(Some(1), &[(5, 50), (6, 60)], &[])).unwrap();
        store.save_session(older.id, &change(None, &[(6, 61), (7, 70)], &[5])).unwrap();
        store.save_session(newer.id, &change(Some(9), &[(5, 90)], &[])).unwrap();
        (older.handshake, older.got_context, older.peer_has_context) = (None, true, true);
        store.update_session(&older).unwrap();

        let (found, saved) = store.session(older.id).unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{older:?}"));
        assert_eq!(*saved.main, [1]);
        let rows: Vec<_> = saved.rows.iter().map(|(key, value)| (key[0], value[0])).collect();
        assert_eq!(rows, [(6, 61), (7, 70)]);

        store.erase_session(older.id).unwrap();
        assert!(store.session(older.id).unwrap().is_none());
        let left: i64 =
            store.db.query_row("SELECT count(*) FROM session_rows", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1, "the other session keeps its row");
    }

    #[test]
    fn a_first_message_is_known_until_it_has_expired() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        store.remember_handshake(SessionId([1; 16]), Timestamp(10)).unwrap();
        store.remember_handshake(SessionId([2; 16]), Timestamp(20)).unwrap();
        store.forget_handshakes(Timestamp(20)).unwrap();
        assert!(!store.handshake_is_known(SessionId([1; 16])).unwrap());
        assert!(store.handshake_is_known(SessionId([2; 16])).unwrap());
    }
}
