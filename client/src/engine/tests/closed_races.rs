//! Who is in a closed room is in doubt: honest races, of which nobody needs to hear, and what is none.

use chat_core::api::{Command, MessageState};
use chat_core::wire::FromRelay;
use chat_core::wire::Recipient;
use chat_core::wire::body::ClosedText;

use super::closed_rooms::{DEN, at};
use super::world::World;
use crate::engine::{HOUR_MS, Input, MINUTE_MS};

/// As long as two who are both there have to agree.
const GRACE_MS: u64 = 30_000;

impl World {
    /// Nobody was told of any doubt, at once or later.
    fn all_is_quiet(&mut self, people: &[&str]) {
        self.live(3 * MINUTE_MS);
        for who in people {
            assert_eq!(self.alarms(who), [""; 0], "{who}");
        }
    }

    /// Whatever one sends to another is lost, until `meddle` is set again.
    fn keep_back(&mut self, from: &str, to: &str) {
        let (from, to) = (self.id(from), Recipient::Peer(self.id(to)));
        self.meddle =
            Box::new(
                move |envelope| {
                    if envelope.from == from && envelope.to == to { vec![] } else { vec![envelope] }
                },
            );
    }

    fn let_through(&mut self) {
        self.meddle = Box::new(|envelope| vec![envelope]);
    }
}

#[test]
fn texts_that_cross_an_admission_are_no_alarm() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob"]);
    world.admit("alice", DEN, "carol").unwrap();
    let crossing = world.send("bob", DEN, "not heard yet");
    world.settle();
    world.send("bob", DEN, "heard");
    world.settle();
    assert_eq!(world.texts("alice", DEN), ["not heard yet", "heard"]);
    assert_eq!(world.texts("carol", DEN), ["heard"]);
    assert_eq!(world.state("bob", crossing), MessageState::Delivered);
    world.all_is_quiet(&["alice", "bob", "carol"]);
}

#[test]
fn texts_that_cross_a_removal_are_no_alarm() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob", "carol"]);
    world.remove("alice", DEN, "carol").unwrap();
    world.send("bob", DEN, "from bob");
    let late = world.send("carol", DEN, "from carol");
    world.settle();
    assert_eq!(world.texts("alice", DEN), ["from bob"]);
    assert_eq!(world.state("carol", late), MessageState::Failed);
    world.all_is_quiet(&["alice", "bob", "carol"]);
}

#[test]
fn a_text_to_somebody_who_just_left_is_no_alarm() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob", "carol"]);
    world.run("carol", Command::Leave(at(DEN))).unwrap();
    let id = world.send("bob", DEN, "are you leaving?");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered, "nobody waits for carol");
    world.all_is_quiet(&["alice", "bob", "carol"]);
}

/// Three say something at once, and all of them write: each sees members that are no stage of its own way.
#[test]
fn changes_at_once_with_texts_in_between_are_no_alarm() {
    let mut world = World::of(&["alice", "bob", "carol", "dave", "erin", "frank"]);
    world.den(&["alice", "bob", "carol"]);
    world.admit("alice", DEN, "dave").unwrap();
    world.admit("bob", DEN, "erin").unwrap();
    world.admit("carol", DEN, "frank").unwrap();
    for who in ["alice", "bob", "carol"] {
        world.send(who, DEN, &format!("{who} to some"));
    }
    world.settle();
    world.all_is_quiet(&["alice", "bob", "carol", "dave", "erin", "frank"]);
    for who in ["alice", "bob", "carol", "dave", "erin", "frank"] {
        assert_eq!(world.members(who, DEN).len(), 6, "{who}");
        world.send(who, DEN, &format!("{who} to all"));
        world.settle();
    }
    assert_eq!(world.texts("frank", DEN).iter().filter(|text| text.ends_with("to all")).count(), 6);
    world.all_is_quiet(&["alice", "bob", "carol", "dave", "erin", "frank"]);
}

/// What is written without a link is written to the members of then; hours may lie between.
#[test]
fn what_was_written_while_away_is_no_alarm() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob", "carol"]);
    for who in ["bob", "carol"] {
        world.disconnect(who);
    }
    world.remove("alice", DEN, "carol").unwrap();
    world.pass(HOUR_MS);
    world.send("bob", DEN, "bob in a tunnel");
    world.send("carol", DEN, "carol too");
    world.pass(2 * HOUR_MS);
    world.connect("bob");
    world.settle();
    world.connect("carol");
    world.settle();
    assert_eq!(world.texts("alice", DEN), ["bob in a tunnel"]);
    world.all_is_quiet(&["alice", "bob", "carol"]);
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
}

/// He goes again before he could hear of it: as long as he is away, that says nothing.
#[test]
fn whoever_goes_before_the_answer_is_waited_for() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob", "carol"]);
    world.disconnect("bob");
    world.remove("alice", DEN, "carol").unwrap();
    world.send("bob", DEN, "in a tunnel");
    world.keep_back("alice", "bob");
    world.connect("bob");
    world.settle();
    world.pass(GRACE_MS / 2);
    world.disconnect("bob");
    world.live(10 * MINUTE_MS);
    world.let_through();
    world.connect("bob");
    world.settle();
    world.all_is_quiet(&["alice", "bob", "carol"]);
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
}

/// What is settled is forgotten: the next race is one of its own, however much later.
#[test]
fn a_race_now_and_then_adds_up_to_nothing() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob"]);
    for n in 0..6 {
        match n % 2 {
            0 => world.admit("alice", DEN, "carol").unwrap(),
            _ => world.remove("alice", DEN, "carol").unwrap(),
        };
        world.send("bob", DEN, &format!("crossing {n}"));
        world.settle();
        world.pass(HOUR_MS);
        world.settle();
    }
    assert_eq!(world.texts("alice", DEN).len(), 6);
    world.all_is_quiet(&["alice", "bob", "carol"]);
}

