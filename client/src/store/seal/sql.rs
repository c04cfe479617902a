//! The SQL under the queries: for each table a sealed one that lies in the file, a view of the table's own name that
//! opens it, and triggers that seal what is written to the view and keep the ledger.
//!
//! A lookup column `name` has a companion `name_hash` in the view: `WHERE name_hash = hashed('rooms.name', ?)` uses the
//! index, `WHERE name = ?` opens every row.

use super::tables::{Column, Kind, Table};

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// The table in the file.
pub(super) fn create(table: &Table) -> String {
    let name = &table.name;
    let column = |column: &Column| {
        let declared = if column.kind == Kind::Lookup { "BLOB" } else { &column.declared };
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        format!("{} {declared}{not_null}", column.name)
    };
    let mut parts: Vec<String> = table.outside().map(column).collect();
    parts.push("sealed BLOB NOT NULL".to_owned());
    parts.push(format!("PRIMARY KEY ({})", table.key.join(", ")));
    parts.extend(table.unique.iter().map(|columns| format!("UNIQUE ({})", columns.join(", "))));
    let ending = if table.without_rowid { " WITHOUT ROWID" } else { "" };
    let mut sql = format!("CREATE TABLE sealed_{name} ({}){ending};\n", parts.join(", "));
    for index in &table.indexes {
        sql.push_str(&index.replacen(&format!(" ON {name} "), &format!(" ON sealed_{name} "), 1));
        sql.push_str(";\n");
    }
    sql
}

/// The view and the triggers, which last as long as the connection; `n` is the table's number there.
pub(super) fn open(n: usize, table: &Table) -> String {
    let name = &table.name;
    let outside = list(table.outside().map(|column| column.name.clone()));
    // A value that is looked up by its hash stands in the table as that.
    let hash = |key: &String| match table.columns.iter().any(|c| c.name == *key && c.kind == Kind::Lookup) {
        true => "_hash",
        false => "",
    };
    let is_row = table.key.iter().map(|key| format!("{key} = OLD.{key}{}", hash(key)));
    let is_row = is_row.collect::<Vec<_>>().join(" AND ");
    let key_of = |row: &str| list(table.key.iter().map(|key| format!("{row}.{key}")));
    let written: Vec<String> = table.outside().map(|column| written(table, column)).collect();
    let sealed = sealed(n, table, &written);
    let set = table.outside().zip(&written).map(|(column, value)| format!("{} = {value}", column.name));
    let set = list(set.chain([format!("sealed = {sealed}")]));
    format!(
        "CREATE TEMP VIEW {name} AS SELECT {shown} FROM main.sealed_{name};
         CREATE TEMP TRIGGER {name}_in INSTEAD OF INSERT ON {name} BEGIN
           INSERT INTO sealed_{name} ({outside}, sealed) VALUES ({values}, {sealed}); END;
         CREATE TEMP TRIGGER {name}_change INSTEAD OF UPDATE ON {name} BEGIN
           UPDATE sealed_{name} SET {set} WHERE {is_row}; END;
         CREATE TEMP TRIGGER {name}_out INSTEAD OF DELETE ON {name} BEGIN
           DELETE FROM sealed_{name} WHERE {is_row}; END;
         CREATE TEMP TRIGGER {name}_came AFTER INSERT ON main.sealed_{name} BEGIN
           SELECT ledger({n}, 1, NEW.sealed, {new}); END;
         CREATE TEMP TRIGGER {name}_changed AFTER UPDATE ON main.sealed_{name} BEGIN
           SELECT ledger({n}, 0, OLD.sealed, {old}), ledger({n}, 1, NEW.sealed, {new}); END;
         CREATE TEMP TRIGGER {name}_went AFTER DELETE ON main.sealed_{name} BEGIN
           SELECT ledger({n}, 0, OLD.sealed, {old}); END;\n",
        shown = shown(n, table),
        values = written.join(", "),
        new = key_of("NEW"),
        old = key_of("OLD"),
    )
}

/// What the view shows.
fn shown(n: usize, table: &Table) -> String {
    let outside = list(table.outside().map(|column| column.name.clone()));
    let mut inside = 0;
    let shown = table.columns.iter().map(|column| {
        if !column.is_sealed() {
            return column.name.clone();
        }
        inside += 1;
        format!("opened({n}, {}, sealed, {outside}) AS {}", inside - 1, column.name)
    });
    let shown: Vec<String> = shown.collect();
    let hashes = table.columns.iter().filter(|column| column.kind == Kind::Lookup);
    let hashes = hashes.map(|column| format!("{0} AS {0}_hash", column.name));
    // In which order rows came; where the key is a number, that is the order.
    let row = (!table.without_rowid && !table.numbers_itself()).then(|| "rowid AS row".to_owned());
    list(shown.into_iter().chain(hashes).chain(row))
}

/// A value as it is written.
fn new_value(column: &Column) -> String {
    match &column.default {
        Some(default) => format!("coalesce(NEW.{}, {default})", column.name),
        None => format!("NEW.{}", column.name),
    }
}

/// A value as it lies in the file.
fn written(table: &Table, column: &Column) -> String {
    if column.kind == Kind::Lookup {
        return format!("hashed('{}.{}', {})", table.name, column.name, new_value(column));
    }
    if table.numbers_itself() && table.key.contains(&column.name) {
        // The table's own numbering would come too late to be sealed with the row.
        return format!(
            "coalesce(NEW.{0}, (SELECT coalesce(max({0}), 0) + 1 FROM main.sealed_{1}))",
            column.name, table.name
        );
    }
    new_value(column)
}

/// The call that seals a row.
fn sealed(n: usize, table: &Table, written: &[String]) -> String {
    let inside = table.inside().map(new_value);
    format!("sealed({n}, {})", list(written.iter().cloned().chain(inside)))
}
