//! `rsa-hybrid`: a random secret under RSA-OAEP, signed by the sender's identity; for study, and for peers
//! that need it.
//!
//! Records are CBOR arrays with exactly one encoding:
//!
//! ```text
//! bundle payload   [version = 1, modulus (big-endian, no leading zero), public exponent]
//! first message    [version = 1, RSA ciphertext (as long as the modulus), Ed25519 signature (64)]
//! ```
//!
//! Alice draws 32 random bytes, the `secret`. `context` is what the core hands in as the binding; `lp(x)` is
//! `u32 length ‖ x`, big-endian:
//!
//! ```text
//! ciphertext = RSAES-OAEP (RFC 8017 §7.1; SHA-256, MGF1 with SHA-256, label = the 32 bytes of context) of secret
//! TH         = SHA-256("chat/rsa/1 transcript" ‖ context ‖ lp(ciphertext))
//! SK         = HKDF-SHA256(salt = TH, ikm = secret, info = "chat/rsa/1 key", 32)
//! signature  = Ed25519 by IK_A over "chat/rsa/1 sign" ‖ TH
//! ```
//!
//! `TH` and `SK` begin a [`StaticSession`]. Bob's bundle secret is his private key as PKCS#8 (RFC 5958).
//!
//! - Bob checks the signature **before** he uses his private key, so that only an identity can make him,
//!   and the engine can limit how often.
//! - A ciphertext that doesn't decrypt goes on with a random secret; the session is there and its first
//!   frame is forged, as it would be for any other wrong secret. No answer tells the cases apart.
//! - Every private-key operation is blinded. The arithmetic of the `rsa` crate is still not constant-time
//!   (RUSTSEC-2023-0071, no fixed release), and it leaves copies of what it computed with in freed memory.
//! - Keys of others are refused, before any arithmetic: shorter than 3072 bits or, if that is less, than
//!   this profile's `bits`; longer than 8192 bits; with an even modulus or another exponent than 65537.
//!
//! What it gives, honestly: no forward secrecy within the life of the RSA key, as whoever steals that
//! opens everything sent to it; no healing; and the signature proves that Alice opened a session with Bob.

mod keys;
mod messages;
mod oaep;
mod rng;

use chat_core::identity::SignedAs;
use chat_core::key_exchange::{Context, KeyExchange, NewBundle, OwnBundle, PeerBundle, Properties};
use chat_core::{CryptoError, Plugin, ProfileError, SavedSession, Session};
use static_session::{Role, StaticSession};
use subtle::{Choice, ConditionallySelectable as _};
use zeroize::Zeroizing;

use crate::keys::{DEFAULT_BITS, MAX_BITS, MIN_BITS, PrivateKey, PublicKey};
use crate::messages::FirstMessage;
use crate::rng::SeededRng;

/// Length of the secret under RSA, in bytes.
const SECRET_LEN: usize = 32;

/// The size of keys.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Bits of one's own RSA key, a multiple of 8. Below 3072 it is also how short a peer's key may be.
    #[schemars(range(min = 2048, max = 8192))]
    pub bits: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { bits: DEFAULT_BITS }
    }
}

/// The key exchange `rsa-hybrid`.
#[derive(Debug, Clone, Copy)]
pub struct RsaHybrid {
    bits: u32,
}

impl Plugin<dyn KeyExchange> for RsaHybrid {
    const NAME: &'static str = "rsa-hybrid";
    const SUMMARY: &'static str =
        "RSA-OAEP signed by the identity; no forward secrecy while the RSA key lives";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"rsa-hybrid\"\nbits = 3072\n";
    type Options = Options;

    fn build(Options { bits }: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        if !(MIN_BITS..=MAX_BITS).contains(&bits) {
            return Err(ProfileError::option("bits", format!("{bits} is not from {MIN_BITS} to {MAX_BITS}")));
        }
        if !bits.is_multiple_of(8) {
            return Err(ProfileError::option("bits", format!("{bits} is not a multiple of 8")));
        }
        Ok(Box::new(Self { bits }))
    }
}

