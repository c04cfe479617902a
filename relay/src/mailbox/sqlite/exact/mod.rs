//! What the mailbox counts, to the byte and to the millisecond: on the writer itself, without its thread.

mod forgetting;
mod queue;
mod reading;

use bytes::Bytes;
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;
use chat_core::{EnvelopeId, PeerId, Timestamp};

use super::super::{Joined, NewEnvelope, Outcome, Published};
use super::*;

/// What each envelope here counts: 100 bytes, and 256 for its row.
const SIZE: u64 = 356;
const ANNA: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);
const CARL: PeerId = PeerId([3; 32]);
const DORA: PeerId = PeerId([4; 32]);
const FULL: Outcome = Outcome::Refused(Refusal::MailboxFull);

/// A mailbox with room for everything that a test doesn't bound.
fn limits() -> MailboxLimits {
    MailboxLimits {
        sender_share: 1,
        strangers_share: 1,
        stranger_share: 1,
        stored_share: 1,
        payer_share: 1,
        strangers_stored_share: 1,
        reserved_share: 0,
        ..MailboxLimits::default()
    }
}

fn writer(limits: MailboxLimits) -> (tempfile::TempDir, Writer) {
    let dir = tempfile::tempdir().unwrap();
    let opened = schema::open(&dir.path().join("relay.db"), None, None).unwrap();
    (dir, Writer::new(opened.writer, opened.lock, limits, Arc::default()).unwrap())
}

fn envelope(n: u8, to: Recipient, len: usize) -> NewEnvelope {
    NewEnvelope { id: EnvelopeId([n; 16]), to, bytes: Bytes::from(vec![n; len]) }
}

fn store_at(writer: &mut Writer, from: PeerId, to: Recipient, n: u8, now: u64) -> Outcome {
    let outcomes = writer.store(from, 0, &[envelope(n, to, 100)], Timestamp(now)).unwrap();
    writer.write_rows().unwrap();
    outcomes[0]
}

fn store(writer: &mut Writer, from: PeerId, to: PeerId, n: u8) -> Outcome {
    store_at(writer, from, Recipient::Peer(to), n, 1)
}

fn room() -> RoomName {
    RoomName::new("#lobby").unwrap()
}

fn post(writer: &mut Writer, from: PeerId, n: u8) -> Outcome {
    store_at(writer, from, Recipient::Room(room()), n, 1)
}

fn join(writer: &mut Writer, peer: PeerId) -> Joined {
    let offline: super::super::IsOnline = Arc::new(|_| false);
    writer.join(peer, &room(), &offline).unwrap()
}

