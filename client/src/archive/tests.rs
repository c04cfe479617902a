use std::path::PathBuf;

use chat_core::entropy::OsEntropy;
use chat_core::ids::{ConversationId, MessageId, PeerId, SessionId, Timestamp};

use super::*;
use crate::store::NewMessage;

const ME: PeerId = PeerId([1; 32]);
const HERE: ConversationId = ConversationId([3; 16]);

fn key(n: u8) -> StoreKey {
    StoreKey::from_bytes(&[n; 32])
}

fn open(path: &Path, n: u8) -> Store {
    Store::open_sealed(&StorePlace::File(path.to_owned()), &key(n), Box::new(OsEntropy)).unwrap()
}

/// A store with messages, one of them on its way, and its path.
fn filled(folder: &tempfile::TempDir, messages: u8) -> PathBuf {
    let path = folder.path().join("client.db");
    let store = open(&path, 7);
    store.begin().unwrap();
    store.belongs_to(ME).unwrap();
    let (address, closed, joined) = ("#place".to_owned(), false, true);
    store.put_room(&crate::store::RoomRow { conversation: HERE, address, closed, joined }).unwrap();
    for n in 1..=messages {
        let id = MessageId([n; 16]);
        let message = NewMessage {
            id,
            conversation: HERE,
            author: ME,
            mine: true,
            in_room: true,
            text: &format!("text {n} {}", "x".repeat(2000)),
            sent_at: Timestamp(n.into()),
            arrived: Timestamp(n.into()),
            position: Some(n.into()),
            gap: false,
            previous: None,
            link: None,
            client_id: None,
            state: 1,
        };
        store.insert_message(&message).unwrap();
        store.insert_delivery(id, PeerId([2; 32]), [0; 16], Timestamp(1)).unwrap();
    }
    let envelope = chat_core::ids::EnvelopeId([9; 16]);
    store
        .set_delivery_envelope(MessageId([1; 16]), PeerId([2; 32]), envelope, SessionId([4; 16]), b"sealed")
        .unwrap();
    store.commit().unwrap();
    path
}

fn texts(store: &Store) -> Vec<String> {
    store.history(HERE, None, 1000).unwrap().0.into_iter().map(|row| row.text).collect()
}

fn write(path: &Path, to: &Path) -> Result<Exported, ArchiveError> {
    export(path, &key(7), to, "hunter2", Box::new(OsEntropy), Box::new(OsEntropy))
}

fn read(path: &Path, from: &Path, passphrase: &str) -> Result<Imported, ArchiveError> {
    import(path, &key(8), ME, from, passphrase, Box::new(OsEntropy))
}

#[test]
fn every_table_either_goes_along_or_stays_behind() {
    let store = Store::open(&StorePlace::Memory).unwrap();
    let mut all: Vec<String> = EXPORTED.iter().chain(&LEFT_OUT).map(|name| (*name).to_owned()).collect();
    all.sort();
    assert_eq!(store.tables(), all);
}

#[test]
fn what_was_exported_comes_back_under_another_key_and_without_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (filled(&folder, 100), folder.path().join("export"));
    let exported = write(&path, &file).unwrap();
    assert_eq!((exported.rows, exported.problems.as_slice()), (202, &[][..]));
    assert!(matches!(write(&path, &file), Err(ArchiveError::Exists(_))));
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 200_000 && !bytes.windows(6).any(|window| window == b"text 1"));

    let new = folder.path().join("new.db");
    assert!(matches!(read(&new, &file, "hunter3"), Err(ArchiveError::Portable(PortableError::Wrong))));
    assert_eq!(read(&new, &file, "hunter2").unwrap().rows, exported.rows);
    assert!(matches!(read(&new, &file, "hunter2"), Err(ArchiveError::Exists(_))));
    let (before, after) = (open(&path, 7), open(&new, 8));
    assert_eq!(texts(&after), texts(&before));
    assert_eq!(after.rooms().unwrap(), before.rooms().unwrap());
    assert!(after.open_envelopes().unwrap().is_empty(), "it is sealed anew");
    assert_eq!(after.unsealed_deliveries(PeerId([2; 32]), 0, 1_000).unwrap().len(), 100);
    for (store, restored) in [(&before, None), (&after, Some(0))] {
        store.begin().unwrap();
        assert_eq!(store.begin_anew().unwrap(), restored);
        store.commit().unwrap();
    }
    drop(after);
    assert_eq!(verify(&new, &key(8), Box::new(OsEntropy)).unwrap().problems, [""; 0]);
}

