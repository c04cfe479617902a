//! The life of a message: queued, sent, stored, delivered, read, whatever crashes meanwhile.

use chat_core::api::command::{MarkRead, Send};
use chat_core::api::{Command, Destination, ErrorKind, Event, MessageState, Reply};
use chat_core::nick::MAX_TEXT_BYTES;

use super::world::World;

fn states(world: &mut World, who: &str) -> Vec<MessageState> {
    let status = |event: &Event| match event {
        Event::MessageStatus(status) => Some(status.state),
        _ => None,
    };
    world.person(who).events.iter().filter_map(status).collect()
}

/// A11, A32.
#[test]
fn a_direct_message_goes_through_every_state_and_arrives_once() {
    let mut world = World::of(&["alice", "bob"]);
    let id = world.send("alice", "bob", "hello");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    let life = [MessageState::Queued, MessageState::Sent, MessageState::Stored, MessageState::Delivered];
    assert_eq!(states(&mut world, "alice"), life);
    let with = Destination::Nick("alice".into());
    world.run("bob", Command::MarkRead(MarkRead { with, up_to: None })).unwrap();
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Read);
    assert_eq!(world.snapshot("bob").conversations.iter().map(|view| view.unread).sum::<u32>(), 0);
}

#[test]
fn a_hundred_messages_to_one_who_is_away_survive_the_crash_of_their_sender() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let ids: Vec<_> = (0..100).map(|n| world.send("alice", "bob", &format!("message {n}"))).collect();
    world.crash("alice");
    world.connect("alice");
    world.settle();
    world.connect("bob");
    world.settle();
    let expected: Vec<String> = (0..100).map(|n| format!("message {n}")).collect();
    assert_eq!(world.texts("bob", "alice"), expected);
    for id in ids {
        assert_eq!(world.state("alice", id), MessageState::Delivered);
    }
    assert_eq!(world.alarms("bob"), [""; 0]);
}

/// A16.
#[test]
fn a_resend_is_byte_identical_and_is_answered_by_a_receipt() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "first");
    world.settle();
    // Everything bob answers is lost, then alice reconnects.
    world.meddle = Box::new(|_| vec![]);
    let bob = world.id("bob");
    let id = world.send("alice", "bob", "second");
    world.meddle = Box::new(move |envelope| if envelope.from == bob { vec![] } else { vec![envelope] });
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Stored);
    world.meddle = Box::new(|envelope| vec![envelope]);
    world.relay = Default::default();
    for who in ["alice", "bob"] {
        world.disconnect(who);
        world.connect(who);
    }
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice"), ["first", "second"]);
    assert_eq!(world.alarms("bob"), [""; 0]);
    let copies: Vec<_> = world.relay.record.iter().filter(|envelope| envelope.message == id).collect();
    assert!(!copies.is_empty() && copies.iter().all(|copy| *copy == copies[0]));
}

#[test]
fn a_hole_is_held_then_shown_and_the_late_message_takes_its_place() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "one");
    world.settle();
    let kept = std::rc::Rc::new(std::cell::RefCell::new(None));
    let hold = std::rc::Rc::clone(&kept);
    let alice = world.id("alice");
    world.meddle = Box::new(move |envelope| {
        if envelope.from == alice && hold.borrow().is_none() {
            *hold.borrow_mut() = Some(envelope);
            vec![]
        } else {
            vec![envelope]
        }
    });
    let two = world.send("alice", "bob", "two");
    world.settle();
    let three = world.send("alice", "bob", "three");
    world.send("alice", "bob", "four");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one"]);
    world.pass(31_000);
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "three", "four"]);
    let told = |world: &mut World| {
        let gap = |event: &Event| match event {
            Event::MessageGap(gap) => Some((gap.before, gap.filled)),
            _ => None,
        };
        world.person("bob").events.iter().filter_map(gap).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut world), [(three, false)]);
    world.meddle = Box::new(|envelope| vec![envelope]);
    let late = kept.borrow_mut().take().unwrap();
    assert_eq!(late.message, two);
    let bob = world.id("bob");
    world.relay.boxes.entry(bob).or_default().push((1 << 40, late));
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["one", "two", "three", "four"]);
    let shown = world.snapshot("bob");
    let gaps =
        shown.conversations.iter().flat_map(|view| &view.messages).filter(|message| message.gap_before);
    assert_eq!(gaps.count(), 0);
    assert_eq!(told(&mut world), [(three, false), (three, true)]);
    assert_eq!(world.state("alice", two), MessageState::Delivered);
}

