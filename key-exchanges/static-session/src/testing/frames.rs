//! Attacks on the frames of a session.

use chat_core::{CryptoError, Session, Step};

use super::{FailingEntropy, Scene, TestEntropy, saved};
use crate::WINDOW;

/// Both ways, several messages, empty and large.
pub fn messages_of_all_sizes_go_both_ways(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    for len in [0, 1, 15, 16, 17, 1000, 65_536] {
        let text = vec![0x5a; len];
        let (out, back) = (scene.seal(&mut *alice, &text), scene.seal(&mut *bob, &text));
        assert_ne!(out, back);
        scene.opens(&mut *bob, &out, &text);
        scene.opens(&mut *alice, &back, &text);
    }
}

/// A frame damaged in any bit is refused, and the genuine one opens afterwards.
pub fn every_flipped_bit_of_a_frame_is_refused(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let frame = scene.seal(&mut *alice, b"attack at dawn");
    let before = saved(&mut *bob);
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = scene.open(&mut *bob, &damaged).expect_err("a damaged frame");
        assert!(matches!(error, CryptoError::Forged | CryptoError::Malformed(_)), "bit {bit}: {error}");
    }
    assert!(bob.save().main.is_none(), "refusals change nothing");
    scene.opens(&mut *bob, &frame, b"attack at dawn");
    scene.opens(&mut *scene.restore(&before).unwrap(), &frame, b"attack at dawn");
}

/// Cut anywhere, longer by a byte at either end, twice, or nothing.
pub fn every_other_length_of_a_frame_is_refused(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let frame = scene.seal(&mut *alice, b"attack at dawn");
    for len in 0..frame.len() {
        assert!(scene.open(&mut *bob, &frame[..len]).is_err(), "length {len}");
    }
    for longer in [[&frame[..], &[0]].concat(), [&[0][..], &frame].concat(), frame.repeat(2)] {
        assert_eq!(scene.open(&mut *bob, &longer), Err(CryptoError::Forged));
    }
    scene.opens(&mut *bob, &frame, b"attack at dawn");
}

/// A frame opens once, also after newer ones and after a restart.
pub fn a_replayed_frame_is_a_duplicate(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let frames: Vec<_> = (0..5_u8).map(|i| scene.seal(&mut *alice, &[i])).collect();
    for (i, frame) in (0..5_u8).zip(&frames) {
        scene.opens(&mut *bob, frame, &[i]);
        assert_eq!(scene.open(&mut *bob, frame), Err(CryptoError::Duplicate));
    }
    let mut bob = scene.restore(&saved(&mut *bob)).unwrap();
    for frame in &frames {
        assert_eq!(scene.open(&mut *bob, frame), Err(CryptoError::Duplicate));
        // A damaged copy of what was opened is called what it is.
        let mut damaged = frame.clone();
        damaged[30] ^= 1;
        assert_eq!(scene.open(&mut *bob, &damaged), Err(CryptoError::Forged));
    }
    let next = scene.seal(&mut *alice, b"next");
    scene.opens(&mut *bob, &next, b"next");
}

/// What one sealed doesn't open for oneself.
pub fn a_reflected_frame_is_refused(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let (out, back) = (scene.seal(&mut *alice, b"out"), scene.seal(&mut *bob, b"back"));
    assert_eq!(scene.open(&mut *alice, &out), Err(CryptoError::Forged));
    assert_eq!(scene.open(&mut *bob, &back), Err(CryptoError::Forged));
    scene.opens(&mut *alice, &back, b"back");
    scene.opens(&mut *bob, &out, b"out");
}

/// Two sessions of the same two peers share nothing.
pub fn a_frame_of_another_session_is_refused(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let (mut other_alice, mut other_bob) = scene.sessions();
    let (frame, other) = (scene.seal(&mut *alice, b"one"), scene.seal(&mut *other_alice, b"two"));
    assert_eq!(scene.open(&mut *bob, &other), Err(CryptoError::Forged));
    assert_eq!(scene.open(&mut *other_bob, &frame), Err(CryptoError::Forged));
    scene.opens(&mut *bob, &frame, b"one");
    scene.opens(&mut *other_bob, &other, b"two");
}

/// The whole window backwards; what has fallen out of it is told apart from what was seen.
pub fn frames_open_in_any_order_within_the_window(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let frames: Vec<_> =
        (0..WINDOW as usize + 2).map(|i| scene.seal(&mut *alice, &i.to_be_bytes())).collect();
    for (i, frame) in frames.iter().enumerate().skip(2).rev() {
        scene.opens(&mut *bob, frame, &i.to_be_bytes());
    }
    assert_eq!(scene.open(&mut *bob, &frames[0]), Err(CryptoError::TooOld));
    assert_eq!(scene.open(&mut *bob, &frames[1]), Err(CryptoError::TooOld));
    assert_eq!(scene.open(&mut *bob, &frames[2]), Err(CryptoError::Duplicate));
    let next = scene.seal(&mut *alice, b"next");
    scene.opens(&mut *bob, &next, b"next");
}

/// No frame goes out without a fresh salt, and the number isn't used up.
pub fn sealing_without_randomness_changes_nothing(scene: &Scene) {
    let (mut alice, mut bob) = scene.sessions();
    let mut twin = scene.restore(&saved(&mut *alice)).unwrap();
    let mut broken = FailingEntropy::after(0);
    let mut step = Step { now: scene.now, entropy: &mut broken };
    assert_eq!(alice.seal(b"lost", &mut step), Err(CryptoError::Entropy));
    assert!(alice.save().main.is_none());
    let again = |session: &mut dyn Session| {
        let mut entropy = TestEntropy::new(7);
        session.seal(b"kept", &mut Step { now: scene.now, entropy: &mut entropy }).unwrap()
    };
    let frame = again(&mut *alice);
    assert_eq!(frame, again(&mut *twin), "as if nothing had been tried");
    scene.opens(&mut *bob, &frame, b"kept");
}
