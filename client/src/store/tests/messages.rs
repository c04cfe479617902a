use super::*;

#[test]
fn late_messages_find_a_place_beside_their_neighbour_however_many_there_are() {
    let store = store();
    let first = store.next_position(HERE).unwrap();
    store.insert_message(&from_bob(1, Some(first))).unwrap();
    assert_eq!((first, store.next_position(HERE).unwrap()), (1 << 20, 2 << 20));
    // Little room, so that there is none left on the way.
    let last = first + 40;
    store.insert_message(&from_bob(2, Some(last))).unwrap();
    // Another conversation has places of its own, and none of what follows moves them.
    assert_eq!(store.next_position(THERE).unwrap(), first);
    store.insert_message(&NewMessage { conversation: THERE, ..from_bob(3, Some(last)) }).unwrap();

    // Each just before the one that came last: the order of arrival turned round.
    let mut expected = vec![2];
    for n in 10..90 {
        let at = store.message(BOB, message(expected[0])).unwrap().unwrap().position;
        let place = store.position_before(HERE, at).unwrap();
        store.insert_message(&from_bob(n, Some(place))).unwrap();
        expected.insert(0, n);
    }
    expected.insert(0, 1);
    // Each just after the first one.
    for n in 100..180 {
        let at = store.message(BOB, message(1)).unwrap().unwrap().position;
        let place = store.position_after(HERE, at).unwrap();
        store.insert_message(&from_bob(n, Some(place))).unwrap();
        expected.insert(1, n);
    }
    assert_eq!(shown(&store), expected);
    let (rows, _) = store.history(HERE, None, 1000).unwrap();
    assert!(rows.is_sorted_by(|a, b| a.position < b.position), "no place is taken twice");
    assert!(rows.iter().all(|row| row.position > 0));
    assert_eq!(store.message(BOB, message(3)).unwrap().unwrap().position, last);
    let end = rows.last().unwrap().position;
    assert!(store.position_after(HERE, end).unwrap() > end + 1, "room is left for late ones");
}

/// A row of late ones costs a little of the space between two each, not half of what is left.
#[test]
fn a_place_is_a_step_away_or_in_the_middle_of_what_is_left() {
    const STEP: i64 = 1024;
    let store = store();
    for (n, position) in [(1, 10_000), (2, 20_000), (3, 20_010)] {
        store.insert_message(&from_bob(n, Some(position))).unwrap();
    }
    assert_eq!(store.position_before(HERE, 20_000).unwrap(), 20_000 - STEP);
    assert_eq!(store.position_after(HERE, 10_000).unwrap(), 10_000 + STEP);
    assert_eq!(store.position_before(HERE, 20_010).unwrap(), 20_005);
    assert_eq!(store.position_after(HERE, 20_000).unwrap(), 20_005);
    assert_eq!(store.position_before(HERE, 10_000).unwrap(), 10_000 - STEP);
    // Two apart there is exactly one place, and nothing moves for it.
    store.insert_message(&from_bob(4, Some(20_012))).unwrap();
    assert_eq!(store.position_before(HERE, 20_012).unwrap(), 20_011);
    assert_eq!(store.position_after(HERE, 20_010).unwrap(), 20_011);
    assert_eq!(store.message(BOB, message(4)).unwrap().unwrap().position, 20_012);
}

