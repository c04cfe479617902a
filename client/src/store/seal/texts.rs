//! All texts of history, for search: past the view, which opens a row for one column after the other and keeps copies. What
//! is read is authenticated in the same way.

use rusqlite::{Connection, Row};
use zeroize::Zeroizing;

use super::row::{Scratch, put};
use super::{Seal, check, functions};
use crate::store::StoreError;

impl Seal {
    /// Gives `visit` the rows of `messages` after `row`, in their order and `limit` at most, and what each says. `columns` are
    /// such as lie in the clear; they are the first of the row, and its number follows them. How many rows there were.
    pub(in crate::store) fn each_text(
        &self,
        db: &Connection,
        columns: &str,
        (row, limit): (i64, u32),
        mut visit: impl FnMut(&Row<'_>, &str) -> rusqlite::Result<()>,
    ) -> Result<u32, StoreError> {
        let sealer = self.sealer();
        let no_table = || StoreError::Damaged("there is no table of messages".to_owned());
        let n = sealer.tables.iter().position(|table| table.name == "messages").ok_or_else(no_table)?;
        let (table, key) = sealer.tables.get(n).zip(sealer.rows.get(n)).ok_or_else(no_table)?;
        let place = table.inside().position(|column| column.name == "text").ok_or_else(no_table)?;
        let given = columns.split(',').count() + 1;
        let read = check::all_of(table).replacen("SELECT", &format!("SELECT {columns}, rowid,"), 1);
        let mut some = db.prepare_cached(&format!("{read} WHERE rowid > ? ORDER BY rowid LIMIT ?"))?;
        let mut rows = some.query((row, limit))?;
        let (mut came, mut scratch, outside) = (0, Scratch::default(), table.outside().count());
        let mut beside = Zeroizing::new(Vec::new());
        while let Some(row) = rows.next()? {
            came += 1;
            beside.clear();
            for index in given..given + outside {
                put(row.get_ref(index)?, &mut beside);
            }
            let sealed = row.get_ref(given + outside)?.as_bytes().unwrap_or_default();
            let opened = key.open_in(sealed, &beside, &mut scratch);
            let Some(text) = opened.and_then(|()| scratch.text(place)) else {
                let key = (given..given + outside).zip(table.outside());
                let key = key.filter(|(_, column)| table.key.contains(&column.name));
                let key = functions::shown(key.filter_map(|(index, _)| row.get_ref(index).ok()));
                return Err(StoreError::Damaged(format!("messages, row {key}")));
            };
            visit(row, text)?;
        }
        Ok(came)
    }
}
