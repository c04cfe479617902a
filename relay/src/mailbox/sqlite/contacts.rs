//! Who has written to whom: the recipient's own envelope to a sender makes that sender no stranger to it.
//!
//! Remembered as long as both are, and of so many contacts a peer. Identities cost nothing, and a program answers many of
//! them by itself, so there is always a place for one more: whoever was written to longest ago gives way.

use chat_core::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::checksum;
use super::writer::{Writer, to_sql};

/// Within this time somebody is written to once, however often; so a row changes once in it.
pub(super) const ONCE_MS: u64 = 60 * 60 * 1000;
/// Those who were written to once give way first, as long as they have more than this part of the places: the rest is for
/// whom their owner goes on writing to, and this for whom he has just begun to.
const ONCE_SHARE: u64 = 4;
/// Of so many places one is freed at a time, for looking through them takes a while.
const FREED_SHARE: u64 = 64;

/// Somebody to whom a peer has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contact {
    /// About when the last time was.
    written_at: i64,
    /// Also [`ONCE_MS`] or more after the first time.
    again: bool,
}

impl Writer {
    /// Whether `peer` has ever written to `contact`, as far as it is remembered.
    pub(super) fn has_written(&mut self, peer: i64, contact: i64) -> rusqlite::Result<bool> {
        Ok(self.contact(peer, contact)?.is_some())
    }

    fn contact(&mut self, peer: i64, contact: i64) -> rusqlite::Result<Option<Contact>> {
        if let Some(known) = self.contacts.get(&(peer, contact)) {
            return Ok(*known);
        }
        let found = self
            .db
            .prepare_cached("SELECT written_at, again FROM contacts WHERE peer = ?1 AND contact = ?2")?
            .query_row([peer, contact], |row| {
                let number = |column| checksum::number(row, column);
                Ok(Contact { written_at: number(0), again: number(1) == 1 })
            })
            .optional()?;
        self.contacts.insert((peer, contact), found);
        Ok(found)
    }

    /// `peer` writes to `contact`.
    pub(super) fn note_written(&mut self, peer: i64, contact: i64, now: Timestamp) -> rusqlite::Result<()> {
        let now = to_sql(now.0);
        let known = self.contact(peer, contact)?;
        if known.is_some_and(|known| known.written_at.abs_diff(now) < ONCE_MS) {
            return Ok(());
        }
        let again = known.is_some();
        if again {
            self.db
                .prepare_cached(
                    "UPDATE contacts SET written_at = ?3, again = 1 WHERE peer = ?1 AND contact = ?2",
                )?
                .execute([peer, contact, now])?;
        } else if self.take_place(peer)? {
            self.db
                .prepare_cached("INSERT INTO contacts VALUES(?1, ?2, ?3, 0)")?
                .execute([peer, contact, now])?;
        } else {
            return Ok(());
        }
        self.contacts.insert((peer, contact), Some(Contact { written_at: now, again }));
        Ok(())
    }

    /// A place for one more contact of a peer, if there are any.
    fn take_place(&mut self, peer: i64) -> rusqlite::Result<bool> {
        let most = self.limits.contacts_per_peer;
        for attempt in 0..2 {
            if attempt > 0 {
                self.free_places(peer, most)?;
            }
            let taken = self
                .db
                .prepare_cached("UPDATE peers SET contacts = contacts + 1 WHERE id = ?1 AND contacts < ?2")?
                .execute(params![peer, to_sql(most)])?;
            if taken > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn free_places(&mut self, peer: i64, most: u64) -> rusqlite::Result<()> {
        let once: i64 = self
            .db
            .prepare_cached("SELECT count(*) FROM contacts WHERE peer = ?1 AND again = 0")?
            .query_row([peer], |row| row.get(0))?;
        let first = i64::from(once <= to_sql(most / ONCE_SHARE));
        let gone: Vec<i64> = self
            .db
            .prepare_cached(
                "DELETE FROM contacts WHERE peer = ?1 AND contact IN (SELECT contact FROM contacts WHERE peer = ?1
                   ORDER BY again = ?2 DESC, written_at, contact LIMIT ?3) RETURNING contact",
            )?
            .query_map(params![peer, first, to_sql((most / FREED_SHARE).max(1))], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for contact in &gone {
            self.contacts.remove(&(peer, *contact));
        }
        // Counted anew: were it more than there are, nobody would find a place.
        self.db
            .prepare_cached(
                "UPDATE peers SET contacts = (SELECT count(*) FROM contacts WHERE peer = ?1) WHERE id = ?1",
            )?
            .execute([peer])?;
        Ok(())
    }

    /// Forgets to whom a peer has written, and who has written to it.
    pub(super) fn forget_contacts(&mut self, peer: i64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "UPDATE peers SET contacts = contacts - 1
                 WHERE id IN (SELECT peer FROM contacts WHERE contact = ?1)",
            )?
            .execute([peer])?;
        self.db.prepare_cached("DELETE FROM contacts WHERE contact = ?1")?.execute([peer])?;
        self.db.prepare_cached("DELETE FROM contacts WHERE peer = ?1")?.execute([peer])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chat_core::PeerId;

    use super::super::Shared;
    use super::super::schema::{self, Opened};
    use super::*;
    use crate::config::MailboxLimits;

    const HOUR: u64 = ONCE_MS;

    fn writer(places: u64) -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let Opened { writer, lock, .. } = schema::open(&dir.path().join("relay.db"), None, None).unwrap();
        let limits = MailboxLimits { contacts_per_peer: places, ..MailboxLimits::default() };
        (dir, Writer::new(writer, lock, limits, Arc::new(Shared::default())).unwrap())
    }

    fn peer(writer: &mut Writer, n: u64) -> i64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        writer.peer_id(PeerId(id)).unwrap()
    }

