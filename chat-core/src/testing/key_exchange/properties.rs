//! What else the exchange claims to give, as far as a test can tell, and what it lets slip.

use std::sync::Arc;

use super::end::round_trip;
use super::scene::Scene;
use super::watched::Watched;
use crate::key_exchange::SavedSession;
use crate::testing::log;
use crate::testing::rule::{Violation, ensure};

/// If [`healing`](crate::Properties::healing) is claimed: who copied the whole state of both ends, and reads
/// along with everything since, is out after one round trip each way.
pub fn healing_is_claimed_truly(scene: &Scene) -> Result<(), Violation> {
    if !scene.exchange.properties().healing {
        return Ok(());
    }
    let (mut alice, mut bob) = scene.sessions()?;
    for _ in 0..3 {
        round_trip(&mut bob, &mut alice)?;
    }
    // One thief only listens; the other answers too, into the void, in the hope to make the keys that follow.
    let mut thieves = [(false, alice.copy()?, bob.copy()?), (true, alice.copy()?, bob.copy()?)];
    let mut overhear = |question: &[u8], answer: &[u8], asked_by_alice: bool| {
        let mut anything = false;
        for (answers, as_alice, as_bob) in &mut thieves {
            let (asker, asked) = if asked_by_alice { (as_alice, as_bob) } else { (as_bob, as_alice) };
            for (thief, frame) in [(asked, question), (asker, answer)] {
                anything |= thief.open(frame).is_ok();
                if *answers {
                    drop(thief.seal(b"into the void"));
                }
            }
        }
        anything
    };
    for round in 0..4 {
        let [question, answer] = round_trip(&mut alice, &mut bob)?;
        let read = overhear(&question, &answer, true);
        let [question, answer] = round_trip(&mut bob, &mut alice)?;
        let read_too = overhear(&question, &answer, false);
        let reads = read || read_too;
        ensure!(round < 2 || !reads, "a copied state still reads along after {round} round trips");
    }
    Ok(())
}

/// Neither keys, nor the state that is saved, nor plaintext reach a log, at any level, whether frames open
/// or not; nor do errors tell of them.
pub fn nothing_secret_is_logged(scene: &Scene) -> Result<(), Violation> {
    const CANARY: &[u8] = b"canary: meet me at the old mill";
    let watched = Watched::new(&scene.cipher);
    let scene = &scene.with_cipher(Arc::clone(&watched) as _);
    let mut errors = Vec::new();
    let (outcome, mut log) = log::logged(|| {
        let (mut alice, mut bob) = scene.sessions()?;
        let stages = [alice.saved.clone(), bob.saved.clone()];
        for _ in 0..2 {
            let frame = alice.seal(CANARY)?;
            bob.opens(&frame, CANARY)?;
            for refused in [&frame[..], &frame[1..], CANARY] {
                errors.push(bob.refuses(refused, "a frame that was opened, or is none")?);
            }
            round_trip(&mut bob, &mut alice)?;
            alice.restart()?;
        }
        errors.extend(scene.accept(b"rubbish").err());
        errors.extend(scene.restore(&SavedSession::default()).err());
        Ok(stages.into_iter().chain([alice.saved.clone(), bob.saved.clone()]).collect::<Vec<_>>())
    });
    let stages = outcome?;
    errors.iter().for_each(|error| log.push_str(&format!("{error} {error:?}\n")));
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![("plaintext", CANARY.to_vec())];
    secrets.extend(watched.seals().into_iter().map(|seal| ("a message key", seal.key)));
    secrets.extend([&scene.alice, &scene.bob].map(|party| ("a bundle's secret", party.secret.to_vec())));
    let name = scene.cipher.name().as_bytes();
    for state in &stages {
        for part in [&state.main].into_iter().chain(state.rows.values()) {
            // The name of the cipher may be logged.
            secrets.extend(without(part, name).into_iter().map(|part| ("a part of the saved state", part)));
        }
    }
    let secrets: Vec<_> = secrets.iter().map(|(what, secret)| (*what, secret.as_slice())).collect();
    log::holds_no_secret(&log, &secrets)
}

/// What is before and behind a word in `bytes`.
fn without(bytes: &[u8], word: &[u8]) -> Vec<Vec<u8>> {
    let found = bytes.windows(word.len()).position(|part| part == word);
    match found {
        Some(at) => vec![bytes[..at].to_vec(), bytes[at + word.len()..].to_vec()],
        None => vec![bytes.to_vec()],
    }
}
