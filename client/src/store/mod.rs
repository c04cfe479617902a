//! The client's durable state: one SQLite database, one process. The engine opens one transaction a turn;
//! everything in here runs inside it, and nothing leaves the process before its commit.

mod anew;
mod bundles;
mod chains;
mod closed_rooms;
mod contacts;
mod count;
mod erase;
mod error;
mod examine;
mod file;
mod messages;
mod migrate;
mod node;
mod one_time;
mod outbox;
mod pages;
mod rooms;
pub(crate) mod seal;
mod sessions;
pub(crate) mod unsealed;

use std::cell::Cell;
use std::time::Duration;

use chat_core::entropy::Entropy;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::config::StorePlace;
use crate::vault::StoreKey;
pub(crate) use file::sync_folder_of;
use seal::Seal;

pub use anew::mark_restored;
pub(crate) use bundles::StoredBundle;
pub(crate) use chains::{EnvelopeHash, FrameHash};
pub(crate) use closed_rooms::RoomPeer;
pub(crate) use contacts::ContactRow;
pub(crate) use count::count_of;
#[cfg(test)]
pub(crate) use count::forge;
pub use error::StoreError;
pub(crate) use examine::Examined;
pub use examine::owner;
pub(crate) use messages::{HeldMessage, MessageRow, NewMessage};
pub(crate) use node::Kept;
pub(crate) use one_time::StoredOneTimeKey;
pub(crate) use outbox::{DeliveryRow, DeliveryState, Progress};
pub(crate) use rooms::RoomRow;
pub(crate) use sessions::SessionRow;

/// The schema this program writes.
const SCHEMA_VERSION: i64 = 3;
/// The tables as queries see them; what lies in the file is made from it, see [`seal`].
const SCHEMA: &str = include_str!("schema.sql");
/// What is in them from the beginning.
const FIRST_ROWS: &str = "INSERT INTO node (one) VALUES (1);";
/// Rows that are checked a second while the store is in use: some milliseconds.
const CHECKED_AT_ONCE: u32 = 2_500;
/// Up to this size a start goes through all pages and indexes.
const SMALL_PAGES: i64 = 1024;

/// The schema of a database that is ours or new; looked at before anything is written.
fn version(db: &Connection, seal: &Seal) -> Result<i64, StoreError> {
    let found = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match found {
        SCHEMA_VERSION => {}
        0 if tables == 0 => {}
        // All else in it says that it is of this one.
        _ if seal.check_schema(db).is_ok() => {
            return Err(StoreError::Damaged(format!("it is sealed, but says that it has schema {found}")));
        }
        0 => return Err(StoreError::Damaged("it belongs to another program".to_owned())),
        ..0 => return Err(StoreError::Damaged(format!("it says that it has schema {found}"))),
        _ if found > SCHEMA_VERSION => return Err(StoreError::Newer { found }),
        _ => {}
    }
    Ok(found)
}

/// What is looked at before anything is changed, by a start, which takes no fault, and by whoever verifies, who takes
/// them all.
fn look(
    db: &Connection,
    seal: &Seal,
    file: Option<&std::path::Path>,
    mut take: impl FnMut(StoreError) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    seal.check_schema(db).or_else(&mut take)?;
    seal.fits(db).or_else(&mut take)?;
    let loaded = seal.load(db);
    let is_loaded = loaded.is_ok();
    loaded.or_else(&mut take)?;
    match file {
        // Without a ledger it can't be told what was counted.
        Some(file) if is_loaded => count::check(file, seal).or_else(&mut take),
        _ => Ok(()),
    }
}

/// How this program has its connections: what lies in the file is not trusted, and stays as it is until it was looked at,
/// the log too.
fn configure(db: &Connection, file: Option<&std::path::Path>) -> Result<(), StoreError> {
    db.busy_timeout(Duration::from_secs(2))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // An empty one is SQLite's own, which goes with the connection.
    let log = file.map(|file| std::fs::metadata(file::beside(file, "-wal")));
    let has_log = log.is_some_and(|log| log.is_ok_and(|log| log.len() > 0));
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)?;
    Ok(db.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?)
}

/// The tables of a new store, in one transaction.
fn make_tables(db: &Connection, seal: &Seal) -> Result<(), StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    seal.make_tables(db)?;
    seal.show_tables(db)?;
    db.execute_batch(FIRST_ROWS)?;
    seal.flush(db)?;
    Ok(db.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?)
}

/// Whether what lies in the file is what was written, as far as a start looks.
fn check(db: &Connection, seal: &Seal) -> Result<(), StoreError> {
    seal.check_schema(db)?;
    seal.load(db)?;
    check_pages(db, &seal.small_tables())?;
    seal.check_ledger(db)
}

