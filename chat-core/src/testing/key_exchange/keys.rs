//! Which keys are used, and where their randomness comes from.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::end::{End, round_trip};
use super::scene::Scene;
use super::watched::Watched;
use crate::error::CryptoError;
use crate::key_exchange::Session;
use crate::testing::entropy::{FailingEntropy, TestEntropy};
use crate::testing::rule::{Must as _, Violation, ensure};
use crate::testing::test_cipher::TestCipher;

/// A state is copied, as by a backup or a clone of the machine, and all copies seal under the same number:
/// no cipher key seals twice under one sequence number, so no two frames share a key stream. The receiver
/// takes one or the other, and never mixes them up.
pub fn copies_of_a_state_never_share_a_key(scene: &Scene) -> Result<(), Violation> {
    let watched = Watched::new(&scene.cipher);
    let scene = scene.with_cipher(Arc::clone(&watched) as _);
    let (mut alice, mut bob) = scene.sessions()?;
    let texts: [&[u8]; 3] = [&[0; 64], &[0xff; 64], &[0; 64]];
    let mut frames = Vec::new();
    let seal_all = |end: &mut End<'_>, frames: &mut Vec<_>| {
        texts.iter().try_for_each(|text| {
            frames.push((end.seal(text)?, *text));
            Ok(())
        })
    };
    for _ in 0..3 {
        seal_all(&mut alice.copy()?, &mut frames)?;
        seal_all(&mut bob.copy()?, &mut Vec::new())?;
    }
    // Turned back by a crash, and on from there.
    seal_all(&mut alice, &mut frames)?;
    alice.crash()?;
    seal_all(&mut alice, &mut frames)?;
    round_trip(&mut bob, &mut alice)?;
    seal_all(&mut alice.copy()?, &mut frames)?;
    seal_all(&mut alice, &mut frames)?;

    let different: BTreeSet<_> = frames.iter().map(|(frame, _)| frame).collect();
    ensure!(different.len() == frames.len(), "two copies of a state seal to the same bytes");
    let seals = watched.seals();
    let keys: BTreeSet<_> = seals.iter().map(|seal| (&seal.key, seal.seq)).collect();
    ensure!(keys.len() == seals.len(), "a cipher key seals twice under one sequence number");
    let mut opened = 0;
    for (frame, text) in &frames {
        if let Ok(plain) = bob.open(frame) {
            ensure!(*plain == *text, "a frame opens to the text of another");
            opened += 1;
        }
    }
    ensure!(opened > 0, "none of the frames of all copies opens");
    Ok(())
}

