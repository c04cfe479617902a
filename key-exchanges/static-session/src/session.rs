//! Sealing and opening.

use std::fmt;
use std::sync::Arc;

use chat_core::cipher::{AeadKey, Cipher, TAG_LEN};
use chat_core::wire::lp;
use chat_core::{Context, CryptoError, SavedSession, Session, StateChange, Step, Timestamp};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::state::{Role, SEQ_END, State};

/// A new session is due after so many messages sealed.
pub const RENEWAL_MESSAGES: u64 = 1 << 20;
/// A new session is due at this age: seven days, in milliseconds.
pub const RENEWAL_MS: u64 = 7 * 24 * 60 * 60 * 1000;

const SALT_LEN: usize = 16;
const MESSAGE_LABEL: &[u8] = b"chat/plain/1 message ";

/// A session with one key a direction; see the crate's page.
pub struct StaticSession {
    state: State,
    cipher: Arc<dyn Cipher>,
    /// Whether the state differs from what was saved last.
    changed: bool,
}

impl StaticSession {
    /// The session that a handshake with transcript hash `transcript` and secret `secret` begins.
    ///
    /// # Errors
    /// None with the key lengths of this crate; the derivation reports in its own type.
    pub fn new(
        role: Role,
        transcript: [u8; 32],
        secret: &[u8; 32],
        cx: &Context<'_>,
    ) -> Result<Self, CryptoError> {
        let state = State::new(role, transcript, secret, cx)?;
        Ok(Self { state, cipher: Arc::clone(&cx.cipher), changed: true })
    }

    /// A session as it was saved.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if [`Session::save`] can't have made it, with this cipher and version.
    pub fn restore(saved: &SavedSession, cx: &Context<'_>) -> Result<Self, CryptoError> {
        let state = State::decode(saved, cx)?;
        Ok(Self { state, cipher: Arc::clone(&cx.cipher), changed: false })
    }

    /// How many messages may be sealed. A message has a key of its own, so the cipher's limit is never
    /// reached on one; keeping it for the direction key too leaves a margin and costs nothing.
    fn limit(&self) -> u64 {
        self.cipher.message_limit().min(SEQ_END)
    }

    fn message_key(
        &self,
        direction_key: &[u8; 32],
        salt: &[u8; SALT_LEN],
    ) -> Result<Box<dyn AeadKey>, CryptoError> {
        let mut key = Zeroizing::new(vec![0; self.cipher.key_len()]);
        let derived = Hkdf::<Sha256>::new(Some(salt), direction_key)
            .expand_multi_info(&[MESSAGE_LABEL, self.cipher.name().as_bytes()], &mut key);
        derived.map_err(|_| CryptoError::Malformed("cipher key length"))?;
        self.cipher.key(&key)
    }

    fn associated_data(&self, sender: Role, seq: u64) -> Vec<u8> {
        [&lp(&self.state.transcript)[..], &[sender.byte()], &seq.to_be_bytes()].concat()
    }
}

impl Session for StaticSession {
    fn seal(&mut self, plaintext: &[u8], step: &mut Step<'_>) -> Result<Vec<u8>, CryptoError> {
        let seq = self.state.next_seq;
        if seq >= self.limit() {
            return Err(CryptoError::Exhausted("sequence numbers of the session"));
        }
        let salt = step.entropy.bytes::<SALT_LEN>()?;
        let key = self.message_key(&self.state.sending, &salt)?;
        // Room for tag and padding, so that the plaintext isn't left behind in freed memory by growing.
        let mut body = Zeroizing::new(Vec::with_capacity(plaintext.len().saturating_add(2 * TAG_LEN)));
        body.extend_from_slice(plaintext);
        key.seal(0, &self.associated_data(self.state.role, seq), &mut body)?;
        self.state.next_seq = seq + 1;
        self.changed = true;
        Ok([&seq.to_be_bytes()[..], &salt, &body].concat())
    }

