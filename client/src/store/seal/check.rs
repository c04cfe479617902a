//! Whether what lies in the file is what was written: each row by its seal, each table by the ledger.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::ledger::{Entry, Sum};
use super::row::{self, encode};
use super::tables::Table;
use super::{Seal, Sealer, functions};
use crate::store::StoreError;

/// Most rows, of the smaller tables together, whose versions are checked at every start: some ten milliseconds. Tests
/// have fewer.
pub(super) const AT_START: i64 = if cfg!(test) { 500 } else { 20_000 };
/// Most rows of a table whose indexes are checked at every start, however large the file is. Tests have fewer.
const SMALL: i64 = if cfg!(test) { 10 } else { 1_000 };
/// Most versions that are tried to find out which rows are old.
const SEARCHES: u64 = 4_000_000;
/// Most rows named one by one.
const NAMED: usize = 100;

/// Something that is not as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) table: String,
    /// The key of a row; none if it can't be told which.
    pub(crate) row: Option<String>,
    pub(crate) what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.row {
            Some(row) => write!(f, "{}, row {row}: {}", self.table, self.what),
            None => write!(f, "{}: {}", self.table, self.what),
        }
    }
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) rows: u64,
    pub(crate) findings: Vec<Finding>,
}

/// A row as it lies in the file.
pub(super) struct Raw {
    pub(super) beside: Vec<Value>,
    pub(super) sealed: Vec<u8>,
}

impl Raw {
    pub(super) fn key<'r>(&'r self, table: &'r Table) -> impl Iterator<Item = ValueRef<'r>> {
        table.key.iter().filter_map(|key| {
            let place = table.outside().position(|column| column.name == *key)?;
            self.beside.get(place).map(ValueRef::from)
        })
    }
}

/// What is read of a table, up to where it is said in which order.
pub(super) fn all_of(table: &Table) -> String {
    let outside: Vec<&str> = table.outside().map(|column| column.name.as_str()).collect();
    format!("SELECT {}, sealed FROM main.sealed_{}", outside.join(", "), table.name)
}

/// Goes through the rows of a table. A page that can't be read ends it.
fn each(db: &Connection, table: &Table, visit: impl FnMut(&Raw)) -> rusqlite::Result<()> {
    // Not by an index, which may be damaged itself.
    let mut all = db.prepare(&format!("{} NOT INDEXED", all_of(table)))?;
    visit_all(table, all.query([])?, visit)
}

/// Goes through rows of a table whose keys come after `at`, in the order of the keys, so many at most.
pub(super) fn each_after(
    db: &Connection,
    table: &Table,
    at: Option<Vec<Value>>,
    most: u32,
    visit: impl FnMut(&Raw),
) -> rusqlite::Result<()> {
    let key = table.key.join(", ");
    let after = match &at {
        Some(at) => format!("WHERE ({key}) > ({})", vec!["?"; at.len()].join(", ")),
        None => String::new(),
    };
    let mut some = db.prepare_cached(&format!("{} {after} ORDER BY {key} LIMIT {most}", all_of(table)))?;
    visit_all(table, some.query(rusqlite::params_from_iter(at.unwrap_or_default()))?, visit)
}

fn visit_all(
    table: &Table,
    mut rows: rusqlite::Rows<'_>,
    mut visit: impl FnMut(&Raw),
) -> rusqlite::Result<()> {
    let outside = table.outside().count();
    while let Some(row) = rows.next()? {
        // What is no value at all was not sealed with the row either.
        let beside = (0..outside).map(|index| row.get(index).unwrap_or(Value::Null)).collect();
        let sealed = row.get_ref(outside)?.as_bytes().unwrap_or_default().to_vec();
        visit(&Raw { beside, sealed });
    }
    Ok(())
}

impl Seal {
    /// Each row of a table, in the order of its columns; or the key of one that is damaged.
    pub(in crate::store) fn each_row(
        &self,
        db: &Connection,
        name: &str,
        mut visit: impl FnMut(Result<Vec<Value>, String>),
    ) -> rusqlite::Result<()> {
        let sealer = self.sealer();
        let Some(n) = sealer.tables.iter().position(|table| table.name == name) else { return Ok(()) };
        let Some((table, key)) = sealer.tables.get(n).zip(sealer.rows.get(n)) else { return Ok(()) };
        each(db, table, |raw| {
            let beside = encode(raw.beside.iter().map(ValueRef::from));
            let Some(hidden) = key.open(&raw.sealed, &beside) else {
                return visit(Err(functions::shown(raw.key(table))));
            };
            visit(Ok(super::salvage::whole_row(table, raw.beside.clone(), hidden)));
        })
    }

    /// Tables of which a start can look at everything, by what the ledger says of them.
    pub(in crate::store) fn small_tables(&self) -> Vec<String> {
        let sealer = self.sealer();
        let small = sealer.tables.iter().zip(&sealer.ledger.entries).filter(|(_, entry)| entry.rows <= SMALL);
        small.map(|(table, _)| table.name.clone()).collect()
    }

    /// The check of every start: each table has as many rows as the ledger says, and the smaller ones, of 20 000 rows
    /// together, have them in the versions that it says. [`Seal::check_on`] does the rest.
    pub(in crate::store) fn check_ledger(&self, db: &Connection) -> Result<(), StoreError> {
        let sealer = self.sealer();
        let mut tables: Vec<_> = sealer.tables.iter().zip(&sealer.ledger.entries).collect();
        tables.sort_by_key(|(_, expected)| expected.rows);
        let mut left = AT_START;
        for (table, expected) in tables {
            left = left.saturating_sub(expected.rows);
            let is_good = match left {
                0.. => sealer.versions(db, table)? == (expected.rows, expected.versions),
                _ => count(db, table)? == expected.rows,
            };
            // Whose fault it is takes longer.
            if !is_good && let Some(finding) = sealer.compare(db, table, expected, &mut Vec::new())? {
                return Err(StoreError::Damaged(finding.to_string()));
            }
        }
        Ok(())
    }

