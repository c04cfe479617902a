//! A store that commits numbered transactions, and knows which were acknowledged.

use std::sync::Arc;

use chat_simulation::disk::Disk;
use rusqlite::{Connection, OpenFlags, params};

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// As the client does: one connection that keeps the file for itself, without shared memory.
    pub(crate) exclusive: bool,
    /// As the relay does: a second connection reads.
    pub(crate) reader: bool,
    pub(crate) journal: &'static str,
    pub(crate) synchronous: &'static str,
}

pub(crate) const CLIENT: Setup =
    Setup { exclusive: true, reader: false, journal: "WAL", synchronous: "FULL" };
pub(crate) const RELAY: Setup = Setup { exclusive: false, reader: true, journal: "WAL", synchronous: "FULL" };

/// A database on a disk. One transaction writes its number to both tables, with a few hundred to a few thousand bytes.
pub(crate) struct Store {
    pub(crate) db: Connection,
    reader: Option<Connection>,
}

fn connect(disk: &Disk) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(disk.path("x.db"), flags, disk.vfs_name())
}

/// Sets the mode, and says which it is now.
///
/// SQLite gives the answer before it commits the change: if the disk fails then, only whoever asks for another row is
/// told, and the connection goes on with a rollback journal, calling it `wal`.
fn journal_mode(db: &Connection, mode: &str) -> rusqlite::Result<String> {
    let mut pragma = db.prepare(&format!("PRAGMA journal_mode = {mode}"))?;
    let mode: Vec<String> = pragma.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(mode.concat())
}

impl Store {
    pub(crate) fn open(disk: &Disk, setup: Setup) -> rusqlite::Result<Self> {
        let db = connect(disk)?;
        let locking = if setup.exclusive { "EXCLUSIVE" } else { "NORMAL" };
        // Few pages in the log, so that a short run has checkpoints.
        db.execute_batch(&format!("PRAGMA locking_mode = {locking}"))?;
        let mode = journal_mode(&db, setup.journal)?;
        if !mode.eq_ignore_ascii_case(setup.journal) {
            return Err(rusqlite::Error::InvalidParameterName(format!("journal_mode is {mode}")));
        }
        db.execute_batch(&format!(
            "PRAGMA synchronous = {}; PRAGMA wal_autocheckpoint = 12; PRAGMA journal_size_limit = 16384; PRAGMA temp_store = MEMORY;
             BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS a(n INTEGER PRIMARY KEY, x BLOB);
             CREATE TABLE IF NOT EXISTS b(n INTEGER PRIMARY KEY, x BLOB); COMMIT;",
            setup.synchronous
        ))?;
        let reader = if setup.reader { Some(connect(disk)?) } else { None };
        Ok(Self { db, reader })
    }

    pub(crate) fn commit(&self, n: u32) -> rusqlite::Result<()> {
        let transaction = self.db.unchecked_transaction()?;
        for (table, len) in [("a", 300 + n * 37 % 500), ("b", n * 971 % 9000)] {
            let blob = vec![u8::try_from(n % 251).unwrap(); usize::try_from(len).unwrap()];
            let sql = format!("INSERT INTO {table} VALUES(?1, ?2)");
            transaction.prepare_cached(&sql)?.execute(params![n, blob])?;
        }
        // Some pages become free and are used again.
        if n.is_multiple_of(3) {
            transaction.execute("UPDATE b SET x = x'00' WHERE n = ?1", [n / 2])?;
        }
        transaction.commit()?;
        if let Some(reader) = &self.reader {
            let last: u32 = reader.query_row("SELECT max(n) FROM a", [], |row| row.get(0))?;
            assert_eq!(last, n, "the reader sees what is committed");
        }
        Ok(())
    }

    /// The numbers in both tables, if the database is sound.
    pub(crate) fn verify(&self) -> Result<Vec<u32>, String> {
        let check = || -> rusqlite::Result<(String, Vec<u32>, Vec<u32>)> {
            let verdict = self.db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            let numbers = |sql: &str| -> rusqlite::Result<Vec<u32>> {
                self.db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
            };
            // Of one moment, whatever others commit meanwhile.
            let moment = self.db.unchecked_transaction()?;
            let found = (numbers("SELECT n FROM a ORDER BY n")?, numbers("SELECT n FROM b ORDER BY n")?);
            moment.commit()?;
            Ok((verdict, found.0, found.1))
        };
        let (verdict, a, b) = check().map_err(|error| error.to_string())?;
        if verdict != "ok" {
            return Err(verdict);
        }
        if a != b {
            return Err(format!("half a transaction: {a:?} and {b:?}"));
        }
        Ok(a)
    }
}

/// What became of a run.
pub(crate) struct Run {
    /// Transactions whose commit succeeded, from 1 on.
    pub(crate) acknowledged: u32,
    /// Why it stopped before its end.
    pub(crate) error: Option<rusqlite::Error>,
}

/// Commits the numbers from `first` to `last`, and stops at the first error.
pub(crate) fn run(disk: &Arc<Disk>, setup: Setup, first: u32, last: u32) -> Run {
    let mut acknowledged = first - 1;
    let mut work = || {
        let store = Store::open(disk, setup)?;
        for n in first..=last {
            store.commit(n)?;
            acknowledged = n;
        }
        Ok(())
    };
    let error = work().err();
    Run { acknowledged, error }
}

/// What is there now, which is no less than what was acknowledged and no more than one transaction beyond, which was
/// committed and never answered.
pub(crate) fn verify(disk: &Arc<Disk>, setup: Setup, acknowledged: u32) -> Result<u32, String> {
    let found = Store::open(disk, setup).map_err(|error| error.to_string())?.verify()?;
    let count = u32::try_from(found.len()).unwrap();
    if !found.iter().copied().eq(1..=count) {
        return Err(format!("a hole: {found:?}"));
    }
    if !(acknowledged..=acknowledged + 1).contains(&count) {
        return Err(format!("{acknowledged} acknowledged, {count} found"));
    }
    Ok(count)
}
