//! A store with more rows than a start looks at.

use super::*;

/// More than a start goes through.
const ROWS: i64 = check::AT_START + 50;

/// A large table, and a small one beside it.
fn large(path: &Path) {
    let store = open(path).unwrap();
    let rows = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
                INSERT INTO deleted (id, author, at) SELECT CAST(printf('%016d', n * 7919 % 20011) AS BLOB), x'02', n FROM n";
    store.begin().unwrap();
    store.db.execute(rows, [ROWS]).unwrap();
    (1..=20).for_each(|n| insert(&store, n, &text(n)));
    store.commit().unwrap();
    store.close().unwrap();
}

/// Goes round until it is over, a turn each; in how many.
fn go_round(store: &Store) -> Result<u32, StoreError> {
    for n in 1.. {
        store.begin()?;
        let more = store.seal.check_on(&store.db, 50);
        if !more.inspect_err(|_| store.roll_back().unwrap())? {
            store.commit()?;
            return Ok(n);
        }
        store.commit()?;
    }
    unreachable!()
}

#[test]
fn a_start_counts_the_rows_of_a_large_table_and_the_round_finds_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    large(&path);
    let whole = std::fs::read(&path).unwrap();
    let turns = go_round(&open(&path).unwrap()).unwrap();
    assert!((12..20).contains(&turns), "{turns} for 572 rows, 50 a turn, and some indexes");
    let one = "(SELECT id FROM sealed_deleted LIMIT 1 OFFSET 300)";
    // Noticed at once.
    for (sql, says) in [
        (format!("DELETE FROM sealed_deleted WHERE id = {one}"), "deleted: 1 of its rows were taken away"),
        (
            "INSERT INTO sealed_deleted SELECT x'99', author, at, sealed FROM sealed_deleted LIMIT 1"
                .to_owned(),
            "deleted: 1 rows were added",
        ),
        (
            "UPDATE sealed_messages SET author = x'05' WHERE id = x'05050505050505050505050505050505'"
                .to_owned(),
            "messages: some of its rows were replaced",
        ),
    ] {
        std::fs::write(&path, &whole).unwrap();
        meddle(&path, &sql);
        assert!(refused(&path).contains(says), "{sql}");
    }
    // Noticed in the round.
    let old: Vec<u8> = {
        std::fs::write(&path, &whole).unwrap();
        let db = Connection::open(&path).unwrap();
        db.query_row(&format!("SELECT sealed FROM sealed_deleted WHERE id = {one}"), [], |row| row.get(0))
            .unwrap()
    };
    let store = open(&path).unwrap();
    store
        .run(&format!(
            "UPDATE deleted SET at = at WHERE id = {}",
            one.replace("sealed_deleted", "main.sealed_deleted")
        ))
        .unwrap();
    store.close().unwrap();
    let newer = std::fs::read(&path).unwrap();
    for (sql, says) in [
        (format!("UPDATE sealed_deleted SET at = 7 WHERE id = {one}"), "it is not what was written"),
        (format!("UPDATE sealed_deleted SET author = x'07' WHERE id = {one}"), "it is not what was written"),
        (
            format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM sealed_deleted WHERE id = {one};
                 DELETE FROM sealed_deleted WHERE id = {one};
                 INSERT INTO sealed_deleted SELECT x'99', author, at, sealed FROM kept"
            ),
            "it is not what was written",
        ),
        (
            format!("UPDATE sealed_deleted SET sealed = x'{}' WHERE id = {one}", hex(&old)),
            "an older version was put in its place",
        ),
    ] {
        std::fs::write(&path, &newer).unwrap();
        meddle(&path, &sql);
        let store = open(&path).unwrap();
        let said = go_round(&store).unwrap_err().to_string();
        assert!(said.contains("deleted") && said.contains(says), "{sql}: {said}");
        assert!(!store.seal.check_all(&store.db).findings.is_empty());
    }
}

/// Makes an index forget a row, in a file that is too large for a look at all of it.
#[test]
fn an_index_that_hides_a_row_is_found_in_the_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    large(&path);
    let store = open(&path).unwrap();
    store.begin().unwrap();
    insert(&store, 21, &"x".repeat(5 << 20));
    store.commit().unwrap();
    store.close().unwrap();
    // For as long as it is made anew, the index is one of other rows.
    let alter = |to: &str| {
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let sql = "UPDATE sqlite_schema SET sql = ? WHERE name = 'messages_in_order'";
        db.execute(sql, [to]).unwrap();
    };
    let whole: String = {
        let db = Connection::open(&path).unwrap();
        db.query_row("SELECT sql FROM sqlite_schema WHERE name = 'messages_in_order'", [], |row| row.get(0))
            .unwrap()
    };
    alter(&format!("{whole} WHERE position != 7"));
    assert!(refused(&path).contains("the index messages_in_order is not as it was made"));
    meddle(&path, "REINDEX messages_in_order");
    alter(&whole);
    let store = open(&path).unwrap();
    assert_eq!(texts(&store).unwrap().len(), 20, "one is hidden, and a start has not seen it");
    let said = go_round(&store).unwrap_err().to_string();
    assert!(said.contains("messages: its index messages_in_order does not lead to all rows"), "{said}");
}

/// A trigger of somebody else would be run with what it says.
#[test]
fn a_trigger_in_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 1);
    meddle(
        &path(&folder),
        "CREATE TRIGGER theirs AFTER INSERT ON sealed_messages BEGIN DELETE FROM sealed_rooms; END",
    );
    assert!(refused(&path(&folder)).contains("the trigger \"theirs\" was put into it by something else"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is written while the round goes on, before it and behind it, committed or not, leads it to no wrong word.
#[test]
fn the_round_goes_on_while_the_store_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&path(&folder)).unwrap();
    let id = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
    let put = |n: u64| {
        let mut put = store
            .db
            .prepare_cached("INSERT OR REPLACE INTO deleted (id, author, at) VALUES (?, ?, ?)")
            .unwrap();
        put.execute(rusqlite::params![id(n), [1_u8; 32].as_slice(), i64::try_from(n).unwrap()]).unwrap();
    };
    let take = |n: u64| {
        store.db.prepare_cached("DELETE FROM deleted WHERE id = ?").unwrap().execute([id(n)]).unwrap();
    };
    store.begin().unwrap();
    (0..300).for_each(put);
    (1..=50).for_each(|n| insert(&store, n, &text(n)));
    store.commit().unwrap();
    let mut turns = 0;
    for n in 300.. {
        store.begin().unwrap();
        put(n);
        put(n - 250);
        take(n - 300);
        if n % 3 == 0 {
            store.set_gap(BOB, MessageId([(n % 50 + 1) as u8; 16]), true).unwrap();
        }
        let more = store.seal.check_on(&store.db, 7).unwrap();
        take(n - 290);
        if n % 5 == 0 {
            store.roll_back().unwrap();
            continue;
        }
        store.commit().unwrap();
        turns += 1;
        if !more {
            break;
        }
        assert!(n < 2_000, "it comes to no end");
    }
    assert!(turns > 30, "{turns}");
    assert_eq!(store.seal.check_all(&store.db).findings, []);
    assert!(!store.seal.check_on(&store.db, 1).unwrap(), "it is over");
}
