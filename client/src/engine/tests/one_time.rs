//! One-time keys: used once, erased, filled up, gone without; and what a relay may do with them.

use chat_core::ids::{OneTimeKeyId, Timestamp};
use chat_core::wire::relay::Delivery;
use chat_core::wire::{Envelope, FromRelay, Handshake, SignedOneTimeKey};

use super::world::{Meddler, World};
use crate::engine::{DAY_MS, Input, MINUTE_MS};
use chat_core::api::MessageState;

impl World {
    /// The one-time keys that first messages have named, in their order, each once a session.
    fn named(&self) -> Vec<Option<OneTimeKeyId>> {
        let mut sessions = Vec::new();
        let mut named = Vec::new();
        for envelope in &self.relay.record {
            if let Some(handshake) = &envelope.handshake
                && !sessions.contains(&envelope.session)
            {
                sessions.push(envelope.session);
                named.push(Handshake::decode(handshake).unwrap().one_time);
            }
        }
        named
    }

    fn stock_of(&mut self, who: &str) -> usize {
        let id = self.id(who);
        self.relay.one_time.get(&id).map_or(0, |keys| keys.len())
    }

    /// The secret of a key of `who`'s: none if it was never there, `Some(None)` if it was used.
    fn secret(&mut self, who: &str, id: OneTimeKeyId) -> Option<Option<usize>> {
        let key = self.person(who).engine.store.one_time_key(id).unwrap();
        key.map(|key| key.secret.map(|secret| secret.len()))
    }

    /// The first envelope that carries a handshake.
    fn first_flight(&self) -> Envelope {
        self.relay.record.iter().find(|envelope| envelope.handshake.is_some()).cloned().unwrap()
    }

    fn hand(&mut self, who: &str, envelope: Envelope) {
        let record = FromRelay::Deliver { items: vec![Delivery { n: 1_000_000, envelope }] };
        self.input(who, vec![Input::Record(record)]);
    }
}

/// Two people of whom nobody has said anything yet.
fn fresh() -> World {
    World::of(&["alice", "bob"])
}

#[test]
fn a_first_message_uses_a_key_up_and_the_owner_erases_it_and_makes_more() {
    let mut world = fresh();
    assert_eq!((world.stock_of("alice"), world.stock_of("bob")), (100, 100));
    world.disconnect("bob");
    let sent = world.send("alice", "bob", "while you are away");
    assert_eq!(world.stock_of("bob"), 99, "given out once");
    let named = world.named();
    let [Some(id)] = named[..] else { panic!("{named:?}") };
    assert_eq!(world.secret("bob", id), Some(Some(36)));
    world.connect("bob");
    world.settle();
    assert_eq!(world.state("alice", sent), MessageState::Delivered);
    assert_eq!(world.secret("bob", id), Some(None), "erased with the message that used it");
    // The session needs no other.
    world.send("bob", "alice", "hello");
    world.settle();
    assert_eq!(world.named().len(), 1);
    assert_eq!(world.alarms("alice").len() + world.alarms("bob").len(), 0);
}

#[test]
fn a_stock_that_shrinks_is_filled_up_and_not_too_often() {
    let mut world = fresh();
    world.pass(MINUTE_MS);
    let bob = world.id("bob");
    for _ in 0..30 {
        world.relay.one_time.get_mut(&bob).unwrap().pop_front();
    }
    let left = |left| vec![Input::Record(FromRelay::OneTimeKeysLeft { left })];
    world.input("bob", left(70));
    assert_eq!(world.stock_of("bob"), 100);
    // A relay that says again and again that it has none gets no more for a while.
    for _ in 0..5 {
        world.input("bob", left(0));
    }
    assert_eq!(world.stock_of("bob"), 100);
    for _ in 0..20 {
        world.pass(MINUTE_MS);
        world.input("bob", left(0));
    }
    let kept = world.person("bob").engine.store.count_one_time_keys("map", "x25519 ").unwrap();
    assert_eq!(kept, 400, "and what is kept for it is bounded");
}

/// The relay has keys whose secrets are lost: it gives them out no longer.
#[test]
fn keys_without_their_secrets_are_ended() {
    let mut world = fresh();
    let bob = world.id("bob");
    let before = world.relay.one_time[&bob].clone();
    world.disconnect("bob");
    world.person("bob").engine.store.erase_one_time_keys_but("map", 30).unwrap();
    world.pass(MINUTE_MS);
    world.connect("bob");
    assert_eq!(world.stock_of("bob"), 100);
    assert!(world.relay.one_time[&bob].iter().all(|key| !before.contains(key)));
}

