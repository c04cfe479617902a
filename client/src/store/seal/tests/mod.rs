//! Damage of each kind, to a store with something in it.

mod flips;
mod foreign;
mod large;

use std::path::{Path, PathBuf};

use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use rusqlite::Connection;

use super::*;
use crate::config::StorePlace;
use crate::store::{NewMessage, Store};

const HERE: ConversationId = ConversationId([10; 16]);
const BOB: PeerId = PeerId([2; 32]);

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("client.db")
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&StorePlace::File(path.to_owned()))
}

fn text(n: u8) -> String {
    format!("the {n}th secret")
}

fn message(n: u8, text: &str) -> NewMessage<'_> {
    NewMessage {
        id: MessageId([n; 16]),
        conversation: HERE,
        author: BOB,
        mine: false,
        in_room: false,
        text,
        sent_at: Timestamp(n.into()),
        arrived: Timestamp(n.into()),
        position: Some(n.into()),
        gap: false,
        previous: None,
        link: Some([n; 16]),
        client_id: None,
        state: 0,
    }
}

fn insert(store: &Store, n: u8, text: &str) {
    store.insert_message(&message(n, text)).unwrap();
}

/// A store with `count` messages, closed.
fn filled(path: &Path, count: u8) {
    let store = open(path).unwrap();
    store.begin().unwrap();
    (1..=count).for_each(|n| insert(&store, n, &text(n)));
    let (address, closed, joined) = ("#secret-place".to_owned(), false, true);
    store.put_room(&crate::store::RoomRow { conversation: HERE, address, closed, joined }).unwrap();
    store.commit().unwrap();
}

fn texts(store: &Store) -> Result<Vec<String>, StoreError> {
    Ok(store.history(HERE, None, 1000)?.0.into_iter().map(|row| row.text).collect())
}

/// Does something to the tables as a thief without the key might.
fn meddle(path: &Path, sql: &str) {
    let db = Connection::open(path).unwrap();
    db.execute_batch(sql).unwrap();
}

fn refused(path: &Path) -> String {
    open(path).map(drop).unwrap_err().to_string()
}

#[test]
fn nothing_that_was_written_lies_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 9);
    let store = open(&path(&folder)).unwrap();
    assert_eq!(texts(&store).unwrap(), (1..=9).map(text).collect::<Vec<_>>());
    store.begin().unwrap();
    insert(&store, 10, "a secret in the log");
    store.commit().unwrap();
    for entry in folder.path().read_dir().unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for clear in [&b"secret"[..], &[5; 16]] {
            // The id of the fifth message is not secret, its link is the same bytes: it is there once a table and index.
            let found = bytes.windows(clear.len()).filter(|window| window == &clear).count();
            assert!(clear != b"secret" || found == 0);
        }
    }
}

#[test]
fn each_kind_of_damage_is_named() {
    let id = |n: u8| format!("x'{}'", format!("{n:02x}").repeat(16));
    let one = id(1);
    let cases = [
        (
            "swapped rows",
            format!(
                "CREATE TEMP TABLE t AS SELECT id, sealed FROM sealed_messages WHERE id IN ({one}, {0});
                 UPDATE sealed_messages SET sealed = (SELECT sealed FROM t WHERE t.id != sealed_messages.id)
                  WHERE id IN ({one}, {0})",
                id(2)
            ),
            "messages",
        ),
        ("a removed row", format!("DELETE FROM sealed_messages WHERE id = {one}"), "messages: 1 of its rows were taken away"),
        ("another author", format!("UPDATE sealed_messages SET author = x'03' WHERE id = {one}"), "messages: some of its rows were replaced"),
        (
            "a copied row",
            format!(
                "INSERT INTO sealed_messages SELECT x'99', conversation, author, mine, in_room, sent_at, arrived,
                   position, gap, previous, link, client_id, state, seen, sealed FROM sealed_messages WHERE id = {one}"
            ),
            "messages: 1 rows were added",
        ),
        ("no ledger", "UPDATE seal SET ledger = x'00'".to_owned(), "ledger"),
        ("another room", "UPDATE sealed_rooms SET joined = 0".to_owned(), "rooms, row"),
    ];
    for (what, sql, says) in cases {
        let folder = tempfile::tempdir().unwrap();
        filled(&path(&folder), 3);
        meddle(&path(&folder), &sql);
        let said = match open(&path(&folder)) {
            Err(error) => error.to_string(),
            // A row that is as old as it should be is found when it is read.
            Ok(store) => {
                let read = texts(&store).map(drop).and_then(|()| store.rooms().map(drop));
                assert!(!store.seal.check_all(&store.db).findings.is_empty(), "{what}");
                read.unwrap_err().to_string()
            }
        };
        assert!(said.contains(says), "{what}: {said}");
    }
}

#[test]
fn a_row_in_an_older_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 3);
    let old: Vec<u8> = {
        let db = Connection::open(path(&folder)).unwrap();
        let sql = "SELECT sealed FROM sealed_messages WHERE id = x'02020202020202020202020202020202'";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let store = open(&path(&folder)).unwrap();
    store.begin().unwrap();
    store.set_gap(BOB, MessageId([2; 16]), true).unwrap();
    store.set_gap(BOB, MessageId([2; 16]), false).unwrap();
    store.commit().unwrap();
    drop(store);
    drop(open(&path(&folder)).unwrap());
    let db = Connection::open(path(&folder)).unwrap();
    db.execute("UPDATE sealed_messages SET sealed = ? WHERE id = x'02020202020202020202020202020202'", [old])
        .unwrap();
    drop(db);
    let said = refused(&path(&folder));
    assert!(said.contains("messages, row 0202020202020202/0202020202020202: an older version"), "{said}");
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 30);
    let whole = std::fs::read(path(&folder)).unwrap();
    for len in (1..whole.len()).step_by(4096 / 3) {
        std::fs::write(path(&folder), &whole[..len]).unwrap();
        // What is missing of the last page may have been unused; else it is noticed.
        let read = open(&path(&folder)).and_then(|store| texts(&store));
        let is_whole = |texts: &Vec<String>| *texts == (1..=30).map(text).collect::<Vec<_>>();
        assert!(read.as_ref().map_or(true, is_whole), "{len} of {} bytes: {read:?}", whole.len());
        assert!(read.is_err() || len > whole.len() - 4096, "{len} of {} bytes", whole.len());
    }
}

#[test]
fn another_key_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 1);
    let before = std::fs::read(path(&folder)).unwrap();
    let key = StoreKey::from_bytes(&[8; 32]);
    let place = StorePlace::File(path(&folder));
    let refused = Store::open_sealed(&place, &key, Box::new(chat_core::entropy::OsEntropy)).map(drop);
    assert!(matches!(refused, Err(StoreError::OtherKey)), "{refused:?}");
    assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
}

/// What was rolled back is in no ledger.
#[test]
fn a_turn_that_was_undone_leaves_the_ledger_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    filled(&path(&folder), 3);
    let store = open(&path(&folder)).unwrap();
    store.begin().unwrap();
    insert(&store, 4, "gone");
    store.roll_back().unwrap();
    store.begin().unwrap();
    insert(&store, 5, "kept");
    store.commit().unwrap();
    drop(store);
    let store = open(&path(&folder)).unwrap();
    assert_eq!(texts(&store).unwrap().last().map(String::as_str), Some("kept"));
    assert_eq!(store.seal.check_all(&store.db).findings, []);
}
