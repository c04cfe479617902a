//! From an earlier schema to the present one. A store of versions 1 and 2 lay there in the clear; it is sealed here.
//!
//! A copy of the old file is made beside it first. Everything then happens in one transaction, so a crash, or a full
//! disk, leaves the old store or the new one. The copy is removed once the new store has been checked row by row: it
//! lies in the clear, so it must not stay.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::seal::Seal;
use super::{SCHEMA_VERSION, StoreError, count, file, settle_log, unsealed};

/// Makes version 2 of version 1.
const FROM_VERSION_1: &str = "
CREATE TABLE node (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity BLOB, kept_at INTEGER NOT NULL DEFAULT 0, doubted_at INTEGER NOT NULL DEFAULT 0
);
INSERT INTO node (one) VALUES (1);
ALTER TABLE seen_envelopes ADD COLUMN frame BLOB;
CREATE INDEX seen_frames ON seen_envelopes (frame);
";

/// Makes the tables of version 2 those of version 3, still in the clear; each part in the file of its tables.
const FROM_VERSION_2: &[&str] = &[
    super::anew::FROM_VERSION_2,
    super::one_time::FROM_VERSION_2,
    super::contacts::FROM_VERSION_2,
    super::rooms::FROM_VERSION_2,
    "CREATE TABLE deleted (id BLOB NOT NULL, author BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (id, author))
       WITHOUT ROWID",
];

/// The copy of the store before its migration.
fn copy_of(path: &Path) -> PathBuf {
    file::beside(path, ".before-3")
}

/// Makes the copy, on the disk before anything is changed. The log is in the database already.
fn make_copy(path: &Path) -> std::io::Result<()> {
    let (copy, new) = (copy_of(path), file::beside(path, ".before-3.new"));
    let made = std::fs::copy(path, &new)
        .and_then(|_| File::open(&new)?.sync_all())
        .and_then(|()| std::fs::rename(&new, &copy))
        .and_then(|()| file::sync_folder_of(&copy));
    made.inspect_err(|_| {
        if let Err(error) = std::fs::remove_file(&new) {
            tracing::warn!(%error, "a copy of the store that was not finished is left behind");
        }
    })
}

fn names(db: &Connection, kind: &str) -> rusqlite::Result<Vec<String>> {
    let sql =
        "SELECT name FROM main.sqlite_schema WHERE type = ? AND sql NOT NULL AND name NOT LIKE 'sqlite_%'";
    db.prepare(sql)?.query_map([kind], |row| row.get(0))?.collect()
}

/// Whether a store of version `found` may be migrated. Nothing is changed yet.
pub(super) fn admit(db: &Connection, seal: &Seal, found: i64, path: Option<&Path>) -> Result<(), StoreError> {
    if names(db, "table")?.iter().any(|name| name == "seal") {
        return Err(StoreError::Damaged(format!("it is sealed, but says that it has schema {found}")));
    }
    match path {
        Some(path) if !unsealed::is_permitted(path, &seal.permit()) => Err(StoreError::Unsealed),
        _ => Ok(()),
    }
}

/// Migrates a store of version `found`; with a copy beside it if it is a `path` of the system.
pub(super) fn run(db: &Connection, seal: &Seal, found: i64, path: Option<&Path>) -> Result<(), StoreError> {
    if let Some(path) = path {
        count::check(path, seal)?;
        if count::read(path, seal)? == count::Told::Nothing {
            count::begin(path, seal)?;
        }
        make_copy(path).map_err(StoreError::from)?;
    }
    db.execute_batch("BEGIN IMMEDIATE")?;
    seal_tables(db, seal, found)?;
    seal.flush(db)?;
    db.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?;
    match path {
        // By `finish`, after the check.
        Some(_) => Ok(()),
        None => shrink(db),
    }
}

