//! What somebody without the key puts into the file's schema: it is not run, and it is named.

use super::*;
use crate::store::Examined;

fn examined(path: &Path) -> Vec<String> {
    let key = StoreKey::from_bytes(&[7; 32]);
    Examined::open(path, &key, Box::new(chat_core::entropy::OsEntropy)).unwrap().problems
}

/// What a trigger would call to read all messages.
fn leak(sealer: &Sealer) -> String {
    let n = sealer.tables.iter().position(|table| table.name == "messages").unwrap();
    let outside: Vec<&str> = sealer.tables[n].outside().map(|column| column.name.as_str()).collect();
    format!("INSERT INTO leak SELECT opened({n}, 0, sealed, {}) FROM sealed_messages;", outside.join(", "))
}

#[test]
fn what_is_none_of_this_programs_is_named_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 3);
    let leak = leak(&open(&path(&folder)).unwrap().seal.sealer());
    let whole = std::fs::read(path(&folder)).unwrap();
    let cases = [
        ("CREATE TABLE leak (x)".to_owned(), "table \"leak\""),
        (format!("CREATE TABLE leak (x); CREATE TRIGGER evil AFTER INSERT ON sealed_messages BEGIN {leak} END"), "trigger \"evil\""),
        (format!("CREATE TABLE leak (x); CREATE TRIGGER evil AFTER UPDATE ON seal BEGIN {leak} END"), "trigger \"evil\""),
        (
            "CREATE TRIGGER t BEFORE INSERT ON sealed_messages BEGIN SELECT raise(ignore); END".to_owned(),
            "trigger \"t\"",
        ),
        ("CREATE VIEW messages AS SELECT 1".to_owned(), "view \"messages\""),
        ("CREATE INDEX more ON sealed_messages (seen)".to_owned(), "index \"more\""),
        ("ALTER TABLE sealed_messages ADD COLUMN evil".to_owned(), "the table sealed_messages is not as it was made"),
        ("DROP INDEX messages_in_order".to_owned(), "the index messages_in_order is not there"),
        ("DROP TABLE sealed_renewals".to_owned(), "the table sealed_renewals is not there"),
        (
            "ALTER TABLE seal RENAME TO zz; CREATE VIEW seal AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n FROM n)
             SELECT n AS one, n AS key_id, n AS ledger FROM n"
                .to_owned(),
            "view \"seal\"",
        ),
        ("CREATE TABLE \"\u{1b}[2J\" (x)".to_owned(), "\\u{1b}"),
    ];
    for (sql, says) in cases {
        std::fs::write(path(&folder), &whole).unwrap();
        meddle(&path(&folder), &sql);
        let said = refused(&path(&folder));
        assert!(said.contains(says), "{sql}: {said}");
        let named = examined(&path(&folder)).concat();
        assert!(named.contains(says), "{sql}: {named}");
    }
    std::fs::write(path(&folder), &whole).unwrap();
    assert_eq!(examined(&path(&folder)), [""; 0]);
    assert_eq!(texts(&open(&path(&folder)).unwrap()).unwrap().len(), 3, "the control");
}

/// Even if it got past that: nothing in the file can call what seals and opens, nor does a call wait for itself.
#[test]
fn nothing_in_the_file_calls_the_seal() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&path(&folder)).unwrap();
    let leak = leak(&store.seal.sealer());
    store.db.execute_batch("CREATE TABLE main.leak (x)").unwrap();
    for (event, call) in [
        ("INSERT ON sealed_messages", leak.as_str()),
        ("INSERT ON sealed_messages", "SELECT ledger(0, 1, x'0000000000000000', 1);"),
        ("INSERT ON sealed_messages", "SELECT hashed('contacts.name', 'bob');"),
        ("INSERT ON sealed_messages", "SELECT sealed(0, 1);"),
        ("UPDATE ON seal", leak.as_str()),
    ] {
        store.db.execute_batch(&format!("CREATE TRIGGER main.evil AFTER {event} BEGIN {call} END")).unwrap();
        store.begin().unwrap();
        let said = store.insert_message(&message(1, "a secret")).map_err(|error| error.to_string());
        let said = said.and_then(|()| store.commit().map_err(|error| error.to_string())).unwrap_err();
        assert!(said.contains("unsafe use of"), "{event} {call}: {said}");
        store.roll_back().unwrap();
        store.db.execute_batch("DROP TRIGGER main.evil").unwrap();
    }
    let rows: i64 = store.db.query_row("SELECT count(*) FROM main.leak", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
    insert(&store, 1, "the control");
}
