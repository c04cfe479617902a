//! New rows of the log, on their way into the table: many in one statement, which costs half of what as many statements
//! do.

use rusqlite::Statement;

use super::super::NewEnvelope;
use super::checksum::LogRow;
use super::shares::Sent;
use super::writer::{Writer, to_sql};

/// Rows in one statement; what is left over goes one by one.
const ROWS: usize = 16;
const COLUMNS: usize = 10;

/// A row that is not in the table yet. Nobody looks for it there: it is listed in memory.
pub(super) struct NewRow {
    pub(super) n: i64,
    pub(super) box_id: i64,
    pub(super) sent: Sent,
    pub(super) stored_at: i64,
    pub(super) size: u64,
    pub(super) envelope: NewEnvelope,
}

impl NewRow {
    fn bind(&self, first: usize, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        let Sent { sender, payer, stranger } = self.sent;
        let (id, envelope) = (self.envelope.id.as_ref(), &self.envelope.bytes[..]);
        let row = LogRow {
            n: self.n,
            box_id: self.box_id,
            sent: self.sent,
            stored_at: self.stored_at,
            size: to_sql(self.size),
            id,
            envelope,
        };
        let numbers =
            [(1, row.n), (2, row.box_id), (3, sender), (4, row.stored_at), (5, row.size), (9, payer)];
        for (column, number) in numbers {
            statement.raw_bind_parameter(first + column, number)?;
        }
        statement.raw_bind_parameter(first + 6, id)?;
        statement.raw_bind_parameter(first + 7, &row.checksum()[..])?;
        statement.raw_bind_parameter(first + 8, envelope)?;
        statement.raw_bind_parameter(first + 10, stranger)
    }
}

fn insert(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(","));
    format!("INSERT INTO log VALUES {}", vec![row; rows].join(","))
}

impl Writer {
    /// Writes what the log still lacks: before anybody looks there, and before the commit.
    pub(super) fn write_rows(&mut self) -> rusqlite::Result<()> {
        let rows = std::mem::take(&mut self.unwritten);
        let (many, few) = rows.as_chunks::<ROWS>();
        let chunks = many.iter().map(|rows| &rows[..]).chain(few.chunks(1));
        for rows in chunks {
            let sql = if rows.len() == ROWS { &self.insert_many } else { &self.insert_one };
            let mut statement = self.db.prepare_cached(sql)?;
            for (i, row) in rows.iter().enumerate() {
                row.bind(i * COLUMNS, &mut statement)?;
            }
            statement.raw_execute()?;
        }
        Ok(())
    }
}

/// The statements for many rows, and for one.
pub(super) fn inserts() -> (String, String) {
    (insert(ROWS), insert(1))
}
