//! The exchange as a whole: the suite of the core with every cipher, known answers, one-time keys, doubtful keys.

use std::sync::Arc;

use chat_core::key_exchange::{KeyExchange, NewBundle, OwnBundle, PeerBundle};
use chat_core::testing::key_exchange::{End, Scene, bundle_context};
use chat_core::testing::{FailingEntropy, TestEntropy};
use chat_core::{Cipher, CryptoError, Entropy, Session, Step};
use x25519_agreement::{OneTimeSecret, PrivateKey};
use zeroize::Zeroizing;

use super::X25519;

mod post_quantum;

fn bundle(exchange: X25519, seed: u64, cipher: &Arc<dyn Cipher>) -> NewBundle {
    exchange.new_bundle(&mut bundle_context(cipher, &mut TestEntropy::new(seed))).unwrap()
}

fn scenes() -> Vec<Scene> {
    scenes_of(X25519::default())
}

fn scenes_of(exchange: X25519) -> Vec<Scene> {
    let ciphers: [Arc<dyn Cipher>; 4] = [
        Arc::new(cipher_aes_gcm::Aes256Gcm),
        Arc::new(cipher_chacha20_poly1305::ChaCha),
        Arc::new(cipher_chacha20_poly1305::XChaCha),
        Arc::new(cipher_aes_cbc_hmac::Aes128CbcHmacSha256),
    ];
    ciphers
        .into_iter()
        .map(|cipher| {
            let bundles = [1001, 1002, 1003].map(|seed| bundle(exchange, seed, &cipher));
            Scene::new(Box::new(exchange), cipher, bundles)
        })
        .collect()
}

mod conformance {
    use cipher_aes_cbc_hmac::Aes128CbcHmacSha256;
    use cipher_aes_gcm::Aes256Gcm;
    use cipher_chacha20_poly1305::{ChaCha, XChaCha};

    chat_core::key_exchange_suite!(crate::X25519, ciphers: [Aes256Gcm, ChaCha, XChaCha, Aes128CbcHmacSha256]);
}

#[test]
fn it_claims_to_be_deniable_and_nothing_more() {
    let exchange = X25519::default();
    let gives = exchange.properties();
    assert!(gives.deniable && !gives.forward_secrecy && !gives.healing && !gives.post_quantum);
    assert_eq!(exchange.shared_options(), "");
}

/// The confirmation refuses at once, so that nothing is stored for a message that means something else.
#[test]
fn another_binding_and_another_sender_are_forged_at_once() {
    let scene = &scenes()[0];
    let (first, _) = scene.initiate().unwrap();
    let forged = Some(CryptoError::Forged);
    assert_eq!(scene.accept_from(&scene.alice, [6; 32], &first).err(), forged);
    assert_eq!(scene.accept_from(&scene.mallory, scene.binding, &first).err(), forged);
    assert!(matches!(scene.accept(&[&first[..], &[0]].concat()).err(), Some(CryptoError::Malformed(_))));
    assert!(scene.accept(&first).is_ok());
}

/// Gives the same byte for ever, as a private key, or the bytes that count up, as a salt.
struct Scripted(u8);