fn column(writer: &Writer, sql: &str) -> Vec<i64> {
    let mut query = writer.db.prepare(sql).unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Of all ids that are remembered.
fn seen(writer: &mut Writer, sql: &str) -> Vec<i64> {
    writer.settle_fresh().unwrap();
    column(writer, sql)
}

/// The first byte of each envelope that waits, oldest first.
fn waiting(writer: &Writer) -> Vec<u8> {
    let mut query = writer.db.prepare("SELECT id FROM log ORDER BY n").unwrap();
    query.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap().map(|id| id.unwrap()[0]).collect()
}

#[test]
fn all_mailboxes_together_hold_what_they_may_and_not_a_byte_more() {
    let (_dir, mut writer) = writer(MailboxLimits { stored_bytes: 2 * SIZE, ..limits() });
    assert_eq!(store(&mut writer, ANNA, BOB, 1), Outcome::Stored(1));
    assert_eq!(store(&mut writer, ANNA, CARL, 2), Outcome::Stored(2));
    assert_eq!(writer.totals.of_everybody(), 2 * SIZE);
    assert_eq!(store(&mut writer, DORA, BOB, 3), FULL);
    // A stranger gets no row for an envelope that has no place.
    assert_eq!(store(&mut writer, DORA, PeerId([9; 32]), 3), FULL);
    assert_eq!(writer.known_peer(PeerId([9; 32])).unwrap(), None);
    writer.ack(BOB, 1).unwrap();
    assert_eq!((writer.totals.of_everybody(), waiting(&writer)), (SIZE, vec![2]));
    assert_eq!(store(&mut writer, DORA, PeerId([9; 32]), 3), Outcome::Stored(3));
    assert_eq!(writer.totals.of_everybody(), 2 * SIZE);
}

/// Half of what the others left: with room for 8 that is 4, then 2, then 1, then none.
#[test]
fn a_mailbox_is_never_full_for_a_newcomer() {
    let (_dir, mut writer) = writer(MailboxLimits { mailbox_bytes: 8 * SIZE, ..limits() });
    let mut n = 0;
    for (sender, expected) in [(ANNA, 4), (CARL, 2), (DORA, 1), (PeerId([5; 32]), 0)] {
        let mut stored = 0;
        for _ in 0..5 {
            n += 1;
            match store(&mut writer, sender, BOB, n) {
                Outcome::Stored(_) => stored += 1,
                refused => assert_eq!(refused, FULL),
            }
        }
        assert_eq!(stored, expected, "{sender}");
    }
    assert_eq!(writer.totals.of_everybody(), 7 * SIZE);
}

#[test]
fn a_senders_share_is_exact_and_one_envelope_may_be_larger() {
    let share_of_a_box = MailboxLimits { mailbox_bytes: 16 * SIZE, sender_share: 8, ..limits() };
    let share_of_all = MailboxLimits { stored_bytes: 16 * SIZE, stored_share: 8, ..limits() };
    for (limits, elsewhere) in [(share_of_a_box, BOB), (share_of_all, DORA)] {
        let (_dir, mut writer) = writer(limits);
        assert_eq!(store(&mut writer, ANNA, BOB, 1), Outcome::Stored(1));
        assert_eq!(store(&mut writer, ANNA, elsewhere, 2), Outcome::Stored(2));
        assert_eq!(store(&mut writer, ANNA, BOB, 3), FULL);
        // Nor to somebody who has no row yet, if all of it is counted.
        let to_stranger = store(&mut writer, ANNA, PeerId([9; 32]), 4);
        assert_eq!(to_stranger == FULL, elsewhere == DORA, "{to_stranger:?}");
        let larger = envelope(5, Recipient::Peer(BOB), 3 * SIZE as usize);
        let outcomes = writer.store(CARL, 0, &[larger], Timestamp(1)).unwrap();
        writer.write_rows().unwrap();
        assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
        assert_eq!(store(&mut writer, CARL, BOB, 6), FULL);
        writer.ack(BOB, 1).unwrap();
        assert!(matches!(store(&mut writer, ANNA, BOB, 7), Outcome::Stored(_)));
    }
}

#[test]
fn a_full_room_loses_its_oldest_the_senders_own_first() {
    let quota = MailboxLimits { mailbox_bytes: 4 * SIZE, sender_share: 2, ..limits() };
    let (_dir, mut writer) = writer(quota);
    for peer in [ANNA, BOB, CARL] {
        assert_eq!(join(&mut writer, peer), Joined::New { bundle: None });
    }
    assert_eq!(post(&mut writer, DORA, 1), Outcome::Refused(Refusal::NotAllowed));
    let stored = [(BOB, 1), (ANNA, 2), (ANNA, 3), (ANNA, 4), (BOB, 5)];
    assert!(stored.into_iter().all(|(from, n)| matches!(post(&mut writer, from, n), Outcome::Stored(_))));
    assert_eq!(waiting(&writer), [1, 3, 4, 5], "her own, though Bob's is older");
    assert!(matches!(post(&mut writer, CARL, 6), Outcome::Stored(_)));
    assert_eq!(waiting(&writer), [3, 4, 5, 6], "one is enough");
    assert_eq!(writer.totals.of_everybody(), 4 * SIZE);
    // What was dropped is no repeat; what waits is.
    assert_eq!(post(&mut writer, ANNA, 3), Outcome::Known);
    assert!(matches!(post(&mut writer, ANNA, 2), Outcome::Stored(_)));
    assert_eq!(waiting(&writer), [4, 5, 6, 2]);
    let larger = envelope(7, Recipient::Room(room()), 4 * SIZE as usize);
    assert_eq!(writer.store(CARL, 0, &[larger], Timestamp(1)).unwrap(), [FULL], "larger than the room");
    assert_eq!(waiting(&writer), [4, 5, 6, 2]);
}

#[test]
fn what_a_sender_has_elsewhere_is_not_dropped_for_a_room() {
    let (_dir, mut writer) = writer(MailboxLimits { stored_bytes: 8 * SIZE, stored_share: 4, ..limits() });
    join(&mut writer, ANNA);
    assert!(matches!(store(&mut writer, ANNA, BOB, 1), Outcome::Stored(_)));
    assert!(matches!(post(&mut writer, ANNA, 2), Outcome::Stored(_)));
    // Over her share of all, and one of hers in the room makes place for it.
    assert!(matches!(post(&mut writer, ANNA, 3), Outcome::Stored(_)));
    assert_eq!(waiting(&writer), [1, 3]);
    writer.discard(&[3]).unwrap();
    assert_eq!(waiting(&writer), [1]);
    assert!(matches!(store(&mut writer, ANNA, BOB, 4), Outcome::Stored(_)));
    assert_eq!(post(&mut writer, ANNA, 5), FULL, "she has nothing there");
}

#[test]
fn a_repeat_is_known_for_a_minute_and_as_long_as_it_waits() {
    let (_dir, mut writer) = writer(MailboxLimits { redeliver_ms: 60_000, ..limits() });
    let mut again = |now| store_at(&mut writer, ANNA, Recipient::Peer(BOB), 1, now);
    assert_eq!(again(1000), Outcome::Stored(1));
    assert_eq!((again(1000), again(60_999), again(61_000)), (Outcome::Known, Outcome::Known, Outcome::Known));
    writer.ack(BOB, 1).unwrap();
    let mut again = |now| store_at(&mut writer, ANNA, Recipient::Peer(BOB), 1, now);
    assert_eq!((again(60_999), again(61_000)), (Outcome::Known, Outcome::Stored(2)));
    assert_eq!(seen(&mut writer, "SELECT stored_at FROM seen"), [61_000]);
}

#[test]
fn a_senders_oldest_ids_are_forgotten_over_its_bound() {
    let (_dir, mut writer) = writer(MailboxLimits { ids_per_sender: 2, ..limits() });
    for n in 1..=3 {
        assert!(matches!(store(&mut writer, ANNA, BOB, n), Outcome::Stored(_)));
        assert!(matches!(store(&mut writer, CARL, BOB, n + 10), Outcome::Stored(_)));
    }
    assert_eq!(seen(&mut writer, "SELECT n FROM seen ORDER BY n"), [3, 4, 5, 6]);
    assert_eq!((writer.totals.ids(1), store(&mut writer, ANNA, BOB, 3)), (2, Outcome::Known));
}

/// What is remembered of a box is what its rows say, whenever it is read.
#[test]
fn the_caches_agree_with_the_tables_and_are_bounded() {
    let (_dir, mut writer) = writer(limits());
    for (n, from) in [(1, ANNA), (2, ANNA), (3, CARL)] {
        store(&mut writer, from, BOB, n);
    }
    assert_eq!((writer.usage.len(), writer.usage_entries), (1, 3), "a box and two senders");
    let box_id = writer.known_peer(BOB).unwrap().unwrap();
    let cached = writer.usage[&box_id].clone();
    writer.forget_caches();
    assert_eq!((writer.usage.len(), writer.usage_entries, writer.peer_ids.len()), (0, 0, 0));
    store(&mut writer, CARL, BOB, 4);
    let read = &writer.usage[&box_id];
    assert_eq!((cached.total.all, read.total.all), (3 * SIZE, 4 * SIZE));
    assert_eq!(cached.by_sender.values().map(|share| share.all).sum::<u64>(), 3 * SIZE);
    assert!(read.by_sender.values().all(|share| share.all == 2 * SIZE));
    assert_eq!(writer.usage_entries, 3);
    writer.ack(BOB, 3).unwrap();
    assert_eq!(writer.usage[&box_id].total.all, SIZE);
    assert_eq!(writer.usage[&box_id].by_sender.len(), 1, "who has nothing there takes no entry");

    writer.usage_entries = 100_000;
    writer.trim_caches();
    assert_eq!((writer.usage.len(), writer.usage_entries), (1, 100_000));
    writer.usage_entries = 100_001;
    writer.trim_caches();
    assert_eq!((writer.usage.len(), writer.usage_entries), (0, 0));
    let ids = |n: i64| (PeerId::from_slice(&[&[7; 24][..], &n.to_be_bytes()].concat()).unwrap(), n);
    writer.peer_ids = (0..100_000).map(ids).collect();
    writer.trim_caches();
    assert_eq!(writer.peer_ids.len(), 100_000);
    writer.peer_ids.extend([ids(-1)]);
    writer.trim_caches();
    assert_eq!(writer.peer_ids.len(), 0);
}

#[test]
fn a_clock_that_jumps_is_believed_after_an_hour() {
    const DAY: u64 = 86_400_000;
    const HOUR: u64 = 3_600_000;
    let (_dir, mut writer) = writer(limits());
    let first = 1_700_000_000_000;
    assert!(writer.believes(first), "there is none to compare with");
    assert!(writer.believes(first + DAY), "a day is no jump");
    assert!(writer.believes(first), "nor is back");
    let jumped = first + DAY + 1;
    assert!(!writer.believes(jumped) && !writer.believes(jumped + 1) && !writer.believes(jumped + HOUR - 1));
    assert_eq!((writer.counters.swept_at, writer.counters.jumped_at), (first, jumped));
    // It jumps again, back or ahead: then the hour begins anew.
    let ahead = jumped + DAY + 1;
    assert!(!writer.believes(ahead) && !writer.believes(ahead + HOUR - 1));
    let back = jumped + 2 * HOUR;
    assert!(!writer.believes(back) && !writer.believes(back + HOUR - 1));
    assert_eq!(writer.counters.jumped_at, back);
    assert!(writer.believes(back + HOUR));
    assert_eq!((writer.counters.swept_at, writer.counters.jumped_at), (back + HOUR, 0));
    // Exactly a day after the jump it is the same one.
    let jumped = back + 3 * DAY;
    assert!(!writer.believes(jumped) && writer.believes(jumped + DAY));
}

#[test]
fn the_directory_holds_the_newest_that_is_not_ahead_to_the_byte() {
    let (_dir, mut writer) = writer(MailboxLimits { directory_bytes: 30, ..limits() });
    let now = 1_700_000_000_000;
    let day = 86_400_000;
    let mut publish = |peer, created, len: usize, now| {
        let nick = Nick::new("anna").unwrap();
        let dates = (Timestamp(created), Timestamp(now));
        let published = writer.publish(peer, &nick, dates, &Bytes::from(vec![7; len])).unwrap();
        (published, writer.counters.directory_bytes)
    };
    assert_eq!(publish(ANNA, now + day + 1, 10, now), (Published::Ahead, 0));
    assert_eq!(publish(ANNA, now + day, 10, now), (Published::New, 10));
    assert_eq!(publish(ANNA, now + day, 11, now), (Published::Old, 10));
    assert_eq!(publish(ANNA, now + day - 1, 11, now), (Published::Old, 10));
    // Once the clock is right, what it holds is ahead, and any other replaces it.
    assert_eq!(publish(ANNA, now - day, 20, now - 1), (Published::New, 20));
    assert_eq!(publish(BOB, now, 11, now), (Published::Full, 20));
    assert_eq!(publish(BOB, now, 10, now), (Published::New, 30));
    assert_eq!(publish(ANNA, now, 20, now), (Published::New, 30), "in the place of the old one");
    assert_eq!(publish(ANNA, now + 1, 21, now), (Published::Full, 30));
}

#[test]
fn numbers_outside_the_databases_range_stay_at_its_ends() {
    use super::writer::{from_sql, to_sql};
    assert_eq!((to_sql(7), to_sql(u64::MAX)), (7, i64::MAX));
    assert_eq!((from_sql(7), from_sql(-7)), (7, 0));
}

#[test]
fn a_change_takes_about_its_bytes() {
    let two = vec![envelope(1, Recipient::Peer(BOB), 10), envelope(2, Recipient::Peer(BOB), 20)];
    let now = Timestamp(1);
    let sizes = [
        Write::Store { from: ANNA, payer: 0, envelopes: two, now, done: Box::new(drop) }.size(),
        Write::Sweep { now, online: vec![ANNA, BOB], done: Box::new(drop) }.size(),
        Write::Discard { numbers: vec![1, 2, 3] }.size(),
        Write::Ack { peer: ANNA, through: 1 }.size(),
    ];
    assert_eq!(sizes, [30 + 2 * 128, 64, 24, 128]);
}

#[tokio::test]
async fn commits_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = SqliteMailbox::open(&dir.path().join("relay.db"), limits()).unwrap();
    assert_eq!(mailbox.commits(), (0, 0));
    for expected in 1..=2 {
        let (tell, told) = oneshot::channel();
        let done: super::super::Done<_> =
            Box::new(move |result: Result<_, _>| tell.send(result.is_ok()).unwrap());
        mailbox.write(Write::Leave { peer: ANNA, room: room(), done }).await;
        assert!(told.await.unwrap());
        assert_eq!(mailbox.commits().0, expected);
    }
    mailbox.close().await;
    assert_eq!(mailbox.commits().0, 2, "none for nothing");
}

