//! Peers known here.

use chat_core::ids::{PeerId, SessionId, Timestamp};
use rusqlite::{Row, params};

use super::{Store, StoreError, b, int, uint};

/// To version 3 of the schema.
pub(super) const FROM_VERSION_2: &str = "
ALTER TABLE contacts ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN had INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN rival BLOB;
ALTER TABLE contacts ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
";

/// A peer.
#[derive(Debug, Clone)]
pub(crate) struct ContactRow {
    pub(crate) peer: PeerId,
    pub(crate) name: String,
    pub(crate) nick: String,
    pub(crate) problem: Option<String>,
    pub(crate) sending: Option<SessionId>,
    pub(crate) verified: bool,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) blocked: bool,
    /// The properties ever had with it, a bit each.
    pub(crate) had: u8,
    /// Another key that claims its name, until the user decides.
    pub(crate) rival: Option<PeerId>,
    /// The user has decided that the name is its own.
    pub(crate) settled: bool,
}

/// The peer, and its signed bundle.
fn read(row: &Row<'_>) -> rusqlite::Result<(ContactRow, Vec<u8>)> {
    let contact = ContactRow {
        peer: PeerId(row.get(0)?),
        name: row.get(1)?,
        nick: row.get(2)?,
        problem: row.get(4)?,
        sending: row.get::<_, Option<[u8; 16]>>(5)?.map(SessionId),
        verified: row.get(6)?,
        first_seen: Timestamp(uint(row.get(7)?)),
        last_seen: Timestamp(uint(row.get(8)?)),
        blocked: row.get(9)?,
        had: row.get(10)?,
        rival: row.get::<_, Option<[u8; 32]>>(11)?.map(PeerId),
        settled: row.get(12)?,
    };
    Ok((contact, row.get(3)?))
}

impl Store {
    pub(crate) fn contacts(&self) -> Result<Vec<(ContactRow, Vec<u8>)>, StoreError> {
        let mut all = self.db.prepare_cached(
            "SELECT peer, name, nick, bundle, problem, sending, verified, first_seen, last_seen, blocked, had, rival,
                settled FROM contacts",
        )?;
        Ok(all.query_map([], read)?.collect::<Result<_, _>>()?)
    }

    /// Writes what is known about a peer; its bundle only if there is a new one.
    pub(crate) fn put_contact(&self, contact: &ContactRow, bundle: Option<&[u8]>) -> Result<(), StoreError> {
        let known =
            self.db.prepare_cached("SELECT 1 FROM contacts WHERE peer = ?")?.exists([b(&contact.peer)])?;
        let mut put = self.db.prepare_cached(match known {
            // The eighth parameter is the date that stays.
            true => {
                "UPDATE contacts SET name = ?2, nick = ?3, bundle = coalesce(?4, bundle), problem = ?5, sending = ?6,
                    verified = ?7, first_seen = coalesce(first_seen, ?8), last_seen = ?9, blocked = ?10, had = ?11,
                    rival = ?12, settled = ?13 WHERE peer = ?1"
            }
            false => {
                "INSERT INTO contacts (peer, name, nick, bundle, problem, sending, verified, first_seen, last_seen,
                    blocked, had, rival, settled)
                 VALUES (?1,?2,?3,coalesce(?4,x''),?5,?6,?7,?8,?9,?10,?11,?12,?13)"
            }
        })?;
        put.execute(params![
            b(&contact.peer),
            contact.name,
            contact.nick,
            bundle,
            contact.problem,
            contact.sending.as_ref().map(b),
            contact.verified,
            int(contact.first_seen.0),
            int(contact.last_seen.0),
            contact.blocked,
            contact.had,
            contact.rival.as_ref().map(b),
            contact.settled,
        ])?;
        Ok(())
    }

    /// Nothing is left of it, also none of the names that it had before: they are free.
    pub(crate) fn erase_contact(&self, peer: PeerId) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM former_names WHERE peer = ?")?.execute([b(&peer)])?;
        self.db.prepare_cached("DELETE FROM contacts WHERE peer = ?")?.execute([b(&peer)])?;
        Ok(())
    }

    /// Names that peers had before, and whose they were.
    pub(crate) fn former_names(&self) -> Result<Vec<(String, PeerId)>, StoreError> {
        let mut all = self.db.prepare_cached("SELECT name, peer FROM former_names")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, PeerId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The name is this peer's from now on, whoever had it before.
    pub(crate) fn give_name(&self, name: &str, peer: PeerId) -> Result<(), StoreError> {
        let mut put =
            self.db.prepare_cached("INSERT OR REPLACE INTO former_names (name, peer) VALUES (?,?)")?;
        put.execute(params![name, b(&peer)])?;
        Ok(())
    }

    pub(crate) fn put_former_name(&self, name: &str, peer: PeerId) -> Result<(), StoreError> {
        let mut put =
            self.db.prepare_cached("INSERT OR IGNORE INTO former_names (name, peer) VALUES (?,?)")?;
        put.execute(params![name, b(&peer)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorePlace;

    const BOB: PeerId = PeerId([2; 32]);

    #[test]
    fn a_contact_keeps_its_bundle_and_when_it_was_first_seen() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        assert_eq!(store.contacts().unwrap().len(), 0);
        let mut bob = ContactRow {
            peer: BOB,
            name: "bob".into(),
            nick: "bobby".into(),
            problem: Some("another cipher".into()),
            sending: Some(SessionId([4; 16])),
            verified: false,
            first_seen: Timestamp(5),
            last_seen: Timestamp(6),
            blocked: true,
            had: 3,
            rival: Some(PeerId([9; 32])),
            settled: true,
        };
        store.put_contact(&bob, Some(b"bundle")).unwrap();
        (bob.verified, bob.first_seen, bob.last_seen, bob.problem) = (true, Timestamp(7), Timestamp(8), None);
        store.put_contact(&bob, None).unwrap();
        let [(found, bundle)] = <[_; 1]>::try_from(store.contacts().unwrap()).unwrap();
        assert_eq!(bundle, b"bundle");
        let kept = ContactRow { first_seen: Timestamp(5), ..bob };
        assert_eq!(format!("{found:?}"), format!("{kept:?}"));
        store.erase_contact(BOB).unwrap();
        assert_eq!(store.contacts().unwrap().len(), 0);
    }

    #[test]
    fn a_name_that_was_given_up_stays_its_first_owners() {
        let store = Store::open(&StorePlace::Memory).unwrap();
        store.put_former_name("bob", BOB).unwrap();
        store.put_former_name("bob", PeerId([3; 32])).unwrap();
        assert_eq!(store.former_names().unwrap(), [("bob".to_owned(), BOB)]);
        store.put_former_name("robert", PeerId([3; 32])).unwrap();
        store.erase_contact(BOB).unwrap();
        assert_eq!(store.former_names().unwrap(), [("robert".to_owned(), PeerId([3; 32]))]);
    }
}
