use snow::params::NoiseParams;

use super::*;
use crate::primitives::tests::{BAD_POINTS, point};

/// A generator with a seed (SplitMix64), so that each run is the same.
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), chat_core::CryptoError> {
        for byte in buf {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = (z ^ (z >> 27)) as u8;
        }
        Ok(())
    }
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), chat_core::CryptoError> {
        Err(chat_core::CryptoError::Entropy)
    }
}

fn alice() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn bob() -> Identity {
    Identity::from_seed(&[2; 32])
}

/// Both sides with `through` messages exchanged, and the message that comes next.
fn pair_after(through: usize) -> (Handshake, Handshake, Vec<u8>) {
    let mut initiator = Handshake::with_entropy(Role::Initiator, "tcp", &alice(), &mut Seeded(1)).unwrap();
    let mut responder = Handshake::with_entropy(Role::Responder, "tcp", &bob(), &mut Seeded(2)).unwrap();
    for _ in 0..through {
        let (writer, reader) = turn(&mut initiator, &mut responder);
        reader.read_message(&writer.write_message().unwrap()).unwrap();
    }
    let (writer, _) = turn(&mut initiator, &mut responder);
    let next = if writer.is_finished() { Vec::new() } else { writer.write_message().unwrap() };
    (initiator, responder, next)
}

fn turn<'a>(a: &'a mut Handshake, b: &'a mut Handshake) -> (&'a mut Handshake, &'a mut Handshake) {
    if a.is_my_turn() { (a, b) } else { (b, a) }
}

/// The side that is to read message `index`.
fn reader(index: usize, initiator: Handshake, responder: Handshake) -> Handshake {
    if index == 1 { initiator } else { responder }
}

fn finish_both(initiator: Handshake, responder: Handshake) -> (Secured, Secured) {
    let (a, b) = (initiator.finish().unwrap(), responder.finish().unwrap());
    assert_eq!(a.send_key, b.receive_key);
    assert_eq!(a.receive_key, b.send_key);
    assert_ne!(a.send_key, a.receive_key);
    assert_eq!(a.handshake_hash, b.handshake_hash);
    (a, b)
}

#[test]
fn both_ends_prove_who_they_are_and_share_keys() {
    let (initiator, responder, _) = pair_after(3);
    assert!(initiator.is_finished() && responder.is_finished());
    let (a, b) = finish_both(initiator, responder);
    assert_eq!((a.peer, b.peer), (bob().public(), alice().public()));
}

#[test]
fn keys_are_fresh_each_time() {
    let messages = [0; 2].map(|_| {
        let mut handshake = Handshake::new(Role::Initiator, "tcp", &alice()).unwrap();
        handshake.write_message().unwrap()
    });
    assert_ne!(messages[0], messages[1]);
}

#[test]
fn a_node_may_dial_itself() {
    let mut initiator = Handshake::new(Role::Initiator, "tcp", &alice()).unwrap();
    let mut responder = Handshake::new(Role::Responder, "tcp", &alice()).unwrap();
    responder.read_message(&initiator.write_message().unwrap()).unwrap();
    initiator.read_message(&responder.write_message().unwrap()).unwrap();
    responder.read_message(&initiator.write_message().unwrap()).unwrap();
    let (a, b) = finish_both(initiator, responder);
    assert_eq!((a.peer, b.peer), (alice().public(), alice().public()));
}

#[test]
fn each_message_has_the_documented_length() {
    assert_eq!(MESSAGE_LENGTHS, [32, 192, 160]);
    for (index, len) in MESSAGE_LENGTHS.into_iter().enumerate() {
        assert_eq!(pair_after(index).2.len(), len);
    }
}

#[test]
fn every_flipped_bit_is_refused_and_the_genuine_message_still_passes() {
    for index in 0..3 {
        let (initiator, responder, genuine) = pair_after(index);
        let mut reader = reader(index, initiator, responder);
        for bit in 0..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let result = reader.read_message(&forged);
            // Message 1 is not authenticated yet: another key is another handshake, which fails at message 2.
            if index > 0 {
                assert!(result.is_err(), "message {index}, bit {bit}");
            } else if result.is_ok() {
                let (mut initiator, mut responder, _) = pair_after(0);
                responder.read_message(&forged).unwrap();
                let answer = responder.write_message().unwrap();
                assert_eq!(initiator.read_message(&answer), Err(HandshakeError::Forged), "bit {bit}");
                reader = responder_anew();
            }
        }
        reader.read_message(&genuine).unwrap();
    }
}

fn responder_anew() -> Handshake {
    Handshake::with_entropy(Role::Responder, "tcp", &bob(), &mut Seeded(2)).unwrap()
}

