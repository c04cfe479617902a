//! Peers known here.

use chat_core::ids::{PeerId, SessionId, Timestamp};
use rusqlite::{Row, params};

use super::{Store, StoreError, b, int, uint};

/// A peer.
#[derive(Debug, Clone)]
pub(crate) struct ContactRow {
    pub(crate) peer: PeerId,
    pub(crate) name: String,
    pub(crate) nick: String,
    pub(crate) bundle: Vec<u8>,
    pub(crate) problem: Option<String>,
    pub(crate) sending: Option<SessionId>,
    pub(crate) verified: bool,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
}

fn read(row: &Row<'_>) -> rusqlite::Result<ContactRow> {
    Ok(ContactRow {
        peer: PeerId(row.get(0)?),
        name: row.get(1)?,
        nick: row.get(2)?,
        bundle: row.get(3)?,
        problem: row.get(4)?,
        sending: row.get::<_, Option<[u8; 16]>>(5)?.map(SessionId),
        verified: row.get(6)?,
        first_seen: Timestamp(uint(row.get(7)?)),
        last_seen: Timestamp(uint(row.get(8)?)),
    })
}

impl Store {
    pub(crate) fn contacts(&self) -> Result<Vec<ContactRow>, StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT peer, name, nick, bundle, problem, sending, verified, first_seen, last_seen FROM contacts",
        )?;
        Ok(all.query_map([], read)?.collect::<Result<_, _>>()?)
    }

    pub(crate) fn put_contact(&self, contact: &ContactRow) -> Result<(), StoreError> {
        let mut put = self.db.prepare_cached("INSERT OR REPLACE INTO contacts VALUES (?,?,?,?,?,?,?,?,?)")?;
        put.execute(params![
            b(&contact.peer),
            contact.name,
            contact.nick,
            contact.bundle,
            contact.problem,
            contact.sending.as_ref().map(b),
            contact.verified,
            int(contact.first_seen.0),
            int(contact.last_seen.0),
        ])?;
        Ok(())
    }
}