    /// The whole check: every row is opened, and every table compared with the ledger.
    pub(crate) fn check_all(&self, db: &Connection) -> Findings {
        let sealer = self.sealer();
        let mut found = Findings::default();
        for (n, table) in sealer.tables.iter().enumerate() {
            let finding = |row, what: &str| Finding { table: table.name.clone(), row, what: what.to_owned() };
            let opened = each(db, table, |raw| {
                found.rows += 1;
                let beside = encode(raw.beside.iter().map(ValueRef::from));
                let good = sealer.rows.get(n).is_some_and(|key| key.open(&raw.sealed, &beside).is_some());
                if !good && found.findings.len() < NAMED {
                    let row = functions::shown(raw.key(table));
                    found.findings.push(finding(Some(row), "it is not what was written"));
                }
            });
            if let Err(error) = opened {
                found.findings.push(finding(None, &format!("it can't be read to its end: {error}")));
                continue;
            }
            let expected = sealer.ledger.entries.get(n).copied().unwrap_or_default();
            let mut old = Vec::new();
            match sealer.compare(db, table, &expected, &mut old) {
                Ok(None) => {}
                Ok(Some(finding)) if old.is_empty() => found.findings.push(finding),
                Ok(Some(_)) => {
                    let what = "an older version was put in its place";
                    found.findings.extend(old.into_iter().map(|row| finding(Some(row), what)));
                }
                Err(error) => found.findings.push(finding(None, &error.to_string())),
            }
        }
        found
    }
}

/// How many rows a table has, by its smallest index: some nanoseconds a row.
fn count(db: &Connection, table: &Table) -> rusqlite::Result<i64> {
    db.query_row(&format!("SELECT count(*) FROM main.sealed_{}", table.name), [], |row| row.get(0))
}

impl Sealer {
    /// How many rows a table has, and the sum of their versions: what the ledger says of it, at half the price.
    fn versions(&self, db: &Connection, table: &Table) -> rusqlite::Result<(i64, Sum)> {
        let sql =
            format!("SELECT {}, sealed FROM main.sealed_{} NOT INDEXED", table.key.join(", "), table.name);
        let mut all = db.prepare(&sql)?;
        let (mut rows, mut found, width) = (all.query([])?, (0, Sum::default()), table.key.len());
        while let Some(row) = rows.next()? {
            let sealed = row.get_ref(width)?.as_bytes().unwrap_or_default();
            let mut key = zeroize::Zeroizing::new(Vec::new());
            for index in 0..width {
                row::put(row.get_ref(index)?, &mut key);
            }
            let version = row::version(sealed).unwrap_or_default();
            found = (found.0 + 1, found.1.plus(self.summer.of_version(&table.name, &key, version)));
        }
        Ok(found)
    }

    /// Whether a table is what the ledger says; `old` gets the rows that are in an older version, if they can be told.
    pub(super) fn compare(
        &self,
        db: &Connection,
        table: &Table,
        expected: &Entry,
        old: &mut Vec<String>,
    ) -> Result<Option<Finding>, StoreError> {
        let mut entry = Entry::default();
        each(db, table, |raw| {
            let key = encode(raw.key(table));
            let version = row::version(&raw.sealed).unwrap_or_default();
            self.summer.enter(&mut entry, &table.name, &key, version, true);
        })?;
        let finding = |what: String| Some(Finding { table: table.name.clone(), row: None, what });
        let missing = expected.rows.saturating_sub(entry.rows);
        Ok(match missing {
            0 if entry == *expected => None,
            0 if entry.keys == expected.keys => {
                old.extend(self.old_row(db, table, &entry, expected)?);
                match old.first() {
                    Some(row) => Some(Finding {
                        row: Some(row.clone()),
                        ..finding("an older version was put in its place".to_owned()).unwrap_or_default()
                    }),
                    None => finding("some of its rows were put back in an older version".to_owned()),
                }
            }
            0 => finding("some of its rows were replaced by others".to_owned()),
            1.. => finding(format!("{missing} of its rows were taken away")),
            _ => finding(format!("{} rows were added to it", missing.saturating_neg())),
        })
    }

    /// The one row whose version is too old, found by trying: the difference of the sums is that of its two versions.
    fn old_row(
        &self,
        db: &Connection,
        table: &Table,
        found: &Entry,
        expected: &Entry,
    ) -> Result<Option<String>, StoreError> {
        let difference = expected.versions.minus(found.versions);
        let (mut name, mut left) = (None, SEARCHES);
        each(db, table, |raw| {
            let key = encode(raw.key(table));
            let version = row::version(&raw.sealed).unwrap_or_default();
            let present = self.summer.of_version(&table.name, &key, version);
            let mut newer = version.saturating_add(1);
            while name.is_none() && left > 0 && newer <= self.ledger.version {
                if self.summer.of_version(&table.name, &key, newer).minus(present) == difference {
                    name = Some(functions::shown(raw.key(table)));
                }
                (newer, left) = (newer.saturating_add(1), left - 1);
            }
        })?;
        Ok(name)
    }
}
