//! The complete state of both ends is stolen. The thief runs the plugin's own code on it, with each byte of it set to
//! zero and each bit of it flipped in turn, so that counters and windows don't stop him; he has recorded what was sent before, and reads along with
//! what comes after. The control is `x25519`, whose static keys fail at all of it.

// Clippy sees a test only in functions that carry the attribute. The verdict is there to be read.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt;
use std::sync::Arc;

use chat_core::SavedSession;
use chat_core::key_exchange::KeyExchange;
use chat_core::testing::key_exchange::{End, Scene, round_trip};
use cipher_chacha20_poly1305::XChaCha;
use key_exchange_x25519::X25519;
use key_exchange_x25519_ratchet::X25519Ratchet;
use zeroize::Zeroizing;

fn scene(exchange: impl KeyExchange + 'static) -> Scene {
    Scene::seeded(Box::new(exchange), Arc::new(XChaCha)).unwrap()
}

/// How many frames of how many were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Read(usize, usize);

impl Read {
    fn count(&mut self, read: bool) {
        self.0 += usize::from(read);
        self.1 += 1;
    }

    fn none(self) -> bool {
        self.0 == 0 && self.1 > 0
    }

    fn all(self) -> bool {
        self.0 == self.1 && self.1 > 0
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.0, self.1)
    }
}

#[derive(Default)]
struct Verdict {
    /// What was opened before the theft, with the state of both ends.
    earlier: Read,
    /// What Alice sent before she had an answer, with Bob's bundle key besides.
    first_flight: Read,
    /// All else that was opened before the theft, with Bob's bundle key besides.
    after_first_flight: Read,
    /// What was sealed after the theft and one round trip.
    later: Read,
}

/// Whether one of the sessions that can be made of a stolen state opens the frame.
fn reads(scene: &Scene, stolen: &SavedSession, frame: &[u8]) -> bool {
    let edited = |at: usize, edit: &dyn Fn(u8) -> u8| {
        let mut main = stolen.main.to_vec();
        main[at] = edit(main[at]);
        SavedSession { main: Zeroizing::new(main), rows: stolen.rows.clone() }
    };
    let bytes = 0..stolen.main.len();
    let zeros = bytes.clone().map(|at| edited(at, &|_| 0));
    let flips = bytes.flat_map(|at| (0..8).map(move |bit| (at, bit)));
    let flips = flips.map(|(at, bit)| edited(at, &|byte| byte ^ (1 << bit)));
    let states = std::iter::once(stolen.clone()).chain(zeros).chain(flips);
    states
        .filter_map(|state| scene.restore(&state).ok().map(|session| (session, state)))
        .any(|(session, state)| End::new_restored(scene, session, state).open(frame).is_ok())
}

fn steal_and_read(scene: &Scene) -> Verdict {
    let mut verdict = Verdict::default();
    // Alice writes three times before Bob answers; then they talk.
    let flight = scene.first_flight().unwrap();
    let (first, mut alice, mut bob) = (flight.first, flight.alice, flight.bob);
    let mut before_an_answer = vec![flight.frame];
    for _ in 0..2 {
        let frame = alice.seal(b"more").unwrap();
        bob.opens(&frame, b"more").unwrap();
        before_an_answer.push(frame);
    }
    let (mut to_alice, mut to_bob) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let [question, answer] = round_trip(&mut bob, &mut alice).unwrap();
        to_alice.push(question);
        to_bob.push(answer);
    }

    let stolen = [&alice, &bob].map(|end| end.saved.clone());
    let recorded = before_an_answer.iter().chain(&to_bob).chain(&to_alice);
    for frame in recorded {
        verdict.earlier.count(stolen.iter().any(|state| reads(scene, state, frame)));
    }

    let mut again = End::new(scene, scene.accept(&first).unwrap()).unwrap();
    for frame in &before_an_answer {
        verdict.first_flight.count(again.open(frame).is_ok());
    }
    again.save();
    for frame in to_bob.iter().chain(&to_alice) {
        verdict.after_first_flight.count(reads(scene, &again.saved, frame));
    }

    // One thief on either side hears all; within a round trip he may understand.
    let [as_alice, as_bob] = &mut [alice.copy().unwrap(), bob.copy().unwrap()];
    for round in 0..4 {
        for [question, answer] in
            [round_trip(&mut alice, &mut bob).unwrap(), round_trip(&mut alice, &mut bob).unwrap()]
        {
            let read = [as_bob.open(&question).is_ok(), as_alice.open(&answer).is_ok()];
            if round > 0 {
                read.into_iter().for_each(|read| verdict.later.count(read));
                for state in &stolen {
                    for frame in [&question, &answer] {
                        verdict.later.count(reads(scene, state, frame));
                    }
                }
            }
        }
    }
    verdict
}

fn print(exchange: &str, verdict: &Verdict) {
    let Verdict { earlier, first_flight, after_first_flight, later } = verdict;
    println!("{exchange}: of what was opened before both states were stolen, {earlier} frames are read");
    println!(
        "{exchange}: with the bundle key of the first message, {first_flight} frames of before the first answer"
    );
    println!("{exchange}: and {after_first_flight} of the frames that followed");
    println!("{exchange}: of what was sealed a round trip after the theft, {later}");
}

/// C31.
#[test]
fn a_stolen_state_opens_nothing_earlier_and_nothing_after_a_round_trip() {
    let verdict = steal_and_read(&scene(X25519Ratchet::default()));
    print("x25519-ratchet", &verdict);
    assert!(verdict.earlier.none() && verdict.later.none() && verdict.after_first_flight.none());
    assert!(verdict.first_flight.all(), "the one exception is gone: tell so in the caveats");
}

/// The control: keys that never change fall to the same thief, wholly.
#[test]
fn a_static_key_opens_everything_to_the_same_thief() {
    let verdict = steal_and_read(&scene(X25519::default()));
    print("x25519", &verdict);
    // But for the last frame each way, which takes two changes to the window that counts it.
    assert!(verdict.earlier.0 + 2 >= verdict.earlier.1 && verdict.earlier.0 > 0);
    // All of one direction: the session that he makes again is Bob's.
    assert!(verdict.first_flight.all() && verdict.after_first_flight == Read(4, 8));
    assert!(verdict.later.0 > 0);
}
