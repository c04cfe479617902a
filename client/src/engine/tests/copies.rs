//! Copies of one first message: how often they make the private key do its work, and that the genuine one is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_core::KeyExchange;
use chat_core::error::CryptoError;
use chat_core::ids::MessageId;
use chat_core::key_exchange::{
    Context, NewBundle, OneTimePair, OwnBundle, PeerBundle, Properties, SavedSession, Session,
};
use chat_core::wire::{Envelope, Handshake};

use super::world::World;
use crate::engine::MINUTE_MS;

/// A key exchange that counts how often it accepts, which is when it uses the private key.
struct Counting(Arc<dyn KeyExchange>, Arc<AtomicUsize>);

impl KeyExchange for Counting {
    fn properties(&self) -> Properties {
        self.0.properties()
    }
    fn shared_options(&self) -> String {
        self.0.shared_options()
    }
    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        self.0.new_bundle(cx)
    }
    fn uses_one_time_keys(&self) -> bool {
        self.0.uses_one_time_keys()
    }
    fn one_time_keys(&self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        self.0.one_time_keys(count, cx)
    }
    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        self.0.initiate(own, peer, cx)
    }
    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.accept(own, peer, first, cx)
    }
    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        self.0.restore(saved, cx)
    }
}

/// alice has sent so many first messages to bob, all of which the relay keeps; and a count of what bob's private key does.
fn kept_back(exchange: &'static str, count: usize) -> (World, Vec<Envelope>, Arc<AtomicUsize>) {
    let mut world = World::over(exchange, &["alice", "bob"]);
    let (bob, done) = (world.id("bob"), Arc::default());
    world.meddle = Box::new(|_| vec![]);
    for n in 0..count {
        world.person("alice").engine.contacts.get_mut(&bob).unwrap().row.sending = None;
        world.send("alice", "bob", &format!("text {n}"));
        world.settle();
    }
    world.meddle = Box::new(|envelope| vec![envelope]);
    let config = &mut world.person("bob").engine.config;
    config.key_exchange = Arc::new(Counting(Arc::clone(&config.key_exchange), Arc::clone(&done)));
    let flights = world.flights();
    assert_eq!(flights.len(), count);
    (world, flights, done)
}

/// The same with a frame that does not open.
fn cut_loose(envelope: &Envelope, n: usize) -> Envelope {
    let mut copy = envelope.clone();
    let last = copy.frame.len() - 1 - n % 16;
    copy.frame[last] ^= 1 + (n / 16) as u8;
    copy
}

/// Another first message in the same name, which its author has not made.
fn forged(envelope: &Envelope, n: u8) -> Envelope {
    let mut handshake = Handshake::decode(envelope.handshake.as_ref().unwrap()).unwrap();
    *handshake.first.last_mut().unwrap() ^= n;
    let bytes = handshake.encode();
    Envelope { session: Handshake::session_id(&bytes), handshake: Some(bytes), ..envelope.clone() }
}

fn takes(world: &mut World, envelope: &Envelope) -> bool {
    let before = world.texts("bob", "alice").len();
    world.replay("bob", envelope, 999_999);
    world.texts("bob", "alice").len() > before
}

#[test]
fn copies_of_a_first_message_cost_one_use_of_the_private_key_and_the_genuine_one_is_taken() {
    for exchange in ["x25519", "x25519-ratchet"] {
        let (mut world, flights, done) = kept_back(exchange, 1);
        let genuine = &flights[0];
        for n in 0..100 {
            world.replay("bob", &cut_loose(genuine, n), n as u64);
            // Its frame opens, but the envelope is of another message.
            let relabelled = Envelope { message: MessageId([n as u8; 16]), ..genuine.clone() };
            world.replay("bob", &relabelled, 1_000 + n as u64);
        }
        assert_eq!(done.load(Ordering::Relaxed), 1, "{exchange}");
        assert!(takes(&mut world, genuine), "{exchange}");
        assert_eq!(world.texts("bob", "alice"), ["text 0"]);
        for n in 0..100 {
            world.replay("bob", &cut_loose(genuine, n), 2_000 + n as u64);
        }
        assert!(!takes(&mut world, genuine));
        assert_eq!(done.load(Ordering::Relaxed), 1, "{exchange}");
        // What it began is a session as any other, also after a restart.
        for _ in 0..2 {
            for (from, to) in [("alice", "bob"), ("bob", "alice")] {
                let id = world.send(from, to, "and on");
                world.settle();
                assert_eq!(world.state(from, id), chat_core::api::MessageState::Delivered, "{exchange}");
            }
            world.crash("bob");
            world.connect("bob");
            world.settle();
        }
    }
}

#[test]
fn each_use_of_the_private_key_is_counted_and_ten_in_an_hour_are_the_most() {
    let (mut world, flights, done) = kept_back("x25519", 12);
    for round in 0..3 {
        for (n, flight) in flights.iter().enumerate() {
            world.replay("bob", &cut_loose(flight, round), (100 * round + n) as u64);
        }
    }
    assert_eq!(done.load(Ordering::Relaxed), 10);
    assert!(takes(&mut world, &flights[0]) && !takes(&mut world, &flights[11]));
    assert_eq!(done.load(Ordering::Relaxed), 10);
    world.now = world.now.plus_ms(60 * MINUTE_MS);
    world.replay("bob", &flights[11], 12);
    assert_eq!(done.load(Ordering::Relaxed), 11);
}

/// A relay can make any number in somebody's name.
#[test]
fn forged_first_messages_cost_ten_uses_a_minute_and_the_genuine_one_is_taken_after_it() {
    let (mut world, flights, done) = kept_back("x25519", 1);
    for round in 0..3 {
        for n in 1..=50 {
            world.replay("bob", &forged(&flights[0], n), 100 * round + u64::from(n));
        }
    }
    assert_eq!(done.load(Ordering::Relaxed), 10);
    world.pass(MINUTE_MS);
    for n in 1..=10 {
        world.replay("bob", &forged(&flights[0], n), 1_000 + u64::from(n));
    }
    assert_eq!(done.load(Ordering::Relaxed), 10, "those are known");
    assert!(takes(&mut world, &flights[0]));
}
