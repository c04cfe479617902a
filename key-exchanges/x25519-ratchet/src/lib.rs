//! `x25519-ratchet`: the handshake of `x25519` (the crate `x25519-agreement`), and a session by the Double Ratchet
//! (Perrin and Marlinspike, *The Double Ratchet Algorithm*, 2016), in which every message has a key of its own, and
//! every answer brings fresh secrets.
//!
//! A handshake hands over `TH`, `SK` and Bob's bundle key `BK_B`. Integers are big-endian, `lp(x)` is
//! `u32 length ‖ x`, `‖` joins:
//!
//! ```text
//! KDF_RK(rk, dh)  HKDF-SHA256(salt = rk, ikm = dh, info = "chat/ratchet/1 root", 64) = next rk ‖ chain key
//! KDF_CK(ck)      message key = HMAC-SHA256(ck, 0x01), next ck = HMAC-SHA256(ck, 0x02)
//! Alice           fresh pair, (rk, sending ck) = KDF_RK(SK, DH(fresh pair, BK_B))
//! Bob             rk = SK, his first pair is BK_B
//! header          ratchet public key (32) ‖ pn u32 ‖ n u32: messages in the chain before, number in this one from 0
//! frame           header (40) ‖ salt (16) ‖ ciphertext ‖ tag (16), sealed with cipher sequence number 0 under
//!                 HKDF-SHA256(salt, message key, "chat/ratchet/1 message " ‖ cipher name, cipher key length)
//! associated data lp(TH) ‖ header
//! ```
//!
//! - The salt is random, so that a state that was cloned or restored from an old copy, and then counts on from a
//!   number it used already, still never repeats a key with a nonce.
//! - A DH step has two halves. The receiving half is done when a new key of the peer arrives, and erases one's own; the
//!   sending half waits for the next message, so that its key is as young as can be.
//! - Nothing is changed before the tag verifies, and a forged frame costs at most one DH and [`MAX_MISSING`] hashes. But
//!   the key to a number that was used is gone: what is said of a frame in the current chain, [`Duplicate`],
//!   [`TooOld`] or [`TooFarAhead`], is said of its header, which may be forged.
//! - Frames that are skipped leave their keys behind: at most [`MAX_STORED`], the oldest go first, each for
//!   [`MAX_STORED_MS`] and until the next step after that, or until the core asks for it, once an hour. If more than [`MAX_MISSING`] are missing at the end of a chain
//!   that is over, none of them is kept; if they are missing within one, the frame is [`TooFarAhead`], upon which the
//!   core begins a new session. So is one due after [`RENEWAL_MESSAGES`] in a chain, for which nobody answered.
//! - Numbers are below 2³¹.
//!
//! What it gives, honestly:
//!
//! - **Forward secrecy.** The complete state of both ends, stolen at some time, opens nothing that was opened before.
//!   Keys of skipped messages are state: they open theirs, for which they are there. A handshake with a one-time key
//!   can't be done again, as the key is erased at its use. One made without, because none was left or the relay gave
//!   none, can: whoever steals `BK_B` while it is kept opens what Alice sent before she had Bob's first answer.
//! - **Healing.** A thief of both states who only reads along is out after one round trip: the answer's key agrees on
//!   secrets that were made after the theft, on either side. A thief who also writes can put himself between the two
//!   from then on; only a new handshake, with keys that he did not steal, ends that.
//! - **Deniability.** A transcript proves to nobody who wrote it, as either end could have made it.
//! - Whoever holds `BK_A` can pose as others **to** Alice until it is rotated, as in X3DH.
//! - **Post-quantum**, with `post_quantum = true`, is the handshake: `SK` then depends on ML-KEM-768 too, and with it
//!   every root key after it, so that a recording stays closed to a quantum computer of later. The turns are X25519:
//!   against a thief of state with such a computer nothing heals. Without the option, X25519 alone protects all.
//!
//! [`Duplicate`]: chat_core::CryptoError::Duplicate
//! [`TooOld`]: chat_core::CryptoError::TooOld
//! [`TooFarAhead`]: chat_core::CryptoError::TooFarAhead

mod frame;
mod keys;
mod session;
mod skipped;
mod state;

use chat_core::key_exchange::{
    Context, KeyExchange, NewBundle, OneTimePair, OwnBundle, PeerBundle, Properties,
};
use chat_core::{CryptoError, Plugin, ProfileError, SavedSession, Session};
use x25519_agreement::Agreement;

pub use session::{MAX_MISSING, RENEWAL_MESSAGES, RatchetSession};
pub use skipped::{MAX_STORED, MAX_STORED_MS};
pub use x25519_agreement::Options;

/// The key exchange `x25519-ratchet`.
#[derive(Debug, Default, Clone, Copy)]
pub struct X25519Ratchet {
    agreement: Agreement,
}

impl Plugin<dyn KeyExchange> for X25519Ratchet {
    const NAME: &'static str = "x25519-ratchet";
    const SUMMARY: &'static str =
        "X25519 in one message, then the Double Ratchet: a key a message, fresh secrets with every answer";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"x25519-ratchet\"\n";
    type Options = Options;

    fn build(options: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Self { agreement: options.into() }))
    }
}

const POSE: &str = "Whoever steals your bundle key can pose as others to you until it is rotated.";
const FIRST_FLIGHT: &str = "Forward secrecy has one exception: a first message made without a one-time key (none was left, or the relay gave \
     none). Whoever steals the bundle key that it was for, while that is kept, reads what the sender wrote until the \
     first answer reached him.";
const HEALING: &str = "Healing is from a thief who only reads along: he is out after one round trip; one who also writes in your \
     name stays until a new session is begun with keys that he does not have.";
const HEALING_BY_CURVES: &str = "The turns of the ratchet are not post-quantum: to a thief of a session's state who also has a quantum computer, \
     healing does not happen until a new session is begun.";

impl KeyExchange for X25519Ratchet {
    fn properties(&self) -> Properties {
        let post_quantum = self.agreement.is_post_quantum();
        Properties { forward_secrecy: true, healing: true, post_quantum, deniable: true }
    }

    fn caveats(&self) -> &'static [&'static str] {
        if self.agreement.is_post_quantum() {
            &[POSE, FIRST_FLIGHT, HEALING, x25519_agreement::POST_QUANTUM_CAVEAT, HEALING_BY_CURVES]
        } else {
            &[POSE, FIRST_FLIGHT, HEALING]
        }
    }

    fn shared_options(&self) -> String {
        self.agreement.shared_options()
    }

    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        self.agreement.new_bundle(cx)
    }

    fn uses_one_time_keys(&self) -> bool {
        true
    }

    fn one_time_keys(&self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        self.agreement.one_time_keys(count, cx)
    }

    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let initiated = self.agreement.initiate(own, peer, cx)?;
        let session = RatchetSession::initiator(&initiated.agreed, initiated.peer_bundle_key, cx)?;
        Ok((initiated.first, Box::new(session)))
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        let accepted = self.agreement.accept(own, peer, first, cx)?;
        Ok(Box::new(RatchetSession::responder(&accepted.agreed, &accepted.own_bundle_key, cx)?))
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        Ok(Box::new(RatchetSession::restore(saved, cx)?))
    }
}

chat_core::register!(dyn KeyExchange, X25519Ratchet);

#[cfg(test)]
mod tests;
