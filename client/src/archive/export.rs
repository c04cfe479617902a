//! `chat db export`

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::path::Path;

use chat_core::entropy::Entropy;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rusqlite::types::Value;

use super::chunks::Sink;
use super::{ArchiveError, EXPORTED, open_as_it_is};
use crate::store::Examined;
use crate::vault::StoreKey;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Rows in the file.
    pub rows: u64,
    /// Everything that is not as it was written, in words; all that could be read is in the file.
    pub problems: Vec<String>,
}

/// A piece of an export.
#[derive(Debug, Encode, Decode)]
pub(super) enum Record {
    /// The rows that follow are of this table, in these columns.
    #[n(0)]
    Table {
        #[n(0)]
        name: String,
        #[n(1)]
        columns: Vec<String>,
    },
    /// A row.
    #[n(1)]
    Row {
        #[n(0)]
        cells: Vec<Cell>,
    },
    /// The last one: how many rows there were.
    #[n(2)]
    End {
        #[n(0)]
        rows: u64,
    },
}

/// A value of a row.
#[derive(Debug, Encode, Decode)]
pub(super) enum Cell {
    #[n(0)]
    Null,
    #[n(1)]
    Integer(#[n(0)] i64),
    #[n(2)]
    Real(#[n(0)] f64),
    #[n(3)]
    Text(#[n(0)] String),
    #[n(4)]
    Blob(#[n(0)] ByteVec),
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Real(number) => Self::Real(number),
            Value::Text(text) => Self::Text(text),
            Value::Blob(bytes) => Self::Blob(bytes.into()),
        }
    }
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Integer(number) => Self::Integer(number),
            Cell::Real(number) => Self::Real(number),
            Cell::Text(text) => Self::Text(text),
            Cell::Blob(bytes) => Self::Blob(bytes.into()),
        }
    }
}

fn encode(record: &Record) -> Result<zeroize::Zeroizing<Vec<u8>>, ArchiveError> {
    let bytes = minicbor::to_vec(record).map_err(|_| ArchiveError::Damaged("a row can't be written"))?;
    Ok(zeroize::Zeroizing::new(bytes))
}

/// Others take a bundle for the newest by its date, and these stay behind: the date goes along.
fn keep_date(values: &mut [Value], columns: &[String], date: i64) {
    for (value, _) in values.iter_mut().zip(columns).filter(|(_, name)| *name == "newest_bundle") {
        let known = if let Value::Integer(known) = value { *known } else { 0 };
        *value = Value::Integer(known.max(date));
    }
}

/// A row that does not open is not in the file.
fn left_out(problem: String) -> String {
    match problem.ends_with(": it is not what was written") {
        true => format!("{problem}, and left out"),
        false => problem,
    }
}

/// The date of the newest bundle of one's own.
fn newest_bundle(store: &Examined) -> Result<Option<i64>, ArchiveError> {
    let place = store.columns_of("bundles").iter().position(|name| name == "created");
    let mut newest = None;
    store.each_row("bundles", |values| {
        if let Some(Value::Integer(date)) = place.and_then(|place| values.get(place)) {
            newest = newest.max(Some(*date));
        }
    })?;
    Ok(newest)
}

/// Writes everything of a store that can be read into the new file `to`, sealed under a passphrase. A damaged store gives
/// what is left of it.
///
/// # Errors
/// [`ArchiveError`]; a file that was begun is removed.
pub fn export(
    path: &Path,
    key: &StoreKey,
    to: &Path,
    passphrase: &str,
    mut entropy: Box<dyn Entropy>,
    for_the_store: Box<dyn Entropy>,
) -> Result<Exported, ArchiveError> {
    let (store, _copy) = open_as_it_is(path, key, for_the_store)?;
    let io = |source| ArchiveError::Io { path: to.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = match options.open(to) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(ArchiveError::Exists(to.to_owned()));
        }
        file => file.map_err(io)?,
    };
    let write = || -> Result<u64, ArchiveError> {
        let mut sink = Sink::new(BufWriter::new(file), to, passphrase, &mut *entropy)?;
        let mut rows = 0;
        let newest = newest_bundle(&store)?;
        for table in EXPORTED {
            let columns = store.columns_of(table);
            let head = Record::Table { name: table.to_owned(), columns: columns.clone() };
            sink.record(&encode(&head)?)?;
            let mut failed = None;
            store.each_row(table, |mut values| {
                if failed.is_some() {
                    return;
                }
                rows += 1;
                if let Some(date) = newest.filter(|_| table == "node") {
                    keep_date(&mut values, &columns, date);
                }
                let cells = values.into_iter().map(Cell::from).collect();
                failed = encode(&Record::Row { cells }).and_then(|row| sink.record(&row)).err();
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        sink.record(&encode(&Record::End { rows })?)?;
        let file = sink.finish()?.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)?;
        Ok(rows)
    };
    match write() {
        Ok(rows) => Ok(Exported { rows, problems: store.problems.into_iter().map(left_out).collect() }),
        Err(error) => {
            if let Err(error) = std::fs::remove_file(to) {
                tracing::warn!(%error, "an export that was not finished is left behind");
            }
            Err(error)
        }
    }
}
