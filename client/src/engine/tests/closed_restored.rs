//! A member goes on from an older copy of its data, in which a closed room has other members than it has by now.

use chat_core::MessageId;
use chat_core::api::{Command, MessageState};
use chat_core::wire::body::ClosedText;

use super::closed_rooms::{DEN, at};
use super::world::World;
use crate::engine::MINUTE_MS;
use crate::engine::rooms::Kind;
use crate::roster::Log;

fn den() -> (World, chat_core::ConversationId) {
    let mut world = World::over("x25519-ratchet", &["alice", "bob", "carol", "dave"]);
    let room = world.den(&["alice", "bob", "carol"]);
    for who in ["alice", "bob", "carol"] {
        world.send(who, DEN, &format!("hello from {who}"));
        world.settle();
    }
    (world, room)
}

impl World {
    /// As a program does that was just started.
    fn goes_on(&mut self, who: &str) {
        self.make_keys(who);
        self.seconds(3);
    }

    /// It has heard of the change, confirmed it, and written since.
    fn knows(&mut self, who: &str, members: &[&str]) {
        self.settle();
        assert_eq!(self.members(who, DEN), members);
        self.send(who, DEN, "I know");
        self.settle();
    }

    fn no_roster_alarm(&mut self, people: &[&str]) {
        self.live(3 * MINUTE_MS);
        for who in people {
            assert_eq!(self.roster_alarms(who), [], "{who}");
        }
    }
}

#[test]
fn a_removal_that_a_backup_does_not_know_of_is_learned_before_anything_is_written() {
    let (mut world, room) = den();
    let backup = world.copy_of("bob");
    world.remove("alice", DEN, "carol").unwrap();
    world.knows("bob", &["alice", "bob"]);
    world.disconnect("carol");
    world.put_back("bob", backup);
    let at_once = world.send("bob", DEN, "at once");
    world.goes_on("bob");
    let later = world.send("bob", DEN, "later");
    world.seconds(3);
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
    for id in [at_once, later] {
        assert!(!world.sealed_for("carol", id, room));
        assert_eq!(world.state("bob", id), MessageState::Delivered);
    }
    assert!(world.texts("alice", DEN).ends_with(&["at once".to_owned(), "later".to_owned()]));
    world.no_roster_alarm(&["alice", "bob"]);
}

/// What was on its way when the backup was made is not sealed anew for somebody who was removed since.
#[test]
fn what_waits_in_a_backup_is_not_sealed_for_who_was_removed_since() {
    let (mut world, room) = den();
    world.disconnect("bob");
    let waiting = world.send("bob", DEN, "written before the backup");
    let backup = world.copy_of("bob");
    world.relay.record.clear();
    world.relay.boxes.clear();
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    world.put_back("bob", backup);
    world.goes_on("bob");
    assert!(!world.sealed_for("carol", waiting, room));
    assert_eq!(world.state("bob", waiting), MessageState::Delivered);
}

#[test]
fn a_member_that_a_backup_does_not_know_of_gets_what_is_written() {
    let (mut world, _) = den();
    let backup = world.copy_of("bob");
    world.admit("alice", DEN, "dave").unwrap();
    world.knows("bob", &["alice", "bob", "carol", "dave"]);
    world.put_back("bob", backup);
    let id = world.send("bob", DEN, "for all of you");
    world.goes_on("bob");
    assert_eq!(world.texts("dave", DEN).last().unwrap(), "for all of you");
    assert_eq!(world.state("bob", id), MessageState::Delivered);
    world.no_roster_alarm(&["alice", "bob", "carol", "dave"]);
}