impl Entropy for Scripted {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        let salt = buf.len() == 16;
        (64..).zip(buf).for_each(|(i, slot)| *slot = if salt { i } else { self.0 });
        Ok(())
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// The expected bytes come from an independent implementation (Python's `hmac` and `cryptography` 48):
/// BK_A = a1…, BK_B = b2…, EK_A = e3…, OPK_B = 04…, key ids of the same bytes, context = 64…83 (hex).
#[test]
fn known_answers() {
    let cases = [
        (
            false,
            "85015820e94beb11d94ab9e25d5ed916cb5ec67b78b65727a8eecd16ebd7ed5a2efc260e1ab2b2b2b2f65820\
             daef02faec04f755b9db280237d05902a9c80e18563be971c7e303d958f511ba",
            "0000000000000000404142434445464748494a4b4c4d4e4f\
             a16ed970e0bacd4401bbb70fa2be2463edad682a01272a186713c074",
        ),
        (
            true,
            "85015820e94beb11d94ab9e25d5ed916cb5ec67b78b65727a8eecd16ebd7ed5a2efc260e1ab2b2b2b21a04040404\
             5820253858629e8e9c9a276b2ca58beed8462b97c574106c8a29f3584b82b4201198",
            "0000000000000000404142434445464748494a4b4c4d4e4f\
             d1b70e7130dacd818b7683fadc1651fe6fdf0c651c3d02d6d668534a",
        ),
    ];
    let scene = &scenes()[0];
    let key = |seed: u8| PrivateKey::from_slice(&[seed; 32], false).unwrap();
    let public = |seed: u8| key(seed).public(u32::from_be_bytes([seed; 4])).encode().unwrap();
    let (alice, bob, one_time_public) = (public(0xa1), public(0xb2), public(0x04));
    let (alice_key, bob_key) = (scene.alice.identity.public(), scene.bob.identity.public());
    let one_time_secret = OneTimeSecret::to_bytes(0x0404_0404, &key(4)).to_vec();
    for (with_one_time, first_hex, frame_hex) in cases {
        let mut entropy = Scripted(0xe3);
        let mut cx = scene.context(std::array::from_fn(|i| 100 + i as u8), &mut entropy);
        let own = OwnBundle { payload: &alice, secret: &[0xa1; 32], ..scene.alice.own() };
        let one_time = with_one_time.then_some(&one_time_public[..]);
        let peer = PeerBundle { identity: bob_key, payload: &bob, one_time };
        let (first, mut session) = scene.exchange.initiate(&own, &peer, &mut cx).unwrap();
        assert_eq!(first, unhex(first_hex));
        let mut step = Step { now: scene.now, entropy: &mut Scripted(0) };
        let frame = session.seal(b"known answer", &mut step).unwrap();
        assert_eq!(frame, unhex(frame_hex));

        let one_time = with_one_time.then_some(&one_time_secret[..]);
        let own = OwnBundle { payload: &bob, secret: &[0xb2; 32], one_time, ..scene.bob.own() };
        let peer = PeerBundle { identity: alice_key, payload: &alice, one_time: None };
        let accepted = scene.exchange.accept(&own, &peer, &first, &mut cx).unwrap();
        End::new(scene, accepted).unwrap().opens(&frame, b"known answer").unwrap();
    }
}

/// A first message made with a one-time key, and the key's private half.
fn with_one_time_key(scene: &Scene) -> (Vec<u8>, Box<dyn Session>, Zeroizing<Vec<u8>>) {
    let key = PrivateKey::generate(scene.exchange.properties().post_quantum, &mut scene.entropy()).unwrap();
    let public = key.public(77).encode().unwrap();
    let peer = PeerBundle { one_time: Some(&public), ..scene.bob.seen() };
    let (first, session) = scene.initiate_as(&scene.alice.own(), &peer).unwrap();
    (first, session, OneTimeSecret::to_bytes(77, &key))
}

fn accept(scene: &Scene, first: &[u8], one_time: Option<&[u8]>) -> Result<Box<dyn Session>, CryptoError> {
    let own = OwnBundle { one_time, ..scene.bob.own() };
    scene.accept_as(&own, &scene.alice.seen(), first)
}

#[test]
fn a_one_time_key_counts_and_is_needed() {
    for scene in &scenes() {
        let (first, alice, kept) = with_one_time_key(scene);
        let frame = End::new(scene, alice).unwrap().seal(b"hello").unwrap();
        let bob = accept(scene, &first, Some(&kept)).unwrap();
        End::new(scene, bob).unwrap().opens(&frame, b"hello").unwrap();

        // Used before and erased; or another one; or cut.
        let unknown = |one_time| matches!(accept(scene, &first, one_time), Err(CryptoError::UnknownKey(_)));
        let other = OneTimeSecret::to_bytes(78, &PrivateKey::generate(false, &mut scene.entropy()).unwrap());
        assert!(unknown(None) && unknown(Some(&other)) && unknown(Some(&kept[..3])));
        assert!(matches!(accept(scene, &first, Some(&kept[..35])), Err(CryptoError::Malformed(_))));
        // The right id on another key.
        let same_id =
            OneTimeSecret::to_bytes(77, &PrivateKey::generate(false, &mut scene.entropy()).unwrap());
        assert_eq!(accept(scene, &first, Some(&same_id)).err(), Some(CryptoError::Forged));
        for bit in 0..first.len() * 8 {
            let mut damaged = first.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(accept(scene, &damaged, Some(&kept)).is_err(), "bit {bit}");
        }
        // A key that the message doesn't use would be erased in vain.
        let (without, _) = scene.initiate().unwrap();
        assert!(matches!(accept(scene, &without, Some(&kept)), Err(CryptoError::Malformed(_))));
        assert!(accept(scene, &without, None).is_ok());
    }
}

/// Points of order 1, 2, 4 and 8 (cr.yp.to/ecdh.html), and encodings that aren't canonical.
fn doubtful_points() -> Vec<([u8; 32], &'static str)> {
    let point = |text: &str| <[u8; 32]>::try_from(unhex(text)).unwrap();
    let low = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let not_canonical = [
        // p, p + 1, 2²⁵⁵ − 1, and the base point with the highest bit set.
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0900000000000000000000000000000000000000000000000000000000000080",
    ];
    low.map(|text| (point(text), "low order"))
        .into_iter()
        .chain(not_canonical.map(|text| (point(text), "not canonical")))
        .collect()
}

/// The record with another public key in it, which stands at its end.
fn with_point(record: &[u8], point: &[u8; 32]) -> Vec<u8> {
    [&record[..record.len() - 32], point].concat()
}

/// B01.
#[test]
fn low_order_and_non_canonical_points_are_refused_wherever_they_stand() {
    let scene = &scenes()[0];
    let (first, _) = scene.initiate().unwrap();
    let one_time = PrivateKey::from_slice(&[1; 32], false).unwrap().public(1).encode().unwrap();
    let mut seen = 0;
    for (point, why) in doubtful_points() {
        let named = |error: Option<CryptoError>| error.unwrap().to_string().contains(why);
        let mut entropy = scene.entropy();
        let mut cx = scene.context(scene.binding, &mut entropy);
        let own = scene.alice.own();
        // As Bob's bundle key and as his one-time key, for Alice.
        let doubtful = with_point(&scene.bob.payload, &point);
        let peer = PeerBundle { payload: &doubtful, ..scene.bob.seen() };
        assert!(named(scene.exchange.initiate(&own, &peer, &mut cx).err()), "{point:x?}");
        let doubtful = with_point(&one_time, &point);
        let peer = PeerBundle { one_time: Some(&doubtful), ..scene.bob.seen() };
        assert!(named(scene.exchange.initiate(&own, &peer, &mut cx).err()), "{point:x?}");
        // As Alice's bundle key and as her ephemeral key, for Bob.
        let doubtful = with_point(&scene.alice.payload, &point);
        let peer = PeerBundle { payload: &doubtful, ..scene.alice.seen() };
        assert!(named(scene.exchange.accept(&scene.bob.own(), &peer, &first, &mut cx).err()), "{point:x?}");
        let mut damaged = first.clone();
        damaged[4..36].copy_from_slice(&point);
        assert!(named(scene.accept(&damaged).err()), "{point:x?}");
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn bundles_decode_strictly() {
    let scene = &scenes()[0];
    let good = scene.bob.payload.clone();
    let mut entropy = scene.entropy();
    let mut cx = scene.context(scene.binding, &mut entropy);
    let mut initiate = |payload: &[u8]| {
        let peer = PeerBundle { payload, ..scene.bob.seen() };
        scene.exchange.initiate(&scene.alice.own(), &peer, &mut cx).err()
    };
    assert_eq!(initiate(&good), None);
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    bad.push([&good[..], &[0]].concat());
    bad.push(vec![0; 100_000]);
    // Another version; an unknown field; a longer head.
    bad.push([&[0x83, 2], &good[2..]].concat());
    bad.push([&[0x84], &good[1..], &[0]].concat());
    bad.push([&[0x98, 3], &good[1..]].concat());
    for payload in bad {
        assert!(matches!(initiate(&payload), Some(CryptoError::Malformed(_))), "{payload:x?}");
    }
}

#[test]
fn a_message_for_a_bundle_that_was_rotated_away_names_the_reason() {
    let scene = &scenes()[0];
    let (first, _) = scene.initiate().unwrap();
    let rotated = bundle(X25519::default(), 2000, &scene.cipher);
    let own = OwnBundle { payload: &rotated.payload, secret: &rotated.secret, ..scene.bob.own() };
    let mut entropy = scene.entropy();
    let mut cx = scene.context(scene.binding, &mut entropy);
    let error = scene.exchange.accept(&own, &scene.alice.seen(), &first, &mut cx).err();
    assert_eq!(error, Some(CryptoError::UnknownKey("bundle key")));
}

#[test]
fn a_bundle_without_randomness_is_an_entropy_error() {
    let scene = &scenes()[0];
    let make = |draws| {
        let mut entropy = FailingEntropy::after(draws);
        scene.exchange.new_bundle(&mut scene.context([0; 32], &mut entropy))
    };
    assert_eq!(make(0).err(), Some(CryptoError::Entropy));
    assert_eq!(make(1).err(), Some(CryptoError::Entropy));
    let made = make(2).unwrap();
    assert!(made.one_time.is_empty());
    assert!(!made.payload.windows(32).any(|part| part == &made.secret[..]));
}