#[test]
fn without_any_left_or_with_an_older_relay_a_session_begins_without() {
    let mut world = fresh();
    let bob = world.id("bob");
    world.disconnect("bob");
    world.relay.one_time.get_mut(&bob).unwrap().clear();
    let first = world.send("alice", "bob", "none is left");
    world.connect("bob");
    world.settle();
    assert_eq!((world.named(), world.state("alice", first)), (vec![None], MessageState::Delivered));

    let mut world = World::new();
    world.relay.is_old = true;
    world.add("alice", "alice", 1, "aes-256-gcm");
    world.add("bob", "bob", 2, "aes-256-gcm");
    let first = world.send("alice", "bob", "the relay keeps none");
    world.settle();
    assert_eq!((world.named(), world.state("alice", first)), (vec![None], MessageState::Delivered));
}

/// A relay that never answers holds nobody up for longer than a few seconds, nor does one that goes away.
#[test]
fn an_answer_that_never_comes_is_not_waited_for() {
    let mut world = fresh();
    let bob = world.id("bob");
    let send = chat_core::api::command::Send {
        to: chat_core::api::Destination::try_from("bob".to_owned()).unwrap(),
        text: "hello".into(),
        client_id: None,
    };
    let (reply, _answer) = tokio::sync::oneshot::channel();
    let request = chat_core::api::handle::Request { command: chat_core::api::Command::Send(send), reply };
    // Nobody hears what leaves.
    let turn = world.turn("alice", vec![Input::Command(request)]);
    let asks = |record: &chat_core::wire::ToRelay| matches!(record, chat_core::wire::ToRelay::TakeOneTimeKey { peer } if *peer == bob);
    assert!(turn.records.iter().any(asks), "{:?}", turn.records);
    for _ in 0..4 {
        world.pass(1_000);
        assert_eq!(world.named(), [], "it waits");
    }
    world.pass(1_000);
    world.settle();
    assert_eq!(world.named(), [None]);
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    // An answer that comes too late is none.
    let late = FromRelay::OneTimeKey { peer: bob, key: Some(vec![1]) };
    world.input("alice", vec![Input::Record(late)]);
    assert_eq!(world.alarms("alice"), [""; 0]);
}

/// Whatever the relay gives in place of the key that was asked for: it is told, and the message arrives.
#[test]
fn a_key_that_is_not_the_peers_is_refused_by_name() {
    let carols: Vec<u8> = {
        let mut world = World::of(&["alice", "bob", "carol"]);
        let carol = world.id("carol");
        world.relay.one_time[&carol][0].clone()
    };
    let lies: [(&str, Meddler, bool); 5] = [
        ("another peer's", Box::new(move |_, _| Some(carols.clone())), true),
        ("rubbish", Box::new(|_, _| Some(b"rubbish".to_vec())), true),
        (
            "a flipped bit",
            Box::new(|_, key| {
                key.map(|mut key| {
                    key[20] ^= 1;
                    key
                })
            }),
            true,
        ),
        ("trailing bytes", Box::new(|_, key| key.map(|key| [&key[..], &[0]].concat())), true),
        ("none", Box::new(|_, _| None), false),
    ];
    for (what, lie, alarms) in lies {
        let mut world = fresh();
        world.meddle_with_key = lie;
        let sent = world.send("alice", "bob", what);
        world.settle();
        assert_eq!(world.state("alice", sent), MessageState::Delivered, "{what}");
        assert_eq!(world.named(), [None], "{what}");
        let told = world.alarms("alice").iter().any(|alarm| alarm.contains("not this peer's"));
        assert_eq!(told, alarms, "{what}");
    }
}

#[test]
fn a_key_that_has_expired_is_not_used() {
    let mut world = fresh();
    world.disconnect("bob");
    world.pass(29 * DAY_MS);
    world.make_keys("alice");
    let bob = world.id("bob");
    let key = world.relay.one_time[&bob][0].clone();
    let expires = SignedOneTimeKey::read(&key).unwrap().expires;
    assert!(expires > world.now && expires < world.now.plus_ms(2 * DAY_MS));
    world.now = expires.plus_ms(1);
    world.input("alice", vec![]);
    assert_eq!(world.person("alice").engine.now, Timestamp(expires.0 + 1));
    let asked = world.person("alice").engine.one_time_key_of(bob).is_none();
    assert!(asked);
    world.input("alice", vec![Input::Record(FromRelay::OneTimeKey { peer: bob, key: Some(key) })]);
    let here = world.person("alice").engine.one_time_key_of(bob);
    assert!(here.is_some_and(|key| key.is_none()));
    assert_eq!(world.alarms("alice"), [""; 0]);
}