#[test]
fn history_comes_in_pages_and_says_whether_there_is_more() {
    let store = store();
    for n in 1..=5 {
        store.insert_message(&from_bob(n, Some(i64::from(n)))).unwrap();
    }
    store.insert_message(&from_bob(6, None)).unwrap();
    let page = |before, limit| {
        let (rows, more) = store.history(HERE, before, limit).unwrap();
        (rows.iter().map(|row| row.id.0[0]).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(None, 2), (vec![4, 5], true));
    assert_eq!(page(Some(4), 2), (vec![2, 3], true));
    assert_eq!(page(Some(4), 3), (vec![1, 2, 3], false));
    assert_eq!(page(None, 5), (vec![1, 2, 3, 4, 5], false));
    assert_eq!(page(Some(1), 2), (vec![], false));
    assert_eq!(store.history(THERE, None, 2).unwrap().0.len(), 0);
}

#[test]
fn conversations_are_listed_once_something_is_shown_in_them() {
    let store = store();
    assert_eq!(store.conversations_with_messages().unwrap(), []);
    store.insert_message(&from_bob(1, None)).unwrap();
    assert_eq!(store.conversations_with_messages().unwrap(), []);
    store.insert_message(&from_bob(2, Some(1))).unwrap();
    let room = NewMessage { conversation: THERE, in_room: true, ..mine(3, Some(1)) };
    store.insert_message(&room).unwrap();
    assert_eq!(store.conversations_with_messages().unwrap(), [(HERE, false), (THERE, true)]);
}

#[test]
fn a_held_message_is_found_by_its_links_until_it_is_shown() {
    let store = store();
    store.insert_message(&from_bob(5, None)).unwrap();
    store.insert_message(&from_bob(7, None)).unwrap();
    let held = |found: Option<HeldMessage>| found.map(|held| (held.id.0[0], held.previous[0], held.link[0]));
    let waits = Some((5, 4, 5));
    assert_eq!(held(store.held_after(HERE, BOB, [4; 16]).unwrap()), waits);
    assert_eq!(held(store.held_with(HERE, BOB, [5; 16]).unwrap()), waits);
    for (conversation, author, off) in [(THERE, BOB, 0), (HERE, EVE, 0), (HERE, BOB, 1)] {
        assert_eq!(held(store.held_after(conversation, author, [4 + off; 16]).unwrap()), None);
        assert_eq!(held(store.held_with(conversation, author, [5 + off; 16]).unwrap()), None);
        assert!(!store.has_successor(conversation, author, [4 + off; 16]).unwrap());
    }
    assert!(store.has_successor(HERE, BOB, [4; 16]).unwrap());
    assert_eq!(store.shown_with(HERE, BOB, [5; 16]).unwrap(), None);
    // The oldest that has waited long enough, or that came when the clock was ahead.
    let oldest =
        |then, ahead| held(store.oldest_held(Timestamp(then), Timestamp(ahead)).unwrap()).map(|h| h.0);
    assert_eq!((oldest(4, 9), oldest(5, 9), oldest(9, 9), oldest(0, 6)), (None, Some(5), Some(5), Some(7)));

    store.show_message(BOB, message(5), 77, true).unwrap();
    assert_eq!(held(store.held_after(HERE, BOB, [4; 16]).unwrap()), None);
    assert_eq!(held(store.held_with(HERE, BOB, [5; 16]).unwrap()), None);
    assert_eq!(store.shown_with(HERE, BOB, [5; 16]).unwrap(), Some(77));
    let after_gap = |link| store.shown_after_gap(HERE, BOB, link).unwrap().map(|row| (row.id, row.position));
    assert_eq!(after_gap([4; 16]), Some((message(5), 77)));
    assert_eq!(after_gap([5; 16]), None);
    assert_eq!(store.first_after_gap(HERE, BOB).unwrap().map(|row| row.id), Some(message(5)));
    store.set_gap(BOB, message(5), false).unwrap();
    assert_eq!(after_gap([4; 16]), None);
    assert!(store.first_after_gap(HERE, BOB).unwrap().is_none());
    assert!(!store.message(BOB, message(5)).unwrap().unwrap().gap);
}

#[test]
fn a_message_is_found_under_its_author_and_in_its_conversation_only() {
    let store = store();
    store.insert_message(&from_bob(1, Some(1))).unwrap();
    store.insert_message(&from_bob(2, None)).unwrap();
    store.insert_message(&NewMessage { client_id: Some("x"), ..mine(1, Some(2)) }).unwrap();
    assert_eq!(store.message(BOB, message(1)).unwrap().unwrap().author, BOB);
    assert_eq!(store.message(ME, message(1)).unwrap().unwrap().author, ME);
    assert!(store.message(ME, message(2)).unwrap().is_none());
    assert!(store.message_in(HERE, message(1)).unwrap().is_some());
    assert!(store.message_in(THERE, message(1)).unwrap().is_none());
    assert!(store.message_in(HERE, message(2)).unwrap().is_none(), "it is held");
    assert_eq!(store.message_by_client_id("x").unwrap(), Some(message(1)));
    assert_eq!(store.message_by_client_id("y").unwrap(), None);
    store.set_message_state(message(1), 5, Some("why")).unwrap();
    let state =
        |author| store.message(author, message(1)).unwrap().map(|row| (row.state, row.reason)).unwrap();
    assert_eq!((state(ME), state(BOB)), ((5, Some("why".to_owned())), (0, None)));
}

#[test]
fn what_was_seen_is_counted_once() {
    let store = store();
    for n in 1..=3 {
        store.insert_message(&from_bob(n, Some(i64::from(n)))).unwrap();
    }
    store.insert_message(&mine(4, Some(4))).unwrap();
    store.insert_message(&from_bob(5, None)).unwrap();
    assert_eq!((store.unread(HERE).unwrap(), store.unread(THERE).unwrap()), (3, 0));
    let seen: Vec<_> = store.mark_seen(HERE, 2).unwrap();
    assert_eq!(seen, [(BOB, message(1)), (BOB, message(2))]);
    assert_eq!(store.mark_seen(HERE, 2).unwrap(), []);
    assert_eq!(store.unread(HERE).unwrap(), 1);
    assert_eq!((store.count_mine_below(0).unwrap(), store.count_mine_below(1).unwrap()), (0, 1));
    store.insert_message(&mine(6, Some(6))).unwrap();
    assert_eq!(store.count_mine_below(1).unwrap(), 2);
}
