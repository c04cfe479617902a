//! What is left of a store that SQLite does not read to its end: every page is looked at by itself, and whatever opens
//! with the key is a row, as only who has it can have made one. Of a row that lies there in several versions the last
//! one counts.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};

use super::ledger::Ledger;
use super::row::{self, encode};
use super::tables::{Column, Kind, Table};
use super::{Seal, Sealer};
use crate::store::pages::{Pages, Place, Record};

/// Where a row was found.
struct Found {
    version: u64,
    place: Place,
    cell: usize,
    /// Its number, by which rows are ordered where they have one.
    row: Option<i64>,
}

/// The rows that were found.
pub(in crate::store) struct Salvage {
    pages: Pages,
    /// By table, and by key.
    rows: Vec<BTreeMap<Vec<u8>, Found>>,
    ledger: Option<Ledger>,
}

/// A row that was opened.
struct Opened {
    key: Vec<u8>,
    version: u64,
    beside: Vec<Value>,
    hidden: Vec<Value>,
}

/// A row in the order of its table's columns.
pub(super) fn whole_row(table: &Table, beside: Vec<Value>, hidden: Vec<Value>) -> Vec<Value> {
    let (mut hidden, mut beside) = (hidden.into_iter(), beside.into_iter());
    let value = |column: &Column| {
        let outside = (column.kind != Kind::Sealed).then(|| beside.next()).flatten();
        if column.is_sealed() { hidden.next() } else { outside }.unwrap_or(Value::Null)
    };
    table.columns.iter().map(value).collect()
}

/// The places in a record of what lies beside the seal, in the order of the columns, and of the sealed part. A table
/// without row numbers has its key first.
fn layout(table: &Table) -> Vec<usize> {
    let columns: Vec<&str> = table.outside().map(|column| column.name.as_str()).chain(["sealed"]).collect();
    if !table.without_rowid {
        return (0..columns.len()).collect();
    }
    let keys = table.key.iter().map(String::as_str);
    let stored: Vec<&str> =
        keys.chain(columns.iter().copied().filter(|name| !table.key.iter().any(|key| key == name))).collect();
    columns.iter().filter_map(|name| stored.iter().position(|other| other == name)).collect()
}

impl Sealer {
    /// The row of a table that a record is, if it is one.
    fn open_record(&self, n: usize, layout: &[usize], record: &Record) -> Option<Opened> {
        let (table, cipher) = self.tables.get(n).zip(self.rows.get(n))?;
        if record.values.len() != layout.len() {
            return None;
        }
        let mut beside: Vec<Value> = layout.iter().filter_map(|at| record.values.get(*at).cloned()).collect();
        let Some(Value::Blob(sealed)) = beside.pop() else { return None };
        for (value, column) in beside.iter_mut().zip(table.outside()) {
            // SQLite keeps such a number as that of the row.
            if table.numbers_itself() && table.key.contains(&column.name) {
                *value = Value::Integer(record.row?);
            }
        }
        let hidden = cipher.open(&sealed, &encode(beside.iter().map(ValueRef::from)))?;
        let is_key = |column: &Column| table.key.contains(&column.name);
        let key = beside.iter().zip(table.outside()).filter(|(_, column)| is_key(column));
        let key = encode(key.map(|(value, _)| value.into())).to_vec();
        Some(Opened { key, version: row::version(&sealed)?, beside, hidden })
    }

    /// The ledger, if a record is its row.
    fn ledger_of(&self, record: &Record) -> Option<Ledger> {
        match record.values.as_slice() {
            [_, _, Value::Blob(ledger)] => self.open_ledger(ledger),
            _ => None,
        }
    }
}

impl Salvage {
    /// Looks at all of the database at `path`, and at its log.
    pub(in crate::store) fn of(path: &Path, seal: &Seal) -> std::io::Result<Self> {
        let (sealer, pages) = (seal.sealer(), Pages::open(path)?);
        let layouts: Vec<Vec<usize>> = sealer.tables.iter().map(layout).collect();
        let mut rows: Vec<BTreeMap<Vec<u8>, Found>> = layouts.iter().map(|_| BTreeMap::new()).collect();
        let mut ledger: Option<Ledger> = None;
        for place in pages.places() {
            pages.records(place, |cell, record| {
                for ((n, layout), rows) in layouts.iter().enumerate().zip(&mut rows) {
                    let Some(Opened { key, version, .. }) = sealer.open_record(n, layout, &record) else {
                        continue;
                    };
                    if rows.get(&key).is_none_or(|found| found.version < version) {
                        rows.insert(key, Found { version, place, cell, row: record.row });
                    }
                    return;
                }
                let newer = sealer.ledger_of(&record);
                if newer.as_ref().map(|newer| newer.commits) > ledger.as_ref().map(|known| known.commits) {
                    ledger = newer;
                }
            });
        }
        drop(sealer);
        Ok(Self { pages, rows, ledger })
    }

    /// How many there are.
    pub(in crate::store) fn rows(&self) -> u64 {
        self.rows.iter().map(|rows| rows.len() as u64).sum()
    }

    /// What the ledger knows and nobody has found, in words.
    pub(in crate::store) fn missing(&self, seal: &Seal) -> Vec<String> {
        let Some(ledger) = &self.ledger else {
            return vec!["the ledger can't be read, so it can't be told which rows are missing".to_owned()];
        };
        let sealer = seal.sealer();
        let tables = sealer.tables.iter().zip(&ledger.entries).zip(&self.rows);
        let lost = tables.map(|((table, expected), found)| (table, expected.rows - found.len() as i64));
        let lost = lost.filter(|(_, lost)| *lost > 0);
        lost.map(|(table, lost)| format!("{}: {lost} of its rows can't be read any more", table.name))
            .collect()
    }

    /// Each row of a table, in the order of its columns.
    pub(in crate::store) fn each_row(&self, seal: &Seal, name: &str, mut visit: impl FnMut(Vec<Value>)) {
        let sealer = seal.sealer();
        let Some(n) = sealer.tables.iter().position(|table| table.name == name) else { return };
        let Some((table, rows)) = sealer.tables.get(n).zip(self.rows.get(n)) else { return };
        let layout = layout(table);
        let mut found: Vec<&Found> = rows.values().collect();
        if !table.without_rowid {
            found.sort_by_key(|found| found.row);
        }
        for found in found {
            self.pages.records(found.place, |cell, record| {
                if cell == found.cell
                    && let Some(opened) = sealer.open_record(n, &layout, &record)
                {
                    visit(whole_row(table, opened.beside, opened.hidden));
                }
            });
        }
    }
}