/// Whether a file of up to 4 MiB is a whole database whose indexes lead to all rows; of a larger one, whether these of the
/// `small` tables do.
fn check_pages(db: &Connection, small: &[String]) -> Result<(), StoreError> {
    let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let is_small = pages <= SMALL_PAGES;
    let of_all = is_small.then(|| "PRAGMA integrity_check(1)".to_owned());
    let of_table = |table: &String| format!("PRAGMA integrity_check(sealed_{table})");
    let checks = of_all.into_iter().chain(small.iter().filter(|_| !is_small).map(of_table));
    for check in checks {
        let verdict: String = db.query_row(&check, [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(verdict));
        }
    }
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

/// How a query is done depends on its words alone. Otherwise SQLite looks whether a value that is bound makes a partial index
/// fit, which none here does, and prepares a cached statement anew for each value: a twentieth of the engine's time.
fn keep_plans(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
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
    seal: Seal,
    /// The turn erases something.
    has_erased: Cell<bool>,
    /// Where the store is a file.
    count: Option<count::Count>,
}

impl Store {
    /// Opens or creates the store, checks it, and takes it for this process alone.
    pub(crate) fn open_sealed(
        place: &StorePlace,
        key: &StoreKey,
        entropy: Box<dyn Entropy>,
    ) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let seal = Seal::new(key, entropy)?;
        let (db, journal, file) = match place {
            StorePlace::File(path) => {
                file::make_if_missing(path, &seal)?;
                file::check_head(path)?;
                (Connection::open_with_flags(path, flags)?, "wal", Some(path.as_path()))
            }
            StorePlace::Vfs { vfs, path } => {
                (Connection::open_with_flags_and_vfs(path, flags, vfs.as_str())?, "wal", None)
            }
            StorePlace::Memory => (Connection::open_in_memory()?, "memory", None),
        };
        Self::prepare(db, journal, seal, file)
    }

    /// A store that is sealed with a key of the tests.
    #[cfg(test)]
    pub(crate) fn open(place: &StorePlace) -> Result<Self, StoreError> {
        Self::open_sealed(place, &StoreKey::from_bytes(&[7; 32]), Box::new(chat_core::entropy::OsEntropy))
    }

    /// Changes something from outside the engine, in a turn.
    #[cfg(test)]
    pub(crate) fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.begin()?;
        self.db.execute_batch(sql)?;
        self.commit()
    }

    fn prepare(
        db: Connection,
        journal: &str,
        seal: Seal,
        file: Option<&std::path::Path>,
    ) -> Result<Self, StoreError> {
        configure(&db, file)?;
        db.set_prepared_statement_cache_capacity(128);
        keep_plans(&db)?;
        let found = version(&db, &seal)?;
        match found {
            SCHEMA_VERSION => look(&db, &seal, file, Err)?,
            // The program makes a file whole, or not at all.
            0 if file.is_some() => return Err(StoreError::Empty),
            0 => {}
            _ => migrate::admit(&db, &seal, found, file)?,
        }
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
        seal.attach(&db)?;
        match found {
            0 => make_tables(&db, &seal)?,
            SCHEMA_VERSION => seal.show_tables(&db)?,
            _ => migrate::run(&db, &seal, found, file)?,
        }
        check(&db, &seal)?;
        if let Some(file) = file {
            migrate::finish(&db, &seal, file)?;
        }
        let count = file.map(|file| count::Count::open(file, &seal)).transpose()?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(Self { db, seal, has_erased: Cell::new(false), count })
    }

    /// Goes on with the check of everything, for a few milliseconds: to be called once a second. In a turn.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]
    pub(crate) fn check_on(&self) -> Result<(), StoreError> {
        self.seal.check_on(&self.db, CHECKED_AT_ONCE).map(drop)
    }

    /// The columns of a table.
    pub(crate) fn columns_of(&self, table: &str) -> Vec<String> {
        self.seal
            .columns()
            .into_iter()
            .find(|(name, _)| name == table)
            .map(|(_, columns)| columns)
            .unwrap_or_default()
    }

    /// The names of all tables, in order.
    #[cfg(test)]
    pub(crate) fn tables(&self) -> Vec<String> {
        self.seal.columns().into_iter().map(|(name, _)| name).collect()
    }

    /// Closes the store, and says if that fails; all of it is in its one file then.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        settle_log(&self.db)?;
        if let Some(count) = &self.count {
            count.sync()?;
        }
        Ok(self.db.close().map_err(|(_, error)| error)?)
    }

    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        Ok(self.db.execute_batch("BEGIN IMMEDIATE")?)
    }

    pub(crate) fn commit(&self) -> Result<(), StoreError> {
        self.seal.flush(&self.db)?;
        self.db.execute_batch("COMMIT")?;
        self.seal.committed();
        if let (Some(count), Some(commits)) = (&self.count, self.seal.commits()) {
            count.raise(commits);
        }
        self.forget_log();
        Ok(())
    }

    /// What was erased leaves the write-ahead log too, where older copies of its pages lie. Outside of a transaction.
    pub(crate) fn scrub(&self) -> Result<(), StoreError> {
        Ok(settle_log(&self.db)?)
    }

    /// Undoes the turn; also after a failed commit, which SQLite may have rolled back by itself.
    pub(crate) fn roll_back(&self) -> Result<(), StoreError> {
        self.has_erased.set(false);
        if !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK")?;
        }
        // Whether or not a commit that failed has taken effect: what lies in the file counts.
        self.seal.load(&self.db)
    }
}

#[cfg(test)]
mod tests;
