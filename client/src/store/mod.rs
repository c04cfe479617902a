//! The client's durable state: one SQLite database, one process. The engine opens one transaction a turn;
//! everything in here runs inside it, and nothing leaves the process before its commit.

mod bundles;
mod chains;
mod contacts;
mod file;
mod messages;
mod node;
mod outbox;
mod rooms;
mod sessions;

use std::path::Path;
use std::time::Duration;

use chat_core::ids::PeerId;
use rusqlite::{Connection, OpenFlags};

pub(crate) use bundles::StoredBundle;
pub(crate) use chains::FrameHash;
pub(crate) use contacts::ContactRow;
pub(crate) use messages::{HeldMessage, MessageRow, NewMessage};
pub(crate) use node::Kept;
pub(crate) use outbox::{DeliveryRow, DeliveryState, Progress};
pub(crate) use sessions::SessionRow;

/// The schema this program writes.
const SCHEMA_VERSION: i64 = 2;

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

/// The database.
pub(crate) struct Store {
    pub(crate) db: Connection,
}

impl Store {
    /// Opens or creates the store in `path`, checks it, and takes it for this process alone.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        file::make_if_missing(path)?;
        Self::prepare(Connection::open_with_flags(path, flags)?)
    }

    /// A store in memory, for tests and simulations.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(db: Connection) -> Result<Self, StoreError> {
        db.busy_timeout(Duration::from_secs(2))?;
        db.set_prepared_statement_cache_capacity(128);
        db.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
        let found = version(&db)?;
        // `FULL` syncs the log at every commit: what was committed survives a power cut.
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304;",
        )?;
        match found {
            0 => make_tables(&db)?,
            1 => db.execute_batch(&format!(
                "BEGIN IMMEDIATE; {FROM_VERSION_1} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            ))?,
            _ => {}
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

    /// Undoes the turn; also after a failed commit, which SQLite may have rolled back by itself.
    pub(crate) fn roll_back(&self) -> Result<(), StoreError> {
        if self.db.is_autocommit() {
            return Ok(());
        }
        Ok(self.db.execute_batch("ROLLBACK")?)
    }
}
