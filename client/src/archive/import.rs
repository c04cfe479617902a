//! `chat db import`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use chat_core::entropy::Entropy;
use chat_core::ids::PeerId;
use rusqlite::types::Value;

use super::chunks::Source;
use super::export::Record;
use super::{ArchiveError, EXPORTED};
use crate::config::StorePlace;
use crate::store::{Store, count_of};
use crate::vault::StoreKey;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Rows that are in the store now.
    pub rows: u64,
}

const NO_ROW: ArchiveError = ArchiveError::Damaged("a row is none");

/// Makes a store at `path`, where none may be, of the export `from`. It belongs to the identity `me`, or is refused. It has
/// no sessions and no keys: the next start makes new ones, and every peer begins anew with it.
///
/// # Errors
/// [`ArchiveError`]; there is no store then. If only the last file could not be moved, there is one, of which
/// [`remove_unfinished`] moves it.
pub fn import(
    path: &Path,
    key: &StoreKey,
    me: PeerId,
    from: &Path,
    passphrase: &str,
    entropy: Box<dyn Entropy>,
) -> Result<Imported, ArchiveError> {
    if path.exists() {
        return Err(ArchiveError::Exists(path.to_owned()));
    }
    // It would be taken for the log of the new one.
    if std::fs::metadata(super::log_of(path)).is_ok_and(|log| log.len() > 0) {
        return Err(crate::store::StoreError::LogAlone.into());
    }
    let file = File::open(from).map_err(|source| ArchiveError::Io { path: from.to_owned(), source })?;
    let source = Source::new(BufReader::new(file), passphrase)?;
    let new = unfinished(path);
    remove(&new);
    let imported = fill(&StorePlace::File(new.clone()), key, me, source, entropy);
    if let Ok(imported) = &imported {
        let moved = std::fs::rename(&new, path).and_then(|()| move_count(&new, path));
        moved.map_err(|source| ArchiveError::Io { path: path.to_owned(), source })?;
        return Ok(*imported);
    }
    remove(&new);
    imported
}

/// Where the store of an import is made.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("import")
}

/// The count of commits follows the store that was moved: a count without its store would say that one was lost. What is
/// moved first is on the disk first.
fn move_count(new: &Path, path: &Path) -> std::io::Result<()> {
    crate::store::sync_folder_of(path)?;
    std::fs::rename(count_of(new), count_of(path))?;
    crate::store::sync_folder_of(path)
}

/// Takes away what an import that was killed has left beside the store at `path`: nobody would ever delete a message in
/// it. If it was killed when all but its count was in place, that is moved now. To be called by whoever has taken the data
/// directory.
pub fn remove_unfinished(path: &Path) {
    let new = unfinished(path);
    // The count goes first when anything is taken away: alone, it was left by a move.
    if path.exists() && !new.exists() && count_of(&new).exists() {
        if let Err(error) = move_count(&new, path) {
            tracing::warn!(%error, "an import that was not finished is left as it is");
        }
        return;
    }
    remove(&new);
}

/// What an import that did not end well has left, or leaves now.
fn remove(new: &Path) {
    let beside = ["", "-wal", "-shm", "-journal"].map(|ending| {
        let mut name = new.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    });
    for name in std::iter::once(count_of(new)).chain(beside) {
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an import that was not finished is left behind");
            }
            _ => {}
        }
    }
}

pub(super) fn fill(
    place: &StorePlace,
    key: &StoreKey,
    me: PeerId,
    mut source: Source<impl Read>,
    entropy: Box<dyn Entropy>,
) -> Result<Imported, ArchiveError> {
    let store = Store::open_sealed(place, key, entropy)?;
    store.begin()?;
    store.db.execute("DELETE FROM node", [])?;
    let (mut rows, mut table, mut lost) = (0, None, Vec::new());
    let known: BTreeMap<&str, Vec<String>> =
        EXPORTED.into_iter().map(|name| (name, store.columns_of(name))).collect();
    loop {
        let record = source.record()?.ok_or(ArchiveError::Damaged("it is cut off"))?;
        match minicbor::decode(&record).map_err(|_| NO_ROW)? {
            Record::Table { name, columns } => {
                let known =
                    known.get(name.as_str()).filter(|known| columns.iter().all(|c| known.contains(c)));
                // An earlier program knew fewer columns; what a later one knew can't be kept.
                known.ok_or(ArchiveError::Damaged("it is of a later program"))?;
                let places = vec!["?"; columns.len()].join(", ");
                let sql = format!("INSERT INTO {name} ({}) VALUES ({places})", columns.join(", "));
                table = Some((name, columns, sql));
            }
            Record::Row { cells } => {
                let (name, columns, sql) = table.as_ref().ok_or(NO_ROW)?;
                if cells.len() != columns.len() {
                    return Err(NO_ROW);
                }
                let values: Vec<(&str, Value)> =
                    columns.iter().map(String::as_str).zip(cells.into_iter().map(Value::from)).collect();
                lost.extend(lost_session(name, &values));
                let values = values.into_iter().map(|(column, value)| revived(name, column, value));
                store.db.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
                rows += 1;
            }
            Record::End { rows: said } if said == rows => break,
            Record::End { .. } => return Err(ArchiveError::Damaged("rows are missing")),
        }
    }
    if source.record()?.is_some() {
        return Err(ArchiveError::Damaged("something follows its end"));
    }
    let nodes: i64 = store.db.query_row("SELECT count(*) FROM node", [], |row| row.get(0))?;
    if nodes == 0 {
        // Its own row was among those that were damaged.
        store.db.execute("INSERT INTO node (one, restored) VALUES (1, 1)", [])?;
    }
    for peer in lost {
        store.db.execute("INSERT OR IGNORE INTO renewals (peer) VALUES (?)", [peer])?;
    }
    store.belongs_to(me)?;
    store.commit()?;
    store.close()?;
    Ok(Imported { rows })
}

/// The peer of a contact that there was a session with: it stays behind.
fn lost_session(table: &str, values: &[(&str, Value)]) -> Option<Vec<u8>> {
    let value = |column| values.iter().find(|(name, _)| *name == column).map(|(_, value)| value);
    match (table, value("sending"), value("peer")) {
        ("contacts", Some(Value::Blob(_)), Some(Value::Blob(peer))) => Some(peer.clone()),
        _ => None,
    }
}

/// A value as it is in a store without live sessions: what they sealed is to be sealed anew.
fn revived(table: &str, column: &str, value: Value) -> Value {
    match (table, column) {
        ("node", "restored") => Value::Integer(1),
        ("contacts", "sending") | ("deliveries", "envelope" | "envelope_id" | "session") => Value::Null,
        _ => value,
    }
}