fn seal_tables(db: &Connection, seal: &Seal, found: i64) -> Result<(), StoreError> {
    if found < 2 {
        db.execute_batch(FROM_VERSION_1)?;
    }
    for statement in FROM_VERSION_2 {
        db.execute_batch(statement)?;
    }
    for index in names(db, "index")? {
        db.execute_batch(&format!("DROP INDEX main.{index}"))?;
    }
    let tables = names(db, "table")?;
    for table in &tables {
        db.execute_batch(&format!("ALTER TABLE main.{table} RENAME TO old_{table}"))?;
    }
    seal.make_tables(db)?;
    seal.show_tables(db)?;
    for (table, columns) in seal.columns() {
        let columns = columns.join(", ");
        db.execute_batch(&format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM main.old_{table}"))?;
    }
    for table in &tables {
        db.execute_batch(&format!("DROP TABLE main.old_{table}"))?;
    }
    // What else lay in the old one, a trigger or a view, is nobody's who had the key.
    seal.check_schema(db)
}

/// Pages that held the old tables are overwritten already (`secure_delete`); here they leave the file.
fn shrink(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch("VACUUM")?;
    Ok(settle_log(db)?)
}

/// If there is a copy of before the migration: checks the new store, every row of it, and removes the copy. From then on
/// the store is a sealed one, and no other is taken for it.
pub(super) fn finish(db: &Connection, seal: &Seal, path: &Path) -> Result<(), StoreError> {
    let copy = copy_of(path);
    if !copy.exists() {
        return Ok(unsealed::end(path)?);
    }
    if let Some(finding) = seal.check_all(db).findings.first() {
        return Err(StoreError::Damaged(finding.to_string()));
    }
    shrink(db)?;
    std::fs::remove_file(&copy).and_then(|()| file::sync_folder_of(&copy))?;
    Ok(unsealed::end(path)?)
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;
    use crate::config::StorePlace;
    use crate::store::{Examined, Store};

    const ROWS: &str = "
        UPDATE node SET identity = x'0b', kept_at = 5;
        INSERT INTO contacts VALUES (x'01', 'Wilhelmina', 'Wilhelmina', x'aa', NULL, NULL, 1, 5, 6);
        INSERT INTO rooms VALUES ('#Wilhelmina', x'02', 1), ('#left', x'0202', 0);
        INSERT INTO members VALUES ('#Wilhelmina', x'01', 7), ('#nowhere', x'01', 8);
        INSERT INTO messages (id, conversation, author, mine, in_room, text, sent_at, arrived, position, client_id, link)
          VALUES (x'01', x'02', x'03', 0, 0, 'Wilhelmina is here', 1, 2, 3, 'Wilhelmina-1', x'04'),
                 (x'02', x'02', x'03', 1, 0, 'and gone', 1, 2, 4, NULL, NULL);
        INSERT INTO deliveries (message, peer, state, previous, created) VALUES (x'02', x'01', 1, x'00', 9);
        INSERT INTO session_rows VALUES (x'05', x'06', x'07'), (x'05', x'08', x'09');
        INSERT INTO seen_envelopes VALUES (x'01', x'02', NULL, 3, x'04');";

    fn old_store(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("client.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(include_str!("tests/schema-2.sql")).unwrap();
        old.execute_batch(ROWS).unwrap();
        old.execute_batch("PRAGMA user_version = 2").unwrap();
        permit(&path);
        path
    }

    /// As the vault does that finds the store in a directory without a key.
    fn permit(path: &Path) {
        unsealed::permit(path, &crate::vault::StoreKey::from_bytes(&[7; 32])).unwrap();
    }

    fn open(path: &Path) -> Store {
        Store::open(&StorePlace::File(path.to_owned())).unwrap()
    }

    /// All rows of a table, in the columns that version 2 had.
    fn rows(db: &Connection, table: &str, columns: &[String]) -> Vec<Vec<Value>> {
        let sql = format!("SELECT {} FROM {table} ORDER BY 1, 2", columns.join(", "));
        let mut query = db.prepare(&sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|n| row.get(n)).collect();
        query.query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    fn all_rows(db: &Connection, old: &Connection) -> Vec<Vec<Vec<Value>>> {
        let columns = |table: &String| -> Vec<String> {
            let mut query = old.prepare("SELECT name FROM pragma_table_info(?)").unwrap();
            query.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mut tables = names(old, "table").unwrap();
        tables.sort();
        // These have other columns now.
        tables.retain(|table| table != "rooms" && table != "members");
        assert!(tables.len() > 10, "{tables:?}");
        tables.iter().map(|table| rows(db, table, &columns(table))).collect()
    }

    fn files(folder: &tempfile::TempDir) -> Vec<String> {
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = folder.path().read_dir().unwrap().map(name).collect();
        names.sort();
        names
    }

    /// What an old store held is in the new one, and nowhere else.
    fn assert_migrated(folder: &tempfile::TempDir, path: &Path) {
        let model = tempfile::tempdir().unwrap();
        let old = Connection::open(old_store(&model)).unwrap();
        let store = open(path);
        assert_eq!(all_rows(&store.db, &old), all_rows(&old, &old));
        let one = |sql: &str| store.db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        let rooms = "SELECT group_concat(hex(conversation) || address || closed || joined, ' ') FROM rooms";
        assert_eq!(one(rooms), "02#Wilhelmina01 0202#left00");
        assert_eq!(one("SELECT group_concat(hex(room) || hex(peer) || last_seen) FROM members"), "02017");
        drop(store);
        assert_eq!(files(folder), ["client.count", "client.db"]);
        let bytes = std::fs::read(path).unwrap();
        for clear in [&b"Wilhelmina"[..], b"and gone"] {
            assert!(!bytes.windows(clear.len()).any(|window| window == clear), "it lies in the clear");
        }
        open(path);
    }

    #[test]
    fn a_store_that_lay_in_the_clear_is_sealed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = old_store(&folder);
        assert_migrated(&folder, &path);
    }

    #[test]
    fn a_full_disk_in_the_middle_leaves_the_old_store() {
        let mut failures = 0;
        for more in [0, 1, 5, 20] {
            let folder = tempfile::tempdir().unwrap();
            let path = old_store(&folder);
            let before = std::fs::read(&path).unwrap();
            let db = Connection::open(&path).unwrap();
            let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            let limit = format!("PRAGMA max_page_count = {}", pages + more);
            db.query_row(&limit, [], |row| row.get::<_, i64>(0)).unwrap();
            let key = crate::vault::StoreKey::from_bytes(&[7; 32]);
            let seal = Seal::new(&key, Box::new(chat_core::entropy::OsEntropy)).unwrap();
            seal.attach(&db).unwrap();
            failures += usize::from(run(&db, &seal, 2, Some(&path)).is_err());
            drop(db);
            if failures > 0 {
                assert_eq!(std::fs::read(copy_of(&path)).unwrap(), before);
            }
            assert_migrated(&folder, &path);
        }
        assert!(failures >= 3, "{failures}");
    }

    /// Killed while the copy is made, after it, and after the commit.
    #[test]
    fn a_migration_that_was_killed_is_begun_anew_or_finished() {
        for half in [".before-3.new", ".before-3"] {
            let folder = tempfile::tempdir().unwrap();
            let path = old_store(&folder);
            std::fs::write(file::beside(&path, half), "half of it").unwrap();
            assert_migrated(&folder, &path);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = old_store(&folder);
        let old = std::fs::read(&path).unwrap();
        drop(open(&path));
        std::fs::write(copy_of(&path), old).unwrap();
        assert_migrated(&folder, &path);
    }

    /// Once sealed, always sealed: neither a store in the clear that somebody has put in its place, nor one with a permit
    /// by another key, is taken.
    #[test]
    fn a_store_in_the_clear_in_place_of_a_sealed_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = old_store(&folder);
        let planted = std::fs::read(&path).unwrap();
        drop(open(&path));
        assert!(!unsealed::permit_of(&path).exists());
        let refused = |what: &str| {
            std::fs::write(&path, &planted).unwrap();
            let opened = Store::open(&StorePlace::File(path.clone())).map(drop);
            assert!(matches!(opened, Err(StoreError::Unsealed)), "{what}: {opened:?}");
            let key = crate::vault::StoreKey::from_bytes(&[7; 32]);
            let looked = Examined::open(&path, &key, Box::new(chat_core::entropy::OsEntropy)).map(drop);
            assert!(matches!(looked, Err(StoreError::Unsealed)), "{what}: {looked:?}");
            assert_eq!(std::fs::read(&path).unwrap(), planted, "{what}: nothing was changed");
            assert!(!copy_of(&path).exists());
        };
        refused("no permit");
        permit(&path);
        let mut forged = std::fs::read(unsealed::permit_of(&path)).unwrap();
        forged[31] ^= 1;
        std::fs::write(unsealed::permit_of(&path), &forged).unwrap();
        refused("a permit of somebody else");
        forged.push(0);
        forged[31] ^= 1;
        std::fs::write(unsealed::permit_of(&path), forged).unwrap();
        refused("a longer one");
        permit(&path);
        let older = Store::open(&StorePlace::File(path.clone())).map(drop);
        assert!(
            matches!(&older, Err(StoreError::Damaged(said)) if said.contains("commits are missing")),
            "{older:?}"
        );
        std::fs::remove_file(count::count_of(&path)).unwrap();
        assert_migrated(&folder, &path);
    }

    #[test]
    fn a_sealed_store_that_says_it_is_old_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = old_store(&folder);
        drop(open(&path));
        for version in [1, 2] {
            Connection::open(&path)
                .unwrap()
                .execute_batch(&format!("PRAGMA user_version = {version}"))
                .unwrap();
            let refused = Store::open(&StorePlace::File(path.clone())).map(drop);
            assert!(
                matches!(&refused, Err(StoreError::Damaged(said)) if said.contains("it is sealed")),
                "{refused:?}"
            );
        }
    }
}
