//! Damaged files and killed processes, over copies of the files: what is whole is there, and nothing else is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chat_core::nick::RoomName;
use chat_core::wire::Recipient;
use chat_core::{EnvelopeId, PeerId, Timestamp};
use rusqlite::Connection;

use super::super::{IsOnline, MailboxError, NewEnvelope, Outcome, Page};
use super::checksum::LogRow;
use super::schema::{self, Opened};
use super::shares::Sent;
use super::writer::Writer;
use super::{Shared, reader};
use crate::config::MailboxLimits;

const ANNA: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);
const CARL: PeerId = PeerId([3; 32]);

fn open(path: &Path) -> Result<(Writer, Connection), MailboxError> {
    let Opened { writer, reader, lock } = schema::open(path, None, None)?;
    Ok((Writer::new(writer, lock, MailboxLimits::default(), Arc::new(Shared::default()))?, reader))
}

fn lobby() -> RoomName {
    RoomName::new("#lobby").unwrap()
}

/// As much as tells one from the other, of many sizes: some take several pages.
fn content(n: u8) -> Bytes {
    vec![n; if n.is_multiple_of(7) { 5000 } else { 100 + usize::from(n) }].into()
}

fn store(writer: &mut Writer, from: PeerId, to: Recipient, n: u8) {
    let envelope = NewEnvelope { id: EnvelopeId([n; 16]), to, bytes: content(n) };
    writer.db.execute_batch("BEGIN").unwrap();
    let outcomes = writer.store(from, 0, &[envelope], Timestamp(1)).unwrap();
    assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
    keep_counters(writer);
    writer.db.execute_batch("COMMIT").unwrap();
}

fn keep_counters(writer: &Writer) {
    let next_n = i64::try_from(writer.counters.next_n).unwrap();
    let stored = i64::try_from(writer.totals.of_everybody()).unwrap();
    writer.db.execute("UPDATE counters SET next_n = ?1, stored_bytes = ?2", [next_n, stored]).unwrap();
}

/// Two peers and a room with something for each, and with something that is acknowledged.
fn fill(writer: &mut Writer) {
    let offline: IsOnline = Arc::new(|_| false);
    for peer in [ANNA, BOB, CARL] {
        writer.attach(peer, Timestamp(1)).unwrap();
        writer.join(peer, &lobby(), &offline).unwrap();
    }
    for n in 1..=20 {
        let to = match n % 3 {
            0 => Recipient::Room(lobby()),
            1 => Recipient::Peer(BOB),
            _ => Recipient::Peer(CARL),
        };
        store(writer, ANNA, to, n);
    }
    writer.ack(CARL, 6).unwrap();
    writer.settle_fresh().unwrap();
    keep_counters(writer);
    writer.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn waiting(db: &Connection, peer: PeerId) -> rusqlite::Result<(Page, bool)> {
    reader::waiting(db, peer, 0, 1000, usize::MAX)
}

/// Number and contents of what each has waiting.
fn everything(db: &Connection) -> BTreeMap<PeerId, Vec<(u64, Bytes)>> {
    [ANNA, BOB, CARL].map(|peer| (peer, waiting(db, peer).unwrap().0.items)).into()
}

/// The files as they are now, as a kill of the process and the machine would leave them.
fn copy(from: &Path, to: &Path) -> PathBuf {
    let to = to.join("relay.db");
    for ending in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        match std::fs::read(name(from)) {
            Ok(bytes) => std::fs::write(name(&to), bytes).unwrap(),
            Err(_) => drop(std::fs::remove_file(name(&to))),
        }
    }
    drop(std::fs::remove_file(format!("{}-shm", to.display())));
    to
}

fn wal(path: &Path) -> PathBuf {
    format!("{}-wal", path.display()).into()
}