impl RsaHybrid {
    /// The shortest key that is accepted. A longer key of one's own doesn't refuse peers who kept the default.
    fn shortest(&self) -> u32 {
        self.bits.min(DEFAULT_BITS)
    }
}

impl KeyExchange for RsaHybrid {
    fn properties(&self) -> Properties {
        Properties { forward_secrecy: false, healing: false, post_quantum: false, deniable: false }
    }

    fn caveats(&self) -> &'static [&'static str] {
        &[
            "There is no forward secrecy within the life of the RSA key: whoever steals it reads every session that was \
             begun with it.",
            "Decryption is not constant-time (RUSTSEC-2023-0071, for which there is no fixed release); it is blinded, \
             and first messages are limited.",
        ]
    }

    /// Takes about half a second at 3072 bits, and many at 8192: the engine makes RSA keys off its task.
    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        let private = PrivateKey::generate(&mut SeededRng::draw(cx.entropy)?, self.bits)?;
        let payload = private.public().encode()?;
        Ok(NewBundle { payload, secret: private.to_pkcs8()?, one_time: Vec::new() })
    }

    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let peer_key = PublicKey::decode(peer.payload, self.shortest())?;
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        cx.entropy.fill(secret.as_mut())?;
        let mut rng = SeededRng::draw(cx.entropy)?;

        let ciphertext = oaep::encrypt(&peer_key.to_rsa()?, &mut rng, &cx.binding, secret.as_ref())?;
        let transcript = messages::transcript(&cx.binding, &ciphertext);
        let session_key = messages::session_key(&transcript, &secret)?;
        let session = StaticSession::new(Role::Initiator, transcript, &session_key, cx)?;
        let signature = own.identity.sign(SignedAs::Rsa, &transcript);
        let first = FirstMessage::new(&ciphertext, signature).encode()?;
        Ok((first, Box::new(session)))
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        let first = FirstMessage::decode(first)?;
        PublicKey::decode(peer.payload, self.shortest())?;
        let own_key = PublicKey::decode(own.payload, self.shortest())?;
        if first.ciphertext.len() != own_key.modulus_len() {
            return Err(CryptoError::Malformed("RSA ciphertext length"));
        }
        let transcript = messages::transcript(&cx.binding, first.ciphertext);
        peer.identity.verify(SignedAs::Rsa, &transcript, &first.signature)?;

        // Only here, behind the signature, is the private key touched. What is random is drawn beforehand,
        // so that nothing depends on how the decryption ends.
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        cx.entropy.fill(secret.as_mut())?;
        let mut rng = SeededRng::draw(cx.entropy)?;
        let private = PrivateKey::from_pkcs8(own.secret, &own_key)?;
        let decrypted = oaep::decrypt(&private, &mut rng, &cx.binding, first.ciphertext);
        replace_if_good(&mut secret, decrypted.as_deref().map(Vec::as_slice));

        let session_key = messages::session_key(&transcript, &secret)?;
        Ok(Box::new(StaticSession::new(Role::Responder, transcript, &session_key, cx)?))
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        Ok(Box::new(StaticSession::restore(saved, cx)?))
    }
}

/// Replaces the random secret by the decrypted one, if that has the right length; by selection, not by jump.
fn replace_if_good(secret: &mut [u8; SECRET_LEN], decrypted: Option<&[u8]>) {
    let decrypted = decrypted.filter(|bytes| bytes.len() == SECRET_LEN);
    let good = Choice::from(u8::from(decrypted.is_some()));
    let zeros = [0; SECRET_LEN];
    for (slot, byte) in secret.iter_mut().zip(decrypted.unwrap_or(&zeros)) {
        slot.conditional_assign(byte, good);
    }
}

chat_core::register!(dyn KeyExchange, RsaHybrid);

#[cfg(test)]
mod tests;
