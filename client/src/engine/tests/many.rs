//! Rooms of many: a message to all of them is sealed in slices, and holds up nothing else.

use chat_core::api::command::{History, InRoom};
use chat_core::api::handle::Request;
use chat_core::api::{Command, Destination, ErrorKind, MessageState};
use chat_core::entropy::OsEntropy;
use chat_core::identity::Identity;
use chat_core::ids::{MessageId, PeerId};
use chat_core::key_exchange::Context;
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::bundle::{Bundle, SignedBundle};
use chat_core::wire::{Envelope, FromRelay, Recipient, ToRelay};
use tokio::sync::oneshot;

use super::world::World;
use crate::engine::outbound::MAX_RECIPIENTS;
use crate::engine::{Input, Turn};

/// Sessions that a turn may begin, and a few.
const A_SLICE: usize = 64 + 8;

/// alice, and members that her relay has made up: with keys, so that she can write to them.
struct Crowd {
    world: World,
    peers: Vec<PeerId>,
}

impl Crowd {
    fn of(many: usize) -> Self {
        let mut world = World::new();
        world.quiet = true;
        // Sessions begin without one-time keys.
        world.relay.is_old = true;
        world.add("alice", "alice", 1, "aes-256-gcm");
        let engine = &world.person("alice").engine;
        let (exchange, cipher) = (engine.config.key_exchange.clone(), engine.config.cipher.clone());
        let (profile, now) = (engine.profile.clone(), engine.now);
        let mut cx = Context { now, entropy: &mut OsEntropy, cipher, binding: [0; 32] };
        // One for all: nobody opens anything.
        let payload = exchange.new_bundle(&mut cx).unwrap().payload;
        let (mut inputs, mut peers) = (Vec::new(), Vec::new());
        for n in 0..many {
            let mut seed = [0xcc; 32];
            seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let identity = Identity::from_seed(&seed);
            let bundle = Bundle {
                identity: identity.public().as_bytes().to_vec(),
                profile: profile.clone(),
                nick: Nick::new(format!("made-up-{n}")).unwrap(),
                payload: payload.clone(),
                created: now,
                expires: now.plus_ms(crate::engine::DAY_MS),
            };
            let bundle = SignedBundle::sign(&bundle, &identity).encode();
            inputs.push(Input::Record(FromRelay::Peer { bundle, online: true }));
            peers.push(identity.peer_id());
        }
        let (room, members) = (RoomName::new("#lobby").unwrap(), peers.clone());
        inputs.push(Input::Record(FromRelay::Room { room, members }));
        world.turn("alice", inputs);
        Self { world, peers }
    }

    fn turn(
        &mut self,
        command: Command,
    ) -> (Turn, Result<chat_core::api::Reply, chat_core::api::CommandError>) {
        let (reply, _) = oneshot::channel();
        let mut turn = self.world.turn("alice", vec![Input::Command(Request { command, reply })]);
        let answer = turn.answers.pop().unwrap().1;
        (turn, answer)
    }

    fn say(&mut self, text: &str) -> (MessageId, Vec<Envelope>) {
        let to = Destination::Room("#lobby".parse().unwrap());
        let send = chat_core::api::command::Send { to, text: text.into(), client_id: None };
        match self.turn(Command::Send(send)) {
            (turn, Ok(chat_core::api::Reply::Sent { id })) => (id, submitted(&turn)),
            (_, other) => panic!("{other:?}"),
        }
    }

    /// What leaves while the relay stores everything, a slice in each turn; until nothing comes any more.
    fn work_off(&mut self, mut sent: Vec<Envelope>) -> Vec<Envelope> {
        let mut all = Vec::new();
        while !sent.is_empty() {
            assert!(sent.len() <= 512 + A_SLICE, "{}", sent.len());
            let ids = sent.iter().map(|envelope| envelope.id).collect();
            all.append(&mut sent);
            sent = submitted(&self.world.turn("alice", vec![Input::Record(FromRelay::Stored { ids })]));
        }
        all
    }
}

fn submitted(turn: &Turn) -> Vec<Envelope> {
    let of = |record: &ToRelay| match record {
        ToRelay::Submit { envelopes } => envelopes.clone(),
        _ => vec![],
    };
    turn.records.iter().flat_map(of).collect()
}

/// How many copies of a message there are, no two for one peer.
fn copies(envelopes: &[Envelope], message: MessageId) -> usize {
    let mut to: Vec<PeerId> = Vec::new();
    for envelope in envelopes.iter().filter(|envelope| envelope.message == message) {
        let Recipient::Peer(peer) = envelope.to else { panic!("{envelope:?}") };
        assert!(!to.contains(&peer));
        to.push(peer);
    }
    to.len()
}

