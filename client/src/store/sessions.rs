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
            let mut delete =
                self.db.prepare_cached("DELETE FROM session_rows WHERE session = ? AND key = ?")?;
            delete.execute(params![b(&id), key])?;
        }
        for (key, value) in &change.put {
            let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO session_rows VALUES (?,?,?)")?;
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
