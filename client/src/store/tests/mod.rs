//! What the engine's tests can't easily bring about, or would not notice: each query with rows beside the ones it is for.

mod messages;
mod outbox;

use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};

use super::*;
use crate::config::StorePlace;
use crate::store::count_of;

const ME: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);
const EVE: PeerId = PeerId([3; 32]);
const HERE: ConversationId = ConversationId([10; 16]);
const THERE: ConversationId = ConversationId([11; 16]);

fn store() -> Store {
    Store::open(&StorePlace::Memory).unwrap()
}

fn message(n: u8) -> MessageId {
    MessageId([n; 16])
}

/// One from Bob in `HERE`, shown at `position`; held without one.
fn from_bob(n: u8, position: Option<i64>) -> NewMessage<'static> {
    NewMessage {
        id: message(n),
        conversation: HERE,
        author: BOB,
        mine: false,
        in_room: false,
        text: "text",
        sent_at: Timestamp(u64::from(n)),
        arrived: Timestamp(u64::from(n)),
        position,
        gap: false,
        previous: Some([n - 1; 16]),
        link: Some([n; 16]),
        client_id: None,
        state: 0,
    }
}

fn mine(n: u8, position: Option<i64>) -> NewMessage<'static> {
    NewMessage { author: ME, mine: true, previous: None, link: None, ..from_bob(n, position) }
}

/// What is to be found by a later start is committed.
fn in_a_turn(store: &Store, work: impl FnOnce(&Store)) {
    store.begin().unwrap();
    work(store);
    store.commit().unwrap();
}

fn shown(store: &Store) -> Vec<u8> {
    let (rows, _) = store.history(HERE, None, 1000).unwrap();
    rows.iter().map(|row| row.id.0[0]).collect()
}

#[test]
fn what_was_rolled_back_was_never_there_and_what_was_committed_is() {
    let store = store();
    store.begin().unwrap();
    store.insert_message(&from_bob(1, Some(1))).unwrap();
    store.roll_back().unwrap();
    store.roll_back().unwrap();
    store.begin().unwrap();
    store.insert_message(&from_bob(2, Some(2))).unwrap();
    store.commit().unwrap();
    store.roll_back().unwrap();
    assert_eq!(shown(&store), [2]);
}

#[test]
fn a_store_of_a_later_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace::File(folder.path().join("client.db"));
    let newer = Store::open(&place).unwrap();
    let sql = format!("CREATE TABLE main.later (x); PRAGMA user_version = {}", SCHEMA_VERSION + 1);
    newer.db.execute_batch(&sql).unwrap();
    drop(newer);
    let refused = Store::open(&place).err();
    assert!(
        matches!(refused, Some(StoreError::Newer { found }) if found == SCHEMA_VERSION + 1),
        "{refused:?}"
    );
}

/// In a file system that SQLite alone reaches, SQLite makes the file; this one is the system's.
#[cfg(unix)]
#[test]
fn a_store_in_another_file_system_is_made_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace::Vfs { vfs: "unix".into(), path: folder.path().join("client.db") };
    let store = Store::open(&place).unwrap();
    in_a_turn(&store, |store| store.insert_message(&from_bob(1, Some(1))).unwrap());
    drop(store);
    assert_eq!(shown(&Store::open(&place).unwrap()), [1]);
}

/// A log that an earlier process left is in the database, and gone, before anything is written behind it.
#[test]
fn a_log_that_was_left_is_settled_first() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("client.db"), folder.path().join("copy.db"));
    let store = Store::open(&StorePlace::File(path.clone())).unwrap();
    in_a_turn(&store, |store| store.insert_message(&from_bob(1, Some(1))).unwrap());
    // As if killed here: the database and its log as they lie on the disk.
    let log = |db: &std::path::Path| db.with_extension("db-wal");
    std::fs::copy(&path, &copy).unwrap();
    assert!(std::fs::copy(log(&path), log(&copy)).unwrap() > 0);
    std::fs::copy(count_of(&path), count_of(&copy)).unwrap();
    let store = Store::open(&StorePlace::File(copy.clone())).unwrap();
    assert_eq!(log(&copy).metadata().unwrap().len(), 0);
    assert_eq!(shown(&store), [1]);
}
