//! That the file's schema is what this program makes, whole: a trigger, a view, a column or a missing index that somebody
//! else has put there is damage, and nothing of it is run.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::{LEDGER_TABLE, Seal, sql};
use crate::store::StoreError;

/// What SQLite leaves behind in a store that had a table of version 2, and that was not shrunk yet.
const NUMBERED: &str = "CREATE TABLE sqlite_sequence(name,seq)";

/// A row of `sqlite_schema`: what kind of object, its name, its table, and the SQL that made it.
type Object = (String, String, String, Value);

fn objects(db: &Connection) -> rusqlite::Result<Vec<Object>> {
    // Whoever has written into it may have put there what is no text.
    let text = "CAST(type AS TEXT), CAST(name AS TEXT), CAST(tbl_name AS TEXT)";
    let mut all = db.prepare(&format!("SELECT {text}, sql FROM main.sqlite_schema ORDER BY 1, 2, 3"))?;
    let word = |row: &rusqlite::Row<'_>, n| row.get::<_, Option<String>>(n).map(Option::unwrap_or_default);
    all.query_map([], |row| Ok((word(row, 0)?, word(row, 1)?, word(row, 2)?, row.get(3)?)))?.collect()
}

impl Seal {
    /// What this program makes.
    fn own_objects(&self) -> Result<Vec<Object>, StoreError> {
        let mut made = LEDGER_TABLE.to_owned();
        made.extend(self.sealer().tables.iter().map(sql::create));
        let scratch = Connection::open_in_memory()?;
        scratch.execute_batch(&made)?;
        Ok(objects(&scratch)?)
    }

    /// Whether the file has exactly the objects that this program makes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names all that are others.
    pub(in crate::store) fn check_schema(&self, db: &Connection) -> Result<(), StoreError> {
        let (own, mut found) = (self.own_objects()?, objects(db)?);
        found.retain(|(kind, name, _, sql)| {
            (kind.as_str(), name.as_str(), sql)
                != ("table", "sqlite_sequence", &Value::Text(NUMBERED.to_owned()))
        });
        let is_known =
            |object: &Object| own.iter().any(|(kind, name, ..)| *kind == object.0 && *name == object.1);
        // What others have named is shown so that it can't play with a terminal.
        let mut said: Vec<String> = found
            .iter()
            .filter(|object| !own.contains(object))
            .map(|object| match is_known(object) {
                true => format!("the {} {} is not as it was made", object.0, object.1),
                false => format!(
                    "the {} {:?} was put into it by something else",
                    object.0.escape_debug(),
                    object.1
                ),
            })
            .collect();
        let is_there =
            |(kind, name, ..): &Object| found.iter().any(|found| found.0 == *kind && found.1 == *name);
        let missing = own.iter().filter(|object| !is_there(object));
        said.extend(missing.map(|(kind, name, ..)| format!("the {kind} {name} is not there")));
        match said.is_empty() && own.len() == found.len() {
            true => Ok(()),
            false => Err(StoreError::Damaged(said.join("; "))),
        }
    }
}
