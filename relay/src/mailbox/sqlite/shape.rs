//! Whether a database's tables are those of a mailbox, column by column: damage in the schema may give another that is
//! well-formed.

use rusqlite::Connection;

/// Every column of every table and index, with what is said of it; the words that made them differ with the version
/// that did.
const COLUMNS: &str = "
SELECT t.name || '.' || c.cid || ' ' || c.name || ' ' || c.type || c.\"notnull\" || c.pk || coalesce(c.dflt_value, '')
FROM sqlite_schema t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'
UNION ALL SELECT t.name || '.' || c.seqno || ' ' || coalesce(c.name, '') || c.\"desc\" || c.coll
FROM sqlite_schema t, pragma_index_xinfo(t.name) c WHERE t.type = 'index' ORDER BY 1";

pub(super) fn of(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare(COLUMNS)?.query_map([], |row| row.get(0))?.collect()
}

/// The first column that another database, made as it should be, doesn't have.
pub(super) fn stray(db: &Connection, right: &Connection) -> rusqlite::Result<Option<String>> {
    let (found, right) = (of(db)?, of(right)?);
    let stray = |one: &[String], other: &[String]| one.iter().find(|column| !other.contains(column)).cloned();
    Ok(stray(&found, &right).or_else(|| stray(&right, &found)))
}
