//! The same with `post_quantum = true`.

use chat_core::key_exchange::{KeyExchange, OneTimePair, OwnBundle, PeerBundle};
use chat_core::profile::Options as Table;
use chat_core::testing::key_exchange::End;
use chat_core::testing::{FailingEntropy, key_exchange::Scene};
use chat_core::{CryptoError, Plugin as _, Registry};
use x25519_agreement::{Agreement, OneTimeSecret, Options, PrivateKey};

use super::{accept, scenes, scenes_of, unhex, with_one_time_key};
use crate::X25519;

mod conformance {
    use cipher_chacha20_poly1305::XChaCha;

    chat_core::key_exchange_suite!(
        crate::X25519,
        options: "[key_exchange]\nkind = \"x25519\"\npost_quantum = true\n",
        ciphers: [XChaCha],
    );
}

/// Where the ciphertext begins in a first message without one-time key: behind all else, and its own head of 3 bytes.
const CIPHERTEXT_AT: usize = 76 + 3;

fn exchange() -> X25519 {
    X25519 { agreement: Agreement::from(Options { post_quantum: true }) }
}

fn scene() -> Scene {
    scenes_of(exchange()).swap_remove(0)
}

#[test]
fn it_is_claimed_and_shared_only_if_it_is_asked_for() {
    let build = |options: &str| {
        let table = Table::parse_table(&format!("{}{options}", X25519::EXAMPLE), "key_exchange").unwrap();
        Registry::linked().unwrap().build::<dyn KeyExchange>(&table)
    };
    let [without, with] = ["", "post_quantum = true\n"].map(|options| build(options).unwrap());
    assert!(!without.properties().post_quantum && with.properties().post_quantum);
    assert_eq!([without.shared_options(), with.shared_options()], ["", "post_quantum=true"]);
    assert_eq!(build("post_quantum = false\n").unwrap().shared_options(), "");
    assert!(build("post_quantum = 1\n").is_err() && build("post-quantum = true\n").is_err());
    let says = |exchange: &dyn KeyExchange| exchange.caveats().concat().contains("ML-KEM-768");
    assert!(says(&*with) && !says(&*without));
}

/// `post_quantum.txt` comes from an independent implementation (Python's `hmac` and `cryptography` 48, whose ML-KEM is
/// OpenSSL's): the keys of the known answers without ML-KEM, KEM seeds b2… and 04… beside `BK_B` and `OPK_B`.
#[test]
fn known_answers() {
    let scene = scene();
    let key = |seed: u8| PrivateKey::from_slice(&[seed; 96], true).unwrap();
    let public = |seed: u8| key(seed).public(u32::from_be_bytes([seed; 4])).encode().unwrap();
    let (alice, bob) = (public(0xa1), public(0xb2));
    let one_time = OneTimeSecret::to_bytes(0x0404_0404, &key(4));
    let mut entropy = scene.entropy();
    let mut cx = scene.context(std::array::from_fn(|i| 100 + i as u8), &mut entropy);
    let mut seen = 0;
    for case in include_str!("post_quantum.txt").split("one-time key\n").skip(1) {
        let (first, frame) = case.split_once("frame").unwrap();
        let hex = |text: &str| unhex(&text.chars().filter(char::is_ascii_hexdigit).collect::<String>());
        let first = hex(first.strip_prefix("first").unwrap());
        let frame = hex(frame.lines().next().unwrap());
        let one_time = (seen == 1).then_some(&one_time[..]);
        let own = OwnBundle { payload: &bob, secret: &[0xb2; 96], one_time, ..scene.bob.own() };
        let peer = PeerBundle { payload: &alice, ..scene.alice.seen() };
        let accepted = scene.exchange.accept(&own, &peer, &first, &mut cx).unwrap();
        End::new(&scene, accepted).unwrap().opens(&frame, b"known answer").unwrap();
        seen += 1;
    }
    assert_eq!(seen, 2);
}

/// Implicit rejection ends at the confirmation: one error for every ciphertext that is not Alice's.
#[test]
fn every_wrong_ciphertext_is_forged() {
    let scene = scene();
    let (first, _) = scene.initiate().unwrap();
    let (other, _) = scene.initiate().unwrap();
    let forged = Some(CryptoError::Forged);
    assert_eq!(first.len(), CIPHERTEXT_AT + 1088);
    for at in CIPHERTEXT_AT..first.len() {
        let mut damaged = first.clone();
        damaged[at] ^= 1 << (at % 8);
        assert_eq!(scene.accept(&damaged).err(), forged, "byte {at}");
    }
    for ciphertext in [&[0; 1088][..], &[0xff; 1088], &other[CIPHERTEXT_AT..]] {
        let spliced = [&first[..CIPHERTEXT_AT], ciphertext].concat();
        assert_eq!(scene.accept(&spliced).err(), forged);
    }
    // One for another of Bob's keys: as a thief would use who knows only that one.
    let (with_one_time, _, kept) = with_one_time_key(&scene);
    let ciphertext = &with_one_time[with_one_time.len() - 1088..];
    let spliced = [&first[..CIPHERTEXT_AT], ciphertext].concat();
    assert_eq!(scene.accept(&spliced).err(), forged);
    assert!(accept(&scene, &with_one_time, Some(&kept)).is_ok() && scene.accept(&first).is_ok());
}

