//! The check that goes on while the store is in use: every row of every table, a few at a time, in the order of the keys.
//!
//! A table may change while it is gone through. What is written to the part that lies behind is entered here as it is in
//! the ledger; the rest is met further on. So at the end of a table both must say the same, and the file need not
//! stand still for it. Then each index of the table is counted: one that lacks an entry would hide a row.

use std::cmp::Ordering;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension};

use super::check::{Finding, Raw};
use super::ledger::{Entry, Summer};
use super::row::{self, encode};
use super::tables::Table;
use super::{Seal, Sealer, functions};
use crate::store::StoreError;

/// How far it has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    /// The number of the table it goes through; beyond the last one, it is over.
    table: usize,
    /// The key of the last row that lies behind.
    at: Option<Vec<Value>>,
    /// What lies behind.
    behind: Entry,
    /// All rows lie behind, and so many indexes.
    indexes: Option<u32>,
}

impl Round {
    /// Begins the table anew.
    pub(super) fn again(&mut self) {
        *self = Self { table: self.table, ..Self::default() };
    }

    /// A row comes to a table, or goes.
    pub(super) fn enter<'v>(
        &mut self,
        summer: &Summer,
        (n, table): (usize, &Table),
        key: impl Iterator<Item = ValueRef<'v>> + Clone,
        version: u64,
        comes: bool,
    ) {
        let is_behind = n == self.table && self.at.as_ref().is_some_and(|at| !lies_beyond(key.clone(), at));
        if is_behind {
            summer.enter(&mut self.behind, &table.name, &encode(key), version, comes);
        }
    }
}

/// Whether a key comes after another one in SQLite's order.
fn lies_beyond<'v>(key: impl Iterator<Item = ValueRef<'v>>, at: &[Value]) -> bool {
    let compared = key.zip(at).map(|(value, at)| order(value, at.into()));
    compared.fold(Ordering::Equal, Ordering::then) == Ordering::Greater
}

/// The order of two values of a key, which are numbers or bytes.
fn order(one: ValueRef<'_>, other: ValueRef<'_>) -> Ordering {
    let rank = |value: ValueRef<'_>| match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
    };
    match (one, other) {
        (ValueRef::Integer(one), ValueRef::Integer(other)) => one.cmp(&other),
        (ValueRef::Blob(one), ValueRef::Blob(other)) | (ValueRef::Text(one), ValueRef::Text(other)) => {
            one.cmp(other)
        }
        // No key of ours; the sums will not agree.
        _ => rank(one).cmp(&rank(other)),
    }
}

impl Seal {
    /// Goes on for so many rows. Where it goes in the middle of a transaction, its changes are seen. Whether there is more.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names what is not as it was written.
    pub(in crate::store) fn check_on(&self, db: &Connection, mut rows: u32) -> Result<bool, StoreError> {
        let mut sealer = self.sealer();
        while sealer.round.table < sealer.tables.len() {
            if rows == 0 {
                return Ok(true);
            }
            rows = match sealer.round.indexes {
                None => sealer.look_at(db, rows)?,
                Some(index) => sealer.count_index(db, index, rows)?,
            };
        }
        Ok(false)
    }
}

impl Sealer {
    /// Looks at the next rows of the table, so many at most. How many are left to look at elsewhere.
    fn look_at(&mut self, db: &Connection, rows: u32) -> Result<u32, StoreError> {
        let n = self.round.table;
        let (Some(table), Some(key)) = (self.tables.get(n), self.rows.get(n)) else { return Ok(0) };
        let mut came = 0;
        let mut bad = None;
        let (mut at, mut behind) = (self.round.at.take(), self.round.behind);
        super::check::each_after(db, table, at.take(), rows, |raw: &Raw| {
            came += 1;
            let beside = encode(raw.beside.iter().map(ValueRef::from));
            if key.open(&raw.sealed, &beside).is_none() {
                bad.get_or_insert_with(|| functions::shown(raw.key(table)));
            }
            let version = row::version(&raw.sealed).unwrap_or_default();
            self.summer.enter(&mut behind, &table.name, &encode(raw.key(table)), version, true);
            at = Some(raw.key(table).filter_map(|value| value.try_into().ok()).collect());
        })?;
        if bad.is_some() {
            return Err(damaged(table, bad, "it is not what was written"));
        }
        let expected = self.ledger.entries.get(n).copied().unwrap_or_default();
        if came == rows {
            (self.round.at, self.round.behind) = (at, behind);
            return Ok(0);
        }
        if behind != expected {
            let finding = self.compare(db, table, &expected, &mut Vec::new())?;
            // The whole table is as it should be: then only the count of this round was wrong.
            debug_assert!(finding.is_some(), "{}: the round has counted wrongly", table.name);
            if let Some(finding) = finding {
                return Err(StoreError::Damaged(finding.to_string()));
            }
        }
        self.round.again();
        self.round.indexes = Some(0);
        Ok(rows - came)
    }

