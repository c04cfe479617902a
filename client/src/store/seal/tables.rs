//! The tables as queries see them, read from `schema.sql`, and which of their columns may lie in the clear.
//!
//! A column is *plain* if it is a number, or bytes that an index needs: ids, which are random or are hashes. Names and
//! whatever else could be guessed are found by a keyed hash of them. Everything else is sealed, and so is what a hash
//! stands for. A new column is sealed without anybody's doing.

use rusqlite::Connection;

/// Bytes that an index needs, but which could be guessed: both come from the text of a message, and the last from the
/// headers of an intercepted one.
const GUESSABLE: [(&str, &str); 3] =
    [("messages", "previous"), ("messages", "link"), ("session_rows", "key")];

/// How a column lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is; authenticated.
    Plain,
    /// As a keyed hash; the value is sealed.
    Lookup,
    /// Sealed.
    Sealed,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its declared type.
    pub(super) declared: String,
    pub(super) not_null: bool,
    /// What stands there if an insertion does not name it, as SQL.
    pub(super) default: Option<String>,
}

impl Column {
    pub(super) fn is_sealed(&self) -> bool {
        self.kind != Kind::Plain
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The columns of its primary key, in order.
    pub(super) key: Vec<String>,
    /// Its other unique constraints.
    pub(super) unique: Vec<Vec<String>>,
    /// `CREATE INDEX …` of each index, on the table's own name.
    pub(super) indexes: Vec<String>,
    pub(super) without_rowid: bool,
}

impl Table {
    /// The columns that lie in the file beside what is sealed.
    pub(super) fn outside(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.kind != Kind::Sealed)
    }

    /// The columns whose values are sealed.
    pub(super) fn inside(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_sealed())
    }

    /// Whether the key is one number, which the table gives itself.
    pub(super) fn numbers_itself(&self) -> bool {
        matches!(self.key.as_slice(), [only] if self.columns.iter().any(|c| c.name == *only && c.declared == "INTEGER"))
    }
}

/// All tables of the schema, by name.
pub(super) fn of_schema(schema: &str) -> rusqlite::Result<Vec<Table>> {
    let scratch = Connection::open_in_memory()?;
    scratch.execute_batch(schema)?;
    let names =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let names: Vec<String> = all(&scratch, names, "", |row| row.get(0))?;
    names.into_iter().map(|name| read(&scratch, name)).collect()
}

fn all<T>(
    db: &Connection,
    sql: &str,
    about: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut query = db.prepare(sql)?;
    match query.parameter_count() {
        0 => query.query_map([], read)?.collect(),
        _ => query.query_map([about], read)?.collect(),
    }
}

fn read(db: &Connection, name: String) -> rusqlite::Result<Table> {
    let without_rowid = db.query_row("SELECT wr FROM pragma_table_list(?)", [&name], |row| row.get(0))?;
    let key = all(db, "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", &name, |r| r.get(0))?;
    let constraints = "SELECT name FROM pragma_index_list(?) WHERE origin = 'u' ORDER BY seq DESC";
    let constraints: Vec<String> = all(db, constraints, &name, |row| row.get(0))?;
    let of_index = |index: &String| {
        all(db, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", index, |row| row.get(0))
    };
    let unique: Vec<Vec<String>> = constraints.iter().map(of_index).collect::<rusqlite::Result<_>>()?;
    let made = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL ORDER BY name";
    let made: Vec<(String, String)> = all(db, made, &name, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut indexed: Vec<String> = unique.concat();
    indexed.extend(key.iter().cloned());
    for (index, _) in &made {
        indexed.extend(of_index(index)?);
    }
    let columns = "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?) ORDER BY cid";
    let columns = all(db, columns, &name, |row| {
        let (column, declared): (String, String) = (row.get(0)?, row.get(1)?);
        let kind = match (declared.as_str(), indexed.contains(&column)) {
            ("INTEGER", _) => Kind::Plain,
            ("BLOB", true) if !GUESSABLE.contains(&(name.as_str(), column.as_str())) => Kind::Plain,
            (_, true) => Kind::Lookup,
            (_, false) => Kind::Sealed,
        };
        let not_null = row.get::<_, bool>(2)? || row.get::<_, i64>(4)? > 0;
        Ok(Column { name: column, kind, declared, not_null, default: row.get(3)? })
    })?;
    let indexes = made.into_iter().map(|(_, sql)| sql).collect();
    Ok(Table { name, columns, key, unique, indexes, without_rowid })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies in the clear, whole: whoever adds to it sees this fail.
    #[test]
    fn only_ids_and_numbers_lie_in_the_clear() {
        let tables = of_schema(include_str!("../schema.sql")).unwrap();
        let mut plain: Vec<String> = Vec::new();
        for table in &tables {
            let blobs = table.columns.iter().filter(|c| c.kind == Kind::Plain && c.declared != "INTEGER");
            plain.extend(blobs.map(|column| format!("{}.{}", table.name, column.name)));
        }
        let expected = [
            "bundles.hash",
            "chains.conversation",
            "chains.peer",
            "closed_texts.message",
            "contacts.peer",
            "controls.envelope_id",
            "deleted.id",
            "deleted.author",
            "deliveries.message",
            "deliveries.peer",
            "deliveries.envelope_id",
            "handshakes.session",
            "members.room",
            "members.peer",
            "messages.id",
            "messages.conversation",
            "messages.author",
            "one_time_keys.id",
            "renewals.peer",
            "room_operations.room",
            "room_peers.room",
            "room_peers.peer",
            "rooms.conversation",
            "seen_envelopes.id",
            "seen_envelopes.sender",
            "seen_envelopes.frame",
            "session_rows.session",
            "sessions.id",
            "sessions.peer",
        ];
        assert_eq!(plain, expected);
        let hashed: Vec<String> = tables
            .iter()
            .flat_map(|t| {
                t.columns.iter().filter(|c| c.kind == Kind::Lookup).map(|c| format!("{}.{}", t.name, c.name))
            })
            .collect();
        let expected = [
            "contacts.name",
            "former_names.name",
            "messages.previous",
            "messages.link",
            "messages.client_id",
            "one_time_keys.relay",
            "rooms.address",
            "session_rows.key",
        ];
        assert_eq!(hashed, expected);
    }
}
