//! Attacks on the first message.

use chat_core::{CryptoError, Entropy as _};

use super::{FailingEntropy, Scene};

/// A message damaged in any bit is refused; the genuine one is still accepted and its frames open.
pub fn every_flipped_bit_of_a_first_message_is_refused(scene: &Scene) {
    let (first, mut alice) = scene.initiate();
    for bit in 0..first.len() * 8 {
        let mut damaged = first.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(scene.accept(&damaged).is_err(), "bit {bit}");
    }
    let frame = scene.seal(&mut *alice, b"hello");
    scene.opens(&mut *scene.accept(&first).unwrap(), &frame, b"hello");
}

/// Cut anywhere, longer by a byte at either end, twice, or nothing.
pub fn every_other_length_of_a_first_message_is_refused(scene: &Scene) {
    let (first, _) = scene.initiate();
    for len in 0..first.len() {
        assert!(scene.accept(&first[..len]).is_err(), "length {len}");
    }
    for longer in [[&first[..], &[0]].concat(), [&[0][..], &first].concat(), first.repeat(2)] {
        assert!(matches!(scene.accept(&longer), Err(CryptoError::Malformed(_))));
    }
    assert!(scene.accept(&first).is_ok());
}

/// Another profile, another bundle, another pair of identities: the core then hands in another binding.
pub fn a_first_message_under_another_binding_is_refused(scene: &Scene) {
    let (first, _) = scene.initiate();
    for bit in 0..256 {
        let mut binding = scene.binding;
        binding[bit / 8] ^= 1 << (bit % 8);
        let result = scene.accept_from(&scene.alice, binding, &first).err();
        assert_eq!(result, Some(CryptoError::Forged), "bit {bit}");
    }
}

/// Mallory hands in Alice's message as her own, even with a binding that fits.
pub fn a_first_message_claimed_by_another_is_refused(scene: &Scene) {
    let (first, _) = scene.initiate();
    assert_eq!(scene.accept_from(&scene.mallory, scene.binding, &first).err(), Some(CryptoError::Forged));
    assert_eq!(scene.accept_from(&scene.mallory, [6; 32], &first).err(), Some(CryptoError::Forged));
}

/// Alice gets her own message back, as if it were Bob's.
pub fn a_reflected_first_message_is_refused(scene: &Scene) {
    let (first, _) = scene.initiate();
    let mut entropy = scene.entropy();
    let mut cx = scene.context(scene.binding, &mut entropy);
    assert!(scene.exchange.accept(&scene.alice.own(), &scene.bob.seen(), &first, &mut cx).is_err());
}

/// Alice was handed Mallory's keys under Bob's name, and Mallory passes the message on: Bob either refuses
/// it or ends up with a session in which nothing of Alice's opens.
pub fn a_first_message_to_a_substituted_bundle_gives_no_session(scene: &Scene) {
    let mut entropy = scene.entropy();
    let mut cx = scene.context(scene.binding, &mut entropy);
    let initiated = scene.exchange.initiate(&scene.alice.own(), &scene.mallory.seen(), &mut cx);
    let (first, mut alice) = initiated.unwrap();
    let frame = scene.seal(&mut *alice, b"for Bob");
    if let Ok(mut bob) = scene.accept(&first) {
        assert_eq!(scene.open(&mut *bob, &frame), Err(CryptoError::Forged));
    }
}

/// Random bytes of all lengths, and a genuine message with random bytes in it.
pub fn garbage_is_refused_without_panic(scene: &Scene) {
    let mut entropy = scene.entropy();
    let (first, _) = scene.initiate();
    for round in 0..400 {
        let mut garbage = vec![0; round % 200];
        entropy.fill(&mut garbage).unwrap();
        assert!(scene.accept(&garbage).is_err());
        let mut spliced = first.clone();
        let len = garbage.len().min(spliced.len() / 2);
        let at = round % (spliced.len() - len);
        spliced[at..at + len].copy_from_slice(&garbage[..len]);
        assert!(spliced == first || scene.accept(&spliced).is_err());
    }
}

/// Wherever randomness fails, that is the error, on both sides; nothing panics, nothing weaker is used.
pub fn a_handshake_without_randomness_is_an_entropy_error(scene: &Scene) {
    let enough = (0..10).find(|&draws| {
        let result = scene.initiate_with(&mut FailingEntropy::after(draws));
        result.is_ok() || result.err() != Some(CryptoError::Entropy)
    });
    assert!(enough.is_some_and(|draws| draws > 0), "initiating takes randomness");
    assert!(scene.initiate_with(&mut FailingEntropy::after(10)).is_ok());

    let (first, _) = scene.initiate();
    let accept = |draws| {
        let mut entropy = FailingEntropy::after(draws);
        let mut cx = scene.context(scene.binding, &mut entropy);
        scene.exchange.accept(&scene.bob.own(), &scene.alice.seen(), &first, &mut cx).err()
    };
    // An exchange may need none to accept; if it fails, then so.
    let failures: Vec<_> = (0..10).map_while(accept).collect();
    assert!(failures.len() < 10 && failures.iter().all(|error| *error == CryptoError::Entropy));
}
