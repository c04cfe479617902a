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
use super::repair::is_damage;
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
    writer.write_rows().unwrap();
    assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
    writer.put_counters().unwrap();
    writer.db.execute_batch("COMMIT").unwrap();
    writer.shared.recent.committed();
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
        // Of what waits, some is in the table that lists it and some in the log alone.
        if n == 12 {
            writer.settle_recent().unwrap();
        }
    }
    writer.ack(CARL, 6).unwrap();
    writer.settle_fresh().unwrap();
    writer.put_counters().unwrap();
    writer.shared.recent.committed();
    writer.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn waiting((writer, db): &(Writer, Connection), peer: PeerId) -> rusqlite::Result<(Page, bool)> {
    reader::waiting(db, &writer.shared.recent, peer, 0, 1000, usize::MAX)
}

/// Number and contents of what each has waiting.
fn everything(opened: &(Writer, Connection)) -> BTreeMap<PeerId, Vec<(u64, Bytes)>> {
    [ANNA, BOB, CARL].map(|peer| (peer, waiting(opened, peer).unwrap().0.items)).into()
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
    let mut opened = open(&path).unwrap();
    fill(&mut opened.0);
    let expected = everything(&opened);
    assert_eq!(expected.values().map(Vec::len).collect::<Vec<_>>(), [0, 13, 9]);
    drop(opened);
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 64 << 10, "{}", whole.len());
    let (mut refused, mut left_out, mut untouched) = (0, 0, 0);
    let work = tempfile::tempdir().unwrap();
    let damaged = work.path().join("relay.db");
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at / step % 8);
        std::fs::write(&damaged, bytes).unwrap();
        let Ok(mut opened) = open(&damaged) else {
            refused += 1;
            continue;
        };
        let mut lost = 0;
        for (peer, expected) in &expected {
            if waiting(&opened, *peer).is_err_and(|error| is_damage(&error)) {
                // An index that leads nowhere is made anew.
                opened.0.met_damage();
                opened.0.repair();
            }
            let (page, _) = waiting(&opened, *peer).unwrap_or_else(|error| panic!("{at}: {error}"));
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
    let mut opened = open(&path).unwrap();
    fill(&mut opened.0);
    let whole = waiting(&opened, BOB).unwrap().0.items;
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
        opened.0.db.execute_batch("BEGIN; PRAGMA ignore_check_constraints = ON").unwrap();
        let change = format!("UPDATE OR IGNORE log SET {column} = coalesce({wrong}, 5) WHERE n = 4");
        assert_eq!(opened.0.db.execute(&change, []).unwrap(), 1);
        opened.0.db.execute_batch("COMMIT").unwrap();
        let (page, index_is_damaged) = waiting(&opened, BOB).unwrap();
        assert_eq!((page.damaged, index_is_damaged), (vec![4], false), "{column}");
        assert!(page.items.iter().all(|item| whole.contains(item)) && page.items.len() + 1 == whole.len());
        // Dropped, so that its sender can bring it again.
        opened.0.discard(&[4]).unwrap();
        store_again(&mut opened.0);
    }
    assert!(waiting(&opened, BOB).unwrap().0.damaged.is_empty());
}

/// Puts envelope 4 back in its place.
fn store_again(writer: &mut Writer) {
    let next_n = std::mem::replace(&mut writer.counters.next_n, 4);
    let envelope = NewEnvelope { id: EnvelopeId([4; 16]), to: Recipient::Peer(BOB), bytes: content(4) };
    writer.store(ANNA, 0, &[envelope], Timestamp(1)).unwrap();
    writer.write_rows().unwrap();
    writer.counters.next_n = next_n;
}

#[test]
fn a_list_that_disagrees_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let mut opened = open(&path).unwrap();
    fill(&mut opened.0);
    let expected = everything(&opened);
    // It names what the log does not have, and lacks what it has, of the same size.
    opened.0.db.execute_batch("UPDATE boxes SET n = 3000 WHERE n = 10").unwrap();
    drop(opened);
    let mut opened = open(&path).unwrap();
    let (page, list_is_damaged) = waiting(&opened, BOB).unwrap();
    assert!(list_is_damaged && page.damaged.is_empty());
    let mut rest = expected[&BOB].clone();
    rest.retain(|(n, _)| *n != 10);
    assert_eq!(page.items, rest, "the rest comes");
    opened.0.met_damage();
    opened.0.repair();
    assert_eq!(everything(&opened), expected);
    assert!(!waiting(&opened, BOB).unwrap().1);
    // What is stored after it is found, too.
    store(&mut opened.0, ANNA, Recipient::Peer(BOB), 22);
    assert_eq!(waiting(&opened, BOB).unwrap().0.items.len(), expected[&BOB].len() + 1);
}