#[test]
fn an_export_that_was_altered_gives_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (filled(&folder, 50), folder.path().join("export"));
    write(&path, &file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let (new, altered) = (folder.path().join("new.db"), folder.path().join("altered"));
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&altered, bytes).unwrap();
        assert!(read(&new, &altered, "hunter2").is_err(), "{what}");
        assert!(!new.exists() && !new.with_extension("import").exists(), "{what}");
    };
    // Of the passphrase's part one is enough: each costs a key.
    for at in [20, 200, 70_000, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        refused(&bytes, &format!("byte {at}"));
    }
    refused(&whole[..whole.len() / 2], "half of it");
    refused(&[&whole[..], b"more"].concat(), "more than it");
    let other = import(&new, &key(8), PeerId([9; 32]), &file, "hunter2", Box::new(OsEntropy));
    assert!(matches!(other, Err(ArchiveError::Store(StoreError::OtherIdentity { .. }))));
}

#[test]
fn what_is_left_of_a_damaged_store_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (filled(&folder, 5), folder.path().join("export"));
    let sql = "UPDATE sealed_messages SET arrived = 99 WHERE id = x'02020202020202020202020202020202'";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let verdict = verify(&path, &key(7), Box::new(OsEntropy)).unwrap();
    assert_eq!(
        verdict.problems,
        ["messages, row 0202020202020202/0101010101010101: it is not what was written"]
    );
    assert_eq!(write(&path, &file).unwrap().problems.len(), 1);
    let new = folder.path().join("new.db");
    read(&new, &file, "hunter2").unwrap();
    assert_eq!(texts(&open(&new, 8)).len(), 4);
}

fn examined(path: &Path) -> Examined {
    Examined::open(path, &key(7), Box::new(OsEntropy)).unwrap()
}

/// How many rows would be exported, each of which is checked to be right.
fn rows_left(store: &Examined) -> usize {
    let mut rows = 0;
    for table in EXPORTED {
        let place = store.columns_of(table).iter().position(|name| name == "text");
        let look = |values: Vec<rusqlite::types::Value>| {
            rows += 1;
            if let Some(rusqlite::types::Value::Text(text)) = place.and_then(|place| values.get(place)) {
                assert!(text.starts_with("text ") && text.ends_with("xxx"), "{text}");
            }
        };
        store.each_row(table, look).unwrap();
    }
    rows
}

/// Flips bits, one after the other: what a start refuses is named, and at most `lost` rows are lost.
fn flip(
    messages: u8,
    bits: impl Fn(usize) -> Box<dyn Iterator<Item = usize>>,
    lost: usize,
) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder, messages);
    let rows = rows_left(&examined(&path));
    assert_eq!(rows, 2 * usize::from(messages) + 2);
    let whole = std::fs::read(&path).unwrap();
    let (mut refused, mut missing) = (0, 0);
    for bit in bits(whole.len()) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        let store = examined(&path);
        let left = rows_left(&store);
        assert!(left + lost >= rows, "bit {bit}: {left} rows of {rows}: {:?}", store.problems);
        missing += rows - left;
        drop(store);
        assert_eq!(std::fs::read(&path).unwrap(), flipped, "bit {bit}: looking changes nothing");
        assert!(!log_of(&path).exists(), "bit {bit}");
        let start =
            Store::open_sealed(&StorePlace::File(path.clone()), &key(7), Box::new(OsEntropy)).map(drop);
        if let Err(error) = start {
            std::fs::write(&path, &flipped).unwrap();
            assert_ne!(examined(&path).problems, [""; 0], "bit {bit}: a start says {error}");
            refused += 1;
        }
        if let Some(log) = Some(log_of(&path)).filter(|log| log.exists()) {
            std::fs::remove_file(log).unwrap();
        }
    }
    (refused, missing)
}

