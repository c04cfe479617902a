//! From one schema version to the next. A new database takes the same steps from version 2 on.

use rusqlite::{Connection, params};

use super::checksum;

/// Makes version 2 of version 1.
pub(super) const FROM_VERSION_1: &str = "
ALTER TABLE counters ADD COLUMN swept_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN jumped_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE seen ADD COLUMN sender INTEGER NOT NULL DEFAULT 0;
CREATE INDEX seen_sender ON seen(sender, n);
";

/// Of version 2 to 3: who pays for an envelope, who has written to whom, and checksums of what had none. A row of the
/// log keeps the checksum that it has; a new one is longer and is over all its columns.
const MAIL_FROM_VERSION_2: &str = "
ALTER TABLE log ADD COLUMN payer INTEGER NOT NULL DEFAULT 0;     -- 0 = nobody
ALTER TABLE log ADD COLUMN stranger INTEGER NOT NULL DEFAULT 0;  -- 1 = the box's owner had never written to the sender
DROP INDEX log_box;
CREATE INDEX log_box ON log(box, n, sender, size, payer, stranger);
ALTER TABLE peers ADD COLUMN acked_sum INTEGER NOT NULL DEFAULT 0;  -- checksum over peer and acked
ALTER TABLE members ADD COLUMN since_sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE peers ADD COLUMN contacts INTEGER NOT NULL DEFAULT 0;   -- rows in contacts
CREATE TABLE contacts(
  peer INTEGER NOT NULL,
  contact INTEGER NOT NULL,  -- to whom peer has written
  PRIMARY KEY(peer, contact)
) WITHOUT ROWID;
CREATE INDEX contacts_contact ON contacts(contact);
-- Ids on their way to seen: each to the end of this table, and many of them from here to there.
CREATE TABLE fresh(
  n INTEGER PRIMARY KEY,
  box INTEGER NOT NULL,
  id BLOB NOT NULL,
  stored_at INTEGER NOT NULL,
  sender INTEGER NOT NULL
);
INSERT INTO contacts SELECT DISTINCT sender, box FROM seen WHERE sender > 0 AND box > 0;
UPDATE peers SET contacts = (SELECT count(*) FROM contacts WHERE contacts.peer = peers.id);
";

/// Makes version 3 of version 2.
pub(super) fn from_version_2(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(MAIL_FROM_VERSION_2)?;
    let cursors: Vec<(i64, Vec<u8>, i64)> = db
        .prepare("SELECT id, peer, acked FROM peers WHERE acked > 0")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut update = db.prepare("UPDATE peers SET acked_sum = ?2 WHERE id = ?1")?;
    for (id, peer, acked) in cursors {
        update.execute([id, checksum::of_cursor(&peer, acked)])?;
    }
    let memberships: Vec<(i64, i64, i64)> = db
        .prepare("SELECT room, peer, since FROM members")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut update = db.prepare("UPDATE members SET since_sum = ?3 WHERE room = ?1 AND peer = ?2")?;
    for (room, peer, since) in memberships {
        update.execute(params![room, peer, checksum::of_membership(room, peer, since)])?;
    }
    Ok(())
}