#[test]
fn who_was_no_member_leaves_no_gap() {
    let (_dir, mut writer) = writer(limits());
    assert!(!writer.leave(ANNA, &room()).unwrap(), "there is no such room");
    join(&mut writer, ANNA);
    assert_eq!(join(&mut writer, ANNA), Joined::Already);
    assert!(!writer.leave(BOB, &room()).unwrap());
    assert_eq!(column(&writer, "SELECT members FROM rooms"), [1]);
    assert!(writer.leave(ANNA, &room()).unwrap());
    assert_eq!(column(&writer, "SELECT members FROM rooms"), [0]);
}

/// A sixteenth of a full room gives way at once, and no more.
#[test]
fn of_32_silent_members_two_give_way() {
    let (_dir, mut writer) = writer(MailboxLimits { members_per_room: 32, ..limits() });
    for n in 1..=33 {
        assert_eq!(join(&mut writer, PeerId([n; 32])), Joined::New { bundle: None });
    }
    assert_eq!(column(&writer, "SELECT members FROM rooms"), [31]);
    assert_eq!(
        column(&writer, "SELECT min(peer) FROM members"),
        [3],
        "who was there first, as nobody was seen later"
    );
}

#[test]
fn peers_and_memberships_are_as_many_as_they_may_be() {
    let (_dir, mut writer) =
        writer(MailboxLimits { max_peers: 2, members_per_room: 2, rooms_per_peer: 1, ..limits() });
    // Somebody to whom is written takes no place until it connects.
    store(&mut writer, ANNA, CARL, 1);
    let mut attach =
        |peer| writer.attach(peer, Timestamp(1)).unwrap().map(|attached| (attached.cursor, attached.rooms));
    assert_eq!((attach(ANNA), attach(BOB)), (Some((0, vec![])), Some((0, vec![]))));
    assert_eq!((attach(CARL), attach(DORA)), (None, None));
    assert_eq!(attach(ANNA), Some((0, vec![])), "who is known comes back");
    assert_eq!(writer.counters.peers, 2);
    writer.ack(ANNA, 99).unwrap();
    join(&mut writer, ANNA);
    let attached = writer.attach(ANNA, Timestamp(1)).unwrap().unwrap();
    assert_eq!(
        (attached.cursor, attached.rooms),
        (1, vec![room()]),
        "nothing is acknowledged before it is there"
    );
    let offline: super::super::IsOnline = Arc::new(|_| false);
    let other = RoomName::new("#other").unwrap();
    assert_eq!(writer.join(ANNA, &other, &offline).unwrap(), Joined::TooManyRooms);
    // Anna has acknowledged something, and nobody is silent who is connected.
    let online: super::super::IsOnline = Arc::new(|_| true);
    assert_eq!(writer.join(BOB, &room(), &online).unwrap(), Joined::New { bundle: None });
    assert_eq!(writer.join(DORA, &room(), &online).unwrap(), Joined::RoomFull);
}