/// One who was removed would say that it never was. Somebody else has to vouch for it; the creator for all.
#[test]
fn nobody_vouches_for_himself() {
    let (mut world, room) = den();
    world.admit("alice", DEN, "dave").unwrap();
    world.settle();
    let backup = world.copy_of("bob");
    for away in ["alice", "dave"] {
        world.disconnect(away);
    }
    world.put_back("bob", backup);
    world.goes_on("bob");
    let id = world.send("bob", DEN, "who is here?");
    world.live(MINUTE_MS);
    assert_eq!(world.state("bob", id), MessageState::Queued);
    assert!(!world.sealed_for("carol", id, room) && !world.sealed_for("alice", id, room));
    world.connect("alice");
    world.live(MINUTE_MS);
    assert!(world.sealed_for("dave", id, room), "alice has vouched for both");
    assert_eq!(world.texts("carol", DEN).last().unwrap(), "who is here?");
    // Whoever is alone in a room needs nobody.
    let (mut world, _) = den();
    world.run("bob", Command::Leave(at(DEN))).unwrap();
    world.create("bob", "#alone");
    let backup = world.copy_of("bob");
    world.put_back("bob", backup);
    let id = world.send("bob", "#alone", "note");
    assert_eq!(world.state("bob", id), MessageState::Stored);
}

/// Whom nobody but oneself could have removed, nobody else could say so of: carol, who was removed since, least of all,
/// and dave, whom she had admitted and who was removed with her, neither.
#[test]
fn who_could_have_removed_everybody_is_asked() {
    let (mut world, room) = den();
    world.admit("carol", DEN, "dave").unwrap();
    world.settle();
    let backup = world.copy_of("alice");
    let copies = ["carol", "dave"].map(|who| (who, world.copy_of(who)));
    for gone in ["dave", "carol", "bob"] {
        world.remove("alice", DEN, gone).unwrap();
    }
    world.settle();
    world.disconnect("bob");
    for (who, copy) in copies {
        world.disconnect(who);
        world.restore(who, copy);
        world.connect(who);
    }
    world.put_back("alice", backup);
    world.goes_on("alice");
    let id = world.send("alice", DEN, "who is here?");
    world.live(3 * MINUTE_MS);
    assert_eq!(world.state("alice", id), MessageState::Queued);
    assert!(!["bob", "carol", "dave"].iter().any(|who| world.sealed_for(who, id, room)));
    let asks = |world: &mut World, who: &str| {
        let what = format!("/admit #den {who}");
        world.alarms("alice").iter().any(|alarm| alarm.starts_with("Restored") && alarm.contains(&what))
    };
    assert!(asks(&mut world, "bob") && !asks(&mut world, "carol"), "the most senior of those");
    world.remove("alice", DEN, "bob").unwrap();
    world.live(MINUTE_MS);
    assert!(asks(&mut world, "carol"));
    assert!(!["bob", "carol", "dave"].iter().any(|who| world.sealed_for(who, id, room)));
    world.admit("alice", DEN, "carol").unwrap();
    world.live(MINUTE_MS);
    assert!(world.sealed_for("carol", id, room) && !world.sealed_for("bob", id, room));
    assert!(world.sealed_for("dave", id, room), "carol, of whom the user is sure, has vouched for him");
    assert_eq!(world.state("alice", id), MessageState::Delivered);
}

/// Nothing is left but the identity, and the first who tells of the room was removed from it.
#[test]
fn with_nothing_but_an_identity_the_first_who_tells_is_not_believed() {
    for alice_is_there in [false, true] {
        let (mut world, room) = den();
        let copy = world.copy_of("carol");
        world.remove("alice", DEN, "carol").unwrap();
        world.knows("bob", &["alice", "bob"]);
        for away in ["alice", "carol"] {
            world.disconnect(away);
        }
        world.restore("bob", tempfile::tempdir().unwrap());
        world.disconnect("bob");
        world.connect("bob");
        world.goes_on("bob");
        world.restore("carol", copy);
        if alice_is_there {
            world.connect("alice");
        }
        world.connect("carol");
        world.send("carol", DEN, "are you there?");
        world.seconds(10);
        let mut sent = Vec::new();
        if !alice_is_there {
            assert_eq!(world.members("bob", DEN), ["alice", "bob", "carol"]);
            sent.push(world.send("bob", DEN, "who are you?"));
            world.live(2 * MINUTE_MS);
            assert!(!world.sealed_for("carol", sent[0], room));
            world.connect("alice");
        }
        world.send("alice", DEN, "hello, bob");
        world.live(2 * MINUTE_MS);
        assert_eq!(world.members("bob", DEN), ["alice", "bob"], "alice is there: {alice_is_there}");
        sent.push(world.send("bob", DEN, "without carol"));
        world.live(MINUTE_MS);
        for id in sent {
            assert!(!world.sealed_for("carol", id, room));
            assert_eq!(world.state("bob", id), MessageState::Delivered);
        }
    }
}

