//! Opening the database: lock, checks, tables.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::MailboxError;

/// "chat" in the header of the file, so that another program's database is not taken for ours.
const APPLICATION_ID: i64 = 0x6368_6174;
/// The tables below.
const SCHEMA_VERSION: i64 = 3;

/// A box is a peer's (`peers.id`, positive) or a room's (`-rooms.id`, negative). Numbers in `log` are given
/// by `counters.next_n` and never used twice, nor are ids of peers and rooms.
const TABLES: &str = "
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
const FROM_VERSION_1: &str = "
ALTER TABLE counters ADD COLUMN swept_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN jumped_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE seen ADD COLUMN sender INTEGER NOT NULL DEFAULT 0;
CREATE INDEX seen_sender ON seen(sender, n);
";

/// Makes version 3 of version 2.
const FROM_VERSION_2: &str = "
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

/// The connections of one database, and the lock that keeps other relays out.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    /// Held as long as the writer lives; none in a file system that SQLite alone reaches.
    pub(super) lock: Option<File>,
}

pub(super) fn storage(error: rusqlite::Error) -> MailboxError {
    MailboxError::Storage(error.to_string())
}

fn io(error: std::io::Error) -> MailboxError {
    MailboxError::Storage(error.to_string())
}

/// Opens for writing, made if missing, readable by nobody else: SQLite gives its `-wal` and `-shm` the same mode.
fn private_file(path: &Path) -> Result<File, MailboxError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(io)
}

/// Keeps other relays out, and makes the file if it isn't there.
fn lock(path: &Path) -> Result<File, MailboxError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = private_file(&PathBuf::from(lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(MailboxError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    make_if_missing(path)?;
    Ok(lock)
}

/// Opens or makes the database at `path`, in the file system that SQLite knows as `vfs`.
pub(super) fn open(path: &Path, vfs: Option<&str>, max_bytes: Option<u64>) -> Result<Opened, MailboxError> {
    let lock = if vfs.is_none() { Some(lock(path)?) } else { None };
    let mut writer = connect(path, vfs)?;
    prepare(&mut writer, max_bytes).map_err(|error| named(error, path))?;
    let reader = connect(path, vfs)?;
    reader.pragma_update(None, "query_only", true).map_err(storage)?;
    Ok(Opened { writer, reader, lock })
}

/// Makes the database if it isn't there: under another name until all of it is on the disk, so that an empty file has
/// lost what was in it, however a first start ended.
fn make_if_missing(path: &Path) -> Result<(), MailboxError> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let len = |path: &Path| match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(error)),
    };
    let lost = |reason: &str| MailboxError::Corrupt { path: path.to_owned(), reason: reason.to_owned() };
    match (len(path)?, len(&beside("-wal"))?) {
        (Some(0), _) => {
            return Err(lost(
                "it is empty, so something has cut it off; remove it to begin with an empty mailbox",
            ));
        }
        (Some(_), _) => return Ok(()),
        // SQLite would apply an old log to the new file.
        (None, Some(1..)) => {
            return Err(lost(
                "it is gone, but its log is there; remove that too to begin with an empty mailbox",
            ));
        }
        (None, _) => {}
    }
    let new = beside(".new");
    for left in [new.clone(), beside(".new-journal")] {
        match std::fs::remove_file(left) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    drop(private_file(&new)?);
    let mut db = connect(&new, None)?;
    db.pragma_update(None, "synchronous", "FULL").and_then(|()| make_tables(&mut db)).map_err(storage)?;
    db.close().map_err(|(_, error)| storage(error))?;
    std::fs::rename(&new, path).map_err(io)?;
    match path.parent().filter(|folder| cfg!(unix) && !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(io),
        None => Ok(()),
    }
}

fn make_tables(db: &mut Connection) -> rusqlite::Result<()> {
    let new = db.transaction()?;
    new.execute_batch(TABLES)?;
    new.pragma_update(None, "application_id", APPLICATION_ID)?;
    new.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    new.commit()?;
    // Without the path: it may hold a name.
    tracing::info!("new mailbox database");
    Ok(())
}

/// Damage and foreign files get the path and the reason; the file is left alone.
fn named(error: PrepareError, path: &Path) -> MailboxError {
    let corrupt = |reason: String| MailboxError::Corrupt { path: path.to_owned(), reason };
    match error {
        PrepareError::Sql(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => corrupt(error.to_string()),
            _ => storage(error),
        },
        PrepareError::Corrupt(reason) => corrupt(reason),
        PrepareError::Newer(found) => MailboxError::NewerSchema { found, known: SCHEMA_VERSION },
    }
}

enum PrepareError {
    Sql(rusqlite::Error),
    Corrupt(String),
    Newer(i64),
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn connect(path: &Path, vfs: Option<&str>) -> Result<Connection, MailboxError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match vfs {
        None => Connection::open_with_flags(path, flags),
        // Nobody else has made the file.
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags | OpenFlags::SQLITE_OPEN_CREATE, vfs),
    };
    let db = db.map_err(storage)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(storage)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Asks for the write-ahead log, and says which journal there is now.
///
/// All rows are asked for, though there is one: SQLite gives the row before it commits the change. If the disk fails
/// then, only the next step says so, and the connection would go on with a rollback journal and call it `wal`; with
/// `synchronous = FULL` a power cut may undo the last commit of such a one.
fn use_log(db: &Connection) -> rusqlite::Result<String> {
    let mut pragma = db.prepare("PRAGMA journal_mode = WAL")?;
    let mode: Vec<String> = pragma.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(mode.concat())
}

