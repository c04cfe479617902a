//! What is done about damage: numbers that can be derived are derived anew, and indices are built anew. A damaged
//! envelope is left out where it is read, and its sender sends it again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Error, ErrorCode, OptionalExtension};

use super::boxes::{self, Recent, Round};
use super::checksum;
use super::seen::Fresh;
use super::totals::{Counted, Totals};
use super::writer::{Counters, Writer, from_sql};

/// An index is not built anew more often than this.
const REPAIR_EVERY: Duration = Duration::from_secs(600);

/// Whether an error tells of damage in what is stored, not of a disk that fails or is full.
pub(super) fn is_damage(error: &Error) -> bool {
    match error {
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::QueryReturnedNoRows => true,
        other => other.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt),
    }
}

/// An error that tells of damage.
pub(super) fn damage(what: &str) -> Error {
    Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(what.to_owned()))
}

/// What is found when the database is opened.
pub(super) enum Checked {
    Whole,
    /// All but the rows of `boxes`, which can be made of the rest.
    ListIsDamaged,
    /// With the first finding.
    Damaged(String),
}

pub(super) fn check(db: &Connection) -> rusqlite::Result<Checked> {
    let found: Vec<String> =
        db.prepare("PRAGMA quick_check")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let is_of_rows =
        |finding: &String| finding.ends_with(" for boxes") || finding.contains(" value in boxes.");
    Ok(match found.first() {
        Some(first) if first == "ok" => Checked::Whole,
        Some(_) if found.iter().all(is_of_rows) => Checked::ListIsDamaged,
        first => Checked::Damaged(first.cloned().unwrap_or_default()),
    })
}

/// Counts what waits, with the list of it and the indices built anew if they or the counter are wrong.
pub(super) fn count(
    db: &Connection,
    counters: &Counters,
    recent: &Recent,
    fresh: &Fresh,
) -> rusqlite::Result<Counted> {
    let counted = boxes::load(db, counters.listed_n, recent).and_then(|()| Totals::count(db, recent, fresh));
    match counted {
        Ok(counted) if counted.totals.of_everybody() == counters.stored_bytes => return Ok(counted),
        Ok(_) => tracing::error!("the mailbox's indices and its counter disagree; they are made anew"),
        Err(error) if is_damage(&error) => {
            tracing::error!(%error, "the mailbox's indices are damaged; they are made anew");
        }
        Err(error) => return Err(error),
    }
    make_anew(db, recent, fresh)
}

fn make_anew(db: &Connection, recent: &Recent, fresh: &Fresh) -> rusqlite::Result<Counted> {
    db.execute_batch("REINDEX")?;
    boxes::make_anew(db, recent)?;
    Totals::count(db, recent, fresh)
}

/// The least number that the next envelope may have: after every one that was ever given, as far as the tables tell.
pub(super) fn least_next_n(db: &Connection, last_seen: u64) -> rusqlite::Result<u64> {
    let last: Option<i64> =
        db.query_row("SELECT n FROM log ORDER BY n DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    let mut query = db.prepare("SELECT peer, acked, acked_sum FROM peers WHERE acked > 0")?;
    let mut rows = query.query([])?;
    let mut acked = 0;
    while let Some(row) = rows.next()? {
        let peer: Vec<u8> = row.get(0)?;
        acked = acked.max(checksum::cursor(&peer, checksum::number(row, 1), checksum::number(row, 2)));
    }
    Ok(from_sql(last.unwrap_or_default()).max(from_sql(acked)).max(last_seen).saturating_add(1))
}

impl Writer {
    /// Damage was met: indices and totals are made anew before the next transaction.
    pub(super) fn met_damage(&self) {
        self.shared.damaged.store(true, Ordering::Relaxed);
    }

    /// A change that no one waits for goes without effect where it meets damage, and the others of its transaction go
    /// on.
    pub(super) fn despite_damage(&self, result: rusqlite::Result<()>) -> rusqlite::Result<()> {
        match result {
            Err(error) if is_damage(&error) => {
                tracing::error!(%error, "a change met damage in the mailbox and is left out");
                self.met_damage();
                Ok(())
            }
            result => result,
        }
    }

    /// Makes indices and totals anew if damage was met, outside a transaction.
    pub(super) fn repair(&mut self) {
        if !self.shared.damaged.load(Ordering::Relaxed)
            || self.repaired_at.is_some_and(|at| at.elapsed() < REPAIR_EVERY)
        {
            return;
        }
        self.shared.damaged.store(false, Ordering::Relaxed);
        self.repaired_at = Some(Instant::now());
        let repaired = make_anew(&self.db, &self.shared.recent, &self.fresh);
        self.shared.beyond_repair.store(repaired.is_err(), Ordering::Relaxed);
        match repaired {
            Ok(counted) => {
                self.totals = counted.totals;
                self.counters.listed_n = self.counters.next_n;
                self.round = Round::begin(self.counters.next_n);
                tracing::warn!("the mailbox's indices were made anew after damage");
            }
            Err(error) => tracing::error!(%error, "the mailbox's indices could not be made anew"),
        }
        self.forget_caches();
    }
}