/// Whatever SQLite makes of it.
#[test]
fn no_flipped_bit_of_the_head_loses_a_row() {
    let (refused, missing) =
        flip(3, |_| Box::new((0..100).flat_map(|byte| [0, 3, 7].map(|bit| 8 * byte + bit))), 0);
    assert!(refused > 30 && missing == 0, "{refused} {missing}");
}

#[test]
fn a_flipped_bit_anywhere_loses_hardly_more_than_its_row() {
    let (refused, missing) = flip(30, |bytes| Box::new((800..bytes * 8).step_by(17_919)), 20);
    assert!(refused > 5 && missing < 100, "{refused} {missing}");
}

#[test]
fn whatever_is_gone_the_rest_is_saved_and_the_loss_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder, 30);
    let whole = std::fs::read(&path).unwrap();
    for (sql, left, says) in [
        ("DELETE FROM seal", 62, "its ledger is not there"),
        ("DROP TABLE seal", 62, "the table seal is not there"),
        ("UPDATE seal SET key_id = x'00'", 62, "the name of its key"),
        (
            "PRAGMA secure_delete = 1; DROP TABLE sealed_messages",
            32,
            "messages: 30 of its rows can't be read any more",
        ),
        (
            "PRAGMA secure_delete = 1; DELETE FROM sealed_messages WHERE rowid < 6",
            57,
            "messages: 5 of its rows were taken away",
        ),
        ("PRAGMA user_version = 2", 62, "it is sealed, but says that it has schema 2"),
        ("PRAGMA user_version = 35", 62, "it is sealed, but says that it has schema 35"),
        ("PRAGMA user_version = -2147483645", 62, "schema -2147483645"),
        ("PRAGMA user_version = 0", 62, "schema 0"),
        ("CREATE TRIGGER t AFTER INSERT ON seal BEGIN SELECT 1; END", 62, "trigger \"t\""),
        (
            "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE sealed_chains (' WHERE name = 'sealed_chains'",
            62,
            "malformed database schema",
        ),
    ] {
        std::fs::write(&path, &whole).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let store = examined(&path);
        assert_eq!(rows_left(&store), left, "{sql}: {:?}", store.problems);
        assert!(store.problems.iter().any(|problem| problem.contains(says)), "{sql}: {:?}", store.problems);
        assert!(!store.problems.iter().any(|problem| problem.contains("commits are missing")), "{sql}");
    }
    // As a whole, with the worst of it.
    std::fs::write(&path, &whole).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE seal").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (file, new) = (folder.path().join("export"), folder.path().join("new.db"));
    assert_eq!(write(&path, &file).unwrap().rows, 62);
    read(&new, &file, "hunter2").unwrap();
    assert_eq!(texts(&open(&new, 8)).len(), 30);
    let other = Examined::open(&path, &key(9), Box::new(OsEntropy)).unwrap();
    assert_eq!(rows_left(&other), 0, "with another key nothing opens");
}

