//! Closed rooms: who reads what, and what everybody is told.

use chat_core::api::command::{InRoom, MemberOf, NewRoom};
use chat_core::api::event::AlarmKind;
use chat_core::api::snapshot::Counts;
use chat_core::api::{Command, CommandError, ConversationKind, ErrorKind, Event, MessageState, Reply};
use chat_core::ids::{ConversationId, PeerId};
use chat_core::room::RoomAddress;
use chat_core::wire::Recipient;

use super::world::World;
use crate::engine::MINUTE_MS;

pub(super) const DEN: &str = "#den";

pub(super) fn of(room: &str, peer: &str) -> MemberOf {
    MemberOf { room: room.parse().unwrap(), peer: peer.to_owned().try_into().unwrap() }
}

pub(super) fn at(room: &str) -> InRoom {
    InRoom { room: room.parse().unwrap() }
}

impl World {
    pub(super) fn create(&mut self, who: &str, room: &str) -> (String, ConversationId) {
        match self.run(who, Command::Create(NewRoom { room: room.to_owned().try_into().unwrap() })) {
            Ok(Reply::Created { room, conversation_id }) => (room.to_string(), conversation_id),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn admit(&mut self, who: &str, room: &str, peer: &str) -> Result<Reply, CommandError> {
        self.run(who, Command::Admit(of(room, peer)))
    }

    pub(super) fn remove(&mut self, who: &str, room: &str, peer: &str) -> Result<Reply, CommandError> {
        self.run(who, Command::Remove(of(room, peer)))
    }

    /// Names of everybody in a room, as one of them sees it.
    pub(super) fn members(&mut self, who: &str, room: &str) -> Vec<String> {
        match self.run(who, Command::Members(at(room))) {
            Ok(Reply::Members { members }) => {
                let mut names: Vec<String> = members.iter().map(|member| member.nick.clone()).collect();
                names.sort();
                names
            }
            _ => vec![],
        }
    }

    pub(super) fn roster_alarms(&mut self, who: &str) -> Vec<(Option<PeerId>, String)> {
        let alarm = |event: &Event| match event {
            Event::Alarm(alarm) if alarm.kind == AlarmKind::Roster => {
                Some((alarm.peer_id, alarm.detail.clone()))
            }
            _ => None,
        };
        self.person(who).events.iter().filter_map(alarm).collect()
    }

    /// The first one makes a room and admits the others.
    pub(super) fn den(&mut self, people: &[&str]) -> ConversationId {
        let (room, id) = self.create(people[0], DEN);
        for other in &people[1..] {
            self.admit(people[0], &room, other).unwrap();
        }
        self.settle();
        id
    }

    /// Whether anything was ever sealed for somebody after this many envelopes, other than a word about the room.
    pub(super) fn sealed_for(
        &mut self,
        who: &str,
        message: chat_core::MessageId,
        room: ConversationId,
    ) -> bool {
        let id = self.id(who);
        let copy = chat_core::wire::membership::copy_id(room, message, id);
        self.relay.record.iter().any(|it| it.to == Recipient::Peer(id) && it.message == copy)
    }
}

#[test]
fn members_read_and_nobody_else() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    let room = world.den(&["alice", "bob", "carol"]);
    let id = world.send("alice", DEN, "only us");
    world.settle();
    for who in ["alice", "bob", "carol"] {
        assert_eq!(world.texts(who, DEN), ["only us"]);
        assert_eq!(world.members(who, DEN), ["alice", "bob", "carol"]);
    }
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    let counts = Counts { stored: 2, delivered: 2, read: 0, of: 2 };
    let snapshot = world.snapshot("alice");
    let den = snapshot.conversation(room).unwrap();
    assert_eq!(den.messages[0].delivery.as_ref().unwrap().counts, Some(counts));
    assert!(
        matches!(&den.with, ConversationKind::ClosedRoom { creator, .. } if *creator == snapshot.peer_id)
    );
    assert!(world.snapshot("dave").conversation(room).is_none());
    assert!(!world.sealed_for("dave", id, room));
    // Any member admits; what was said before is not shown to who comes.
    world.admit("bob", DEN, "dave").unwrap();
    world.settle();
    world.send("carol", DEN, "welcome");
    world.settle();
    assert_eq!(world.texts("dave", DEN), ["welcome"]);
    for who in ["alice", "bob", "carol", "dave"] {
        assert_eq!(world.members(who, DEN), ["alice", "bob", "carol", "dave"]);
        assert_eq!(world.alarms(who), Vec::<String>::new());
    }
}

/// The relay sees direct messages: neither name nor id of the room, nor that two copies belong together.
#[test]
fn a_relay_does_not_learn_that_there_is_a_room() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let from = world.relay.record.len();
    let room = world.den(&["alice", "bob", "carol"]);
    let message = world.send("alice", DEN, "psst");
    world.settle();
    let direct: Vec<ConversationId> = [("alice", "bob"), ("alice", "carol"), ("bob", "carol")]
        .map(|(one, other)| chat_core::wire::envelope::direct_conversation(world.id(one), world.id(other)))
        .to_vec();
    let sent = &world.relay.record[from..];
    assert!(sent.len() >= 6, "{}", sent.len());
    let mut seen = std::collections::BTreeSet::new();
    for envelope in sent {
        assert!(direct.contains(&envelope.conversation) && envelope.conversation != room);
        assert!(envelope.message != message && seen.insert(envelope.message));
        let bytes = envelope.encode();
        for secret in [&room.0[..], &message.0[..], b"#den"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
    world.disconnect("alice");
    world.connect("alice");
    let alice = world.id("alice");
    assert!(world.relay.is_member("#lobby", alice) && !world.relay.is_member(DEN, alice));
}

#[test]
fn who_is_removed_reads_nothing_later_and_is_told() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob", "carol"]);
    world.send("alice", DEN, "before");
    world.settle();
    world.disconnect("carol");
    let waiting = world.send("bob", DEN, "while carol is away");
    world.settle();
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    // Nobody waits for carol any longer, and nothing is sealed for her.
    assert_eq!(world.state("bob", waiting), MessageState::Delivered);
    let after = [world.send("alice", DEN, "after"), world.send("bob", DEN, "after, too")];
    world.connect("carol");
    world.settle();
    assert!(after.iter().all(|&id| !world.sealed_for("carol", id, room)));
    assert_eq!(world.members("carol", DEN), Vec::<String>::new());
    assert!(world.snapshot("carol").conversation(room).is_none());
    let texts: Vec<String> =
        world.all_messages("carol", &room.to_string()).into_iter().map(|(_, text)| text).collect();
    assert!(texts.iter().all(|text| !text.starts_with("after")), "{texts:?}");
    let alice = world.id("alice");
    let told = world.person("carol").events.iter().any(
        |event| matches!(event, Event::RoomChanged(it) if !it.joined && !it.open && it.by == Some(alice)),
    );
    assert!(told);
    let error = world.try_send("carol", DEN, "let me in").unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    // She comes back only if somebody admits her again, and reads what is said then.
    let digits = RoomAddress::with_digits(DEN.to_owned().try_into().unwrap(), room, 4).to_string();
    assert_eq!(world.run("carol", Command::Join(at(&digits))).unwrap_err().kind, ErrorKind::NotAllowed);
    world.admit("bob", DEN, "carol").unwrap();
    world.settle();
    world.send("alice", DEN, "again");
    world.settle();
    assert_eq!(world.texts("carol", DEN).last().unwrap(), "again");
    assert!(!world.texts("carol", DEN).contains(&"after".to_owned()));
    for who in ["alice", "bob", "carol"] {
        assert_eq!(world.roster_alarms(who), [], "{who}");
    }
}

#[test]
fn who_may_do_what() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    world.den(&["alice", "bob", "carol"]);
    let kind = |result: Result<Reply, CommandError>| result.map(drop).map_err(|error| error.kind);
    assert_eq!(kind(world.remove("bob", DEN, "alice")), Err(ErrorKind::NotAllowed));
    assert_eq!(kind(world.remove("carol", DEN, "bob")), Err(ErrorKind::NotAllowed));
    assert_eq!(kind(world.remove("alice", DEN, "dave")), Err(ErrorKind::NotFound));
    assert_eq!(kind(world.admit("dave", DEN, "dave")), Err(ErrorKind::NotFound));
    assert_eq!(kind(world.admit("alice", "#lobby", "dave")), Err(ErrorKind::NotAllowed));
    assert_eq!(kind(world.admit("alice", DEN, "nobody")), Err(ErrorKind::NotFound));
    assert_eq!(kind(world.admit("alice", DEN, "bob")), Ok(()));
    assert_eq!(kind(world.remove("bob", DEN, "carol")), Ok(()));
    world.settle();
    assert_eq!(world.members("alice", DEN), ["alice", "bob"]);
    // The creator may leave; the room goes on.
    world.run("alice", Command::Leave(at(DEN))).unwrap();
    world.settle();
    assert_eq!(world.members("bob", DEN), ["bob"]);
    world.admit("bob", DEN, "dave").unwrap();
    world.settle();
    assert_eq!(world.members("dave", DEN), ["bob", "dave"]);
    assert_eq!(world.members("alice", DEN), Vec::<String>::new());
}

