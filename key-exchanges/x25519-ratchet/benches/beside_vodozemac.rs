//! The ratchet beside that of `vodozemac` (Olm), in the same run and in turn, so that the ratios hold on a busy machine.
//!
//! What is compared is what each program has to do for a message: text to bytes, bytes to text. Rows say whether the state
//! is saved after each step, as it must be before a message leaves or is answered for: here by `Session::save`, there by
//! `pickle()` as JSON, which is how its users keep it. Both have precomputed tables, both erase their secrets.
//!
//! Set-up is: Alice has Bob's signed keys, among them a one-time key; then both sides until Bob has read the first
//! message. There is a row beside vodozemac alone, which leaves signatures to its users, and one beside vodozemac with the
//! two checks that Matrix asks for at Alice's end (device keys, one-time key) and the one at Bob's (device keys).
#![allow(clippy::expect_used, reason = "a benchmark that can't be set up has nothing to say")]
#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::hint::black_box;
use std::sync::Arc;

use chat_core::key_exchange::{OwnBundle, PeerBundle, Session, Step};
use chat_core::nick::Nick;
use chat_core::testing::TestEntropy;
use chat_core::testing::key_exchange::{NOW, Party, Scene, bundle_context};
use chat_core::wire::{Bundle, OneTimeKey, SignedBundle, SignedOneTimeKey, StackProfile, WIRE_VERSION};
use chat_core::{Cipher, OsEntropy, Plugin as _};
use cipher_aes_gcm::Aes256Gcm;
use cipher_chacha20_poly1305::XChaCha;
use key_exchange_x25519_ratchet::{MAX_MISSING, Options, X25519Ratchet};
use rustix::time::{ClockId, clock_gettime};
use vodozemac::olm::{Account, OlmMessage, Session as Olm, SessionConfig};
use vodozemac::{Curve25519PublicKey, Ed25519PublicKey, Ed25519Signature};
use zeroize::Zeroizing;

/// Rounds of a comparison.
const ROUNDS: usize = 60;

/// Processor time of one call, in nanoseconds, of each of two that take turns: the round at the lower quartile, as whatever
/// else the machine does can only add.
fn compare(calls: u32, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> [f64; 2] {
    let time = |calls: u32, f: &mut dyn FnMut()| {
        let start = processor_time();
        (0..calls).for_each(|_| f());
        (processor_time() - start) / f64::from(calls)
    };
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[0].push(time(calls, &mut ours));
        rounds[1].push(time(calls, &mut theirs));
    }
    rounds.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 4]
    })
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// A row of the table, if its name holds what the command line asks for.
fn row(what: &str, goal: f64, calls: u32, ours: impl FnMut(), theirs: impl FnMut()) {
    if std::env::args().skip(1).all(|word| word.starts_with('-') || what.contains(&word)) {
        let [ours, theirs] = compare(calls, ours, theirs);
        let ratio = ours / theirs;
        println!("| {what} | {:.2} | {:.2} | {ratio:.2} | {goal:.2} |", ours / 1000.0, theirs / 1000.0);
    }
}

/// Two of ours, in the middle of a conversation.
struct Ours {
    ends: [Box<dyn Session>; 2],
    save: bool,
}

impl Ours {
    fn new(cipher: Arc<dyn Cipher>, save: bool) -> Self {
        let scene = Scene::seeded(Box::<X25519Ratchet>::default(), cipher).expect("bundles");
        let (first, alice) = scene.initiate().expect("a first message");
        let bob = scene.accept(&first).expect("a session");
        let mut ours = Self { ends: [alice, bob], save };
        ours.say(0, b"first");
        ours.say(1, b"answer");
        ours.say(0, b"second");
        ours
    }

    fn say(&mut self, from: usize, text: &[u8]) {
        let mut step = Step { now: NOW, entropy: &mut OsEntropy };
        let frame = self.ends[from].seal(text, &mut step).expect("sealed");
        if self.save {
            black_box(self.ends[from].save());
        }
        let opened = self.ends[1 - from].open(&frame, &mut step).expect("opened");
        if self.save {
            black_box(self.ends[1 - from].save());
        }
        assert_eq!(opened.len(), text.len());
    }
}

/// Two of theirs.
struct Theirs {
    ends: [Olm; 2],
    save: bool,
}