/// A bit in every so many bytes of the file, each in a copy of its own. What is read is genuine, or nothing; and what an
/// error names is the file, not the process.
fn flip_every(step: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let (mut writer, reader) = open(&path).unwrap();
    fill(&mut writer);
    let expected = everything(&reader);
    assert_eq!(expected.values().map(Vec::len).collect::<Vec<_>>(), [0, 13, 9]);
    drop((writer, reader));
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 64 << 10, "{}", whole.len());
    let (mut refused, mut left_out, mut untouched) = (0, 0, 0);
    let work = tempfile::tempdir().unwrap();
    let damaged = work.path().join("relay.db");
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at / step % 8);
        std::fs::write(&damaged, bytes).unwrap();
        let Ok((_writer, reader)) = open(&damaged) else {
            refused += 1;
            continue;
        };
        let mut lost = 0;
        for (peer, expected) in &expected {
            let Ok((page, _)) = waiting(&reader, *peer) else { panic!("{at}: nothing can be read") };
            for item in &page.items {
                // What was acknowledged may come again, but only to whom it was sent.
                assert!(content(item.1[0]) == item.1, "{at}: a wrong envelope for {peer}");
                let for_all = item.1[0].is_multiple_of(3);
                let own = [(BOB, 1), (CARL, 2)].contains(&(*peer, item.1[0] % 3));
                assert!(for_all || own, "{at}: another's envelope for {peer}");
            }
            lost += expected.iter().filter(|item| !page.items.contains(item)).count();
        }
        if lost > 0 {
            left_out += 1;
        } else {
            untouched += 1;
        }
    }
    assert!(refused > 0 && left_out > 0 && untouched > 0, "{refused} {left_out} {untouched}");
}

#[test]
fn a_flipped_bit_never_gives_a_wrong_envelope() {
    flip_every(61);
}

/// As above, of every byte; takes minutes.
#[test]
#[ignore = "takes minutes"]
fn no_flipped_byte_gives_a_wrong_envelope() {
    flip_every(1);
}

#[test]
fn a_damaged_envelope_is_named_and_the_rest_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let (mut writer, reader) = open(&path).unwrap();
    fill(&mut writer);
    let whole = waiting(&reader, BOB).unwrap().0.items;
    for (column, wrong) in [
        ("envelope", "x'00'"),
        ("sender", "sender + 1"),
        ("stored_at", "0"),
        ("size", "'text'"),
        ("id", "x'01'"),
        ("payer", "7"),
        ("stranger", "2"),
        ("checksum", "7"),
        ("envelope", "NULL || 'text'"),
    ] {
        writer.db.execute_batch("BEGIN; PRAGMA ignore_check_constraints = ON").unwrap();
        let change = format!("UPDATE OR IGNORE log SET {column} = coalesce({wrong}, 5) WHERE n = 4");
        assert_eq!(writer.db.execute(&change, []).unwrap(), 1);
        writer.db.execute_batch("COMMIT").unwrap();
        let (page, index_is_damaged) = waiting(&reader, BOB).unwrap();
        assert_eq!((page.damaged, index_is_damaged), (vec![4], false), "{column}");
        assert!(page.items.iter().all(|item| whole.contains(item)) && page.items.len() + 1 == whole.len());
        // Dropped, so that its sender can bring it again.
        writer.discard(&[4]).unwrap();
        store_again(&mut writer);
    }
    assert!(waiting(&reader, BOB).unwrap().0.damaged.is_empty());
}

/// Puts envelope 4 back in its place.
fn store_again(writer: &mut Writer) {
    let next_n = std::mem::replace(&mut writer.counters.next_n, 4);
    let envelope = NewEnvelope { id: EnvelopeId([4; 16]), to: Recipient::Peer(BOB), bytes: content(4) };
    writer.store(ANNA, 0, &[envelope], Timestamp(1)).unwrap();
    writer.counters.next_n = next_n;
}