    fn open(&mut self, sealed: &[u8], _: &mut Step<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (seq, salt, body) = split(sealed).ok_or(CryptoError::Malformed("frame shorter than its head"))?;
        if seq >= SEQ_END {
            return Err(CryptoError::Malformed("sequence number"));
        }
        let key = self.message_key(&self.state.receiving, salt)?;
        let mut body = Zeroizing::new(body.to_vec());
        key.open(0, &self.associated_data(self.state.role.peer(), seq), &mut body)?;
        self.state.received.check(seq)?;
        self.state.received.insert(seq);
        self.changed = true;
        Ok(body)
    }

    fn needs_renewal(&self, now: Timestamp) -> bool {
        // Half of a small cipher's limit leaves time for the new handshake.
        let due_at = RENEWAL_MESSAGES.min(self.limit() / 2);
        // A session begun under a clock that ran ahead has no known age once the clock is right: that is due too,
        // or it would live until the clock catches up.
        let age_ms = now.0.abs_diff(self.state.created.0);
        self.state.next_seq >= due_at || age_ms >= RENEWAL_MS
    }

    fn save(&mut self) -> StateChange {
        if !self.changed {
            return StateChange::default();
        }
        // Encoding into memory doesn't fail; if it did, the state would still count as unsaved.
        let main = self.state.encode().ok();
        self.changed = main.is_none();
        StateChange { main, ..StateChange::default() }
    }
}

/// `seq ‖ salt ‖ ciphertext and tag`
fn split(frame: &[u8]) -> Option<(u64, &[u8; SALT_LEN], &[u8])> {
    let (seq, rest) = frame.split_first_chunk()?;
    let (salt, body) = rest.split_first_chunk()?;
    (body.len() >= TAG_LEN).then_some((u64::from_be_bytes(*seq), salt, body))
}

