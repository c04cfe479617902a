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
    assert_eq!(after.unsealed_deliveries(PeerId([2; 32])).unwrap().len(), 100);
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
    let (store, problems, _none) = open_as_it_is(&copied, &key(7), Box::new(OsEntropy)).unwrap();
    assert!(problems.is_empty());
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
    for left in ["client.import", "client.import-wal", "client.import-shm"] {
        std::fs::write(folder.path().join(left), "history").unwrap();
    }
    remove_unfinished(&path);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [path]);
}
