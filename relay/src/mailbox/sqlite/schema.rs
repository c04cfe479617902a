//! Opening the database: lock, checks, tables.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::MailboxError;
use super::repair::{self, Checked};
use super::{boxes, shape, steps};

/// "chat" in the header of the file, so that another program's database is not taken for ours.
const APPLICATION_ID: i64 = 0x6368_6174;
/// The tables and steps in [`steps`].
const SCHEMA_VERSION: i64 = 6;

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
    tables(&new)?;
    new.pragma_update(None, "application_id", APPLICATION_ID)?;
    new.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    new.commit()?;
    // Without the path: it may hold a name.
    tracing::info!("new mailbox database");
    Ok(())
}

fn tables(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(steps::VERSION_3)?;
    steps::from_version_3(db)?;
    steps::from_version_4(db)?;
    steps::from_version_5(db)
}

fn check_shape(db: &Connection) -> Result<(), PrepareError> {
    let right = Connection::open_in_memory()?;
    tables(&right)?;
    match shape::stray(db, &right)? {
        Some(column) => Err(PrepareError::Corrupt(format!("its tables are not a mailbox's: {column}"))),
        None => Ok(()),
    }
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
    let list_is_whole = match repair::check(db)? {
        Checked::Whole => true,
        Checked::ListIsDamaged => false,
        Checked::Damaged(verdict) => return Err(PrepareError::Corrupt(verdict)),
    };
    let mode = use_log(db)?;
    if mode != "wal" {
        return Err(PrepareError::Corrupt(format!("its file system gives no write-ahead log ({mode})")));
    }
    // FULL: a commit is on the disk before it is acknowledged. No page of it goes to a temporary file.
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;",
    )?;
    // Enough for the pages that are written to again and again: 8 MiB.
    db.pragma_update(None, "cache_size", -8192)?;
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
    if version == SCHEMA_VERSION && tables > 0 {
        check_shape(db)?;
        if !list_is_whole {
            let anew = db.transaction()?;
            boxes::list_all(&anew)?;
            anew.commit()?;
        }
    }
    if tables == 0 {
        make_tables(db)?;
    } else if version < SCHEMA_VERSION {
        let newer = db.transaction()?;
        if version < 2 {
            newer.execute_batch(steps::FROM_VERSION_1)?;
        }
        if version < 3 {
            newer.execute_batch(steps::FROM_VERSION_2)?;
        }
        if version < 4 {
            steps::from_version_3(&newer)?;
        }
        if version < 5 {
            steps::from_version_4(&newer)?;
        }
        steps::from_version_5(&newer)?;
        check_shape(&newer)?;
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
