//! The keys a plugin publishes, and those it is handed.

use std::collections::BTreeSet;

use super::scene::{FIRST_TEXT, Party, Scene};
use super::{BUNDLE_SEEDS, End, bundle, bundle_context};
use crate::error::CryptoError;
use crate::key_exchange::{MAX_ONE_TIME_PUBLIC_BYTES, NewBundle, OwnBundle, PeerBundle};
use crate::testing::bytes::{bits_to_try, extended, flipped, lengths_to_try, shares_a_run};
use crate::testing::entropy::FailingEntropy;
use crate::testing::rule::{Must as _, Violation, ensure};

/// As the page of [`NewBundle::payload`] says.
const MAX_PAYLOAD_BYTES: usize = 12 << 10;

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
        ensure!(longest <= MAX_ONE_TIME_PUBLIC_BYTES, "a one-time key has {longest} bytes");
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
    let same = (&payload, &secret) == (p, s) && o.starts_with(&one_time);
    ensure!(same, "the same randomness gives another bundle");
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