#[test]
fn rooms_of_one_name_stay_apart() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let (first, first_id) = world.create("alice", "#lobby");
    assert_eq!(first, format!("#lobby·{}", first_id.short()));
    world.admit("alice", &first, "carol").unwrap();
    let (second, _) = world.create("bob", "#lobby");
    world.admit("bob", &second, "carol").unwrap();
    world.settle();
    assert_ne!(first, second);
    world.send("alice", &first, "of alice");
    world.send("bob", &second, "of bob");
    world.send("alice", "#lobby", "open");
    world.settle();
    assert_eq!(world.texts("carol", &first), ["of alice"]);
    assert_eq!(world.texts("carol", &second), ["of bob"]);
    assert_eq!(world.texts("carol", "#lobby"), ["open"]);
    assert_eq!(world.texts("bob", &first), Vec::<String>::new());
    world.crash("carol");
    world.connect("carol");
    assert_eq!(world.texts("carol", &second), ["of bob"]);
}

/// Both ends of each change were away in turn; everything is as if they had been there.
#[test]
fn who_was_away_catches_up() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]);
    world.den(&["alice", "bob"]);
    world.disconnect("bob");
    world.admit("alice", DEN, "carol").unwrap();
    world.settle();
    world.send("carol", DEN, "hello bob");
    world.settle();
    world.remove("alice", DEN, "carol").unwrap();
    world.admit("alice", DEN, "dave").unwrap();
    world.send("alice", DEN, "hello all");
    world.settle();
    world.crash("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.members("bob", DEN), ["alice", "bob", "dave"]);
    assert!(world.texts("bob", DEN).contains(&"hello all".to_owned()));
    let id = world.send("bob", DEN, "back");
    world.settle();
    assert_eq!(world.state("bob", id), MessageState::Delivered);
    assert_eq!(world.texts("dave", DEN), ["hello all", "back"]);
    for who in ["alice", "bob", "dave"] {
        assert_eq!(world.roster_alarms(who), [], "{who}");
    }
}