/// Whatever is sealed goes through the cipher that the profile names, with keys of the length it states,
/// and its refusals are the session's.
pub fn the_cipher_of_the_profile_protects_every_frame(scene: &Scene) -> Result<(), Violation> {
    for key_len in [16, 64] {
        let cipher = TestCipher { key_len, ..TestCipher::default() };
        let scene = scene.with_cipher(Arc::new(cipher));
        let (mut alice, mut bob) =
            scene.sessions().map_err(|e| e.under(format!("keys of {key_len} bytes")))?;
        round_trip(&mut alice, &mut bob)?;
    }
    let watched = Watched::new(&scene.cipher);
    let scene = scene.with_cipher(Arc::clone(&watched) as _);
    let (mut alice, mut bob) = scene.sessions()?;
    for (round, text) in [&b"a text to be found"[..], b"and another one"].into_iter().enumerate() {
        for end in [&mut alice, &mut bob] {
            let before = watched.seals().len();
            end.seal(text)?;
            let seals = watched.seals();
            let through = seals[before..].iter().any(|seal| contains(&seal.text, text));
            ensure!(through, "the text of frame {round} did not go through the cipher");
        }
    }
    for end in [&mut alice, &mut bob] {
        end.save();
        let (before, frame) = (end.saved.clone(), vec![0; 200]);
        watched.fail(true);
        let sealed = end.session.seal(b"text", &mut scene.step(&mut scene.entropy()));
        sealed.map(drop).must_fail("sealing with a cipher that fails")?;
        end.refuses(&frame, "a frame that the cipher refuses")?;
        watched.fail(false);
        end.save();
        ensure!(end.saved == before, "a cipher that failed changed the state");
    }
    let frame = alice.seal(b"genuine")?;
    bob.save();
    let before = bob.saved.clone();
    watched.fail(true);
    bob.refuses(&frame, "a frame that the cipher refuses")?;
    watched.fail(false);
    bob.save();
    ensure!(bob.saved == before, "a frame that the cipher refused changed the state");
    bob.opens(&frame, b"genuine")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Wherever randomness fails while sealing or opening, that is the error, nothing weaker goes out, and the
/// state is what it was.
pub fn a_step_without_randomness_changes_nothing(scene: &Scene) -> Result<(), Violation> {
    let (mut alice, mut bob) = scene.sessions()?;
    round_trip(&mut alice, &mut bob)?;
    for _ in 0..2 {
        let frame = poorly(scene, &mut alice, "sealing", |session, entropy| {
            session.seal(b"kept", &mut scene.step(entropy))
        })?;
        let text = poorly(scene, &mut bob, "opening", |session, entropy| {
            session.open(&frame, &mut scene.step(entropy)).map(|text| text.to_vec())
        })?;
        ensure!(text == b"kept", "what was sealed after randomness had failed opens to something else");
        round_trip(&mut bob, &mut alice)?;
    }
    Ok(())
}

/// Does it with randomness that fails ever later, until it succeeds.
fn poorly(
    scene: &Scene,
    end: &mut End<'_>,
    what: &str,
    mut step: impl FnMut(&mut dyn Session, &mut FailingEntropy) -> Result<Vec<u8>, CryptoError>,
) -> Result<Vec<u8>, Violation> {
    end.save();
    for draws in 0..64 {
        let before = end.saved.clone();
        match step(&mut *end.session, &mut FailingEntropy::after(draws)) {
            Ok(done) => {
                // Draws that gave zeros or garbage would show as the same salt again.
                let copy = scene.restore(&before).must("restoring")?;
                let again = step(&mut *{ copy }, &mut FailingEntropy::after(64));
                let told = draws > 0 || what == "opening" || again.as_ref() != Ok(&done);
                ensure!(told, "{what} takes no randomness");
                return Ok(done);
            }
            Err(error) => {
                ensure!(error == CryptoError::Entropy, "{what} without randomness is reported as {error:?}");
                end.save();
                ensure!(end.saved == before, "{what} without randomness changed the state");
            }
        }
    }
    Err(Violation::new(format!("{what}: 64 draws of randomness are not enough")))
}

/// All randomness is handed in: the same draws give the same bytes, so a simulation repeats.
pub fn the_same_randomness_gives_the_same_frames(scene: &Scene) -> Result<(), Violation> {
    let run = || {
        let entropy = &mut TestEntropy::new(31);
        let mut written = Vec::new();
        let initiated = scene.initiate_with(entropy).must("initiating")?;
        let (first, mut alice) = initiated;
        let mut cx = scene.context(scene.binding, entropy);
        let accepted = scene.exchange.accept(&scene.bob.own(), &scene.alice.seen(), &first, &mut cx);
        let mut bob = accepted.must("accepting")?;
        written.push(first);
        let mut say = |from: &mut dyn Session, to: &mut dyn Session| -> Result<(), Violation> {
            let frame = from.seal(b"text", &mut scene.step(entropy)).must("sealing")?;
            to.open(&frame, &mut scene.step(entropy)).must("opening")?;
            written.push(frame);
            written.extend(
                [from.save(), to.save()].into_iter().filter_map(|change| Some(change.main?.to_vec())),
            );
            Ok(())
        };
        for _ in 0..3 {
            say(&mut *alice, &mut *bob)?;
            say(&mut *bob, &mut *alice)?;
        }
        Ok(written)
    };
    ensure!(run()? == run()?, "the same randomness gives other bytes");
    Ok(())
}
