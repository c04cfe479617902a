//! Who has written to whom: the recipient's own envelope to a sender makes that sender no stranger to it.
//!
//! Remembered as long as both are, and of so many contacts a peer; whoever is beyond that stays a stranger.

use rusqlite::params;

use super::writer::{Writer, to_sql};

impl Writer {
    /// Whether `peer` has ever written to `contact`.
    pub(super) fn has_written(&mut self, peer: i64, contact: i64) -> rusqlite::Result<bool> {
        if let Some(has) = self.contacts.get(&(peer, contact)) {
            return Ok(*has);
        }
        let has = self
            .db
            .prepare_cached("SELECT 1 FROM contacts WHERE peer = ?1 AND contact = ?2")?
            .exists([peer, contact])?;
        self.contacts.insert((peer, contact), has);
        Ok(has)
    }

    /// `peer` writes to `contact`.
    pub(super) fn note_written(&mut self, peer: i64, contact: i64) -> rusqlite::Result<()> {
        if self.has_written(peer, contact)? {
            return Ok(());
        }
        let has_place = self
            .db
            .prepare_cached("UPDATE peers SET contacts = contacts + 1 WHERE id = ?1 AND contacts < ?2")?
            .execute(params![peer, to_sql(self.limits.contacts_per_peer)])?;
        if has_place > 0 {
            self.db.prepare_cached("INSERT INTO contacts VALUES(?1, ?2)")?.execute([peer, contact])?;
            self.contacts.insert((peer, contact), true);
        }
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