/// What was committed after the damage is in the log still, and is not thrown away by looking.
#[test]
fn what_a_damaged_log_holds_is_saved() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = filled(&folder, 30);
    let store = open(&path, 7);
    for n in 1..=10 {
        store.begin().unwrap();
        store.erase_message(ME, MessageId([n; 16]), Timestamp(1)).unwrap();
        let (address, closed, joined) = (format!("#place-{n}"), false, true);
        let conversation = ConversationId([100 + n; 16]);
        store.put_room(&crate::store::RoomRow { conversation, address, closed, joined }).unwrap();
        store.commit().unwrap();
        store.run(&format!("UPDATE node SET kept_at = {n}")).unwrap();
    }
    for n in 11..=20 {
        store.run(&format!("INSERT INTO former_names (name, peer) VALUES ('name {n}', x'02')")).unwrap();
    }
    for name in ["client.db", "client.db-wal", "client.count"] {
        std::fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
    }
    let path = killed.path().join("client.db");
    let rows = rows_left(&examined(&path));
    let log = std::fs::read(log_of(&path)).unwrap();
    assert!(rows > 50 && log.len() > 50_000, "{rows} {}", log.len());
    for at in (0..log.len()).step_by(4_997).chain((0..32).step_by(3)) {
        let mut flipped = log.clone();
        flipped[at] ^= 1;
        std::fs::write(log_of(&path), &flipped).unwrap();
        let store = examined(&path);
        let left = rows_left(&store);
        // A whole page at most, where it was the last version of one.
        assert!(left + 15 >= rows, "byte {at}: {left} of {rows}: {:?}", store.problems);
        assert!(!store.problems.is_empty() || left == rows, "byte {at}");
        drop(store);
        assert_eq!(std::fs::read(log_of(&path)).unwrap(), flipped);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(log_of(&path), &log).unwrap();
    let store = examined(&path);
    assert!(rows_left(&store) > 10, "the log alone: {:?}", store.problems);
}

/// Not even the ledger.
#[test]
fn without_a_ledger_the_rows_are_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (filled(&folder, 5), folder.path().join("export"));
    rusqlite::Connection::open(&path).unwrap().execute_batch("UPDATE seal SET ledger = x'00'").unwrap();
    let verdict = verify(&path, &key(7), Box::new(OsEntropy)).unwrap();
    assert!(verdict.problems.iter().any(|problem| problem.contains("ledger")), "{verdict:?}");
    write(&path, &file).unwrap();
    read(&folder.path().join("new.db"), &file, "hunter2").unwrap();
    let missing = verify(&folder.path().join("nowhere.db"), &key(7), Box::new(OsEntropy));
    assert!(matches!(missing, Err(ArchiveError::Missing(_))));
    assert!(verify(&path, &key(8), Box::new(OsEntropy)).is_err());
}

/// On a read-only medium SQLite can't have the log it needs, even to read; a backup must be readable there all the same.
#[test]
fn a_store_is_looked_at_in_a_copy_with_what_its_log_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder, 20);
    let running = open(&path, 7);
    running.run("UPDATE messages SET gap = 1").unwrap();
    assert!(std::fs::metadata(copy::beside(&path, "-wal")).unwrap().len() > 0);
    let (copy, copied) = Copy::of(&path).unwrap();
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(copied.parent().unwrap()).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
    }
    let (examined, _none) = open_as_it_is(&copied, &key(7), Box::new(OsEntropy)).unwrap();
    assert_eq!(examined.problems, [""; 0]);
    drop(examined);
    let store = open(&copied, 7);
    assert!(store.history(HERE, None, 1000).unwrap().0.iter().all(|row| row.gap));
    drop((store, copy));
    assert!(!copied.exists() && !copied.parent().unwrap().exists());
}

/// A folder that its own user can't write, as long as permissions count for that user.
#[cfg(unix)]
#[test]
fn a_store_in_a_read_only_folder_is_verified_and_exported() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder, 20);
    let mode = |mode| std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
    let before = std::fs::read(&path).unwrap();
    mode(0o500);
    let elsewhere = tempfile::tempdir().unwrap();
    let verdict = verify(&path, &key(7), Box::new(OsEntropy)).unwrap();
    let exported = write(&path, &elsewhere.path().join("export")).unwrap();
    mode(0o700);
    assert_eq!((verdict.problems.as_slice(), exported.problems.as_slice()), (&[][..], &[][..]));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn an_import_that_was_killed_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(&folder, 1);
    let names = || -> std::collections::BTreeSet<_> {
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    for left in ["client.import", "client.import-wal", "client.import-shm", "client.import.count"] {
        std::fs::write(folder.path().join(left), "history").unwrap();
    }
    remove_unfinished(&path);
    assert_eq!(names(), before);
}