/// A16, A17.
#[test]
fn reordering_and_doubling_change_nothing() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for text in &texts {
        world.send("alice", "bob", text);
    }
    let bob = world.id("bob");
    let waiting = world.relay.boxes.get_mut(&bob).unwrap();
    let numbers: Vec<u64> = waiting.iter().map(|(n, _)| *n).collect();
    waiting.reverse();
    for (slot, n) in waiting.iter_mut().zip(numbers) {
        slot.0 = n;
    }
    world.meddle = Box::new(|envelope| vec![envelope.clone(), envelope]);
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), texts);
    assert_eq!(world.alarms("bob"), [""; 0]);
}

#[test]
fn a_client_id_makes_sending_idempotent_also_after_a_restart() {
    let mut world = World::of(&["alice", "bob"]);
    let send =
        Send { to: Destination::Nick("bob".into()), text: "once".into(), client_id: Some("c1".into()) };
    let mut ids = Vec::new();
    for crash in [false, true] {
        let Ok(Reply::Sent { id }) = world.run("alice", Command::Send(send.clone())) else { panic!() };
        ids.push(id);
        if !crash {
            world.crash("alice");
            world.connect("alice");
        }
    }
    world.settle();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(world.texts("bob", "alice"), ["once"]);
}

#[test]
fn what_cannot_be_sent_is_refused_and_changes_nothing() {
    let mut world = World::of(&["alice", "bob"]);
    for (to, text, kind) in [
        ("nobody", "x".to_owned(), ErrorKind::NotFound),
        ("alice", "x".to_owned(), ErrorKind::NotAllowed),
        ("#elsewhere", "x".to_owned(), ErrorKind::NotFound),
        ("bob", String::new(), ErrorKind::BadParams),
        ("bob", "x".repeat(MAX_TEXT_BYTES + 1), ErrorKind::TooLarge),
        (&"0".repeat(64), "x".to_owned(), ErrorKind::NotFound),
        (&"0".repeat(32), "x".to_owned(), ErrorKind::NotFound),
    ] {
        assert_eq!(world.try_send("alice", to, &text).unwrap_err().kind, kind, "{to}");
    }
    assert!(world.relay.record.is_empty());
    let id = world.send("alice", "bob", &"x".repeat(MAX_TEXT_BYTES));
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

/// A13.
#[test]
fn what_never_arrives_fails_after_thirty_days_and_may_be_retried() {
    let mut world = World::of(&["alice", "bob"]);
    world.disconnect("bob");
    let id = world.send("alice", "bob", "patience");
    world.pass(31 * 24 * 3_600_000);
    assert_eq!(world.state("alice", id), MessageState::Failed);
    // bob's keys have expired in his absence; he makes new ones and comes back.
    world.make_keys("alice");
    world.make_keys("bob");
    world.connect("bob");
    let retry = Command::Retry(chat_core::api::command::Retry { id });
    world.run("alice", retry.clone()).unwrap();
    world.settle();
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice"), ["patience"]);
    assert_eq!(world.run("alice", retry).unwrap_err().kind, ErrorKind::NotAllowed);
}

/// A35.
#[test]
fn a_turn_that_cannot_commit_has_not_happened() {
    let mut world = World::of(&["alice", "bob"]);
    world.send("alice", "bob", "before");
    world.settle();
    let sent = world.relay.record.len();
    // A disk that takes not one page more.
    let pages: i64 =
        world.person("alice").engine.store.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |world: &mut World, pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        world.person("alice").engine.store.db.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    };
    limit(&mut world, pages);
    let error = world.try_send("alice", "bob", &"x".repeat(200_000)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Store);
    assert_eq!(world.relay.record.len(), sent);
    limit(&mut world, 1 << 30);
    world.disconnect("alice");
    world.connect("alice");
    world.send("alice", "bob", "after");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["before", "after"]);
    assert_eq!(world.texts("alice", "bob"), ["before", "after"]);
    assert_eq!(world.alarms("bob"), [""; 0]);
}