#[test]
fn after_refused_messages_the_handshake_ends_as_if_they_had_never_come() {
    let (mut initiator, mut responder, first) = pair_after(0);
    responder.read_message(&[7; 31]).unwrap_err();
    responder.read_message(&first).unwrap();
    let second = responder.write_message().unwrap();
    for damaged in [0, 32, 80, 191] {
        let mut forged = second.clone();
        forged[damaged] ^= 0x10;
        initiator.read_message(&forged).unwrap_err();
    }
    initiator.read_message(&second).unwrap();
    let third = initiator.write_message().unwrap();
    for damaged in [0, 47, 48, 159] {
        let mut forged = third.clone();
        forged[damaged] ^= 0x10;
        responder.read_message(&forged).unwrap_err();
    }
    responder.read_message(&third).unwrap();
    let (a, _) = finish_both(initiator, responder);
    let (undisturbed, ..) = pair_after(3);
    assert_eq!(a.handshake_hash, undisturbed.finish().unwrap().handshake_hash);
}

#[test]
fn truncated_extended_and_empty_messages_are_refused() {
    for index in 0..3 {
        let (initiator, responder, genuine) = pair_after(index);
        let mut reader = reader(index, initiator, responder);
        for len in 0..genuine.len() {
            assert!(matches!(reader.read_message(&genuine[..len]), Err(HandshakeError::Length { .. })));
        }
        for extra in [1, 16, 65_000] {
            let long = [genuine.clone(), vec![0; extra]].concat();
            assert!(matches!(reader.read_message(&long), Err(HandshakeError::Length { .. })));
        }
        reader.read_message(&genuine).unwrap();
    }
}

#[test]
fn messages_out_of_order_are_refused() {
    let (mut initiator, mut responder, first) = pair_after(0);
    assert_eq!(initiator.write_message(), Err(HandshakeError::OutOfOrder));
    assert_eq!(responder.write_message(), Err(HandshakeError::OutOfOrder));
    responder.read_message(&first).unwrap();
    assert_eq!(responder.read_message(&first), Err(HandshakeError::OutOfOrder), "a repeat");
    let second = responder.write_message().unwrap();
    initiator.read_message(&second).unwrap();
    assert_eq!(initiator.read_message(&second), Err(HandshakeError::OutOfOrder), "a repeat");
    assert!(!initiator.is_finished());
    assert_eq!(initiator.finish().err(), Some(HandshakeError::OutOfOrder));
    assert_eq!(responder.finish().err(), Some(HandshakeError::OutOfOrder));
    let (mut finished, ..) = pair_after(3);
    assert_eq!(finished.write_message(), Err(HandshakeError::OutOfOrder));
    assert_eq!(finished.read_message(&second), Err(HandshakeError::OutOfOrder));
}

#[test]
fn what_we_sent_is_refused_when_it_comes_back() {
    let (mut initiator, mut responder, first) = pair_after(0);
    assert!(initiator.read_message(&first).is_err());
    let padded = [first.clone(), vec![0; MESSAGE_LENGTHS[1] - first.len()]].concat();
    assert!(initiator.read_message(&padded).is_err());
    responder.read_message(&first).unwrap();
    let second = responder.write_message().unwrap();
    assert!(responder.read_message(&second).is_err());
    assert!(responder.read_message(&second[..MESSAGE_LENGTHS[2]]).is_err());
    // Both ends drew the same keys: a clone of the process, or our own bytes through a mirror that can seal.
    let mut mirror = Handshake::with_entropy(Role::Responder, "tcp", &alice(), &mut Seeded(1)).unwrap();
    mirror.read_message(&first).unwrap();
    assert_eq!(initiator.read_message(&mirror.write_message().unwrap()), Err(HandshakeError::Reflected));
}

#[test]
fn a_message_of_another_handshake_is_refused() {
    let (mut initiator, ..) = pair_after(0);
    let mut other = Handshake::new(Role::Initiator, "tcp", &alice()).unwrap();
    let mut responder = responder_anew();
    responder.read_message(&other.write_message().unwrap()).unwrap();
    let answer = responder.write_message().unwrap();
    assert_eq!(initiator.read_message(&answer), Err(HandshakeError::Forged));
    other.read_message(&answer).unwrap();
    let (_, mut responder, genuine) = pair_after(2);
    assert_eq!(responder.read_message(&other.write_message().unwrap()), Err(HandshakeError::Forged));
    responder.read_message(&genuine).unwrap();
}

#[test]
fn another_transport_is_another_protocol() {
    let mut initiator = Handshake::new(Role::Initiator, "tcp", &alice()).unwrap();
    let mut responder = Handshake::new(Role::Responder, "memory", &bob()).unwrap();
    responder.read_message(&initiator.write_message().unwrap()).unwrap();
    let answer = responder.write_message().unwrap();
    assert_eq!(initiator.read_message(&answer), Err(HandshakeError::Forged));
}

#[test]
fn points_of_low_order_are_refused_in_every_place_of_a_key() {
    for bad in BAD_POINTS.map(point) {
        let (_, mut responder, _) = pair_after(0);
        assert_eq!(responder.read_message(&bad), Err(HandshakeError::WeakKey));
        let (mut initiator, _, mut second) = pair_after(1);
        second[..32].copy_from_slice(&bad);
        assert_eq!(initiator.read_message(&second), Err(HandshakeError::WeakKey));
    }
}

