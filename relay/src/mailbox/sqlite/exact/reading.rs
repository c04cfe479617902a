//! Pages, rosters and what is found in the directory.

use super::super::super::{Page, Query};
use super::super::reader;
use super::*;

fn page(writer: &Writer, peer: PeerId, after: u64, max_items: usize, max_bytes: usize) -> Page {
    let recent = &writer.shared.recent;
    let (page, list_is_damaged) =
        reader::waiting(&writer.db, recent, peer, after, max_items, max_bytes).unwrap();
    assert!(!list_is_damaged);
    page
}

fn numbers(page: &Page) -> Vec<u64> {
    page.items.iter().map(|(n, _)| *n).collect()
}

/// A new transaction's numbers, as a commit writes them.
fn commit_counters(writer: &Writer) {
    let next_n = writer::to_sql(writer.counters.next_n);
    writer.db.execute("UPDATE counters SET next_n = ?1", [next_n]).unwrap();
}

#[test]
fn a_page_ends_at_its_bounds_and_says_whether_there_is_more() {
    let (_dir, mut writer) = writer(limits());
    for n in 1..=4 {
        store(&mut writer, ANNA, BOB, n);
    }
    store(&mut writer, ANNA, CARL, 5);
    commit_counters(&writer);
    let size = SIZE as usize;
    let bounds = [
        // What was asked for, what is given, up to where, and whether there is more.
        ((0, 9, 9 * size), vec![1, 2, 3, 4], 5, false),
        ((0, 4, 9 * size), vec![1, 2, 3, 4], 5, false),
        ((0, 3, 9 * size), vec![1, 2, 3], 3, true),
        ((1, 3, 9 * size), vec![2, 3, 4], 5, false),
        ((0, 9, 2 * size), vec![1, 2], 2, true),
        ((0, 9, 2 * size - 1), vec![1], 1, true),
        ((0, 0, 0), vec![1], 1, true),
        ((3, 1, 0), vec![4], 5, false),
        ((4, 9, 9), vec![], 5, false),
        ((9, 9, 9), vec![], 9, false),
    ];
    for ((after, items, bytes), expected, through, more) in bounds {
        let page = page(&writer, BOB, after, items, bytes);
        assert_eq!(
            (numbers(&page), page.through, page.more),
            (expected, through, more),
            "{after} {items} {bytes}"
        );
        assert!(page.damaged.is_empty());
        assert!(page.items.iter().all(|(n, bytes)| bytes[..] == [*n as u8; 100]));
    }
    let stranger = page(&writer, DORA, 0, 9, 9);
    assert_eq!((numbers(&stranger), stranger.through, stranger.more), (vec![], 5, false));
    writer.db.execute("UPDATE log SET envelope = x'00' WHERE n = 2", []).unwrap();
    let damaged = page(&writer, BOB, 0, 9, 9 * size);
    assert_eq!((numbers(&damaged), damaged.damaged), (vec![1, 3, 4], vec![2]));
}

#[test]
fn a_member_gets_of_its_rooms_what_others_wrote_since_it_joined() {
    let (_dir, mut writer) = writer(limits());
    join(&mut writer, ANNA);
    post(&mut writer, ANNA, 1);
    join(&mut writer, BOB);
    post(&mut writer, ANNA, 2);
    post(&mut writer, BOB, 3);
    store(&mut writer, ANNA, BOB, 4);
    post(&mut writer, ANNA, 5);
    commit_counters(&writer);
    assert_eq!(numbers(&page(&writer, BOB, 0, 9, 9999)), [2, 4, 5]);
    assert_eq!(numbers(&page(&writer, ANNA, 0, 9, 9999)), [3]);
    writer.ack(BOB, 4).unwrap();
    assert_eq!(numbers(&page(&writer, BOB, 0, 9, 9999)), [5], "whatever it asks for");
}

#[test]
fn a_roster_comes_in_pieces_of_256_members_or_so_many_bytes() {
    let (_dir, mut writer) = writer(MailboxLimits { members_per_room: 1000, ..limits() });
    let peer = |n: u16| PeerId::from_slice(&[&[7; 30][..], &n.to_be_bytes()].concat()).unwrap();
    for n in 0..257 {
        join(&mut writer, peer(n));
    }
    let roster = |writer: &Writer, position, max_bytes| {
        let roster = reader::roster(&writer.db, &room(), position, max_bytes).unwrap();
        (roster.entries.len(), roster.next)
    };
    assert_eq!(roster(&writer, 0, 9999), (256, Some(256)));
    assert_eq!(roster(&writer, 1, 9999), (256, None));
    assert_eq!(roster(&writer, 256, 9999), (1, None));
    let nick = Nick::new("anna").unwrap();
    for n in 0..3 {
        let dates = (Timestamp(1), Timestamp(1));
        writer.publish(peer(n), &nick, dates, &Bytes::from(vec![7; 10])).unwrap();
    }
    // The piece ends with the member that reaches the bound.
    let ends = [0, 10, 11, 20, 21, 30].map(|max_bytes| roster(&writer, 0, max_bytes).0);
    assert_eq!(ends, [1, 1, 2, 2, 3, 3]);
}

#[test]
fn as_many_are_found_as_fit_those_first_who_were_first() {
    let (_dir, mut writer) = writer(limits());
    let nick = Nick::new("anna").unwrap();
    for n in 1..=70 {
        let dates = (Timestamp(1), Timestamp(1));
        writer.publish(PeerId([n; 32]), &nick, dates, &Bytes::from(vec![n; 10])).unwrap();
    }
    let find = |whom: Query, max_bytes| {
        let found = reader::find(&writer.db, &whom, max_bytes).unwrap();
        found.iter().map(|entry| entry.peer.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(find(Query::Peer(BOB), 0), [2]);
    assert_eq!(find(Query::Peer(PeerId([99; 32])), 0), [0_u8; 0]);
    assert_eq!(find(Query::Nick(Nick::new("bob").unwrap()), 99), [0_u8; 0]);
    for (max_bytes, expected) in [(0, 1), (19, 1), (20, 2), (29, 2), (9999, 64)] {
        assert_eq!(find(Query::Nick(nick.clone()), max_bytes), (1..=expected).collect::<Vec<_>>());
    }
}

#[test]
fn known_is_who_has_connected() {
    let (_dir, mut writer) = writer(limits());
    store(&mut writer, ANNA, BOB, 1);
    assert!(!reader::knows(&writer.db, BOB).unwrap());
    writer.attach(BOB, Timestamp(0)).unwrap();
    assert!(reader::knows(&writer.db, BOB).unwrap() && !reader::knows(&writer.db, ANNA).unwrap());
}
