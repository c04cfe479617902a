//! A store that nobody runs on, looked at as it is: everything that a start refuses is named here too, and all that can
//! be read is read, whatever became of the rest. Nothing is changed, but that an older store is brought up to date.

use std::path::Path;

use chat_core::entropy::Entropy;
use chat_core::ids::PeerId;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::seal::{Salvage, Seal};
use super::{SCHEMA_VERSION, Store, StoreError, configure, file, look, migrate, version};
use crate::vault::StoreKey;

/// A store that was looked at.
pub(crate) struct Examined {
    /// Rows that can be read, or were at least looked at.
    pub(crate) rows: u64,
    /// Everything that is not as it was written, in words.
    pub(crate) problems: Vec<String>,
    seal: Seal,
    source: Source,
}

/// Where its rows come from.
enum Source {
    /// As long as all is well with it.
    Database(Connection),
    Pages(Salvage),
}

/// Whether it says something about the file, or about who looks at it.
fn is_damage(error: &StoreError) -> bool {
    let of_sqlite = |code| {
        !matches!(
            code,
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::PermissionDenied
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
        )
    };
    match error {
        StoreError::Damaged(_) | StoreError::Empty | StoreError::LogAlone | StoreError::OtherKey => true,
        StoreError::Sqlite(error) => error.sqlite_error_code().is_none_or(of_sqlite),
        _ => false,
    }
}

/// An error as it is listed.
fn words(error: StoreError) -> String {
    match error {
        StoreError::Damaged(what) => what,
        other => other.to_string(),
    }
}

/// What is wrong, with how many rows were looked at; and the connection, if it may be read through.
fn look_through(
    path: &Path,
    seal: &Seal,
    problems: &mut Vec<StoreError>,
) -> Result<(Connection, u64), StoreError> {
    match file::found(path)? {
        file::Found::Nothing => return Err(StoreError::LogAlone),
        file::Found::Stub => return Err(StoreError::Empty),
        file::Found::Store => file::check_head(path)?,
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    configure(&db, Some(path))?;
    let found = version(&db, seal)?;
    if found != SCHEMA_VERSION {
        migrate::admit(&db, seal, found, Some(path))?;
        return Err(StoreError::Damaged(format!(
            "it has schema {found}, and could not be brought up to date"
        )));
    }
    look(&db, seal, Some(path), |error| {
        problems.push(error);
        Ok(())
    })?;
    if seal.check_schema(&db).is_err() {
        // Nothing of what somebody else has put there is read through.
        return Ok((db, 0));
    }
    {
        let mut check = db.prepare("PRAGMA integrity_check(100)")?;
        let said: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        problems.extend(said.into_iter().filter(|said| said != "ok").map(StoreError::Damaged));
    }
    let all = seal.check_all(&db);
    problems.extend(all.findings.iter().map(|finding| StoreError::Damaged(finding.to_string())));
    Ok((db, all.rows))
}

/// Brings a store of an earlier schema up to date, if it is one and may be.
fn bring_up_to_date(
    path: &Path,
    key: &StoreKey,
    entropy: &mut Option<Box<dyn Entropy>>,
) -> Result<(), StoreError> {
    if !matches!(file::found(path)?, file::Found::Store) {
        return Ok(());
    }
    let seal = Seal::new(key, Box::new(chat_core::entropy::OsEntropy))?;
    let is_old = {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure(&db, Some(path))?;
        let found = version(&db, &seal)?;
        let is_old = (1..SCHEMA_VERSION).contains(&found);
        if is_old {
            migrate::admit(&db, &seal, found, Some(path))?;
        }
        is_old
    };
    match (is_old, entropy.take()) {
        (true, Some(entropy)) => {
            Store::open_sealed(&crate::config::StorePlace::File(path.to_owned()), key, entropy)?.close()
        }
        _ => Ok(()),
    }
}

/// Whose the store at `path` is, if there is one, it is sealed with this key, and can be read. Nothing is written, not
/// even a log settled: it is read page by page. Blocks, for as long as reading the file takes.
pub fn owner(path: &Path, key: &StoreKey) -> Option<PeerId> {
    let seal = Seal::new(key, Box::new(chat_core::entropy::OsEntropy)).ok()?;
    let (_, columns) = seal.columns().into_iter().find(|(table, _)| table == "node")?;
    let place = columns.iter().position(|column| column == "identity")?;
    let mut owner = None;
    Salvage::of(path, &seal).ok()?.each_row(&seal, "node", |row| {
        if let Some(Value::Blob(id)) = row.get(place) {
            owner = owner.or(id.as_slice().try_into().ok().map(PeerId));
        }
    });
    owner
}

impl Examined {
    /// Looks at all of the store at `path`, which no process has open. Where anything is wrong with it, its rows are read
    /// page by page.
    ///
    /// # Errors
    /// It can't be looked at: another key, another process, a later program's, or the system says no.
    pub(crate) fn open(path: &Path, key: &StoreKey, entropy: Box<dyn Entropy>) -> Result<Self, StoreError> {
        let mut entropy = Some(entropy);
        match bring_up_to_date(path, key, &mut entropy) {
            Err(error) if !is_damage(&error) => return Err(error),
            // It is found again, with whatever else is wrong.
            _ => {}
        }
        let seal = Seal::new(key, entropy.unwrap_or_else(|| Box::new(chat_core::entropy::OsEntropy)))?;
        let mut problems = Vec::new();
        let looked = match look_through(path, &seal, &mut problems) {
            Ok((db, rows)) if problems.is_empty() => {
                return Ok(Self { rows, problems: Vec::new(), seal, source: Source::Database(db) });
            }
            Err(error) if !is_damage(&error) => return Err(error),
            looked => looked,
        };
        let looked = looked.map(|(_, rows)| rows).map_err(|error| problems.push(error));
        let salvage = Salvage::of(path, &seal)?;
        if salvage.rows() == 0 && problems.iter().any(|error| matches!(error, StoreError::OtherKey)) {
            return Err(StoreError::OtherKey);
        }
        let mut said: Vec<String> = problems.into_iter().map(words).collect();
        if looked.unwrap_or(0) == 0 {
            said.extend(salvage.missing(&seal));
        }
        said.dedup();
        let rows = looked.unwrap_or(0).max(salvage.rows());
        Ok(Self { rows, problems: said, seal, source: Source::Pages(salvage) })
    }

    /// The columns of a table.
    pub(crate) fn columns_of(&self, table: &str) -> Vec<String> {
        let columns = self.seal.columns();
        columns.into_iter().find(|(name, _)| name == table).map(|(_, columns)| columns).unwrap_or_default()
    }

    /// Each row of a table that can be read, in the order of its columns.
    pub(crate) fn each_row(&self, table: &str, mut visit: impl FnMut(Vec<Value>)) -> Result<(), StoreError> {
        match &self.source {
            Source::Pages(salvage) => salvage.each_row(&self.seal, table, visit),
            // All of them were opened before.
            Source::Database(db) => {
                self.seal.each_row(db, table, |row| row.into_iter().for_each(&mut visit))?
            }
        }
        Ok(())
    }
}