#[test]
fn changes_at_once_converge() {
    let mut world = World::of(&["alice", "bob", "carol", "dave", "erin"]);
    world.den(&["alice", "bob", "carol"]);
    for who in ["alice", "bob"] {
        world.disconnect(who);
    }
    world.remove("alice", DEN, "carol").unwrap();
    world.admit("alice", DEN, "dave").unwrap();
    world.admit("bob", DEN, "erin").unwrap();
    world.admit("carol", DEN, "dave").unwrap();
    world.settle();
    for who in ["alice", "bob"] {
        world.connect(who);
    }
    world.settle();
    for _ in 0..3 {
        world.pass(MINUTE_MS);
        world.settle();
    }
    for who in ["alice", "bob", "dave", "erin"] {
        assert_eq!(world.members(who, DEN), ["alice", "bob", "dave", "erin"], "{who}");
    }
    assert_eq!(world.members("carol", DEN), Vec::<String>::new());
}

/// bob is removed, does not know it yet, and admits carol: for all who know both, carol never came. She has to learn that,
/// though nobody has removed her. Found by simulation, seed 31.
#[test]
fn who_was_admitted_by_one_who_had_been_removed_is_told() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob"]);
    let (alice, bob) = (world.id("alice"), world.id("bob"));
    world.meddle = Box::new(move |envelope| {
        let kept = envelope.from == alice && envelope.to == Recipient::Peer(bob);
        if kept { vec![] } else { vec![envelope] }
    });
    world.remove("alice", DEN, "bob").unwrap();
    world.admit("bob", DEN, "carol").unwrap();
    world.settle();
    assert_eq!(world.members("carol", DEN), ["alice", "bob", "carol"], "as far as she knows");
    let said = world.send("carol", DEN, "hello?");
    world.settle();
    world.meddle = Box::new(|envelope| vec![envelope]);
    for _ in 0..4 {
        world.pass(2 * MINUTE_MS);
        world.settle();
    }
    assert_eq!(world.members("alice", DEN), ["alice"]);
    for who in ["bob", "carol"] {
        assert_eq!(world.members(who, DEN), Vec::<String>::new(), "{who}");
        assert!(world.snapshot(who).conversation(room).is_none(), "{who}");
    }
    assert_eq!(world.state("carol", said), MessageState::Failed, "nobody reads it, and she is told so");
    assert_eq!(world.texts("alice", DEN), Vec::<String>::new());
}