impl Theirs {
    fn new(save: bool) -> Self {
        let (alice, mut bob) = (Account::new(), Account::new());
        let (first, session) = first_of(&alice, &mut bob);
        let OlmMessage::PreKey(first) = first else { return Self::new(save) };
        let config = SessionConfig::default();
        let accepted = bob.create_inbound_session(config, alice.curve25519_key(), &first).expect("a session");
        let mut theirs = Self { ends: [session, accepted.session], save };
        theirs.say(1, b"answer");
        theirs.say(0, b"second");
        theirs
    }

    fn say(&mut self, from: usize, text: &[u8]) {
        let (kind, bytes) = self.ends[from].encrypt(text).expect("sealed").to_parts();
        if self.save {
            black_box(serde_json::to_vec(&self.ends[from].pickle()).expect("saved"));
        }
        let message = OlmMessage::from_parts(kind, &bytes).expect("a message");
        let opened = self.ends[1 - from].decrypt(&message).expect("opened");
        if self.save {
            black_box(serde_json::to_vec(&self.ends[1 - from].pickle()).expect("saved"));
        }
        assert_eq!(opened.len(), text.len());
    }
}

fn first_of(alice: &Account, bob: &mut Account) -> (OlmMessage, Olm) {
    bob.generate_one_time_keys(1);
    let one_time = *bob.one_time_keys().values().next().expect("a one-time key");
    bob.mark_keys_as_published();
    let config = SessionConfig::default();
    let session = alice.create_outbound_session(config, bob.curve25519_key(), one_time);
    let mut session = session.expect("a session");
    (session.encrypt("first").expect("sealed"), session)
}

/// Theirs is AES-256, so ours beside it is too; XChaCha20-Poly1305 is what `relay-ratchet.toml` names.
fn messages() {
    for save in [false, true] {
        let saved = if save { ", both saved" } else { "" };
        for len in [100, 1024] {
            let ciphers: [Arc<dyn Cipher>; 2] = [Arc::new(Aes256Gcm), Arc::new(XChaCha)];
            for cipher in ciphers {
                let (what, text) = (format!("one way, {len} bytes, {}{saved}", cipher.name()), vec![1; len]);
                let (mut ours, mut theirs) = (Ours::new(cipher, save), Theirs::new(save));
                row(&what, 0.25, 200, || ours.say(0, &text), || theirs.say(0, &text));
            }
        }
        let (mut ours, mut theirs) = (Ours::new(Arc::new(Aes256Gcm), save), Theirs::new(save));
        let text = [1; 100];
        let there_and_back = || {
            ours.say(0, &text);
            ours.say(1, &text);
        };
        row(&format!("ping-pong, 100 bytes{saved}"), 1.03, 40, there_and_back, || {
            theirs.say(0, &text);
            theirs.say(1, &text);
        });
    }
}

/// Both sides of ours, from Bob's signed keys to the first text at Bob, with every signature checked that the core checks:
/// Bob's bundle and one-time key at Alice, Alice's bundle at Bob.
struct SetUp {
    scene: Scene,
    one_time_secret: Zeroizing<Vec<u8>>,
    bob: Vec<u8>,
    one_time: Vec<u8>,
    alice: Vec<u8>,
}

impl SetUp {
    fn new(post_quantum: bool) -> Self {
        let exchange = X25519Ratchet::build(Options { post_quantum }).expect("the options");
        let cipher: Arc<dyn Cipher> = Arc::new(Aes256Gcm);
        let mut entropy = TestEntropy::new(4);
        let made = exchange.one_time_keys(1, &mut bundle_context(&cipher, &mut entropy));
        let (public, one_time_secret) = made.expect("a key").swap_remove(0);
        let (key_exchange, key_exchange_options) = ("x25519-ratchet".to_owned(), exchange.shared_options());
        let key = OneTimeKey { key_exchange, key_exchange_options, public, expires: NOW.plus_ms(1_000_000) };
        let scene = Scene::seeded(exchange, cipher).expect("bundles");
        let one_time = SignedOneTimeKey::sign(&key, &scene.bob.identity).encode();
        let [bob, alice] = [&scene.bob, &scene.alice].map(|party| signed(&scene, party));
        Self { scene, one_time_secret, bob, one_time, alice }
    }