/// How often two compare is limited. A race that comes when they may not yet is none the less a race.
#[test]
fn races_one_upon_the_other_are_no_alarm() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob"]);
    for n in 0..20 {
        match n % 2 {
            0 => world.admit("alice", DEN, "carol").unwrap(),
            _ => world.remove("alice", DEN, "carol").unwrap(),
        };
        for who in ["bob", "carol"] {
            // She is not always in it.
            drop(world.try_send(who, DEN, &format!("crossing {n}")));
        }
        world.settle();
        world.pass(20_000);
        world.settle();
    }
    world.all_is_quiet(&["alice", "bob", "carol"]);
}

/// A member that says it knows the same, and writes to members that no change leads to, is at no race.
#[test]
fn members_that_no_change_leads_to_are_an_alarm() {
    for knows_the_same in [true, false] {
        let mut world = World::of(&["alice", "bob", "carol"]);
        let room = world.den(&["alice", "bob"]);
        let bob = world.id("bob");
        if !knows_the_same {
            world.admit("alice", DEN, "carol").unwrap();
        }
        let message = world.send("bob", DEN, "hello");
        let engine = &mut world.person("alice").engine;
        let text = ClosedText { roster: [9; 16], room, message, text: "hello".into() };
        engine.store.begin().unwrap();
        engine.compare_roster(bob, &text).unwrap();
        engine.store.commit().unwrap();
        world.settle();
        // Both say what they know, if not at once, then when it is told again.
        world.live(2 * MINUTE_MS);
        let alarms = world.roster_alarms("alice");
        let [(Some(who), what)] = &alarms[..] else { panic!("{knows_the_same}: {alarms:?}") };
        assert!(*who == bob && what.contains("that no change of the room leads to"), "{what}");
    }
}

/// The relay keeps the removal of carol from bob. As soon as bob writes, alice sees whom he wrote to, and he hears of it.
#[test]
fn a_removal_that_is_kept_back_is_an_alarm_and_heals() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob", "carol"]);
    let bob = world.id("bob");
    world.keep_back("alice", "bob");
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    assert_eq!(world.members("bob", DEN), ["alice", "bob", "carol"]);
    let late = world.send("bob", DEN, "is carol here?");
    assert!(world.sealed_for("carol", late, room), "he can't know");
    world.settle();
    world.live(GRACE_MS - 1_000);
    assert_eq!(world.roster_alarms("alice"), [], "the news may be on its way");
    world.live(5 * MINUTE_MS);
    let [(Some(who), what)] = &world.roster_alarms("alice")[..] else { panic!("one alarm") };
    assert_eq!(*who, bob);
    assert!(what.contains("bob") && what.contains("still has carol") && what.contains(DEN), "{what}");
    world.let_through();
    world.live(10 * MINUTE_MS);
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
    let id = world.send("bob", DEN, "now I know");
    world.settle();
    assert!(!world.sealed_for("carol", id, room));
    assert_eq!(world.state("bob", id), MessageState::Delivered);
    assert_eq!(world.texts("alice", DEN), ["is carol here?", "now I know"]);
}

/// An admission that is kept back: what the one writes does not reach the other, which the third one sees.
#[test]
fn a_member_who_is_hidden_is_an_alarm_and_heals() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob"]);
    world.keep_back("alice", "bob");
    world.admit("alice", DEN, "carol").unwrap();
    world.settle();
    for n in 0..5 {
        world.send("bob", DEN, &format!("just us two {n}"));
        world.live(GRACE_MS / 4);
    }
    let alarms = world.roster_alarms("alice");
    assert!(alarms.len() == 1 && alarms[0].1.contains("lacks carol"), "{alarms:?}");
    world.let_through();
    world.live(10 * MINUTE_MS);
    world.send("bob", DEN, "all three");
    world.settle();
    assert_eq!(world.texts("carol", DEN), ["all three"]);
}

/// The relay says that bob is not there, though he writes on and on: he hears of nothing, and alice is told.
#[test]
fn one_who_is_heard_from_is_there_whatever_the_relay_says() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob", "carol"]);
    let bob = world.id("bob");
    // She would tell him.
    world.disconnect("carol");
    world.keep_back("alice", "bob");
    world.remove("alice", DEN, "carol").unwrap();
    world.input("alice", vec![Input::Record(FromRelay::Presence { peer: bob, online: false })]);
    for n in 0..10 {
        world.send("bob", DEN, &format!("{n}"));
        world.live(GRACE_MS / 4);
    }
    assert_eq!(world.roster_alarms("alice").len(), 1);
}

/// Who was removed and pretends not to know it is not shown, and everybody is told.
#[test]
fn who_writes_without_being_a_member_is_not_shown() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob", "carol"]);
    let carol = world.id("carol");
    world.meddle =
        Box::new(move |envelope| if envelope.to == Recipient::Peer(carol) { vec![] } else { vec![envelope] });
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    let id = world.send("carol", DEN, "am I here?");
    world.settle();
    world.live(GRACE_MS + 1_000);
    for who in ["alice", "bob"] {
        assert_eq!(world.texts(who, DEN), Vec::<String>::new());
        let alarms = world.roster_alarms(who);
        assert!(alarms.len() == 1 && alarms[0].0 == Some(carol), "{alarms:?}");
    }
    assert!(matches!(world.state("carol", id), MessageState::Stored));
    world.meddle = Box::new(|envelope| vec![envelope]);
    world.pass(2 * MINUTE_MS);
    world.settle();
    assert_eq!(world.state("carol", id), MessageState::Failed, "and she is told that it was not read");
    assert!(world.snapshot("carol").conversation(room).is_none());
}
