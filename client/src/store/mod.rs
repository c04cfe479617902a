//! The client's durable state: one SQLite database, one process. The engine opens one transaction a turn;
//! everything in here runs inside it, and nothing leaves the process before its commit.

mod anew;
mod bundles;
mod chains;
mod closed_rooms;
mod contacts;
mod file;
mod messages;
mod node;
mod one_time;
mod outbox;
mod rooms;
mod sessions;

use std::time::Duration;

use chat_core::ids::PeerId;
use rusqlite::{Connection, OpenFlags};

use crate::config::StorePlace;

pub use anew::mark_restored;
pub(crate) use bundles::StoredBundle;
pub(crate) use chains::FrameHash;
pub(crate) use closed_rooms::RoomPeer;
pub(crate) use contacts::ContactRow;
pub(crate) use messages::{HeldMessage, MessageRow, NewMessage};
pub(crate) use node::Kept;
pub(crate) use one_time::StoredOneTimeKey;
pub(crate) use outbox::{DeliveryRow, DeliveryState, Progress};
pub(crate) use rooms::RoomRow;
pub(crate) use sessions::SessionRow;

/// The schema this program writes.
const SCHEMA_VERSION: i64 = 3;

/// Why the store can't be used. The transaction it happened in is rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite's words: disk full, file damaged, locked by another process.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database was written by a later version of the program.
    #[error(
        "the store has schema {found}, this program knows up to {SCHEMA_VERSION}: use the newer program, or another --data-dir"
    )]
    Newer {
        /// Its version.
        found: i64,
    },
    /// SQLite keeps another journal than the write-ahead log, which every promise about a commit rests on.
    #[error("the store's file system gives no write-ahead log, but {0:?}")]
    NoLog(String),
    /// The check at start found damage.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The file is there and empty. The program never leaves it like that.
    #[error(
        "the store is an empty file, so something has cut it off: put a copy of it back, or remove it to begin with an \
         empty history under the same identity; nothing was changed"
    )]
    Empty,
    /// The file is gone, but its log isn't.
    #[error(
        "the store is not there, but its write-ahead log is: put the store back, or remove the log too, to begin with an \
         empty history under the same identity; nothing was changed"
    )]
    LogAlone,
    /// The file system's words.
    #[error("the store's file can't be used: {0}")]
    File(std::io::Error),
    /// Another identity has written the store.
    #[error(
        "the store belongs to the identity {owner}, but the key is the one of {key}: put the old key back, or move the \
         whole data directory away to begin anew; nothing was changed"
    )]
    OtherIdentity {
        /// Whose it is.
        owner: PeerId,
        /// Who wants it.
        key: PeerId,
    },
}

/// Makes version 2 of version 1.
const FROM_VERSION_1: &str = "
CREATE TABLE node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity BLOB, kept_at INTEGER NOT NULL DEFAULT 0, doubted_at INTEGER NOT NULL DEFAULT 0
);
INSERT INTO node (one) VALUES (1);
ALTER TABLE seen_envelopes ADD COLUMN frame BLOB;
CREATE INDEX seen_frames ON seen_envelopes (frame);
";

/// Makes version 3 of version 2, each table in its own file.
const FROM_VERSION_2: &[&str] =
    &[anew::FROM_VERSION_2, one_time::FROM_VERSION_2, contacts::FROM_VERSION_2, rooms::FROM_VERSION_2];

/// Whatever makes the present version of an older one.
fn migration(found: i64) -> String {
    let from_1 = if found < 2 { FROM_VERSION_1 } else { "" };
    let from_2 = if found < 3 { FROM_VERSION_2.concat() } else { String::new() };
    format!("{from_1}{from_2}")
}

/// The schema of a database that is ours or new; looked at before anything is written.
fn version(db: &Connection) -> Result<i64, StoreError> {
    let found = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer { found });
    }
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found == 0 && tables > 0 {
        return Err(StoreError::Damaged("it belongs to another program".to_owned()));
    }
    Ok(found)
}

/// The tables of a new store, in one transaction.
fn make_tables(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
        include_str!("schema.sql")
    ))?;
    Ok(())
}

/// Bytes of an id, for SQL.
pub(crate) fn b(id: &impl AsRef<[u8]>) -> &[u8] {
    id.as_ref()
}

/// SQLite's integers are signed; timestamps and counts stay far below that limit.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Sets the mode, and says which it is now.
///
/// All rows are asked for, though there is one: SQLite gives the row before it commits the change. If the disk fails
/// then, only the next step says so, and the connection would go on with a rollback journal and call it `wal`; with
/// `synchronous = FULL` a power cut may undo the last commit of such a one.
fn journal_mode(db: &Connection, mode: &str) -> rusqlite::Result<String> {
    let mut pragma = db.prepare(&format!("PRAGMA journal_mode = {mode}"))?;
    let mode: Vec<String> = pragma.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(mode.concat())
}

/// Brings what an earlier process left in the log into the database, and to the medium.
///
/// A sync that failed may have left parts of the log in the system's memory alone, where they look like written ones
/// (on Linux). This process would take them for committed and write behind them, and a power cut would then take what
/// it commits with them.
fn settle_log(db: &Connection) -> rusqlite::Result<()> {
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    match busy {
        0 => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("the log is in use by another process".to_owned()),
        )),
    }
}

/// The database.
pub(crate) struct Store {
    pub(crate) db: Connection,
}

impl Store {
    /// Opens or creates the store, checks it, and takes it for this process alone.
    pub(crate) fn open(place: &StorePlace) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let (db, journal) = match place {
            StorePlace::File(path) => {
                file::make_if_missing(path)?;
                (Connection::open_with_flags(path, flags)?, "wal")
            }
            StorePlace::Vfs { vfs, path } => {
                (Connection::open_with_flags_and_vfs(path, flags, vfs.as_str())?, "wal")
            }
            StorePlace::Memory => (Connection::open_in_memory()?, "memory"),
        };
        Self::prepare(db, journal)
    }

    fn prepare(db: Connection, journal: &str) -> Result<Self, StoreError> {
        db.busy_timeout(Duration::from_secs(2))?;
        db.set_prepared_statement_cache_capacity(128);
        db.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
        let found = version(&db)?;
        let mode = journal_mode(&db, "WAL")?;
        if mode != journal {
            return Err(StoreError::NoLog(mode));
        }
        // `FULL` syncs the log at every commit: what was committed survives a power cut.
        db.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
             PRAGMA journal_size_limit = 4194304;",
        )?;
        settle_log(&db)?;
        match found {
            0 => make_tables(&db)?,
            SCHEMA_VERSION => {}
            older => db.execute_batch(&format!(
                "BEGIN IMMEDIATE; {} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
                migration(older)
            ))?,
        }
        let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(verdict));
        }
        Ok(Self { db })
    }

    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("BEGIN IMMEDIATE")?)
    }

    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("COMMIT")?)
    }

    /// What was erased leaves the write-ahead log too, where older copies of its pages lie. Outside of a transaction.
    pub(crate) fn scrub(&self) -> Result<(), StoreError> {
        Ok(settle_log(&self.db)?)
    }

    /// Undoes the turn; also after a failed commit, which SQLite may have rolled back by itself.
    pub(crate) fn roll_back(&self) -> Result<(), StoreError> {
        if self.db.is_autocommit() {
            return Ok(());
        }
        Ok(self.db.execute_batch("ROLLBACK")?)
    }
}

#[cfg(test)]
mod tests;