impl fmt::Debug for StaticSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticSession({:?}, {} sealed)", self.state.role, self.state.next_seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WINDOW;
    use chat_core::Entropy;
    use chat_core::testing::TestEntropy;
    use cipher_aes_gcm::Aes256Gcm;
    use cipher_chacha20_poly1305::{ChaCha, XChaCha};

    const NOW: Timestamp = Timestamp(1_000_000);

    /// Bytes that count up from a number.
    fn counting<const N: usize>(from: u8) -> [u8; N] {
        std::array::from_fn(|i| from + i as u8)
    }

    struct Salt([u8; SALT_LEN]);
    impl Entropy for Salt {
        fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
            buf.copy_from_slice(&self.0);
            Ok(())
        }
    }

    fn session(role: Role, cipher: Arc<dyn Cipher>) -> StaticSession {
        let mut entropy = TestEntropy::new(1);
        let cx = Context { now: NOW, entropy: &mut entropy, cipher, binding: [0; 32] };
        StaticSession::new(role, counting(0), &counting(32), &cx).unwrap()
    }

    fn seal(session: &mut StaticSession) -> Result<Vec<u8>, CryptoError> {
        session.seal(b"text", &mut Step { now: NOW, entropy: &mut TestEntropy::new(2) })
    }

    fn open(session: &mut StaticSession, frame: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        session.open(frame, &mut Step { now: NOW, entropy: &mut TestEntropy::new(2) })
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The expected bytes come from an independent implementation (Python's `hmac` and `cryptography` 48):
    /// TH = 00…1f, SK = 20…3f, salt = 40…4f, the first message, "known answer".
    #[test]
    fn known_answers() {
        let head = "0000000000000000404142434445464748494a4b4c4d4e4f";
        let cases: [(Role, Arc<dyn Cipher>, &str); 4] = [
            (
                Role::Initiator,
                Arc::new(Aes256Gcm),
                "3a5fa2e084a8947c074e8b2132d4e388eddbfa09b9f7e33db8e1e371",
            ),
            (Role::Initiator, Arc::new(ChaCha), "4b67dfe3f8366cc8fdcf4db5461cf7ed8878b32ccfc9aef06ba22bd1"),
            (
                Role::Responder,
                Arc::new(Aes256Gcm),
                "9b89640fc5063de8572dcca508cc50165c35908aee3feab66850d06c",
            ),
            (Role::Responder, Arc::new(ChaCha), "f616e1465921d8d3738b75766f104f4c4c134e515eb79c8d810d055f"),
        ];
        for (role, cipher, body) in cases {
            let mut step = Step { now: NOW, entropy: &mut Salt(counting(64)) };
            let frame = session(role, Arc::clone(&cipher)).seal(b"known answer", &mut step).unwrap();
            assert_eq!(hex(&frame), format!("{head}{body}"), "{role:?} {}", cipher.name());
            assert_eq!(*open(&mut session(role.peer(), cipher), &frame).unwrap(), b"known answer");
        }
    }

    #[test]
    fn ends_of_different_ciphers_or_of_the_same_role_dont_understand_each_other() {
        let frame = seal(&mut session(Role::Initiator, Arc::new(XChaCha))).unwrap();
        assert_eq!(*open(&mut session(Role::Responder, Arc::new(XChaCha)), &frame).unwrap(), b"text");
        let mut same_role = session(Role::Initiator, Arc::new(XChaCha));
        assert_eq!(open(&mut same_role, &frame), Err(CryptoError::Forged));
        let mut other_cipher = session(Role::Responder, Arc::new(ChaCha));
        assert_eq!(open(&mut other_cipher, &frame), Err(CryptoError::Forged));
    }

    #[test]
    fn renewal_is_due_by_count_and_by_age() {
        let mut session = session(Role::Initiator, Arc::new(ChaCha));
        assert!(!session.needs_renewal(NOW.plus_ms(RENEWAL_MS - 1)));
        assert!(session.needs_renewal(NOW.plus_ms(RENEWAL_MS)));
        let began_ahead = Timestamp(NOW.0 + RENEWAL_MS);
        assert!(!session.needs_renewal(Timestamp(0)), "a clock set back by less is no reason");
        session.state.created = began_ahead;
        assert!(session.needs_renewal(NOW) && !session.needs_renewal(NOW.plus_ms(1)));
        session.state.created = NOW;
        session.state.next_seq = RENEWAL_MESSAGES - 1;
        assert!(!session.needs_renewal(NOW));
        seal(&mut session).unwrap();
        assert!(session.needs_renewal(NOW));
    }

    #[test]
    fn the_last_number_is_sealed_and_opened_and_none_after_it() {
        let ciphers: [(Arc<dyn Cipher>, u64); 2] =
            [(Arc::new(ChaCha), 1 << 62), (Arc::new(Aes256Gcm), 1 << 32)];
        for (cipher, limit) in ciphers {
            let mut alice = session(Role::Initiator, Arc::clone(&cipher));
            alice.state.next_seq = limit - 1;
            let frame = seal(&mut alice).unwrap();
            assert!(matches!(seal(&mut alice), Err(CryptoError::Exhausted(_))));
            assert_eq!(alice.state.next_seq, limit);
            let mut bob = session(Role::Responder, cipher);
            assert_eq!(*open(&mut bob, &frame).unwrap(), b"text");
            assert_eq!(open(&mut bob, &frame), Err(CryptoError::Duplicate));
        }
    }

    #[test]
    fn a_number_beyond_the_end_is_malformed_whatever_follows() {
        let mut bob = session(Role::Responder, Arc::new(ChaCha));
        for seq in [SEQ_END, u64::MAX] {
            let frame = [&seq.to_be_bytes()[..], &[0; 64]].concat();
            assert_eq!(open(&mut bob, &frame), Err(CryptoError::Malformed("sequence number")));
        }
    }

    #[test]
    fn a_damaged_frame_is_forged_whatever_its_number_says() {
        let mut alice = session(Role::Initiator, Arc::new(ChaCha));
        let mut bob = session(Role::Responder, Arc::new(ChaCha));
        let frame = seal(&mut alice).unwrap();
        open(&mut bob, &frame).unwrap();
        assert_eq!(open(&mut bob, &frame), Err(CryptoError::Duplicate));
        for at in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 1;
            let error = open(&mut bob, &damaged).unwrap_err();
            assert!(matches!(error, CryptoError::Forged | CryptoError::Malformed(_)), "byte {at}: {error}");
        }
        assert_eq!(open(&mut bob, &[&frame[..], &[0]].concat()), Err(CryptoError::Forged));
        assert!(matches!(open(&mut bob, &frame[..39]), Err(CryptoError::Malformed(_))));
    }

    #[test]
    fn what_fell_out_of_the_window_is_told_apart_from_what_was_seen() {
        let mut alice = session(Role::Initiator, Arc::new(ChaCha));
        let mut bob = session(Role::Responder, Arc::new(ChaCha));
        let frames: Vec<_> = (0..WINDOW + 2).map(|_| seal(&mut alice).unwrap()).collect();
        for frame in frames.iter().skip(2).rev() {
            open(&mut bob, frame).unwrap();
        }
        assert_eq!(open(&mut bob, &frames[0]), Err(CryptoError::TooOld));
        assert_eq!(open(&mut bob, &frames[1]), Err(CryptoError::TooOld));
        assert_eq!(open(&mut bob, &frames[2]), Err(CryptoError::Duplicate));
    }

    /// One number, sealed by two copies of a state: the salts differ, the second one to arrive is a duplicate.
    #[test]
    fn copies_of_a_state_count_on_under_other_salts() {
        let seal_with = |seed| {
            let mut step = Step { now: NOW, entropy: &mut TestEntropy::new(seed) };
            session(Role::Initiator, Arc::new(ChaCha)).seal(b"text", &mut step).unwrap()
        };
        let [frame, copied] = [seal_with(3), seal_with(4)];
        assert_eq!(frame[..8], copied[..8], "the same sequence number");
        assert_ne!(frame[8..24], copied[8..24], "another salt");
        let mut bob = session(Role::Responder, Arc::new(ChaCha));
        assert_eq!(*open(&mut bob, &copied).unwrap(), b"text");
        assert_eq!(open(&mut bob, &frame), Err(CryptoError::Duplicate));
    }

    #[test]
    fn a_state_of_another_version_or_cipher_or_with_rows_is_refused_by_name() {
        let change = session(Role::Initiator, Arc::new(ChaCha)).save();
        let mut good = SavedSession::default();
        good.apply(change);
        assert!(good.main.len() < 512, "{}", good.main.len());
        let restore = |saved: &SavedSession, cipher: Arc<dyn Cipher>| {
            let mut entropy = TestEntropy::new(1);
            let cx = Context { now: NOW, entropy: &mut entropy, cipher, binding: [0; 32] };
            StaticSession::restore(saved, &cx).map(drop)
        };
        assert_eq!(restore(&good, Arc::new(ChaCha)), Ok(()));
        let malformed = |what| Err(CryptoError::Malformed(what));
        assert_eq!(restore(&good, Arc::new(XChaCha)), malformed("saved session of another cipher"));
        // The version is the first field, behind the head of the array.
        let mut newer = good.clone();
        newer.main[1] += 1;
        assert_eq!(restore(&newer, Arc::new(ChaCha)), malformed("saved session of another version"));
        let mut with_row = good.clone();
        with_row.rows.insert(vec![1], Zeroizing::new(vec![2]));
        assert_eq!(restore(&with_row, Arc::new(ChaCha)), malformed("saved session"));
    }

    #[test]
    fn debug_shows_no_key() {
        let mut session = session(Role::Initiator, Arc::new(ChaCha));
        seal(&mut session).unwrap();
        assert_eq!(format!("{session:?}"), "StaticSession(Initiator, 1 sealed)");
    }

    /// A cipher for so few messages that half of them is sooner than [`RENEWAL_MESSAGES`].
    struct Few;
    impl Cipher for Few {
        fn name(&self) -> &'static str {
            ChaCha.name()
        }
        fn key_len(&self) -> usize {
            ChaCha.key_len()
        }
        fn message_limit(&self) -> u64 {
            10
        }
        fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
            ChaCha.key(key)
        }
    }

    #[test]
    fn renewal_is_due_at_half_of_a_small_limit() {
        let mut session = session(Role::Initiator, Arc::new(Few));
        for sealed in 0..10 {
            assert_eq!(session.needs_renewal(NOW), sealed >= 5, "{sealed}");
            seal(&mut session).unwrap();
        }
        assert!(matches!(seal(&mut session), Err(CryptoError::Exhausted(_))));
    }
}