#[test]
fn a_message_to_many_is_sealed_in_slices_and_others_go_on_between_them() {
    let mut crowd = Crowd::of(300);
    let (id, first) = crowd.say("hello to all of you");
    assert!((1..=A_SLICE).contains(&first.len()), "{}", first.len());
    // It is committed for all of them, before the first copy leaves.
    assert_eq!(crowd.world.state("alice", id), MessageState::Queued);
    let of = |world: &mut World, id| world.person("alice").engine.store.deliveries_of(id).unwrap().len();
    assert_eq!(of(&mut crowd.world, id), 300);
    // Other commands are answered at once, though most are not sealed yet.
    let with = Destination::Room("#lobby".parse().unwrap());
    let (between, answer) = crowd.turn(Command::History(History { with, before: None, limit: None }));
    answer.unwrap();
    let (second, more) = crowd.say("and again");
    let sent = [first, submitted(&between), more].concat();
    let sent = crowd.work_off(sent);
    assert_eq!((copies(&sent, id), copies(&sent, second)), (300, 300));
    // To each in the order in which they were said.
    for peer in &crowd.peers {
        let to_it: Vec<MessageId> =
            sent.iter().filter(|it| it.to == Recipient::Peer(*peer)).map(|it| it.message).collect();
        assert_eq!(to_it, [id, second]);
    }
    for id in [id, second] {
        assert_eq!(crowd.world.state("alice", id), MessageState::Stored);
    }
}

/// No answer of the relay is needed for it to go on.
#[test]
fn without_a_word_of_the_relay_a_slice_follows_with_each_tick() {
    let mut crowd = Crowd::of(300);
    let (id, first) = crowd.say("hello");
    let mut count = first.len();
    for _ in 0..10 {
        let more = submitted(&crowd.world.turn("alice", vec![Input::Tick])).len();
        assert!(more <= A_SLICE, "{more}");
        count += more;
    }
    assert_eq!(count, 300);
    assert_eq!(crowd.world.state("alice", id), MessageState::Sent);
}

#[test]
fn who_dies_between_two_slices_goes_on_with_the_rest() {
    let mut crowd = Crowd::of(200);
    let (id, first) = crowd.say("hello");
    assert!(first.len() < 200);
    crowd.world.crash("alice");
    assert_eq!(crowd.world.state("alice", id), MessageState::Queued);
    crowd.world.relay = Default::default();
    crowd.world.connect("alice");
    for _ in 0..10 {
        crowd.world.pass(1_000);
    }
    let sent: Vec<Envelope> = crowd.world.relay.record.clone();
    assert_eq!(copies(&sent, id), 200);
    // What was sealed before the end is sent as it was.
    for envelope in &first {
        assert!(sent.iter().any(|it| it.id == envelope.id && it.frame == envelope.frame));
    }
    assert_eq!(crowd.world.state("alice", id), MessageState::Stored);
}

#[test]
fn beyond_the_limit_a_message_is_refused_or_has_failed_with_what_to_do() {
    let mut crowd = Crowd::of(MAX_RECIPIENTS + 1);
    let to = || Destination::Room("#lobby".parse().unwrap());
    let send = |text: &str| {
        Command::Send(chat_core::api::command::Send { to: to(), text: text.into(), client_id: None })
    };
    let (turn, answer) = crowd.turn(send("to all the world"));
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(
        ["1025 others", "1024 at most", "/create"].iter().all(|it| error.message.contains(it)),
        "{error}"
    );
    assert!(submitted(&turn).is_empty());
    // Written while nobody has said who is there, it fails when that is said.
    crowd.world.disconnect("alice");
    let id = crowd.world.send("alice", "#lobby", "good morning");
    crowd.world.connect("alice");
    let (room, members) = (RoomName::new("#lobby").unwrap(), crowd.peers.clone());
    crowd.world.turn("alice", vec![Input::Record(FromRelay::Room { room, members })]);
    assert_eq!(crowd.world.state("alice", id), MessageState::Failed);
    // Its farewell goes to whom it has to do with, which is nobody.
    let (turn, answer) = crowd.turn(Command::Leave(InRoom { room: "#lobby".parse().unwrap() }));
    answer.unwrap();
    assert!(submitted(&turn).is_empty());
}

/// News of a closed room, too: nobody's copy leaves before its recipient has been told what its author knows.
#[test]
fn a_closed_room_of_many_is_told_before_it_is_written_to() {
    let mut crowd = Crowd::of(100);
    crowd.world.disconnect("alice");
    let (room, id) = crowd.world.create("alice", "#den");
    for peer in crowd.peers.clone() {
        crowd.world.admit("alice", &room, &peer.to_string()).unwrap();
    }
    let message = crowd.world.send("alice", &room, "hello");
    crowd.world.connect("alice");
    for _ in 0..10 {
        crowd.world.pass(1_000);
    }
    let sent = &crowd.world.relay.record;
    for peer in &crowd.peers {
        let copy = chat_core::wire::membership::copy_id(id, message, *peer);
        let mut to_it = sent.iter().filter(|it| it.to == Recipient::Peer(*peer)).map(|it| it.message);
        let (told, then) = (to_it.next().unwrap(), to_it.next());
        assert!(told != copy && then == Some(copy));
        assert_eq!(to_it.next(), None);
    }
    assert_eq!(crowd.world.state("alice", message), MessageState::Stored);
}
