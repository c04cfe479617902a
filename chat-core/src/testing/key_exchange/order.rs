//! A network that delays, reorders and loses.

use super::REORDER;
use super::end::{End, round_trip};
use super::scene::Scene;
use crate::error::CryptoError;
use crate::testing::entropy::TestEntropy;
use crate::testing::rule::{Must as _, Violation, ensure};

/// Farther than sessions of this project look ahead.
const FAR: usize = 1600;

/// The text of a frame's number.
fn text(number: usize) -> [u8; 8] {
    (number as u64).to_be_bytes()
}

fn seal_many(end: &mut End<'_>, count: usize) -> Result<Vec<Vec<u8>>, Violation> {
    (0..count).map(|number| end.seal(&text(number))).collect()
}

/// [`REORDER`] frames on the way arrive backwards, later ones shuffled, in both directions; each opens once.
pub fn frames_open_in_any_order(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let frames = seal_many(&mut alice, REORDER)?;
    for (number, frame) in frames.iter().enumerate().rev() {
        bob.opens(frame, &text(number)).map_err(|e| e.under(format!("number {number}, backwards")))?;
    }
    for frame in frames.iter().step_by(97) {
        bob.refuses(frame, "a frame for the second time")?;
    }
    shuffled(&mut alice, &mut bob, 200)?;
    shuffled(&mut bob, &mut alice, 100)?;
    bob.opens(&alice.seal(b"next")?, b"next")?;
    alice.opens(&bob.seal(b"next")?, b"next")
}

fn shuffled(from: &mut End<'_>, to: &mut End<'_>, count: usize) -> Result<(), Violation> {
    let frames = seal_many(from, count)?;
    let mut order: Vec<usize> = (0..frames.len()).collect();
    shuffle(&mut order, 4);
    for number in order {
        to.opens(&frames[number], &text(number))
            .map_err(|e| e.under(format!("number {number}, shuffled")))?;
    }
    Ok(())
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = TestEntropy::new(seed);
    (1..items.len()).for_each(|i| items.swap(i, random.below(i + 1)));
}

/// A frame with thousands missing before it opens, or is [`CryptoError::TooFarAhead`], which asks for a new
/// session, and changes nothing. What is within reach opens either way; what is left behind is called so.
pub fn a_frame_far_ahead_opens_or_is_called_so(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let frames = seal_many(&mut alice, FAR)?;
    let [.., last] = &frames[..] else { return Ok(()) };
    let before = bob.saved.clone();
    match bob.open(last) {
        Ok(opened) => {
            ensure!(*opened == text(FAR - 1), "a frame far ahead opens to something else");
            for number in [FAR - 2, FAR - REORDER / 2, FAR - REORDER] {
                bob.opens(&frames[number], &text(number))?;
            }
            let behind = bob.refuses(&frames[FAR - 2], "a frame for the second time")?;
            ensure!(behind == CryptoError::Duplicate, "a frame for the second time is {behind:?}");
            if let Err(error) = bob.open(&frames[0]) {
                ensure!(error == CryptoError::TooOld, "a frame left far behind is {error:?}, not TooOld");
            }
        }
        Err(error) => {
            ensure!(error == CryptoError::TooFarAhead, "a frame far ahead is {error:?}, not TooFarAhead");
            bob.save();
            ensure!(bob.saved == before, "refusing a frame far ahead changed the state");
            for number in (0..FAR).step_by(REORDER / 4).chain([FAR - 1]) {
                bob.opens(&frames[number], &text(number))?;
            }
        }
    }
    bob.opens(&alice.seal(b"next")?, b"next")
}

/// Frames of an earlier turn of the conversation that arrive when both have answered since, over restarts.
pub fn late_frames_open_after_later_turns(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    let mut late = Vec::new();
    for _ in 0..4 {
        let frames = seal_many(&mut alice, 60)?;
        for (number, frame) in frames.into_iter().enumerate() {
            match number % 30 {
                0 => bob.opens(&frame, &text(number))?,
                _ => late.push((number, frame)),
            }
        }
        let frames = seal_many(&mut bob, 3)?;
        alice.opens(&frames[2], &text(2))?;
        round_trip(&mut alice, &mut bob)?;
        bob.restart()?;
        alice.opens(&frames[0], &text(0))?;
    }
    shuffle(&mut late, 5);
    for (place, (number, frame)) in late.iter().enumerate() {
        bob.opens(frame, &text(*number)).map_err(|e| e.under("a late frame"))?;
        if place % 50 == 0 {
            bob.restart()?;
        }
    }
    for (_, frame) in late.iter().step_by(7) {
        bob.open(frame).map(drop).must_fail("a late frame for the second time")?;
    }
    round_trip(&mut bob, &mut alice).map(drop)
}