#[test]
fn a_one_time_key_brings_its_own_kem_key() {
    let scene = scene();
    let (first, alice, kept) = with_one_time_key(&scene);
    let frame = End::new(&scene, alice).unwrap().seal(b"hello").unwrap();
    let bob = accept(&scene, &first, Some(&kept)).unwrap();
    End::new(&scene, bob).unwrap().opens(&frame, b"hello").unwrap();
    assert!(matches!(accept(&scene, &first, None).err(), Some(CryptoError::UnknownKey(_))));
    // The right X25519 key with another KEM seed, and the seed cut off or doubled.
    let mut other_seed = kept.to_vec();
    *other_seed.last_mut().unwrap() ^= 1;
    // The last byte is of `z`, which matters only to wrong ciphertexts: that one still opens. One of `d` does not.
    assert!(accept(&scene, &first, Some(&other_seed)).is_ok());
    other_seed[4 + 32] ^= 1;
    assert_eq!(accept(&scene, &first, Some(&other_seed)).err(), Some(CryptoError::Forged));
    for bad in [&kept[..36], &kept[..99], &[&kept[..], &[0]].concat()] {
        assert!(matches!(accept(&scene, &first, Some(bad)).err(), Some(CryptoError::Malformed(_))));
    }
    let [(public, secret)] = &one_time_keys(1)[..] else { panic!("one") };
    assert!(public.len() < 1536 && secret.len() == 4 + 96);
}

fn one_time_keys(count: usize) -> Vec<OneTimePair> {
    let scene = scene();
    let mut entropy = scene.entropy();
    exchange().agreement.one_time_keys(count, &mut scene.context([0; 32], &mut entropy)).unwrap()
}

/// The core refuses a peer of the other kind by the option's name. Who gets past that by a lie in his bundle gets nowhere.
#[test]
fn ends_of_both_kinds_refuse_each_other() {
    let (with, without) = (scene(), scenes().swap_remove(0));
    let malformed = |error| matches!(error, Some(CryptoError::Malformed(_)));
    for (here, there) in [(&with, &without), (&without, &with)] {
        assert!(malformed(here.initiate_as(&here.alice.own(), &there.bob.seen()).err()));
        let (first, _) = there.initiate().unwrap();
        assert!(malformed(here.accept(&first).err()));
        let (first, _) = here.initiate().unwrap();
        assert!(malformed(here.accept_as(&here.bob.own(), &there.alice.seen(), &first).err()));
        assert!(malformed(here.accept_as(&there.bob.own(), &here.alice.seen(), &first).err()));
        let own = OwnBundle { secret: &there.bob.secret, ..here.bob.own() };
        assert!(malformed(here.accept_as(&own, &here.alice.seen(), &first).err()));
        let own = OwnBundle { secret: &there.alice.secret, ..here.alice.own() };
        assert!(malformed(here.initiate_as(&own, &here.bob.seen()).err()));
    }
}

#[test]
fn a_kem_key_that_is_not_reduced_is_refused() {
    let scene = scene();
    let mut payload = scene.bob.payload.clone();
    let at = payload.len() - 1184;
    // The first coefficient, of twelve bits, becomes 4095.
    (payload[at], payload[at + 1]) = (0xff, payload[at + 1] | 0x0f);
    let peer = PeerBundle { payload: &payload, ..scene.bob.seen() };
    let error = scene.initiate_as(&scene.alice.own(), &peer).err();
    assert_eq!(error, Some(CryptoError::Malformed("ML-KEM-768 public key")));
}

#[test]
fn without_randomness_for_the_kem_nothing_begins() {
    let scene = scene();
    for draws in 0..2 {
        let error = scene.initiate_with(&mut FailingEntropy::after(draws)).err();
        assert_eq!(error, Some(CryptoError::Entropy), "{draws}");
    }
    assert!(scene.initiate_with(&mut FailingEntropy::after(2)).is_ok());
    for draws in 0..3 {
        let mut entropy = FailingEntropy::after(draws);
        let made = scene.exchange.new_bundle(&mut scene.context([0; 32], &mut entropy));
        assert_eq!(made.err(), Some(CryptoError::Entropy), "{draws}");
    }
}