/// A number is wrong, a value is none, or the list says less than the counter: it is made anew when it is opened.
#[test]
fn a_list_that_is_damaged_is_no_reason_to_refuse_the_mailbox() {
    for damage in [
        "UPDATE boxes SET size = 'text' WHERE n = 4",
        "UPDATE boxes SET size = size + 1 WHERE n = 4",
        "DELETE FROM boxes WHERE n > 3",
        "UPDATE counters SET listed_n = 1000000",
        "UPDATE counters SET listed_n = 0",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.db");
        let mut opened = open(&path).unwrap();
        fill(&mut opened.0);
        let expected = everything(&opened);
        assert!(opened.0.db.execute(damage, []).unwrap() > 0);
        drop(opened);
        let opened = open(&path).unwrap();
        assert_eq!(everything(&opened), expected, "{damage}");
    }
}

#[test]
fn a_damaged_cursor_skips_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(&dir.path().join("relay.db")).unwrap();
    fill(&mut opened.0);
    let expected = everything(&opened);
    for damage in [
        "UPDATE peers SET acked = 15; UPDATE members SET since = 18",
        "UPDATE peers SET acked = 1.5; UPDATE members SET since_sum = x'00'",
        "UPDATE peers SET acked = 0, acked_sum = 'text'; UPDATE members SET since = 'text'",
    ] {
        opened.0.db.execute_batch(damage).unwrap();
        assert_eq!(everything(&opened)[&BOB], expected[&BOB], "{damage}");
        let carls = &everything(&opened)[&CARL];
        assert!(expected[&CARL].iter().all(|item| carls.contains(item)), "what it has may come again");
    }
    assert_eq!(opened.0.attach(BOB, Timestamp(2)).unwrap().unwrap().cursor, 0);
}

#[test]
fn numbers_and_totals_that_were_damaged_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let mut opened = open(&path).unwrap();
    fill(&mut opened.0);
    let bytes = opened.0.totals.of_everybody();
    opened
        .0
        .db
        .execute_batch("UPDATE counters SET next_n = 3, stored_bytes = 5, directory_bytes = 77")
        .unwrap();
    drop(opened);
    let opened = open(&path).unwrap();
    assert_eq!((opened.0.counters.next_n, opened.0.totals.of_everybody()), (21, bytes));
    assert_eq!(opened.0.counters.directory_bytes, 0);
}

/// The log is cut off anywhere, as by a kill in the middle of writing it: every commit that is whole in it counts, and
/// nothing of the next.
#[test]
fn a_kill_at_any_byte_of_any_commit_leaves_whole_commits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let mut opened = open(&path).unwrap();
    fill(&mut opened.0);
    let log_len = |path: &Path| std::fs::metadata(wal(path)).unwrap().len();
    let mut commits = vec![log_len(&path)];
    for n in 21..=30 {
        store(&mut opened.0, ANNA, Recipient::Peer(BOB), n);
        commits.push(log_len(&path));
    }
    let work = tempfile::tempdir().unwrap();
    let end = *commits.last().unwrap();
    for cut in (0..=end).step_by(499).chain(commits.iter().copied()) {
        let copied = copy(&path, work.path());
        std::fs::OpenOptions::new().write(true).open(wal(&copied)).unwrap().set_len(cut).unwrap();
        let opened = open(&copied).unwrap();
        let got = waiting(&opened, BOB).unwrap().0;
        assert!(got.damaged.is_empty());
        let whole = commits.iter().filter(|len| **len > 0 && **len <= cut).count();
        assert_eq!(got.items.len(), 13 + whole, "cut at {cut} of {commits:?}");
    }
}

/// Makes a database of version 3, with checksums as they were.
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
        "DROP TABLE boxes; ALTER TABLE counters DROP COLUMN listed_n;
         ALTER TABLE counters DROP COLUMN seen_n; ALTER TABLE log DROP COLUMN payer; ALTER TABLE log DROP COLUMN stranger;
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
    let mut opened = open(&path).unwrap();
    fill(&mut opened.0);
    store(&mut opened.0, BOB, Recipient::Peer(ANNA), 22);
    opened.0.settle_fresh().unwrap();
    let expected = everything(&opened);
    drop(opened);
    make_old(&path);
    let old = std::fs::read(&path).unwrap();
    // The connections stay open, so that the log stays.
    let opened = open(&path).unwrap();
    assert_eq!(everything(&opened), expected);
    let log = std::fs::read(wal(&path)).unwrap();
    assert!(log.len() > 4096, "{}", log.len());
    let work = tempfile::tempdir().unwrap();
    let check = |file: &[u8], log: &[u8], what: &str| {
        let copied = copy(&path, work.path());
        std::fs::write(&copied, file).unwrap();
        std::fs::write(wal(&copied), log).unwrap();
        let mut opened = open(&copied).unwrap();
        assert_eq!(everything(&opened), expected, "{what}");
        let version: i64 = opened.1.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 5, "{what}");
        let [anna, bob] = [ANNA, BOB].map(|peer| opened.0.known_peer(peer).unwrap().unwrap());
        assert!(
            opened.0.has_written(bob, anna).unwrap() && opened.0.has_written(anna, bob).unwrap(),
            "{what}"
        );
        drop(opened);
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
