//! The handshake that `x25519` and `x25519-ratchet` share: Diffie-Hellman on Curve25519 (RFC 7748) in one
//! message, while the peer may be offline. The shape is that of Noise K, with an optional one-time key as in X3DH.
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
//! `u32 length ‖ x`, big-endian; the two empty fields are where a KEM's key and ciphertext will stand:
//!
//! ```text
//! DH1 = BK_A·BK_B    DH2 = EK_A·BK_B    DH3 = EK_A·OPK_B, if there is one
//! TH      = SHA-256("chat/handshake/1" ‖ context ‖ lp(EK_A) ‖ lp(OPK_B or empty) ‖ lp(empty) ‖ lp(empty))
//! SK ‖ KC = HKDF-SHA256(salt = TH, ikm = 0xFF×32 ‖ DH1 ‖ DH2 ‖ DH3?, info = "chat/secret/1", 64)
//! MAC     = HMAC-SHA256(KC, "chat/init/1" ‖ TH)
//! ```
//!
//! `TH` and `SK` ([`Agreed`]) begin a session, whichever it is. Public keys that are not canonical (RFC 7748 §5
//! lets an implementation reduce them) and all-zero results are refused everywhere.
//!
//! What it gives, honestly: a transcript proves to nobody who wrote it, as either end could have made it. Whoever
//! holds `BK_A` can pose as others **to** Alice until it is rotated, as in X3DH. Whoever comes to hold `BK_B` knows
//! `SK` of each recorded first message that was made for it without one-time key; what that opens is up to the session.
//! A one-time key is erased as the message that uses it has opened: then nobody can make that `SK` again.

mod agreement;
mod messages;

use chat_core::CryptoError;
use chat_core::key_exchange::{Context, NewBundle, OneTimePair, OwnBundle, PeerBundle};

pub use agreement::{Agreed, KEY_LEN, SecretKey};
use agreement::{Handshake, Secrets};
use messages::FirstMessage;
pub use messages::{OneTimeSecret, PublicKey};

/// A fresh bundle key with a random id. One-time keys are made apart, by [`one_time_keys`].
///
/// # Errors
/// [`CryptoError::Entropy`] without randomness.
pub fn new_bundle(cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
    let secret = SecretKey::generate(cx.entropy)?;
    let key_id = u32::from_be_bytes(cx.entropy.bytes()?);
    let payload = PublicKey::new(key_id, &secret).encode()?;
    Ok(NewBundle { payload, secret: secret.to_bytes(), one_time: Vec::new() })
}

/// So many fresh one-time keys with random ids: (public, secret).
///
/// # Errors
/// [`CryptoError::Entropy`] without randomness.
pub fn one_time_keys(count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        let secret = SecretKey::generate(cx.entropy)?;
        let key_id = u32::from_be_bytes(cx.entropy.bytes()?);
        keys.push((PublicKey::new(key_id, &secret).encode()?, OneTimeSecret::to_bytes(key_id, &secret)));
    }
    Ok(keys)
}

/// What the initiator has.
pub struct Initiated {
    /// The first message.
    pub first: Vec<u8>,
    /// What the responder will have, too.
    pub agreed: Agreed,
    /// `BK_B`
    pub peer_bundle_key: [u8; KEY_LEN],
}

/// The initiator's half.
///
/// # Errors
/// A key that is malformed or of low order; [`CryptoError::Entropy`].
pub fn initiate(
    own: &OwnBundle<'_>,
    peer: &PeerBundle<'_>,
    cx: &mut Context<'_>,
) -> Result<Initiated, CryptoError> {
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
    let first = FirstMessage {
        version: messages::VERSION,
        ephemeral: ephemeral.public(),
        bundle_key: bundle_key.key_id,
        one_time_key: one_time.map(|key| key.key_id),
        confirmation: secrets.confirmation()?,
    };
    Ok(Initiated { first: first.encode()?, agreed: secrets.agreed, peer_bundle_key: bundle_key.public })
}

/// What the responder has.
pub struct Accepted {
    /// What the initiator has, too.
    pub agreed: Agreed,
    /// The private half of `BK_B`.
    pub own_bundle_key: SecretKey,
}

/// The responder's half.
///
/// # Errors
/// [`CryptoError::UnknownKey`] if the message was made for keys that are not here, [`CryptoError::Forged`] if its
/// confirmation does not verify; a key that is malformed or of low order; a one-time key that it does not use.
pub fn accept(
    own: &OwnBundle<'_>,
    peer: &PeerBundle<'_>,
    first: &[u8],
    cx: &Context<'_>,
) -> Result<Accepted, CryptoError> {
    let first = FirstMessage::decode(first)?;
    let peer_key = PublicKey::decode(peer.payload)?;
    if first.bundle_key != PublicKey::decode(own.payload)?.key_id {
        return Err(CryptoError::UnknownKey("bundle key"));
    }
    let own_secret = SecretKey::from_slice(own.secret)?;
    if first.one_time_key.is_none() && own.one_time.is_some() {
        return Err(CryptoError::Malformed("the message does not use the one-time key named beside it"));
    }
    let one_time = first.one_time_key.map(|id| OneTimeSecret::find(id, own.one_time)).transpose()?;

    let secrets: Secrets = Handshake {
        context: &cx.binding,
        ephemeral: first.ephemeral,
        one_time: one_time.as_ref().map(SecretKey::public),
        dh1: own_secret.agree(&peer_key.public)?,
        dh2: own_secret.agree(&first.ephemeral)?,
        dh3: one_time.as_ref().map(|key| key.agree(&first.ephemeral)).transpose()?,
    }
    .derive()?;
    secrets.verify(&first.confirmation)?;
    Ok(Accepted { agreed: secrets.agreed, own_bundle_key: own_secret })
}