/// The other end made by hand from `snow` and the crate's documentation, with what it claims to be left to the test.
fn stranger(claim: impl FnOnce(&[u8], &[u8]) -> Vec<u8>) -> Result<(Secured, [u8; 32]), HandshakeError> {
    let mut ours = responder_anew();
    let params: NoiseParams = "Noise_XX_25519_AESGCM_SHA256".parse().unwrap();
    let keys = Builder::new(params.clone()).generate_keypair().unwrap();
    let mut theirs = Builder::new(params)
        .prologue(b"chat/noise/1\x00\x00\x00\x03tcp")
        .unwrap()
        .local_private_key(&keys.private)
        .unwrap()
        .build_initiator()
        .unwrap();
    let mut buf = [0; 65535];
    let len = theirs.write_message(&[], &mut buf).unwrap();
    ours.read_message(&buf[..len]).unwrap();
    theirs.read_message(&ours.write_message().unwrap(), &mut buf).unwrap();
    let payload = claim(theirs.get_handshake_hash(), &keys.public);
    let len = theirs.write_message(&payload, &mut buf).unwrap();
    ours.read_message(&buf[..len])?;
    let hash = theirs.get_handshake_hash().try_into().unwrap();
    Ok((ours.finish().unwrap(), hash))
}

fn signed(by: &Identity, role: u8, hash: &[u8], key: &[u8]) -> Vec<u8> {
    let signature = by.sign(SignedAs::Hop, &[&[role], hash, key].concat());
    [by.public().as_bytes().as_slice(), &signature].concat()
}

#[test]
fn a_peer_made_from_the_documentation_is_understood() {
    let (secured, hash) = stranger(|hash, key| signed(&alice(), 1, hash, key)).unwrap();
    assert_eq!((secured.peer, secured.handshake_hash), (alice().public(), hash));
}

#[test]
fn claims_that_are_not_signed_for_this_handshake_are_refused() {
    let refused = |result: Result<(Secured, [u8; 32]), HandshakeError>| match result {
        Err(HandshakeError::Identity(error)) => error,
        other => panic!("{other:?}"),
    };
    let forged = chat_core::CryptoError::Forged;
    assert_eq!(refused(stranger(|hash, key| signed(&alice(), 2, hash, key))), forged, "the other role");
    assert_eq!(refused(stranger(|_, key| signed(&alice(), 1, &[0; 32], key))), forged, "another handshake");
    assert_eq!(
        refused(stranger(|hash, _| signed(&alice(), 1, hash, &[9; 32]))),
        forged,
        "another static key"
    );
    let posing = |hash: &[u8], key: &[u8]| {
        let mut claim = signed(&bob(), 1, hash, key);
        claim[..32].copy_from_slice(alice().public().as_bytes());
        claim
    };
    assert_eq!(refused(stranger(posing)), forged, "another's name");
    let weak = |hash: &[u8], key: &[u8]| {
        let mut claim = signed(&alice(), 1, hash, key);
        claim[..32].fill(0);
        claim
    };
    assert!(matches!(refused(stranger(weak)), chat_core::CryptoError::Untrusted(_)));
    for payload in [Vec::new(), vec![0; 95], vec![0; 97]] {
        assert!(matches!(stranger(|_, _| payload), Err(HandshakeError::Length { .. })));
    }
}

#[test]
fn random_bytes_are_refused_without_a_panic() {
    let mut seeded = Seeded(3);
    for index in 0..3 {
        let (initiator, responder, genuine) = pair_after(index);
        let mut reader = reader(index, initiator, responder);
        for round in 0..4_000_u32 {
            let len = match round % 40 {
                0 => genuine.len(),
                _ => {
                    usize::from(u16::from_le_bytes((&mut seeded as &mut dyn Entropy).bytes().unwrap()) % 512)
                }
            };
            let mut bytes = vec![0; len];
            seeded.fill(&mut bytes).unwrap();
            if reader.read_message(&bytes).is_ok() {
                assert_eq!(index, 0, "only a first message can be anybody's");
                reader = responder_anew();
            }
        }
        reader.read_message(&genuine).unwrap();
    }
}

#[test]
fn without_randomness_there_is_no_handshake_and_debug_shows_no_key() {
    let refused = Handshake::with_entropy(Role::Initiator, "tcp", &alice(), &mut NoEntropy);
    assert_eq!(refused.err(), Some(HandshakeError::Entropy));
    let (initiator, responder, _) = pair_after(3);
    assert_eq!(format!("{initiator:?}"), format!("Handshake(Initiator, {:?}, 3 of 3 messages)", alice()));
    let (secured, _) = finish_both(initiator, responder);
    assert_eq!(format!("{secured:?}"), format!("Secured {{ peer: {:?}, .. }}", bob().public()));
}
