//! The exchange as a whole: the suite of the core with every cipher, known answers, limits, schedules by chance, theft.

mod limits;
mod post_quantum;
mod schedules;
mod theft;
mod vectors;

use std::sync::Arc;

use chat_core::key_exchange::{Context, KeyExchange as _};
use chat_core::testing::TestEntropy;
use chat_core::{Cipher, CryptoError, Entropy, SavedSession, Session as _, StateChange, Step, Timestamp};
use x25519_agreement::{Agreed, SecretKey};
use zeroize::Zeroizing;

use crate::{RatchetSession, X25519Ratchet};

mod conformance {
    use cipher_aes_cbc_hmac::Aes128CbcHmacSha256;
    use cipher_aes_gcm::Aes256Gcm;
    use cipher_chacha20_poly1305::{ChaCha, XChaCha};

    chat_core::key_exchange_suite!(
        crate::X25519Ratchet,
        ciphers: [Aes256Gcm, ChaCha, XChaCha, Aes128CbcHmacSha256]
    );
}

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn ciphers() -> [Arc<dyn Cipher>; 4] {
    [
        Arc::new(cipher_aes_gcm::Aes256Gcm),
        Arc::new(cipher_chacha20_poly1305::ChaCha),
        Arc::new(cipher_chacha20_poly1305::XChaCha),
        Arc::new(cipher_aes_cbc_hmac::Aes128CbcHmacSha256),
    ]
}

fn context<'a>(cipher: &Arc<dyn Cipher>, entropy: &'a mut dyn Entropy) -> Context<'a> {
    Context { now: NOW, entropy, cipher: Arc::clone(cipher), binding: [0; 32] }
}

/// One end, its clock and its randomness.
struct End {
    session: RatchetSession,
    now: Timestamp,
    entropy: TestEntropy,
    cipher: Arc<dyn Cipher>,
}

impl End {
    fn seal(&mut self, text: &[u8]) -> Vec<u8> {
        self.try_seal(text).unwrap()
    }

    fn try_seal(&mut self, text: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.session.seal(text, &mut Step { now: self.now, entropy: &mut self.entropy })
    }

    fn open(&mut self, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.session.open(frame, &mut Step { now: self.now, entropy: &mut self.entropy })
    }

    fn opens(&mut self, frame: &[u8], text: &[u8]) {
        assert_eq!(self.open(frame).as_ref().map(|text| text.as_slice()), Ok(text));
    }

    /// The whole state, as a store has it.
    fn saved(&mut self) -> SavedSession {
        // Saving everything again is what a session that was just restored does not do.
        let mut saved = SavedSession::default();
        saved.apply(self.session.save());
        saved
    }

    fn restored(&self, saved: &SavedSession) -> Self {
        let mut entropy = self.entropy.clone();
        // Not the same salts again.
        entropy.take(32);
        let session = RatchetSession::restore(saved, &context(&self.cipher, &mut TestEntropy::new(0)));
        Self { session: session.unwrap(), now: self.now, entropy, cipher: Arc::clone(&self.cipher) }
    }
}

/// Alice and Bob after a handshake, before any message.
fn pair(seed: u64, cipher: &Arc<dyn Cipher>) -> (End, End) {
    let mut entropy = TestEntropy::new(seed);
    let mut secret = Zeroizing::new([0; 32]);
    entropy.fill(secret.as_mut()).unwrap();
    let agreed = Agreed { transcript: [7; 32], session_key: secret };
    let bundle_key = SecretKey::generate(&mut entropy).unwrap();
    let mut cx = context(cipher, &mut entropy);
    let alice = RatchetSession::initiator(&agreed, bundle_key.public(), &mut cx).unwrap();
    let bob = RatchetSession::responder(&agreed, &bundle_key, &cx).unwrap();
    let end = |session, who: u64| End {
        session,
        now: NOW,
        entropy: TestEntropy::new(seed ^ (who << 56)),
        cipher: Arc::clone(cipher),
    };
    (end(alice, 1), end(bob, 2))
}

/// A message there and one back.
fn round_trip(there: &mut End, back: &mut End) -> [Vec<u8>; 2] {
    let question = there.seal(b"question");
    back.opens(&question, b"question");
    let answer = back.seal(b"answer");
    there.opens(&answer, b"answer");
    [question, answer]
}

#[test]
fn it_claims_what_it_proves_and_no_more() {
    let exchange = X25519Ratchet::default();
    let gives = exchange.properties();
    assert!(gives.deniable && gives.forward_secrecy && gives.healing && !gives.post_quantum);
    assert_eq!(exchange.shared_options(), "");
    let caveats = exchange.caveats().join("\n");
    for exception in ["without a one-time key", "only reads along", "pose as others"] {
        assert!(caveats.contains(exception), "{caveats}");
    }
}

#[test]
fn the_responder_has_nothing_to_seal_with_before_the_first_frame() {
    let (mut alice, mut bob) = pair(1, &ciphers()[1]);
    assert!(matches!(bob.try_seal(b"early"), Err(CryptoError::UnknownKey(_))));
    let first = alice.seal(b"first");
    bob.opens(&first, b"first");
    alice.opens(&bob.seal(b"answer"), b"answer");
}

#[test]
fn ends_of_different_ciphers_dont_understand_each_other() {
    let ciphers = ciphers();
    for (one, other) in [(0, 1), (1, 2), (2, 0), (3, 0)] {
        let (mut alice, _) = pair(1, &ciphers[one]);
        let (_, mut bob) = pair(1, &ciphers[other]);
        assert_eq!(bob.open(&alice.seal(b"text")).err(), Some(CryptoError::Forged));
    }
}

#[test]
fn debug_shows_no_key() {
    let (mut alice, mut bob) = pair(1, &ciphers()[1]);
    round_trip(&mut alice, &mut bob);
    bob.open(&alice.seal(b"text")).unwrap();
    assert_eq!(format!("{:?}", alice.session), "RatchetSession(1 sealed, 1 opened in this turn)");
}
