//! What views and triggers call: `hashed`, `sealed`, `opened`, `ledger`.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, TryLockError};

use hmac::Mac;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};
use zeroize::{Zeroize, Zeroizing};

use super::Sealer;
use super::row::{self, encode};

/// How an error of damage begins, so that it is told apart from SQLite's own.
pub(in crate::store) const DAMAGED: &str = "damaged row: ";

/// A row that was opened, and exactly what was opened.
pub(super) struct Opened {
    table: usize,
    sealed: Vec<u8>,
    beside: Zeroizing<Vec<u8>>,
    values: Vec<Value>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        for value in &mut self.values {
            match value {
                Value::Text(text) => text.zeroize(),
                Value::Blob(bytes) => bytes.zeroize(),
                Value::Null | Value::Integer(_) | Value::Real(_) => {}
            }
        }
    }
}

pub(super) fn register(db: &Connection, sealer: &Arc<Mutex<Sealer>>) -> rusqlite::Result<()> {
    type Call<T> = fn(&mut Sealer, &Context<'_>) -> rusqlite::Result<T>;
    fn function<T: rusqlite::functions::SqlFnOutput + 'static>(
        db: &Connection,
        name: &str,
        arguments: i32,
        sealer: &Arc<Mutex<Sealer>>,
        call: Call<T>,
    ) -> rusqlite::Result<()> {
        let sealer = Arc::clone(sealer);
        // Nothing that lies in the file may call them: only queries, and the views and triggers of the connection.
        let mut flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
        if name == "hashed" {
            flags |= FunctionFlags::SQLITE_DETERMINISTIC;
        }
        db.create_scalar_function(name, arguments, flags, move |context| match sealer.try_lock() {
            Ok(mut sealer) => call(&mut sealer, context),
            Err(TryLockError::Poisoned(poisoned)) => call(&mut poisoned.into_inner(), context),
            // One thread has the connection: it would wait for itself.
            Err(TryLockError::WouldBlock) => Err(failed("called from within the seal")),
        })
    }
    function(db, "hashed", 2, sealer, hashed)?;
    function(db, "sealed", -1, sealer, sealed)?;
    function(db, "opened", -1, sealer, opened)?;
    function(db, "ledger", -1, sealer, ledger)
}

fn failed(what: impl Into<String>) -> Error {
    Error::UserFunctionError(what.into().into())
}

fn number(context: &Context<'_>, index: usize) -> rusqlite::Result<usize> {
    usize::try_from(context.get::<i64>(index)?).map_err(|_| failed("no such number"))
}

/// `hashed('table.column', value)`: what stands for a value that could be guessed. Nothing stands for nothing.
fn hashed(sealer: &mut Sealer, context: &Context<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    let value = context.get_raw(1);
    if value == ValueRef::Null {
        return Ok(None);
    }
    let encoded = encode([context.get_raw(0), value].into_iter());
    let mac = sealer.lookup.clone().chain_update(&*encoded).finalize().into_bytes();
    Ok(mac.get(..16).map(<[u8]>::to_vec))
}

fn values<'c>(context: &'c Context<'_>, from: usize, count: usize) -> impl Iterator<Item = ValueRef<'c>> {
    (from..from + count).map(|index| context.get_raw(index))
}

/// `sealed(table, beside…, hidden…)`: the row, in a new version.
fn sealed(sealer: &mut Sealer, context: &Context<'_>) -> rusqlite::Result<Vec<u8>> {
    let n = number(context, 0)?;
    let (Some(table), Some(key)) = (sealer.tables.get(n), sealer.rows.get(n)) else {
        return Err(failed("no such table"));
    };
    let (outside, inside) = (table.outside().count(), table.inside().count());
    if context.len() != 1 + outside + inside {
        return Err(failed("not the columns of the table"));
    }
    for (column, value) in table.inside().zip(values(context, 1 + outside, inside)) {
        if column.not_null && value == ValueRef::Null {
            return Err(failed(format!("{}.{} must not be null", table.name, column.name)));
        }
    }
    let version = sealer.ledger.version.saturating_add(1);
    let beside = encode(values(context, 1, outside));
    let hidden = encode(values(context, 1 + outside, inside));
    let sealed = key.seal(version, &beside, &hidden, &mut *sealer.entropy);
    let sealed = sealed.map_err(|error| Error::UserFunctionError(Box::new(error)))?;
    sealer.ledger.version = version;
    Ok(sealed)
}

/// `opened(table, number, sealed, beside…)`: a hidden value.
fn opened(sealer: &mut Sealer, context: &Context<'_>) -> rusqlite::Result<Value> {
    let (n, column) = (number(context, 0)?, number(context, 1)?);
    let sealed = context.get_raw(2).as_bytes().unwrap_or_default();
    let beside = encode(values(context, 3, context.len().saturating_sub(3)));
    let is_last = |last: &Opened| last.table == n && last.sealed == sealed && *last.beside == *beside;
    if !sealer.last.as_ref().is_some_and(is_last) {
        sealer.last = None;
        let values = sealer.rows.get(n).and_then(|key| key.open(sealed, &beside));
        let Some(values) = values else {
            let table = sealer.tables.get(n).map_or("", |table| &table.name);
            let key = table_key(sealer, n, |name| {
                let place = sealer.tables.get(n)?.outside().position(|column| column.name == *name)?;
                Some(context.get_raw(3 + place))
            });
            return Err(failed(format!("{DAMAGED}{table}, row {key}")));
        };
        sealer.last = Some(Opened { table: n, sealed: sealed.to_vec(), beside, values });
    }
    let value = sealer.last.as_ref().and_then(|last| last.values.get(column));
    value.cloned().ok_or_else(|| failed("not a column of the row"))
}

/// The key of a row, for people.
fn table_key<'v>(sealer: &Sealer, n: usize, value: impl Fn(&String) -> Option<ValueRef<'v>>) -> String {
    let keys = sealer.tables.get(n).map_or(&[][..], |table| &table.key);
    shown(keys.iter().filter_map(value))
}

/// Values of a key, for people.
pub(super) fn shown<'v>(values: impl Iterator<Item = ValueRef<'v>>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push('/');
        }
        let written = match value {
            ValueRef::Integer(number) => write!(out, "{number}"),
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => {
                bytes.iter().take(8).try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            ValueRef::Null | ValueRef::Real(_) => write!(out, "?"),
        };
        // Writing to a string does not fail.
        debug_assert!(written.is_ok());
    }
    out
}

/// `ledger(table, comes, sealed, key…)`: enters a row, or strikes it out.
fn ledger(sealer: &mut Sealer, context: &Context<'_>) -> rusqlite::Result<Option<i64>> {
    let (n, comes) = (number(context, 0)?, context.get::<bool>(1)?);
    let version = row::version(context.get_raw(2).as_bytes().unwrap_or_default());
    let key = (3..context.len()).map(|index| context.get_raw(index));
    let (Some(table), Some(version)) = (sealer.tables.get(n), version) else {
        return Err(failed("no such row"));
    };
    let entry = sealer.ledger.entries.get_mut(n).ok_or_else(|| failed("no such table"))?;
    sealer.summer.enter(entry, &table.name, &encode(key.clone()), version, comes);
    sealer.round.enter(&sealer.summer, (n, table), key, version, comes);
    sealer.dirty = true;
    Ok(None)
}
