//! The keys a plugin publishes, and those it is handed.

use std::collections::BTreeSet;

use super::scene::{FIRST_TEXT, Party, Scene};
use super::{BUNDLE_SEEDS, End, bundle, bundle_context};
use crate::error::CryptoError;
use crate::key_exchange::{NewBundle, OwnBundle, PeerBundle, Session};
use crate::testing::bytes::{bits_to_try, extended, flipped, lengths_to_try, shares_a_run};
use crate::testing::entropy::FailingEntropy;
use crate::testing::rule::{Must as _, Violation, ensure};

/// As the page of [`NewBundle::payload`] says.
const MAX_PAYLOAD_BYTES: usize = 12 << 10;
/// One-time keys are published by the hundred.
const MAX_ONE_TIME_BYTES: usize = 4 << 10;

/// Everybody's bundle has keys of its own, within the size that is stored for thousands of peers, and the
/// private part does not stand in the public one.
pub fn bundles_are_new_and_small_and_keep_their_secret(scene: &Scene) -> Result<(), Violation> {
    let (mut publics, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for party in [&scene.alice, &scene.bob, &scene.mallory] {
        let len = party.payload.len();
        ensure!((1..=MAX_PAYLOAD_BYTES).contains(&len), "a bundle's payload has {len} bytes");
        let pairs = [(&party.payload, &party.secret)].into_iter();
        for (public, secret) in pairs.chain(party.one_time.iter().map(|(public, secret)| (public, secret))) {
            ensure!(publics.insert(public.clone()), "two bundles or one-time keys are the same");
            ensure!(secret.is_empty() || secrets.insert(secret.to_vec()), "two secrets are the same");
            let shows = !secret.is_empty() && shares_a_run(public, secret, secret.len());
            ensure!(!shows, "a secret stands in the public part");
        }
        let longest = party.one_time.iter().map(|(public, _)| public.len()).max().unwrap_or_default();
        ensure!(longest <= MAX_ONE_TIME_BYTES, "a one-time key has {longest} bytes");
    }
    Ok(())
}

/// A bundle takes randomness, and wherever that fails, [`CryptoError::Entropy`] is the error.
pub fn a_bundle_without_randomness_is_an_entropy_error(scene: &Scene) -> Result<(), Violation> {
    for draws in 0..8 {
        let mut entropy = FailingEntropy::after(draws);
        let made = scene.exchange.new_bundle(&mut bundle_context(&scene.cipher, &mut entropy));
        match made.err() {
            None => {
                ensure!(draws > 0, "a bundle is made without randomness");
                return Ok(());
            }
            Some(error) => ensure!(
                error == CryptoError::Entropy,
                "randomness failing after {draws} draws is reported as {error:?}"
            ),
        }
    }
    Ok(())
}

/// All randomness is handed in, so a run can be repeated to the byte.
pub fn the_same_randomness_gives_the_same_bundle(scene: &Scene) -> Result<(), Violation> {
    let again = bundle(&*scene.exchange, &scene.cipher, BUNDLE_SEEDS[2])?;
    let NewBundle { payload, secret, one_time } = again;
    let Party { payload: p, secret: s, one_time: o, .. } = &scene.mallory;
    ensure!((&payload, &secret, &one_time) == (p, s, o), "the same randomness gives another bundle");
    Ok(())
}

/// A peer's payload that was cut or extended begins nothing, at either end; nor does a damaged secret of
/// one's own; and no bytes make the plugin panic.
pub fn a_malformed_bundle_is_refused(scene: &Scene) -> Result<(), Violation> {
    let flight = scene.first_flight()?;
    let own = scene.alice.own();
    let malformed = |good: &[u8]| {
        let cut = lengths_to_try(good.len(), 100).into_iter().map(|len| good[..len].to_vec());
        cut.chain(extended(good)).collect::<Vec<_>>()
    };
    for payload in malformed(&scene.bob.payload) {
        let peer = PeerBundle { payload: &payload, ..scene.bob.seen() };
        let what = format!("initiating to a payload of {} bytes", payload.len());
        scene.initiate_as(&own, &peer).map(drop).must_fail(what)?;
    }
    for payload in malformed(&scene.alice.payload) {
        let peer = PeerBundle { payload: &payload, ..scene.alice.seen() };
        let what = format!("accepting from a payload of {} bytes", payload.len());
        scene.accept_as(&scene.bob.own(), &peer, &flight.first).map(drop).must_fail(what)?;
    }
    for secret in malformed(&scene.bob.secret) {
        let own = OwnBundle { secret: &secret, ..scene.bob.own() };
        let accepted = scene.accept_as(&own, &scene.alice.seen(), &flight.first);
        scene.begins_nothing(accepted, &flight.frame, format!("a secret of {} bytes", secret.len()))?;
    }
    no_payload_panics(scene, &flight.first);
    End::new(scene, scene.accept(&flight.first).must("accepting the genuine message")?)?
        .opens(&flight.frame, FIRST_TEXT)
}

/// What comes of it is not asked: some of these are keys.
fn no_payload_panics(scene: &Scene, first: &[u8]) {
    let good = &scene.bob.payload;
    let mut entropy = scene.entropy();
    let mut payloads: Vec<Vec<u8>> = (0..100).map(|len| entropy.take(len)).collect();
    payloads.extend(bits_to_try(good.len(), 200).into_iter().map(|bit| flipped(good, bit)));
    for (start, fill) in [(0, 0), (0, 0xff), (good.len() / 2, 0), (good.len() / 2, 0xff)] {
        let mut filled = good.clone();
        filled[start..].fill(fill);
        payloads.push(filled);
    }
    for payload in payloads {
        let peer = PeerBundle { payload: &payload, ..scene.bob.seen() };
        // Either outcome will do.
        drop(scene.initiate_as(&scene.alice.own(), &peer));
        drop(scene.accept_as(&scene.bob.own(), &peer, first));
    }
}

/// If bundles have one-time keys: a message made with one needs its private half, that half alone, and goes
/// wrong with any other; without it, it is an [`CryptoError::UnknownKey`].
pub fn one_time_keys_count_and_are_needed(scene: &Scene) -> Result<(), Violation> {
    let (bobs, mallorys) = (&scene.bob.one_time, &scene.mallory.one_time);
    let (Some((public, secret)), Some((_, others))) = (bobs.first(), mallorys.first()) else { return Ok(()) };
    let (first, alice) = initiate(scene, public).must("initiating with a one-time key")?;
    let mut alice = End::new(scene, alice)?;
    let frame = alice.seal(FIRST_TEXT)?;
    let accepted = accept(scene, &first, Some(secret)).must("accepting with the one-time key")?;
    let mut bob = End::new(scene, accepted)?;
    bob.opens(&frame, FIRST_TEXT)?;
    alice.opens(&bob.seal(b"answer")?, b"answer")?;

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
    needs_none(scene, secret)
}

fn initiate(scene: &Scene, one_time: &[u8]) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
    let peer = PeerBundle { one_time: Some(one_time), ..scene.bob.seen() };
    scene.initiate_as(&scene.alice.own(), &peer)
}

fn accept(scene: &Scene, first: &[u8], one_time: Option<&[u8]>) -> Result<Box<dyn Session>, CryptoError> {
    let own = OwnBundle { one_time, ..scene.bob.own() };
    scene.accept_as(&own, &scene.alice.seen(), first)
}

/// A message that names no one-time key leaves alone what it is handed.
fn needs_none(scene: &Scene, secret: &[u8]) -> Result<(), Violation> {
    let (first, alice) = scene.initiate().must("initiating")?;
    let frame = End::new(scene, alice)?.seal(FIRST_TEXT)?;
    let accepted =
        accept(scene, &first, Some(secret)).must("accepting a message that names no one-time key")?;
    End::new(scene, accepted)?.opens(&frame, FIRST_TEXT)
}