/// Found by simulation, seed 31.
#[test]
fn what_was_written_to_nobody_who_is_left_does_not_wait_for_ever() {
    let mut world = World::of(&["alice", "bob"]);
    world.den(&["alice", "bob"]);
    world.disconnect("alice");
    let said = world.send("alice", DEN, "still there?");
    assert_eq!(world.state("alice", said), MessageState::Queued);
    world.remove("alice", DEN, "bob").unwrap();
    assert_eq!(world.state("alice", said), MessageState::Stored);
    world.crash("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(world.state("alice", said), MessageState::Stored);
    assert_eq!(world.texts("bob", DEN), Vec::<String>::new());
}

/// Nobody writes; still, what was kept back arrives after a while.
#[test]
fn what_was_kept_back_is_told_again() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    world.den(&["alice", "bob", "carol"]);
    world.meddle = Box::new(|_| vec![]);
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    world.meddle = Box::new(|envelope| vec![envelope]);
    assert_eq!(world.members("bob", DEN), ["alice", "bob", "carol"]);
    world.pass(2 * MINUTE_MS);
    world.settle();
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
    assert_eq!(world.members("carol", DEN), Vec::<String>::new());
    // Told, confirmed, and quiet from then on.
    let before = world.relay.record.len();
    for _ in 0..5 {
        world.pass(2 * MINUTE_MS);
        world.settle();
    }
    assert_eq!(world.relay.record.len(), before);
}

/// Every envelope is delivered again, later: an old admission admits nobody who was removed.
#[test]
fn what_is_replayed_changes_nothing() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let room = world.den(&["alice", "bob", "carol"]);
    world.remove("alice", DEN, "carol").unwrap();
    world.settle();
    let old = world.relay.record.clone();
    for mut envelope in old {
        let Recipient::Peer(to) = envelope.to else { continue };
        envelope.id = chat_core::EnvelopeId(rand_id(&mut world));
        world.relay.boxes.entry(to).or_default().push((u64::MAX / 2, envelope));
    }
    world.settle();
    for who in ["alice", "bob"] {
        assert_eq!(world.members(who, DEN), ["alice", "bob"]);
    }
    let id = world.send("bob", DEN, "still only us");
    world.settle();
    assert!(!world.sealed_for("carol", id, room));
}

fn rand_id(world: &mut World) -> [u8; 16] {
    world.person("alice").engine.entropy.bytes::<16>().unwrap()
}

/// A message for a room that is not known is refused without a trace, and the answer to the question about it is what
/// was missing: the receiver had lost its store.
#[test]
fn a_member_that_lost_everything_is_told_again() {
    let mut world = World::of(&["alice", "bob"]);
    let empty = world.copy_of("bob");
    world.den(&["alice", "bob"]);
    world.disconnect("bob");
    world.restore("bob", empty);
    world.connect("bob");
    world.settle();
    let id = world.send("alice", DEN, "do you read me?");
    world.settle();
    for _ in 0..4 {
        world.relay.forget_what_was_had();
        world.pass(2 * MINUTE_MS);
        world.settle();
    }
    assert_eq!(world.members("bob", DEN), ["alice", "bob"]);
    assert_eq!(world.state("alice", id), MessageState::Delivered);
    assert_eq!(world.texts("bob", DEN), ["do you read me?"]);
}

#[test]
fn a_profile_that_requires_closed_rooms_joins_no_open_one() {
    let mut world = World::of(&["alice", "bob"]);
    world.person("alice").engine.config.closed_rooms_only = true;
    let error = world.run("alice", Command::Join(at("#next"))).unwrap_err();
    assert!(error.kind == ErrorKind::NotAllowed && error.message.contains("closed-rooms"), "{error}");
    assert_eq!(world.run("alice", Command::Join(at("#lobby"))).map(drop), Ok(()), "it is there already");
    world.create("alice", DEN);
}
