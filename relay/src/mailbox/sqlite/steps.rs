//! The tables, and the way from one schema version to the next. A new database takes the same steps from version 3 on.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::contacts::ONCE_MS;
use super::{boxes, checksum};

/// Version 3. A box is a peer's (`peers.id`, positive) or a room's (`-rooms.id`, negative). Numbers in `log` are given
/// by `counters.next_n` and never used twice, nor are ids of peers and rooms.
pub(super) const VERSION_3: &str = "
CREATE TABLE counters(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  next_n INTEGER NOT NULL,          -- the number of the next envelope
  stored_bytes INTEGER NOT NULL,    -- sum of log.size
  directory_bytes INTEGER NOT NULL, -- sum of the lengths of directory.bundle and one_time_keys.key
  swept_at INTEGER NOT NULL DEFAULT 0,  -- ms; the wall clock at the last sweep, 0 = none yet
  jumped_at INTEGER NOT NULL DEFAULT 0  -- ms; the wall clock when it was first found to have jumped, 0 = it has not
);
INSERT INTO counters VALUES(1, 1, 0, 0, 0, 0);
CREATE TABLE peers(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  peer BLOB NOT NULL UNIQUE,
  acked INTEGER NOT NULL DEFAULT 0,     -- everything up to this number is in its own store
  last_seen INTEGER NOT NULL DEFAULT 0, -- ms; 0 = never connected, only written to
  gave_at INTEGER NOT NULL DEFAULT 0    -- ms; when one of its one-time keys was given out last
);
CREATE TABLE directory(
  peer INTEGER PRIMARY KEY,
  nick TEXT NOT NULL,
  created INTEGER NOT NULL,
  bundle BLOB NOT NULL
);
CREATE INDEX directory_nick ON directory(nick);
CREATE TABLE rooms(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  members INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE members(
  room INTEGER NOT NULL,
  peer INTEGER NOT NULL,
  since INTEGER NOT NULL,  -- envelopes after this number are for it
  PRIMARY KEY(room, peer)
) WITHOUT ROWID;
CREATE INDEX members_peer ON members(peer, room);
CREATE TABLE log(
  n INTEGER PRIMARY KEY,
  box INTEGER NOT NULL,
  sender INTEGER NOT NULL,
  stored_at INTEGER NOT NULL,
  size INTEGER NOT NULL,  -- what counts against quotas
  id BLOB NOT NULL,
  checksum BLOB NOT NULL,
  envelope BLOB NOT NULL
);
CREATE INDEX log_box ON log(box, n, sender, size);
-- Which envelopes were stored, also after the recipient has them: n is in log as long as it waits.
CREATE TABLE seen(
  box INTEGER NOT NULL,
  id BLOB NOT NULL,
  n INTEGER NOT NULL,
  stored_at INTEGER NOT NULL,
  sender INTEGER NOT NULL DEFAULT 0,  -- 0 = stored before version 2
  PRIMARY KEY(box, id)
) WITHOUT ROWID;
CREATE INDEX seen_sender ON seen(sender, n);
-- A key is gone from here before anybody has it.
CREATE TABLE one_time_keys(
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  peer INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  key BLOB NOT NULL
);
CREATE INDEX one_time_keys_peer ON one_time_keys(peer, n);
CREATE INDEX one_time_keys_expires ON one_time_keys(expires);
-- Who has had how many since when, for a day.
CREATE TABLE one_time_keys_given(
  peer INTEGER NOT NULL,
  asker INTEGER NOT NULL,
  since INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY(peer, asker)
) WITHOUT ROWID;
CREATE INDEX one_time_keys_given_since ON one_time_keys_given(since);
";

/// Makes version 2 of version 1.
pub(super) const FROM_VERSION_1: &str = "
ALTER TABLE counters ADD COLUMN swept_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN jumped_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE seen ADD COLUMN sender INTEGER NOT NULL DEFAULT 0;
CREATE INDEX seen_sender ON seen(sender, n);
";

/// Makes version 3 of version 2.
pub(super) const FROM_VERSION_2: &str = "
ALTER TABLE peers ADD COLUMN gave_at INTEGER NOT NULL DEFAULT 0;
CREATE TABLE one_time_keys(
  n INTEGER PRIMARY KEY AUTOINCREMENT, peer INTEGER NOT NULL, expires INTEGER NOT NULL, key BLOB NOT NULL
);
CREATE INDEX one_time_keys_peer ON one_time_keys(peer, n);
CREATE INDEX one_time_keys_expires ON one_time_keys(expires);
CREATE TABLE one_time_keys_given(
  peer INTEGER NOT NULL, asker INTEGER NOT NULL, since INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY(peer, asker)
) WITHOUT ROWID;
CREATE INDEX one_time_keys_given_since ON one_time_keys_given(since);
";

/// Of version 3 to 4: who pays for an envelope, who has written to whom, and checksums of what had none. A row of the
/// log keeps the checksum that it has; a new one is longer and is over all its columns.
const FROM_VERSION_3: &str = "
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

/// Makes version 4 of version 3.
pub(super) fn from_version_3(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(FROM_VERSION_3)?;
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

/// Of version 4 to 5: the list of what waits where is no index any more, see [`boxes`].
const FROM_VERSION_4: &str = "
DROP INDEX log_box;
CREATE TABLE boxes(
  box INTEGER NOT NULL,
  n INTEGER NOT NULL,
  sender INTEGER NOT NULL,
  size INTEGER NOT NULL,
  payer INTEGER NOT NULL,
  stranger INTEGER NOT NULL,
  PRIMARY KEY(box, n)
) WITHOUT ROWID;
-- Envelopes before this number that wait are in boxes; those from it on may be.
ALTER TABLE counters ADD COLUMN listed_n INTEGER NOT NULL DEFAULT 1;
-- Ids of envelopes before this number are in seen or fresh; those from it on may be known from the log alone.
ALTER TABLE counters ADD COLUMN seen_n INTEGER NOT NULL DEFAULT 1;
UPDATE counters SET seen_n = next_n;
";

/// Makes version 5 of version 4.
pub(super) fn from_version_4(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(FROM_VERSION_4)?;
    boxes::list_all(db)
}

/// Of version 5 to 6: since when a contact is one, so that places can be given to new ones.
const FROM_VERSION_5: &str = "
ALTER TABLE contacts ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;  -- ms; when it was written to last, to the hour
ALTER TABLE contacts ADD COLUMN again INTEGER NOT NULL DEFAULT 0;  -- 1 = also an hour or more after the first time
";

/// Makes version 6 of version 5. When somebody was written to is read from the ids that are remembered; who was not since is
/// the first to give way.
pub(super) fn from_version_5(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(FROM_VERSION_5)?;
    let mut written: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    let mut ids = db.prepare(
        "SELECT sender, box, stored_at FROM seen UNION ALL SELECT sender, box, stored_at FROM fresh
         UNION ALL SELECT sender, box, stored_at FROM log",
    )?;
    let mut rows = ids.query([])?;
    while let Some(row) = rows.next()? {
        let [sender, box_id, at] = [0, 1, 2].map(|column| checksum::number(row, column));
        if sender > 0 && box_id > 0 {
            let (first, last) = written.entry((sender, box_id)).or_insert((at, at));
            (*first, *last) = (at.min(*first), at.max(*last));
        }
    }
    let mut update =
        db.prepare("UPDATE contacts SET written_at = ?3, again = ?4 WHERE peer = ?1 AND contact = ?2")?;
    for ((peer, contact), (first, last)) in written {
        update.execute(params![peer, contact, last, last.abs_diff(first) >= ONCE_MS])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::open;
    use super::super::shape;

    const TO_VERSION_5: &str =
        "ALTER TABLE contacts DROP COLUMN written_at; ALTER TABLE contacts DROP COLUMN again;
         PRAGMA user_version = 5;";
    const TO_VERSION_4: &str =
        "DROP TABLE boxes; ALTER TABLE counters DROP COLUMN listed_n; ALTER TABLE counters DROP COLUMN seen_n;
         CREATE INDEX log_box ON log(box, n, sender, size, payer, stranger); PRAGMA user_version = 4;";
    const TO_VERSION_3: &str =
        "DROP TABLE contacts; DROP TABLE fresh; ALTER TABLE peers DROP COLUMN acked_sum;
         ALTER TABLE peers DROP COLUMN contacts; ALTER TABLE members DROP COLUMN since_sum; DROP INDEX log_box;
         ALTER TABLE log DROP COLUMN payer; ALTER TABLE log DROP COLUMN stranger;
         CREATE INDEX log_box ON log(box, n, sender, size); PRAGMA user_version = 3;";
    const TO_VERSION_2: &str = "DROP TABLE one_time_keys; DROP TABLE one_time_keys_given;
         ALTER TABLE peers DROP COLUMN gave_at; PRAGMA user_version = 2;";
    const TO_VERSION_1: &str = "DROP INDEX seen_sender; ALTER TABLE seen DROP COLUMN sender;
         ALTER TABLE counters DROP COLUMN swept_at; ALTER TABLE counters DROP COLUMN jumped_at;
         INSERT INTO seen VALUES(1, x'00', 1, 1); PRAGMA user_version = 1;";

    #[test]
    fn a_database_of_an_earlier_version_becomes_one_like_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        let new = shape::of(&open(&path, None, None).unwrap().writer).unwrap();
        let back = [TO_VERSION_5, TO_VERSION_4, TO_VERSION_3, TO_VERSION_2, TO_VERSION_1];
        for steps in 1..=back.len() {
            let opened = open(&path, None, None).unwrap();
            for step in &back[..steps] {
                opened.writer.execute_batch(step).unwrap();
                assert_ne!(shape::of(&opened.writer).unwrap(), new);
            }
            drop(opened);
            let opened = open(&path, None, None).unwrap();
            assert_eq!(shape::of(&opened.writer).unwrap(), new, "{steps} steps back");
        }
        let opened = open(&path, None, None).unwrap();
        let sender: i64 = opened.writer.query_row("SELECT sender FROM seen", [], |row| row.get(0)).unwrap();
        assert_eq!(sender, 0);
    }

    #[test]
    fn when_contacts_of_an_earlier_version_were_written_to_is_read_from_the_ids() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        let opened = open(&path, None, None).unwrap();
        opened.writer.execute_batch(TO_VERSION_5).unwrap();
        // In two hours, in one, and in none that is remembered.
        const CONTACTS: &str = "INSERT INTO contacts VALUES(1, 2), (1, 3), (1, 4);
             INSERT INTO seen VALUES(2, x'00', 1, 5, 1), (3, x'02', 3, 7, 1);
             INSERT INTO fresh VALUES(2, 2, x'01', 3600005, 1);";
        opened.writer.execute_batch(CONTACTS).unwrap();
        drop(opened);
        let opened = open(&path, None, None).unwrap();
        let mut contacts = opened.writer.prepare("SELECT contact, written_at, again FROM contacts").unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
        let contacts: Vec<[i64; 3]> = contacts.query_map([], read).unwrap().map(Result::unwrap).collect();
        assert_eq!(contacts, [[2, 3_600_005, 1], [3, 7, 0], [4, 0, 0]]);
    }
}
