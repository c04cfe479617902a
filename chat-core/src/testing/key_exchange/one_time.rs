//! Keys that one first message uses up.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::bundle_context;
use super::end::{End, round_trip};
use super::scene::{FIRST_TEXT, Scene};
use crate::error::CryptoError;
use crate::key_exchange::{MAX_ONE_TIME_PUBLIC_BYTES, OneTimePair, OwnBundle, PeerBundle, Session};
use crate::testing::bytes::{extended, lengths_to_try, shares_a_run};
use crate::testing::entropy::{FailingEntropy, TestEntropy};
use crate::testing::rule::{Must as _, Violation, ensure};

fn make(scene: &Scene, count: usize, seed: u64) -> Result<Vec<OneTimePair>, Violation> {
    let mut entropy = TestEntropy::new(seed);
    let made = scene.exchange.one_time_keys(count, &mut bundle_context(&scene.cipher, &mut entropy));
    made.must(format!("making {count} one-time keys"))
}

/// As many as were asked for, all different, small, with their secret for themselves; the same from the same randomness,
/// and [`CryptoError::Entropy`] without any. Who says that it uses none makes none.
pub fn one_time_keys_are_new_and_as_many_as_asked_for(scene: &Scene) -> Result<(), Violation> {
    if !scene.exchange.uses_one_time_keys() {
        let none = make(scene, 3, 41)?.is_empty() && scene.alice.one_time.is_empty();
        ensure!(none, "one-time keys are made, though it is said that none are used");
        return Ok(());
    }
    let (mut publics, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for (seed, count) in [(41, 0), (42, 1), (43, 7)] {
        let made = make(scene, count, seed)?;
        ensure!(made.len() == count, "of {count} one-time keys {} are made", made.len());
        ensure!(made == make(scene, count, seed)?, "the same randomness gives other one-time keys");
        for (public, secret) in made {
            let len = public.len();
            ensure!((1..=MAX_ONE_TIME_PUBLIC_BYTES).contains(&len), "a one-time key has {len} bytes");
            ensure!(!shares_a_run(&public, &secret, secret.len()), "a secret stands in the public part");
            ensure!(secrets.insert(secret.to_vec()), "two one-time secrets are the same");
            ensure!(publics.insert(public), "two one-time keys are the same");
        }
    }
    for draws in 0..64 {
        let mut entropy = FailingEntropy::after(draws);
        let made = scene.exchange.one_time_keys(2, &mut bundle_context(&scene.cipher, &mut entropy));
        match made.err() {
            None => {
                ensure!(draws > 0, "one-time keys are made without randomness");
                return Ok(());
            }
            Some(error) => ensure!(
                error == CryptoError::Entropy,
                "randomness failing after {draws} draws is reported as {error:?}"
            ),
        }
    }
    Err(Violation::new("64 draws of randomness are not enough for two one-time keys"))
}

/// A message made with a one-time key needs its private half, that half alone, and goes wrong with any other; without
/// it, it is an [`CryptoError::UnknownKey`].
pub fn one_time_keys_count_and_are_needed(scene: &Scene) -> Result<(), Violation> {
    let (bobs, mallorys) = (&scene.bob.one_time, &scene.mallory.one_time);
    let (Some((public, secret)), Some((_, others))) = (bobs.first(), mallorys.first()) else { return Ok(()) };
    let Begun { first, frame, .. } = begun(scene, public, secret)?;

    let gone = accept(scene, &first, None).map(drop);
    let gone = gone.must_fail("a message for a one-time key that was erased")?;
    ensure!(matches!(gone, CryptoError::UnknownKey(_)), "an erased one-time key is reported as {gone:?}");
    let cut = lengths_to_try(secret.len(), 50).into_iter().map(|len| secret[..len].to_vec());
    let wrong = cut.chain(bobs.iter().skip(1).map(|(_, secret)| secret.to_vec())).chain([others.to_vec()]);
    for wrong in wrong {
        let accepted = accept(scene, &first, Some(&wrong));
        scene.begins_nothing(accepted, &frame, "another one-time secret")?;
    }
    for at in 0..first.len() {
        let mut damaged = first.clone();
        damaged[at] ^= 0xff;
        let accepted = accept(scene, &damaged, Some(secret));
        scene.begins_nothing(accepted, &frame, format!("a first message with byte {at} damaged"))?;
    }
    let shorter = public[..public.len().saturating_sub(1)].to_vec();
    for malformed in extended(public).into_iter().chain([shorter, vec![]]) {
        let initiated = initiate(scene, &malformed).map(drop);
        initiated.must_fail(format!("a one-time key of {} bytes", malformed.len()))?;
    }
    Ok(())
}

/// The core erases the key that it hands in. A message that does not use it is refused, or anybody on the way could have
/// any key erased, and a message taken twice, by naming one beside it.
pub fn a_one_time_key_that_is_not_used_is_refused(scene: &Scene) -> Result<(), Violation> {
    let Some((_, secret)) = scene.bob.one_time.first() else { return Ok(()) };
    let flight = scene.first_flight()?;
    let accepted = accept(scene, &flight.first, Some(secret));
    scene.begins_nothing(
        accepted,
        &flight.frame,
        "a message that does not use the one-time key handed in with it",
    )?;
    let again = accept(scene, &flight.first, None).must("accepting the same without it")?;
    End::new(scene, again)?.opens(&flight.frame, FIRST_TEXT)
}

/// If [`forward_secrecy`](crate::Properties::forward_secrecy) is claimed: once the one-time key is erased, who steals the
/// state of both ends and the secrets of their bundles opens nothing that was opened before, not even what was sent before
/// the first answer.
pub fn a_first_flight_with_a_one_time_key_ends_with_it(scene: &Scene) -> Result<(), Violation> {
    let Some((public, secret)) = scene.bob.one_time.first() else { return Ok(()) };
    if !scene.exchange.properties().forward_secrecy {
        return Ok(());
    }
    let Begun { first, frame, mut alice, mut bob } = begun(scene, public, secret)?;
    for _ in 0..2 {
        round_trip(&mut alice, &mut bob)?;
    }
    for (whose, end) in [("Alice", &mut alice), ("Bob", &mut bob)] {
        end.save();
        let mut parts = [&end.saved.main].into_iter().chain(end.saved.rows.values());
        let kept = parts.any(|part| shares_a_run(part, secret, secret.len().min(8)));
        ensure!(!kept, "{whose}'s state holds the one-time secret");
        let thief = scene.restore(&end.saved).must("restoring")?;
        let opened = End::new_restored(scene, thief, end.saved.clone()).open(&frame).map(drop);
        opened.must_fail(format!("the first frame, with {whose}'s state"))?;
    }
    let without =
        [None].into_iter().chain(scene.bob.one_time.iter().skip(1).map(|(_, other)| Some(&other[..])));
    for one_time in without {
        let accepted = accept(scene, &first, one_time);
        scene.begins_nothing(accepted, &frame, "the first message, without its one-time key")?;
    }
    Ok(())
}

/// A session begun with a one-time key, and used both ways.
struct Begun<'a> {
    first: Vec<u8>,
    frame: Vec<u8>,
    alice: End<'a>,
    bob: End<'a>,
}

fn begun<'a>(scene: &'a Scene, public: &[u8], secret: &Zeroizing<Vec<u8>>) -> Result<Begun<'a>, Violation> {
    let (first, alice) = initiate(scene, public).must("initiating with a one-time key")?;
    let mut alice = End::new(scene, alice)?;
    let frame = alice.seal(FIRST_TEXT)?;
    let accepted = accept(scene, &first, Some(secret)).must("accepting with the one-time key")?;
    let mut bob = End::new(scene, accepted)?;
    bob.opens(&frame, FIRST_TEXT)?;
    alice.opens(&bob.seal(b"answer")?, b"answer")?;
    Ok(Begun { first, frame, alice, bob })
}

fn initiate(scene: &Scene, one_time: &[u8]) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
    let peer = PeerBundle { one_time: Some(one_time), ..scene.bob.seen() };
    scene.initiate_as(&scene.alice.own(), &peer)
}

fn accept(scene: &Scene, first: &[u8], one_time: Option<&[u8]>) -> Result<Box<dyn Session>, CryptoError> {
    let own = OwnBundle { one_time, ..scene.bob.own() };
    scene.accept_as(&own, &scene.alice.seen(), first)
}