    fn run(&self) {
        let Self { scene, one_time_secret, bob, one_time, alice } = self;
        let peer = SignedBundle::verify(bob).expect("Bob's");
        let key = SignedOneTimeKey::verify(one_time, peer.key).expect("Bob's").key;
        let peer =
            PeerBundle { identity: peer.key, payload: &peer.bundle.payload, one_time: Some(&key.public) };
        let (first, mut session) = scene.initiate_as(&scene.alice.own(), &peer).expect("a first message");
        let frame = session.seal(b"first", &mut Step { now: NOW, entropy: &mut OsEntropy }).expect("sealed");

        let peer = SignedBundle::verify(alice).expect("Alice's");
        let peer = PeerBundle { identity: peer.key, payload: &peer.bundle.payload, one_time: None };
        let own = OwnBundle { one_time: Some(one_time_secret), ..scene.bob.own() };
        let mut session = scene.accept_as(&own, &peer, &first).expect("a session");
        session.open(&frame, &mut Step { now: NOW, entropy: &mut OsEntropy }).expect("opened");
    }
}

/// A party's bundle as it is published.
fn signed(scene: &Scene, party: &Party) -> Vec<u8> {
    let profile = StackProfile {
        wire_version: WIRE_VERSION,
        key_exchange: "x25519-ratchet".into(),
        key_exchange_options: scene.exchange.shared_options(),
        cipher: scene.cipher.name().into(),
    };
    let bundle = Bundle {
        identity: party.identity.public().as_bytes().to_vec(),
        profile,
        nick: Nick::new("somebody").expect("a nick"),
        payload: party.payload.clone(),
        created: NOW,
        expires: NOW.plus_ms(1_000_000),
    };
    SignedBundle::sign(&bundle, &party.identity).encode()
}

fn set_up() {
    let mut theirs = TheirSetUp::new();
    for (what, post_quantum, goal) in [("set-up", false, 2.0), ("set-up with ML-KEM-768", true, 2.5)] {
        let ours = SetUp::new(post_quantum);
        for (beside, checks) in [("vodozemac", false), ("vodozemac and 3 signatures", true)] {
            row(&format!("{what}, beside {beside}"), goal, 10, || ours.run(), || theirs.run(checks));
        }
    }
}

/// With Bob's fallback key in place of a one-time key, which costs the same and can be used again.
struct TheirSetUp {
    alice: Account,
    bob: Account,
    fallback: Curve25519PublicKey,
    signed: [(Ed25519PublicKey, Ed25519Signature); 3],
}

/// About as long as what Matrix signs.
const SIGNED_TEXT: &[u8] = &[b'k'; 400];

impl TheirSetUp {
    fn new() -> Self {
        let (alice, mut bob) = (Account::new(), Account::new());
        bob.generate_fallback_key();
        let fallback = *bob.fallback_key().values().next().expect("a fallback key");
        bob.mark_keys_as_published();
        let signed = [&bob, &bob, &alice].map(|who| (who.ed25519_key(), who.sign(SIGNED_TEXT)));
        Self { alice, bob, fallback, signed }
    }

    fn run(&mut self, checks: bool) {
        for (key, signature) in self.signed.iter().filter(|_| checks) {
            key.verify(SIGNED_TEXT, signature).expect("genuine");
        }
        let config = SessionConfig::default();
        let session = self.alice.create_outbound_session(config, self.bob.curve25519_key(), self.fallback);
        let (kind, bytes) = session.expect("a session").encrypt("first").expect("sealed").to_parts();
        let message = OlmMessage::from_parts(kind, &bytes).expect("a message");
        let OlmMessage::PreKey(first) = message else { return };
        let accepted = self.bob.create_inbound_session(config, self.alice.curve25519_key(), &first);
        assert_eq!(accepted.expect("a session").plaintext, b"first");
    }
}

/// The forgery that costs most: a new key, and as far ahead as may be.
fn forged() {
    let mut ours = Ours::new(Arc::new(Aes256Gcm), false);
    let mut step = Step { now: NOW, entropy: &mut OsEntropy };
    let answer = ours.ends[1].seal(b"answer", &mut step).expect("sealed");
    ours.ends[0].open(&answer, &mut step).expect("opened");
    let mut frame = ours.ends[0].seal(b"next", &mut step).expect("sealed");
    frame[0] ^= 1;
    frame[36..40].copy_from_slice(&MAX_MISSING.to_be_bytes());
    ours.ends[1].save();
    let open = || {
        black_box(ours.ends[1].open(&frame, &mut step).expect_err("forged"));
    };
    let times = compare(20, open, || ());
    assert!(ours.ends[1].save().main.is_none(), "a forgery left something to save");
    println!("\nthe dearest forgery: {:.1} µs, and nothing to save after it", times[0] / 1000.0);
}

fn main() {
    println!("| what | ours, µs | vodozemac, µs | ratio | goal |\n|---|---:|---:|---:|---:|");
    messages();
    set_up();
    forged();
}
