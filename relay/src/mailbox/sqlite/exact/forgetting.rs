//! What a sweep forgets, and what it keeps.

use super::super::super::Swept;
use super::*;

/// The wall clock of these tests; no sweep of theirs is a jump.
const NOW: u64 = 1_700_000_000_000;

fn swept(writer: &mut Writer, now: u64) -> Swept {
    writer.sweep(Timestamp(now), &[]).unwrap()
}

#[test]
fn envelopes_and_their_ids_are_forgotten_when_too_old() {
    let (_dir, mut writer) = writer(MailboxLimits { ttl_ms: 1000, ..limits() });
    // Nobody here is forgotten.
    for peer in [ANNA, BOB, CARL] {
        writer.attach(peer, Timestamp(NOW)).unwrap();
    }
    for (n, age) in [(1, 1001), (2, 1000), (3, 0)] {
        store_at(&mut writer, ANNA, Recipient::Peer(BOB), n, NOW - age);
    }
    // This one has arrived; only its id is left.
    store_at(&mut writer, ANNA, Recipient::Peer(CARL), 4, NOW - 1001);
    store_at(&mut writer, ANNA, Recipient::Peer(CARL), 5, NOW - 1000);
    writer.ack(CARL, 9).unwrap();
    assert_eq!(swept(&mut writer, NOW), Swept::default());
    assert_eq!(waiting(&writer), [2, 3]);
    assert_eq!(writer.totals.of_everybody(), 2 * SIZE);
    assert_eq!(seen(&mut writer, "SELECT n FROM seen ORDER BY n"), [2, 3, 5]);
    assert_eq!(writer.totals.ids(writer.peer_ids[&ANNA]), 3);
}

#[test]
fn a_sweep_goes_in_pieces_until_it_says_that_nothing_is_left() {
    let (_dir, mut writer) = writer(MailboxLimits { ttl_ms: 1000, sweep_rows: 2, ..limits() });
    for peer in [ANNA, BOB] {
        writer.attach(peer, Timestamp(NOW)).unwrap();
    }
    for n in 1..=5 {
        store_at(&mut writer, ANNA, Recipient::Peer(BOB), n, NOW - 2000);
    }
    let mut left = Vec::new();
    while swept(&mut writer, NOW).more {
        left.push(waiting(&writer).len());
        assert!(left.len() < 20, "{left:?}");
    }
    assert_eq!(left[..2], [3, 1]);
    assert_eq!((waiting(&writer), seen(&mut writer, "SELECT n FROM seen")), (vec![], vec![]));
    // Ids that go by themselves, behind ones that stay.
    for n in 1..=6 {
        let age = if n > 4 { 2000 } else { 0 };
        store_at(&mut writer, ANNA, Recipient::Peer(BOB), n, NOW - age);
    }
    writer.ack(BOB, 99).unwrap();
    let mut pieces = 1;
    while swept(&mut writer, NOW).more {
        pieces += 1;
        assert!(pieces < 20);
    }
    assert!(pieces >= 3);
    assert_eq!(seen(&mut writer, "SELECT count(*) FROM seen"), [4]);
}

#[test]
fn a_rooms_envelope_goes_when_every_other_member_has_it() {
    let (_dir, mut writer) = writer(limits());
    for peer in [ANNA, BOB, CARL] {
        writer.attach(peer, Timestamp(NOW)).unwrap();
        join(&mut writer, peer);
    }
    for (from, n) in [(ANNA, 1), (BOB, 2), (ANNA, 3)] {
        assert_eq!(store_at(&mut writer, from, Recipient::Room(room()), n, NOW), Outcome::Stored(n.into()));
    }
    writer.ack(BOB, 3).unwrap();
    swept(&mut writer, NOW);
    assert_eq!(waiting(&writer), [1, 2, 3], "Carl has nothing yet");
    writer.ack(CARL, 2).unwrap();
    swept(&mut writer, NOW);
    assert_eq!(waiting(&writer), [2, 3], "Anna needs none of her own, but Bob's");
    writer.ack(ANNA, 2).unwrap();
    swept(&mut writer, NOW);
    assert_eq!(waiting(&writer), [3]);
    assert_eq!(writer.totals.of_everybody(), SIZE);
}

#[test]
fn who_was_unseen_for_too_long_is_no_member_and_nobody() {
    let limits = MailboxLimits { unseen_ms: 1000, silent_ms: 1 << 40, ..limits() };
    let (_dir, mut writer) = writer(limits);
    for (peer, age) in [(ANNA, 1001), (BOB, 1000), (CARL, 1001), (DORA, 5000)] {
        writer.attach(peer, Timestamp(NOW - age)).unwrap();
        let dates = (Timestamp(1), Timestamp(NOW));
        writer.publish(peer, &Nick::new("x").unwrap(), dates, &Bytes::from(vec![7; 10])).unwrap();
        join(&mut writer, peer);
    }
    store_at(&mut writer, BOB, Recipient::Peer(CARL), 1, NOW);
    assert_eq!((writer.counters.peers, writer.counters.directory_bytes), (4, 40));
    // Dora is connected.
    let swept = writer.sweep(Timestamp(NOW), &[DORA]).unwrap();
    assert_eq!(swept, Swept { rooms: vec![room()], more: false });
    assert_eq!(column(&writer, "SELECT members FROM rooms"), [2]);
    let known: Vec<bool> =
        [ANNA, BOB, CARL, DORA].map(|peer| writer.known_peer(peer).unwrap().is_some()).into();
    assert_eq!(known, [false, true, true, true], "something waits for Carl");
    assert_eq!((writer.counters.peers, writer.counters.directory_bytes), (3, 30));
    assert_eq!(swept_again(&mut writer), Swept::default());
}

fn swept_again(writer: &mut Writer) -> Swept {
    writer.sweep(Timestamp(NOW), &[BOB, DORA]).unwrap()
}

#[test]
fn who_was_never_heard_of_is_forgotten_sooner() {
    let silent = MailboxLimits { silent_ms: 1000, max_peers: 10, ..limits() };
    let (_dir, mut writer) = writer(silent);
    for (peer, age) in [(ANNA, 1001), (BOB, 1000), (CARL, 1001), (DORA, 1001)] {
        writer.attach(peer, Timestamp(NOW - age)).unwrap();
    }
    // Carl has written, and Dora has a bundle.
    store_at(&mut writer, CARL, Recipient::Peer(BOB), 1, NOW);
    let dates = (Timestamp(1), Timestamp(NOW));
    writer.publish(DORA, &Nick::new("x").unwrap(), dates, &Bytes::from(vec![7; 10])).unwrap();
    let known =
        |writer: &mut Writer| [ANNA, BOB, CARL, DORA].map(|peer| writer.known_peer(peer).unwrap().is_some());
    assert_eq!(swept(&mut writer, NOW), Swept::default());
    assert_eq!(known(&mut writer), [false, true, true, true]);
    // More than half full: a bundle is no reason any more.
    writer.limits.max_peers = 6;
    swept(&mut writer, NOW);
    assert_eq!(known(&mut writer), [false, true, true, true], "exactly half is not more");
    writer.limits.max_peers = 5;
    swept(&mut writer, NOW);
    assert_eq!(known(&mut writer), [false, true, true, false]);
    assert_eq!((writer.counters.peers, writer.counters.directory_bytes), (2, 0));
}