#[test]
fn an_index_that_disagrees_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let (mut writer, reader) = open(&path).unwrap();
    fill(&mut writer);
    let expected = everything(&reader);
    let bob = writer.known_peer(BOB).unwrap().unwrap();
    let anna = writer.known_peer(ANNA).unwrap().unwrap();
    drop((writer, reader));
    // While the schema doesn't name the index, one row goes and another comes, of the same size.
    let db = Connection::open(&path).unwrap();
    let find = "SELECT rootpage, sql FROM sqlite_schema WHERE name = 'log_box'";
    let (root, sql): (i64, String) = db.query_row(find, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    db.execute_batch("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'log_box'")
        .unwrap();
    drop(db);
    let db = Connection::open(&path).unwrap();
    let size: i64 = db.query_row("DELETE FROM log WHERE n = 4 RETURNING size", [], |row| row.get(0)).unwrap();
    let (id, envelope) = ([77; 16], content(4));
    let sent = Sent { sender: anna, payer: 0, stranger: true };
    let row = LogRow { n: 21, box_id: bob, sent, stored_at: 1, size, id: &id, envelope: &envelope };
    let values = rusqlite::params![21, bob, anna, 1, size, id, row.checksum(), &envelope[..], 0, 1];
    db.execute("INSERT INTO log VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)", values).unwrap();
    db.execute_batch("PRAGMA writable_schema = ON").unwrap();
    let values = rusqlite::params![root, sql];
    db.execute("INSERT INTO sqlite_schema VALUES('index', 'log_box', 'log', ?1, ?2)", values).unwrap();
    drop(db);
    let (mut writer, reader) = open(&path).unwrap();
    assert_eq!(writer.counters.next_n, 22);
    let (page, index_is_damaged) = waiting(&reader, BOB).unwrap();
    assert!(index_is_damaged && page.damaged.is_empty());
    let mut rest = expected[&BOB].clone();
    rest.retain(|(n, _)| *n != 4);
    assert_eq!(page.items, rest, "the rest comes");
    writer.met_damage();
    writer.repair();
    rest.push((21, envelope));
    assert_eq!(everything(&reader)[&BOB], rest);
    assert!(!waiting(&reader, BOB).unwrap().1);
}

#[test]
fn a_damaged_cursor_skips_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(&dir.path().join("relay.db")).unwrap();
    fill(&mut writer);
    let expected = everything(&reader);
    writer.db.execute_batch("UPDATE peers SET acked = 15; UPDATE members SET since = 18").unwrap();
    assert_eq!(everything(&reader)[&BOB], expected[&BOB]);
    let carls = &everything(&reader)[&CARL];
    assert!(expected[&CARL].iter().all(|item| carls.contains(item)), "what it has may come again");
    assert_eq!(writer.attach(BOB, Timestamp(2)).unwrap().unwrap().cursor, 0);
}

#[test]
fn numbers_and_totals_that_were_damaged_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let (mut writer, reader) = open(&path).unwrap();
    fill(&mut writer);
    let bytes = writer.totals.of_everybody();
    writer
        .db
        .execute_batch("UPDATE counters SET next_n = 3, stored_bytes = 5, directory_bytes = 77")
        .unwrap();
    drop((writer, reader));
    let (writer, _reader) = open(&path).unwrap();
    assert_eq!((writer.counters.next_n, writer.totals.of_everybody()), (21, bytes));
    assert_eq!(writer.counters.directory_bytes, 0);
}

/// The log is cut off anywhere, as by a kill in the middle of writing it: every commit that is whole in it counts, and
/// nothing of the next.
#[test]
fn a_kill_at_any_byte_of_any_commit_leaves_whole_commits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let (mut writer, _reader) = open(&path).unwrap();
    fill(&mut writer);
    let log_len = |path: &Path| std::fs::metadata(wal(path)).unwrap().len();
    let mut commits = vec![log_len(&path)];
    for n in 21..=30 {
        store(&mut writer, ANNA, Recipient::Peer(BOB), n);
        commits.push(log_len(&path));
    }
    let work = tempfile::tempdir().unwrap();
    let end = *commits.last().unwrap();
    for cut in (0..=end).step_by(499).chain(commits.iter().copied()) {
        let copied = copy(&path, work.path());
        std::fs::OpenOptions::new().write(true).open(wal(&copied)).unwrap().set_len(cut).unwrap();
        let (_writer, reader) = open(&copied).unwrap();
        let got = waiting(&reader, BOB).unwrap().0;
        assert!(got.damaged.is_empty());
        let whole = commits.iter().filter(|len| **len > 0 && **len <= cut).count();
        assert_eq!(got.items.len(), 13 + whole, "cut at {cut} of {commits:?}");
    }
}