/// A relay gives bob's key to alice and to carol. The second is refused by name, and both are heard all the same.
#[test]
fn a_key_given_to_two_is_used_once() {
    let mut world = World::of(&["alice", "bob", "carol"]);
    let bob = world.id("bob");
    let twice = world.relay.one_time[&bob][0].clone();
    world.meddle_with_key = Box::new(move |owner, key| if owner == bob { Some(twice.clone()) } else { key });
    let first = world.send("alice", "bob", "from alice");
    let second = world.send("carol", "bob", "from carol");
    world.settle();
    world.pass(1_000);
    world.settle();
    assert_eq!(world.state("alice", first), MessageState::Delivered);
    assert_eq!(world.state("carol", second), MessageState::Delivered);
    let alarms = world.alarms("bob");
    assert!(
        alarms.iter().any(|alarm| alarm.starts_with("Replayed") && alarm.contains("used before")),
        "{alarms:?}"
    );
    assert_eq!(world.texts("bob", "carol"), ["from carol"]);
    let named = world.named();
    assert_eq!(named[0], named[1], "both named it");
    assert!(named[0].is_some() && named.len() == 3, "{named:?}");
}

/// A key whose secret is not here any more, nor that it was used.
#[test]
fn a_key_that_is_gone_is_refused_and_the_message_comes_all_the_same() {
    let mut world = fresh();
    world.disconnect("bob");
    let sent = world.send("alice", "bob", "hello");
    world.person("bob").engine.store.erase_one_time_keys_but("map", 0).unwrap();
    world.connect("bob");
    world.settle();
    world.pass(1_000);
    world.settle();
    assert_eq!(world.state("alice", sent), MessageState::Delivered);
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    assert_eq!(world.alarms("alice").len() + world.alarms("bob").len(), 0, "it is ordinary");
}

/// A genuine first message that names another key than the one it was made with, or none, or one though it was made with
/// none: refused, nothing erased, nothing said twice, and the genuine one opens.
#[test]
fn a_first_message_under_another_name_of_its_key_is_refused() {
    for with_key in [true, false] {
        let mut world = fresh();
        let bob = world.id("bob");
        world.disconnect("bob");
        if !with_key {
            world.meddle_with_key = Box::new(|_, _| None);
        }
        world.send("alice", "bob", "hello");
        let genuine = world.first_flight();
        let other = SignedOneTimeKey::read(&world.relay.one_time[&bob][5]).unwrap().id();
        world.relay.boxes.clear();
        world.connect("bob");
        let handshake = Handshake::decode(genuine.handshake.as_ref().unwrap()).unwrap();
        assert_eq!(handshake.one_time.is_some(), with_key);
        let names = [None, Some(other), Some(OneTimeKeyId([9; 16]))];
        let wrong = names.into_iter().filter(|name| *name != handshake.one_time);
        let damaged: Vec<Envelope> = wrong
            .map(|one_time| {
                let bytes = Handshake { one_time, ..handshake.clone() }.encode();
                Envelope { session: Handshake::session_id(&bytes), handshake: Some(bytes), ..genuine.clone() }
            })
            .collect();
        let hear = |world: &mut World, envelope: &Envelope| {
            world.hand("bob", envelope.clone());
            world.texts("bob", "alice")
        };
        for envelope in &damaged {
            assert_eq!(hear(&mut world, envelope), [""; 0], "with a key: {with_key}");
        }
        assert_eq!(world.secret("bob", other), Some(Some(36)), "no key is erased");
        assert_eq!(hear(&mut world, &genuine), ["hello"]);
        // And afterwards, when it is a replay.
        for (n, envelope) in damaged.iter().enumerate() {
            let id = chat_core::ids::EnvelopeId([n as u8; 16]);
            assert_eq!(hear(&mut world, &Envelope { id, ..envelope.clone() }), ["hello"]);
        }
        assert_eq!(world.secret("bob", other), Some(Some(36)));
    }
}

/// A crash between the commit that erases a key and the answer: the key is gone, the message is there.
#[test]
fn a_key_is_erased_in_the_commit_of_the_message_it_was_for() {
    let mut world = fresh();
    world.disconnect("bob");
    world.send("alice", "bob", "hello");
    let [Some(id)] = world.named()[..] else { panic!() };
    let envelope = world.first_flight();
    let before = world.copy_of("bob");
    world.connect("bob");
    world.hand("bob", envelope.clone());
    world.crash("bob");
    assert_eq!(world.secret("bob", id), Some(None));
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    // As if that turn had not been committed.
    world.restore("bob", before);
    assert_eq!(world.secret("bob", id), Some(Some(36)));
    world.connect("bob");
    world.hand("bob", envelope);
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
}