    /// Compares an index with its table, by what each has to count. How many rows are left to look at elsewhere.
    fn count_index(&mut self, db: &Connection, index: u32, rows: u32) -> Result<u32, StoreError> {
        let Some(table) = self.tables.get(self.round.table) else { return Ok(0) };
        let expected = self.ledger.entries.get(self.round.table).map_or(0, |entry| entry.rows);
        let name = format!("sealed_{}", table.name);
        let mut indexes =
            db.prepare_cached("SELECT name FROM pragma_index_list(?) ORDER BY seq LIMIT 1 OFFSET ?")?;
        let found: Option<String> = indexes.query_row((&name, index), |row| row.get(0)).optional()?;
        let Some(found) = found else {
            self.round = Round { table: self.round.table + 1, ..Round::default() };
            return Ok(rows);
        };
        let own = table.indexes.iter().find(|sql| sql.starts_with(&format!("CREATE INDEX {found} ON ")));
        let only = own.and_then(|sql| sql.split_once(" WHERE ")).map(|(_, only)| format!("WHERE {only}"));
        // `count(*)` alone would be read from whichever index is smallest.
        let count = |how: &str| -> rusqlite::Result<i64> {
            let only = only.as_deref().unwrap_or_default();
            db.query_row(&format!("SELECT coalesce(sum(1), 0) FROM main.{name} {how} {only}"), [], |row| {
                row.get(0)
            })
        };
        // Both are the same transaction's.
        let expected = if only.is_some() { count("NOT INDEXED")? } else { expected };
        // The table of a primary key is no index that could be named.
        if !found.starts_with("sqlite_autoindex_") && count(&format!("INDEXED BY {found}"))? != expected {
            return Err(damaged(table, None, &format!("its index {found} does not lead to all rows")));
        }
        self.round.indexes = Some(index + 1);
        // One at a time takes as long as many rows.
        Ok(if expected > i64::from(rows) { 0 } else { rows })
    }
}

fn damaged(table: &Table, row: Option<String>, what: &str) -> StoreError {
    let finding = Finding { table: table.name.clone(), row, what: what.to_owned() };
    StoreError::Damaged(finding.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_sqlite_orders_them() {
        let db = Connection::open_in_memory().unwrap();
        let keys = [
            vec![Value::Integer(-3), Value::Blob(vec![0])],
            vec![Value::Integer(7), Value::Blob(vec![])],
            vec![Value::Integer(7), Value::Blob(vec![0x80])],
            vec![Value::Text("a".into()), Value::Integer(1)],
            vec![Value::Blob(vec![1, 2]), Value::Integer(9)],
            vec![Value::Blob(vec![1, 2, 0]), Value::Integer(1)],
            vec![Value::Blob(vec![0xff]), Value::Integer(1)],
        ];
        for one in &keys {
            for other in &keys {
                let says: bool = db
                    .query_row(
                        "SELECT (?1, ?2) > (?3, ?4)",
                        (&one[0], &one[1], &other[0], &other[1]),
                        |row| row.get(0),
                    )
                    .unwrap();
                assert_eq!(lies_beyond(one.iter().map(ValueRef::from), other), says, "{one:?} {other:?}");
            }
        }
    }
}