/// Makes a database of version 3 of one of version 4, with checksums as they were.
fn make_old(path: &Path) {
    let db = Connection::open(path).unwrap();
    let old: Vec<(i64, [u8; 8])> = db
        .prepare("SELECT n, box, envelope FROM log")
        .unwrap()
        .query_map([], |row| {
            let (n, box_id, envelope): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let sent = Sent { sender: 0, payer: 0, stranger: false };
            let row = LogRow { n, box_id, sent, stored_at: 0, size: 0, id: &[], envelope: &envelope };
            Ok((n, row.old_checksum()))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (n, sum) in old {
        db.execute("UPDATE log SET checksum = ?2 WHERE n = ?1", rusqlite::params![n, sum]).unwrap();
    }
    db.execute_batch(
        "DROP INDEX log_box; ALTER TABLE log DROP COLUMN payer; ALTER TABLE log DROP COLUMN stranger;
         CREATE INDEX log_box ON log(box, n, sender, size);
         ALTER TABLE peers DROP COLUMN acked_sum; ALTER TABLE peers DROP COLUMN contacts;
         ALTER TABLE members DROP COLUMN since_sum; DROP TABLE contacts; DROP TABLE fresh; PRAGMA user_version = 3;",
    )
    .unwrap();
}

/// A kill at any byte of the migration's log, or while that goes into the file: then it is done anew, or was done.
#[test]
fn a_kill_at_any_point_of_the_migration_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let (mut writer, reader) = open(&path).unwrap();
    fill(&mut writer);
    store(&mut writer, BOB, Recipient::Peer(ANNA), 22);
    writer.settle_fresh().unwrap();
    let expected = everything(&reader);
    drop((writer, reader));
    make_old(&path);
    let old = std::fs::read(&path).unwrap();
    // The connections stay open, so that the log stays.
    let (_writer, reader) = open(&path).unwrap();
    assert_eq!(everything(&reader), expected);
    let log = std::fs::read(wal(&path)).unwrap();
    assert!(log.len() > 4096, "{}", log.len());
    let work = tempfile::tempdir().unwrap();
    let check = |file: &[u8], log: &[u8], what: &str| {
        let copied = copy(&path, work.path());
        std::fs::write(&copied, file).unwrap();
        std::fs::write(wal(&copied), log).unwrap();
        let (mut writer, reader) = open(&copied).unwrap();
        assert_eq!(everything(&reader), expected, "{what}");
        let version: i64 = reader.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 4, "{what}");
        let [anna, bob] = [ANNA, BOB].map(|peer| writer.known_peer(peer).unwrap().unwrap());
        assert!(writer.has_written(bob, anna).unwrap() && writer.has_written(anna, bob).unwrap(), "{what}");
        drop((writer, reader));
        std::fs::read(&copied).unwrap()
    };
    for cut in (0..=log.len()).step_by(997) {
        check(&old, log.get(..cut).unwrap(), &format!("cut at {cut}"));
    }
    let new = check(&old, &log, "all of it");
    for pages in 0..=new.len() / 4096 {
        let mut half = new.clone();
        let written = (pages * 4096).min(old.len());
        half.truncate(written.max(old.len().min(new.len())));
        let len = half.len();
        half[written..].copy_from_slice(&old[written..len]);
        check(&half, &log, &format!("{pages} pages written back"));
    }
}
