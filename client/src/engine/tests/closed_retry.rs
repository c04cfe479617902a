//! Nothing is sealed for who is no member, whatever brings an old message up again.

use chat_core::api::command::{InRoom, Retry};
use chat_core::api::{Command, CommandError, ErrorKind, MessageState, Reply};
use chat_core::{ConversationId, MessageId};

use super::closed_rooms::{DEN, at};
use super::world::World;
use crate::engine::DAY_MS;

impl World {
    fn retry(&mut self, who: &str, id: MessageId) -> Result<Reply, CommandError> {
        self.run(who, Command::Retry(Retry { id }))
    }

    fn leave(&mut self, who: &str) {
        let room: InRoom = at(DEN);
        self.run(who, Command::Leave(room)).unwrap();
        self.settle();
    }
}

/// bob, away, has written to alice and carol; meanwhile alice removes both.
fn failed_as_he_was_removed() -> (World, ConversationId, MessageId) {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "carol", "bob"]);
    world.send("bob", DEN, "hello");
    world.settle();
    world.disconnect("bob");
    // So that it can't be sealed yet: nothing of it is at the relay.
    world.relay.record.clear();
    let carol = world.id("carol");
    let message = world.send("bob", DEN, "a secret");
    world.remove("alice", DEN, "bob").unwrap();
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    world.meddle = Box::new(move |envelope| match envelope.to == chat_core::wire::Recipient::Peer(carol) {
        true => vec![],
        false => vec![envelope],
    });
    world.connect("bob");
    world.settle();
    world.meddle = Box::new(|envelope| vec![envelope]);
    assert_eq!(world.members("bob", DEN), Vec::<String>::new());
    assert_eq!(world.state("bob", message), MessageState::Failed);
    world.relay.record.clear();
    (world, room, message)
}

#[test]
fn a_retry_after_one_came_back_goes_to_who_is_a_member_now() {
    let (mut world, room, message) = failed_as_he_was_removed();
    world.admit("alice", DEN, "bob").unwrap();
    world.settle();
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
    world.retry("bob", message).unwrap();
    world.settle();
    assert!(!world.sealed_for("carol", message, room));
    assert_eq!(world.texts("alice", DEN).last().unwrap(), "a secret");
    assert_eq!(world.state("bob", message), MessageState::Delivered, "nobody waits for carol");
}

#[test]
fn nothing_is_sent_again_to_a_room_that_one_is_not_in() {
    let (mut world, room, message) = failed_as_he_was_removed();
    let error = world.retry("bob", message).unwrap_err();
    assert!(error.kind == ErrorKind::NotAllowed && error.message.contains("you are not in"), "{error}");
    world.settle();
    assert!(!world.sealed_for("carol", message, room) && !world.sealed_for("alice", message, room));
    assert_eq!(world.state("bob", message), MessageState::Failed);
}

/// The copy has failed by its age before its recipient was removed.
#[test]
fn a_copy_that_failed_before_the_removal_is_not_revived() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob", "carol"]);
    world.disconnect("carol");
    let message = world.send("alice", DEN, "for both");
    world.settle();
    for _ in 0..31 {
        world.live(3_000);
        world.pass(DAY_MS);
    }
    world.live(3 * 3_600_000);
    assert_eq!(world.state("alice", message), MessageState::Failed);
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    world.relay.record.clear();
    let error = world.retry("alice", message).unwrap_err();
    assert!(error.kind == ErrorKind::NotAllowed && error.message.contains("no longer in #den"), "{error}");
    world.settle();
    assert!(!world.sealed_for("carol", message, room));
}

/// Whoever is admitted gets what is written from then on, also if nobody was left whom it could be written to.
#[test]
fn what_was_for_one_who_is_gone_is_not_for_who_comes() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob"]);
    world.disconnect("alice");
    let message = world.send("alice", DEN, "for bob alone");
    world.remove("alice", DEN, "bob").unwrap();
    assert_eq!(world.state("alice", message), MessageState::Stored);
    world.connect("alice");
    world.admit("alice", DEN, "carol").unwrap();
    world.crash("alice");
    world.connect("alice");
    world.settle();
    for (who, id) in [("bob", message), ("carol", message)] {
        assert!(!world.sealed_for(who, id, room), "{who}");
    }
    world.leave("carol");
    assert_eq!(world.members("alice", DEN), ["alice"]);
}

/// Copies for one who is no member any more, however they came to be there, are not sealed by a new session either.
#[test]
fn a_copy_that_is_there_by_mistake_is_not_sealed() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob", "carol"]);
    let message = world.send("alice", DEN, "before");
    world.settle();
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    world.relay.record.clear();
    let carol = world.id("carol");
    let store = &world.person("alice").engine.store;
    store.begin().unwrap();
    store.revive_delivery(message, carol, chat_core::ids::Timestamp(1_700_000_000_000)).unwrap();
    store.commit().unwrap();
    world.disconnect("carol");
    world.connect("carol");
    world.make_keys("carol");
    world.settle();
    world.pass(1_000);
    world.settle();
    assert!(!world.sealed_for("carol", message, room));
    assert_eq!(world.state("alice", message), MessageState::Failed);
}