/// No backup, but a copy of the folder: the first that others hear of it is a session that goes on from before.
#[test]
fn an_older_copy_of_the_folder_learns_of_a_removal() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let mut world = World::over(exchange, &["alice", "bob", "carol"]);
        let room = world.den(&["alice", "bob", "carol"]);
        for who in ["alice", "bob", "carol"] {
            world.send(who, DEN, "hello");
            world.settle();
        }
        let copy = world.copy_of("bob");
        world.remove("alice", DEN, "carol").unwrap();
        world.knows("bob", &["alice", "bob"]);
        world.disconnect("carol");
        world.disconnect("bob");
        world.restore("bob", copy);
        world.connect("bob");
        world.send("bob", DEN, "he can't know");
        world.seconds(10);
        assert_eq!(world.members("bob", DEN), ["alice", "bob"], "{exchange}");
        let id = world.send("bob", DEN, "now he knows");
        world.seconds(10);
        assert!(!world.sealed_for("carol", id, room), "{exchange}");
        assert_eq!(world.texts("alice", DEN).last().unwrap(), "now he knows", "{exchange}");
    }
}

/// What somebody has confirmed once is not taken for what it knows: a text to other members leads to comparing, always.
#[test]
fn whoever_has_confirmed_and_writes_to_other_members_is_asked() {
    let (mut world, room) = den();
    world.remove("alice", DEN, "carol").unwrap();
    world.knows("bob", &["alice", "bob"]);
    world.live(3 * MINUTE_MS);
    // Nothing but this is lost: the sessions go on.
    let engine = &mut world.person("bob").engine;
    let Kind::Closed(closed) = &mut engine.rooms.get_mut(&room).unwrap().kind else { panic!() };
    let known: Vec<_> = closed.log.from(0).cloned().collect();
    let mut older = Log::begin(known[0].clone()).unwrap();
    for operation in &known[1..known.len() - 1] {
        assert_eq!(older.insert(operation.clone()), Ok(true));
    }
    closed.log = older;
    let last = known.len() as i64 - 1;
    engine.store.db.execute("DELETE FROM room_operations WHERE n = ?", [last]).unwrap();
    let late = world.send("bob", DEN, "with carol");
    assert!(world.sealed_for("carol", late, room));
    world.settle();
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
    let id = world.send("bob", DEN, "without her");
    world.settle();
    assert!(!world.sealed_for("carol", id, room));
    world.no_roster_alarm(&["alice", "bob"]);
}

/// Old texts that come one after the other, long after their author has confirmed: each is settled by a question.
#[test]
fn late_texts_are_no_alarm() {
    let (mut world, room) = den();
    let before = {
        let engine = &world.person("bob").engine;
        let Kind::Closed(closed) = &engine.rooms[&room].kind else { panic!() };
        closed.log.roster()
    };
    world.remove("alice", DEN, "carol").unwrap();
    world.knows("bob", &["alice", "bob"]);
    let bob = world.id("bob");
    for n in 0..5 {
        let engine = &mut world.person("alice").engine;
        let text = ClosedText { roster: before, room, message: MessageId([n; 16]), text: "late".into() };
        engine.store.begin().unwrap();
        engine.compare_roster(bob, &text).unwrap();
        engine.store.commit().unwrap();
        world.seconds(5);
    }
    world.no_roster_alarm(&["alice", "bob"]);
}
