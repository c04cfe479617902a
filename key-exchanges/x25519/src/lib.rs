//! `x25519`: agrees on a session by Diffie-Hellman on Curve25519 (RFC 7748) in one message, while the peer
//! may be offline. The shape is that of Noise K, with an optional one-time key as in X3DH.
//!
//! Records are CBOR arrays with exactly one encoding:
//!
//! ```text
//! bundle payload, one-time public key   [version = 1, key id u32, X25519 public key (32)]
//! first message                         [version = 1, EK_A (32), id of BK_B u32, id of OPK_B u32 | null, MAC (32)]
//! ```
//!
//! Alice, who has the bundle key `BK_A`, makes a fresh `EK_A` and takes Bob's `BK_B` and, if there is one,
//! his one-time key `OPK_B`. `context` is what the core hands in as the binding; `lp(x)` is
//! `u32 length ‖ x`, big-endian; the two empty fields are where `x25519-ratchet` has a KEM:
//!
//! ```text
//! DH1 = BK_A·BK_B    DH2 = EK_A·BK_B    DH3 = EK_A·OPK_B, if there is one
//! TH      = SHA-256("chat/handshake/1" ‖ context ‖ lp(EK_A) ‖ lp(OPK_B or empty) ‖ lp(empty) ‖ lp(empty))
//! SK ‖ KC = HKDF-SHA256(salt = TH, ikm = 0xFF×32 ‖ DH1 ‖ DH2 ‖ DH3?, info = "chat/secret/1", 64)
//! MAC     = HMAC-SHA256(KC, "chat/init/1" ‖ TH)
//! ```
//!
//! `TH` and `SK` begin a [`StaticSession`]. Public keys that are not canonical (RFC 7748 §5 lets an
//! implementation reduce them) and all-zero results are refused everywhere.
//!
//! What it gives, honestly: a transcript proves to nobody who wrote it, as either end could have made it.
//! Whoever steals a session's state, or `BK_B` where no one-time key was used, opens its earlier messages.
//! Whoever holds `BK_A` can pose as others **to** Alice until it is rotated, as in X3DH.

mod agreement;
mod messages;

use chat_core::key_exchange::{Context, KeyExchange, NewBundle, OwnBundle, PeerBundle, Properties};
use chat_core::{CryptoError, Plugin, ProfileError, SavedSession, Session};
use static_session::{Role, StaticSession};

use crate::agreement::{Handshake, SecretKey};
use crate::messages::{FirstMessage, OneTimeSecret, PublicKey};

/// The exchange has nothing to choose.
#[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

/// The key exchange `x25519`.
#[derive(Debug, Default, Clone, Copy)]
pub struct X25519;

impl Plugin<dyn KeyExchange> for X25519 {
    const NAME: &'static str = "x25519";
    const SUMMARY: &'static str = "X25519 in one message; one key a direction for the life of the session";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"x25519\"\n";
    type Options = Options;

    fn build(Options {}: Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Self))
    }
}

impl KeyExchange for X25519 {
    fn properties(&self) -> Properties {
        Properties { forward_secrecy: false, healing: false, post_quantum: false, deniable: true }
    }

    fn caveats(&self) -> &'static [&'static str] {
        &[
            "Whoever steals your bundle key can pose as others to you until it is rotated.",
            "Whoever steals a session's state, or the bundle key that its first message was for, reads its earlier \
             messages.",
        ]
    }

    fn new_bundle(&self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        let secret = SecretKey::generate(cx.entropy)?;
        let key_id = u32::from_be_bytes(cx.entropy.bytes()?);
        let payload = PublicKey::new(key_id, &secret).encode()?;
        Ok(NewBundle { payload, secret: secret.to_bytes(), one_time: Vec::new() })
    }

    fn initiate(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(Vec<u8>, Box<dyn Session>), CryptoError> {
        let own_secret = SecretKey::from_slice(own.secret)?;
        let bundle_key = PublicKey::decode(peer.payload)?;
        let one_time = peer.one_time.map(PublicKey::decode).transpose()?;
        let ephemeral = SecretKey::generate(cx.entropy)?;

        let secrets = Handshake {
            context: &cx.binding,
            ephemeral: ephemeral.public(),
            one_time: one_time.as_ref().map(|key| key.public),
            dh1: own_secret.agree(&bundle_key.public)?,
            dh2: ephemeral.agree(&bundle_key.public)?,
            dh3: one_time.as_ref().map(|key| ephemeral.agree(&key.public)).transpose()?,
        }
        .derive()?;
        let session = StaticSession::new(Role::Initiator, secrets.transcript, &secrets.session_key, cx)?;
        let first = FirstMessage {
            version: messages::VERSION,
            ephemeral: ephemeral.public(),
            bundle_key: bundle_key.key_id,
            one_time_key: one_time.map(|key| key.key_id),
            confirmation: secrets.confirmation()?,
        };
        Ok((first.encode()?, Box::new(session)))
    }

    fn accept(
        &self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Box<dyn Session>, CryptoError> {
        let first = FirstMessage::decode(first)?;
        let peer_key = PublicKey::decode(peer.payload)?;
        if first.bundle_key != PublicKey::decode(own.payload)?.key_id {
            return Err(CryptoError::UnknownKey("bundle key"));
        }
        let own_secret = SecretKey::from_slice(own.secret)?;
        let one_time = first.one_time_key.map(|id| OneTimeSecret::find(id, own.one_time)).transpose()?;

        let secrets = Handshake {
            context: &cx.binding,
            ephemeral: first.ephemeral,
            one_time: one_time.as_ref().map(SecretKey::public),
            dh1: own_secret.agree(&peer_key.public)?,
            dh2: own_secret.agree(&first.ephemeral)?,
            dh3: one_time.as_ref().map(|key| key.agree(&first.ephemeral)).transpose()?,
        }
        .derive()?;
        secrets.verify(&first.confirmation)?;
        Ok(Box::new(StaticSession::new(Role::Responder, secrets.transcript, &secrets.session_key, cx)?))
    }

    fn restore(&self, saved: &SavedSession, cx: &mut Context<'_>) -> Result<Box<dyn Session>, CryptoError> {
        Ok(Box::new(StaticSession::restore(saved, cx)?))
    }
}

chat_core::register!(dyn KeyExchange, X25519);

#[cfg(test)]
mod tests;