    fn writes(writer: &mut Writer, owner: i64, to: &[i64], at: u64) {
        for contact in to {
            writer.note_written(owner, *contact, Timestamp(at)).unwrap();
            assert!(writer.has_written(owner, *contact).unwrap(), "whoever is written to is a contact");
        }
        // What the tables say is what is believed.
        writer.forget_caches();
        let sql = "SELECT contacts, (SELECT count(*) FROM contacts WHERE peer = ?1) FROM peers WHERE id = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (said, are): (i64, i64) = writer.db.query_row(sql, [owner], read).unwrap();
        assert!(said == are && are <= to_sql(writer.limits.contacts_per_peer), "{said} {are}");
    }

    fn left(writer: &mut Writer, owner: i64, of: &[i64]) -> usize {
        of.iter().filter(|contact| writer.has_written(owner, **contact).unwrap()).count()
    }

    #[test]
    fn a_crowd_that_was_answered_takes_nobodys_place_for_good() {
        let (_dir, mut writer) = writer(128);
        let owner = peer(&mut writer, 0);
        let mut some = |from: u64, count: u64| -> Vec<i64> {
            (from..from + count).map(|n| peer(&mut writer, n)).collect()
        };
        let (friends, crowd, new) = (some(1, 40), some(1_000, 2_000), some(10_000, 3));
        writes(&mut writer, owner, &friends, HOUR);
        writes(&mut writer, owner, &friends, 2 * HOUR);
        for half in crowd.chunks(1_000) {
            writes(&mut writer, owner, half, 3 * HOUR);
            assert_eq!(left(&mut writer, owner, &friends), 40, "those who were written to again stay");
        }
        // Whom he has just begun to write to outlives a few of the crowd, too.
        writes(&mut writer, owner, &new, 4 * HOUR);
        writes(&mut writer, owner, &crowd[..30], 4 * HOUR);
        assert_eq!(left(&mut writer, owner, &new), 3);
    }

    /// The same members of the crowd are answered hour by hour, until all of them were written to again.
    #[test]
    fn whoever_is_written_to_stays_before_whoever_was_and_there_is_room_for_new_ones() {
        let (_dir, mut writer) = writer(64);
        let owner = peer(&mut writer, 0);
        let mut some = |from: u64, count: u64| -> Vec<i64> {
            (from..from + count).map(|n| peer(&mut writer, n)).collect()
        };
        let (friends, crowd, new) = (some(1, 20), some(1_000, 60), some(10_000, 40));
        for hour in 1..6 {
            writes(&mut writer, owner, &crowd, hour * 2 * HOUR);
            writes(&mut writer, owner, &friends, (hour * 2 + 1) * HOUR);
        }
        assert_eq!(left(&mut writer, owner, &friends), 20);
        writes(&mut writer, owner, &new[..16], 20 * HOUR);
        assert_eq!(left(&mut writer, owner, &new), 16, "a quarter is theirs");
        assert_eq!(left(&mut writer, owner, &friends), 20, "the crowd was written to longer ago");
        writes(&mut writer, owner, &new[16..], 21 * HOUR);
        assert_eq!(left(&mut writer, owner, &new[24..]), 16);
        assert_eq!(left(&mut writer, owner, &friends), 20);
    }

    /// Else each envelope would change a row.
    #[test]
    fn a_contact_is_written_down_once_an_hour() {
        let (_dir, mut writer) = writer(64);
        let (owner, friend) = (peer(&mut writer, 0), peer(&mut writer, 1));
        let mut changes = Vec::new();
        for minute in 0..130 {
            let before = writer.db.total_changes();
            writer.note_written(owner, friend, Timestamp(HOUR + minute * 60_000)).unwrap();
            if writer.db.total_changes() > before {
                changes.push(minute);
            }
        }
        assert_eq!(changes, [0, 60, 120]);
        // A clock that was ahead and was set back.
        writer.note_written(owner, friend, Timestamp(1)).unwrap();
        assert_eq!(writer.contact(owner, friend).unwrap().unwrap().written_at, 1);
    }
}