fn prepare(db: &mut Connection, max_bytes: Option<u64>) -> Result<(), PrepareError> {
    let pragma = |db: &Connection, name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = pragma(db, "user_version")?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma(db, "application_id")? != APPLICATION_ID {
        return Err(PrepareError::Corrupt("it belongs to another program".into()));
    }
    if version > SCHEMA_VERSION {
        return Err(PrepareError::Newer(version));
    }
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(PrepareError::Corrupt(verdict));
    }
    let mode = use_log(db)?;
    if mode != "wal" {
        return Err(PrepareError::Corrupt(format!("its file system gives no write-ahead log ({mode})")));
    }
    // FULL: a commit is on the disk before it is acknowledged. No page of it goes to a temporary file.
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;",
    )?;
    // What an earlier process left in the log goes to the medium before anything is written behind it: after a sync
    // that failed, parts of it may be in the system's memory alone (on Linux), and a power cut would take all behind.
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(PrepareError::Corrupt("its log is in use by another process".into()));
    }
    if let Some(max_bytes) = max_bytes {
        let pages = max_bytes / u64::try_from(pragma(db, "page_size")?).unwrap_or(4096).max(1);
        db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    if tables == 0 {
        make_tables(db)?;
    } else if version < SCHEMA_VERSION {
        let newer = db.transaction()?;
        if version < 2 {
            newer.execute_batch(FROM_VERSION_1)?;
        }
        newer.execute_batch(FROM_VERSION_2)?;
        newer.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        newer.commit()?;
        tracing::info!("the mailbox database is of schema version {SCHEMA_VERSION} now");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(path: &Path) -> MailboxError {
        match open(path, None, None) {
            Ok(_) => panic!("opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn opens_again_and_only_once_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        let opened = open(&path, None, None).unwrap();
        assert_eq!(reason(&path), MailboxError::InUse(path.clone()));
        drop(opened);
        open(&path, None, None).unwrap();
    }

    #[test]
    fn a_database_of_an_earlier_version_becomes_one_like_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        let columns = |db: &Connection| -> Vec<String> {
            let mut query = db
                .prepare(
                    "SELECT t.name || '.' || c.name || c.cid FROM sqlite_schema t, pragma_table_xinfo(t.name) c
                     ORDER BY 1",
                )
                .unwrap();
            query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let opened = open(&path, None, None).unwrap();
        let new = columns(&opened.writer);
        const TO_VERSION_2: &str = "DROP TABLE one_time_keys; DROP TABLE one_time_keys_given;
            ALTER TABLE peers DROP COLUMN gave_at; PRAGMA user_version = 2;";
        opened.writer.execute_batch(TO_VERSION_2).unwrap();
        assert_ne!(columns(&opened.writer), new);
        drop(opened);
        let opened = open(&path, None, None).unwrap();
        assert_eq!(columns(&opened.writer), new);
        opened.writer.execute_batch(TO_VERSION_2).unwrap();
        opened
            .writer
            .execute_batch(
                "DROP INDEX seen_sender; ALTER TABLE seen DROP COLUMN sender;
                 ALTER TABLE counters DROP COLUMN swept_at; ALTER TABLE counters DROP COLUMN jumped_at;
                 INSERT INTO seen VALUES(1, x'00', 1, 1); PRAGMA user_version = 1;",
            )
            .unwrap();
        assert_ne!(columns(&opened.writer), new);
        drop(opened);
        let opened = open(&path, None, None).unwrap();
        assert_eq!(columns(&opened.writer), new);
        let sender: i64 = opened.writer.query_row("SELECT sender FROM seen", [], |row| row.get(0)).unwrap();
        assert_eq!(sender, 0);
    }

    #[test]
    fn a_database_that_was_cut_off_is_no_empty_mailbox() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        // A first start that was killed is begun anew.
        for left in ["relay.db.new", "relay.db.new-journal"] {
            std::fs::write(dir.path().join(left), "half of it").unwrap();
        }
        drop(open(&path, None, None).unwrap());
        assert!(!dir.path().join("relay.db.new").exists());
        std::fs::write(&path, "").unwrap();
        assert!(matches!(reason(&path), MailboxError::Corrupt { reason, .. } if reason.contains("empty")));
        assert_eq!(path.metadata().unwrap().len(), 0);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(dir.path().join("relay.db-wal"), "a log").unwrap();
        assert!(matches!(reason(&path), MailboxError::Corrupt { reason, .. } if reason.contains("log")));
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_the_files() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let opened = open(&dir.path().join("relay.db"), None, None).unwrap();
        opened.writer.execute_batch("UPDATE counters SET swept_at = 0").unwrap();
        let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap).collect();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
        }
        drop(opened);
    }

    #[test]
    fn newer_foreign_and_damaged_files_are_told_apart_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let newer = dir.path().join("newer.db");
        let opened = open(&newer, None, None).unwrap();
        opened.writer.pragma_update(None, "user_version", 7).unwrap();
        drop(opened);
        assert_eq!(reason(&newer), MailboxError::NewerSchema { found: 7, known: SCHEMA_VERSION });

        let foreign = dir.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
        assert!(matches!(reason(&foreign), MailboxError::Corrupt { .. }));

        let text = dir.path().join("text.db");
        std::fs::write(&text, "no database ".repeat(1000)).unwrap();
        assert!(matches!(reason(&text), MailboxError::Corrupt { .. }));
        assert_eq!(std::fs::read(&text).unwrap(), "no database ".repeat(1000).as_bytes());

        let damaged = dir.path().join("damaged.db");
        drop(open(&damaged, None, None).unwrap());
        let mut bytes = std::fs::read(&damaged).unwrap();
        assert!(bytes.len() > 3 * 4096);
        bytes[2 * 4096..3 * 4096].fill(0x5a);
        std::fs::write(&damaged, &bytes).unwrap();
        assert!(matches!(reason(&damaged), MailboxError::Corrupt { .. }));
    }
}
