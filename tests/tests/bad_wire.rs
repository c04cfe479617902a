//! The wire to the relay is bad, or somebody sits on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chat_tests::profiles::{TCP_X25519, UDP_RSA};
use chat_tests::recorder::Meddler;
use chat_tests::{Node, Profile, Recorder, Relay, World};

/// alice behind a bad wire, bob on a good one; the wire is good until they have met.
struct Scene {
    world: World,
    _relay: Relay,
    _wire: Recorder,
    alice: Node,
    bob: Node,
    bad: Arc<AtomicBool>,
}

impl Scene {
    fn new(profile: Profile, meddler: Arc<Meddler>) -> Self {
        let world = World::new();
        let relay = Relay::start(&world, profile);
        let bad = Arc::new(AtomicBool::new(false));
        let is_bad = Arc::clone(&bad);
        let sometimes: Arc<Meddler> = Arc::new(move |direction, piece| match is_bad.load(Ordering::SeqCst) {
            true => meddler(direction, piece),
            false => vec![piece],
        });
        let wire = Recorder::meddling(&world, profile.network, relay.address(), sometimes);
        let alice = world.node(profile, "alice", wire.address()).guest().start();
        let bob = world.node(profile, "bob", relay.address()).guest().start();
        alice.meet(&["bob"]);
        bob.meet(&["alice"]);
        Self { world, _relay: relay, _wire: wire, alice, bob, bad }
    }

    /// Both write to each other over the bad wire. Everything arrives once, in order, without a gap and an alarm, and what
    /// is delivered is there.
    fn talk(self, rounds: usize, texts: impl Fn(&str, usize) -> Vec<String>) {
        self.bad.store(true, Ordering::SeqCst);
        let [mut of_alice, mut of_bob] = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            let (there, back) = (texts("alice", round), texts("bob", round));
            let ids = self.alice.send_all("bob", &there);
            let ids_back = self.bob.send_all("alice", &back);
            self.alice.wait_states(&ids, &["delivered"]);
            self.bob.wait_states(&ids_back, &["delivered"]);
            of_alice.extend(there);
            of_bob.extend(back);
        }
        for (node, texts) in [(&self.bob, of_alice), (&self.alice, of_bob)] {
            let got = node.wait_texts(texts.len());
            assert!(got == texts, "{} got {} of {} texts", node.process().label(), got.len(), texts.len());
        }
        for node in [&self.alice, &self.bob] {
            let bad: Vec<_> =
                node.events().into_iter().filter(|it| it.is("alarm", &[]) || it.is("msg.gap", &[])).collect();
            assert_eq!(bad, []);
        }
        drop(self.world);
    }
}

/// Counts pieces in each direction.
#[derive(Default)]
struct Counter([AtomicU64; 2]);

impl Counter {
    fn next(&self, direction: chat_tests::Direction) -> u64 {
        self.0[direction as usize].fetch_add(1, Ordering::SeqCst)
    }
}

fn flipped(mut piece: Vec<u8>, n: u64) -> Vec<u8> {
    let at = (n as usize * 7919) % piece.len().max(1);
    if let Some(byte) = piece.get_mut(at) {
        *byte ^= 1 << (n % 8);
    }
    piece
}

/// A11 to A17, A20, A35, A36: of the datagrams each way a fifth is lost, and others are doubled, swapped, flipped, cut and
/// said again much later.
#[test]
fn datagrams_lost_doubled_swapped_and_forged() {
    let (counter, held) = (Counter::default(), Mutex::new(HashMap::<u8, Vec<u8>>::new()));
    let meddler = move |direction, piece: Vec<u8>| {
        let n = counter.next(direction);
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = direction as u8;
        let earlier = held.remove(&slot);
        let mut out = match n % 20 {
            0 | 5 | 10 | 15 => Vec::new(),
            2 => vec![piece.clone(), piece],
            // This one comes behind the next one.
            4 | 13 => {
                held.insert(slot, piece);
                Vec::new()
            }
            7 => vec![flipped(piece, n)],
            9 => vec![piece[..piece.len() / 2].to_vec(), piece],
            11 => vec![vec![0xff; 100], piece],
            17 => vec![piece.clone(), flipped(piece.clone(), n), piece],
            _ => vec![piece],
        };
        out.extend(earlier);
        out
    };
    let texts = |who: &str, round: usize| {
        let long = "x".repeat(5000);
        let text = |n| format!("{who} {round}/{n} {}", if n % 10 == 3 { long.as_str() } else { "" });
        (0..40).map(text).collect()
    };
    Scene::new(UDP_RSA, Arc::new(meddler)).talk(3, texts);
}

/// B14, B19, A35, C15, C17: a stream that is cut into single bytes and joined again carries everything; and where a byte is
/// flipped, whatever it belongs to is refused, and what was not delivered is sent again.
#[test]
fn a_stream_in_single_bytes_with_a_flipped_one_now_and_then() {
    let counter = Counter::default();
    let meddler = move |direction, piece: Vec<u8>| {
        let n = counter.next(direction);
        match n % 25 {
            24 => vec![flipped(piece, n)],
            _ if piece.len() < 2000 => piece.iter().map(|&byte| vec![byte]).collect(),
            _ => vec![piece],
        }
    };
    let texts = |who: &str, round: usize| (0..5).map(|n| format!("{who} {round}/{n}")).collect();
    Scene::new(TCP_X25519, Arc::new(meddler)).talk(8, texts);
}
