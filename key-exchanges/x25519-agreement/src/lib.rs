//! The handshake that `x25519` and `x25519-ratchet` share: Diffie-Hellman on Curve25519 (RFC 7748) in one
//! message, while the peer may be offline, and beside it ML-KEM-768 (FIPS 203) if the profile says `post_quantum`.
//! The shape is that of Noise K, with an optional one-time key as in X3DH and an optional KEM as in PQXDH.
//!
//! Records are CBOR arrays with exactly one encoding; what is in brackets is there if `post_quantum` is:
//!
//! ```text
//! bundle payload, one-time public key   [version = 1, key id u32, X25519 public key (32) <, ML-KEM-768 key (1184)>]
//! first message                         [version = 1, EK_A (32), id of BK_B u32, id of OPK_B u32 | null, MAC (32)
//!                                        <, ML-KEM-768 ciphertext (1088)>]
//! ```
//!
//! Alice, who has the bundle key `BK_A`, makes a fresh `EK_A` and takes Bob's `BK_B` and, if there is one,
//! his one-time key `OPK_B`. The KEM key `KEM_B` is that beside `OPK_B`, or beside `BK_B` without one; `CT` is the
//! ciphertext for it and `SS` what is in that. `context` is what the core hands in as the binding; `lp(x)` is
//! `u32 length ‖ x`, big-endian:
//!
//! ```text
//! DH1 = BK_A·BK_B    DH2 = EK_A·BK_B    DH3 = EK_A·OPK_B, if there is one
//! TH      = SHA-256("chat/handshake/1" ‖ context ‖ lp(EK_A) ‖ lp(OPK_B or empty) ‖ lp(KEM_B or empty) ‖ lp(CT or empty))
//! SK ‖ KC = HKDF-SHA256(salt = TH, ikm = 0xFF×32 ‖ DH1 ‖ DH2 ‖ DH3? ‖ SS?, info = "chat/secret/1", 64)
//! MAC     = HMAC-SHA256(KC, "chat/init/1" ‖ TH)
//! ```
//!
//! `TH` and `SK` ([`Agreed`]) begin a session, whichever it is. Public keys that are not canonical (RFC 7748 §5
//! lets an implementation reduce them) or not reduced (FIPS 203 §7.2) and all-zero results are refused everywhere. A
//! wrong KEM ciphertext is not told from a right one until the MAC, which then fails as it does for all else.
//!
//! What it gives, honestly: a transcript proves to nobody who wrote it, as either end could have made it. Whoever
//! holds `BK_A` can pose as others **to** Alice until it is rotated, as in X3DH. Whoever comes to hold `BK_B` knows
//! `SK` of each recorded first message that was made for it without one-time key; what that opens is up to the session.
//! A one-time key is erased as the message that uses it has opened: then nobody can make that `SK` again.
//! With `post_quantum`, who has no more than a record of all that was sent does not come to know `SK` by a quantum
//! computer. Who has one **while** the handshake runs can pose as anybody: signatures and `DH1` are of elliptic curves.

mod agreement;
mod kem;
mod messages;

use chat_core::key_exchange::{Context, NewBundle, OneTimePair, OwnBundle, PeerBundle};
use chat_core::{CryptoError, Entropy};

pub use agreement::{Agreed, KEY_LEN, SecretKey};
use agreement::{Handshake, KemPart, Secrets};
use messages::FirstMessage;
pub use messages::{OneTimeSecret, PrivateKey, PublicKey};

/// What a user of `post_quantum` must know.
pub const POST_QUANTUM_CAVEAT: &str = "Post-quantum is what was recorded: the handshake's secret needs ML-KEM-768 to be broken too. Who you talk to is \
     proved by signatures and keys on elliptic curves, which a quantum computer could forge once there is one.";

/// What both ends have to choose alike.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Adds ML-KEM-768 to the handshake, so that recorded messages stay closed to a quantum computer of later.
    pub post_quantum: bool,
}

/// The handshake with these options.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    post_quantum: bool,
}

impl From<Options> for Agreement {
    fn from(Options { post_quantum }: Options) -> Self {
        Self { post_quantum }
    }
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

/// What the responder has.
pub struct Accepted {
    /// What the initiator has, too.
    pub agreed: Agreed,
    /// The private half of `BK_B`.
    pub own_bundle_key: SecretKey,
}

impl Agreement {
    /// Whether ML-KEM-768 is part of it.
    #[must_use]
    pub fn is_post_quantum(self) -> bool {
        self.post_quantum
    }

    /// [`chat_core::KeyExchange::shared_options`] of an exchange by this handshake.
    #[must_use]
    pub fn shared_options(self) -> String {
        if self.post_quantum { "post_quantum=true".to_owned() } else { String::new() }
    }

    /// A fresh bundle key with a random id. One-time keys are made apart, by [`Self::one_time_keys`].
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] without randomness.
    pub fn new_bundle(self, cx: &mut Context<'_>) -> Result<NewBundle, CryptoError> {
        let (key_id, key) = self.new_key(cx.entropy)?;
        let payload = key.public(key_id).encode()?;
        Ok(NewBundle { payload, secret: key.to_bytes(), one_time: Vec::new() })
    }

    /// So many fresh one-time keys with random ids: (public, secret).
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] without randomness.
    pub fn one_time_keys(self, count: usize, cx: &mut Context<'_>) -> Result<Vec<OneTimePair>, CryptoError> {
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            let (key_id, key) = self.new_key(cx.entropy)?;
            keys.push((key.public(key_id).encode()?, OneTimeSecret::to_bytes(key_id, &key)));
        }
        Ok(keys)
    }

    fn new_key(self, entropy: &mut dyn Entropy) -> Result<(u32, PrivateKey), CryptoError> {
        let key = PrivateKey::generate(self.post_quantum, entropy)?;
        Ok((u32::from_be_bytes(entropy.bytes()?), key))
    }

    /// The initiator's half.
    ///
    /// # Errors
    /// A key that is malformed or of low order; [`CryptoError::Entropy`].
    pub fn initiate(
        self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Initiated, CryptoError> {
        let own_key = PrivateKey::from_slice(own.secret, self.post_quantum)?.dh;
        let bundle_key = PublicKey::decode(peer.payload, self.post_quantum)?;
        let one_time = peer.one_time.map(|key| PublicKey::decode(key, self.post_quantum)).transpose()?;
        let ephemeral = SecretKey::generate(cx.entropy)?;
        let ephemeral_public = ephemeral.public();

        let secrets = Handshake {
            context: &cx.binding,
            ephemeral: ephemeral_public,
            one_time: one_time.as_ref().map(|key| key.public),
            dh1: own_key.agree(&bundle_key.public)?,
            dh2: ephemeral.agree(&bundle_key.public)?,
            dh3: one_time.as_ref().map(|key| ephemeral.agree(&key.public)).transpose()?,
            kem: KemPart::encapsulate(&one_time.as_ref().unwrap_or(&bundle_key).kem, cx.entropy)?,
        }
        .derive()?;
        let first = FirstMessage {
            version: messages::VERSION,
            ephemeral: ephemeral_public,
            bundle_key: bundle_key.key_id,
            one_time_key: one_time.map(|key| key.key_id),
            confirmation: secrets.confirmation()?,
            kem_ciphertext: secrets.kem_ciphertext,
        };
        Ok(Initiated { first: first.encode()?, agreed: secrets.agreed, peer_bundle_key: bundle_key.public })
    }

    /// The responder's half.
    ///
    /// # Errors
    /// [`CryptoError::UnknownKey`] if the message was made for keys that are not here, [`CryptoError::Forged`] if its
    /// confirmation does not verify; a key that is malformed or of low order; a one-time key that it does not use.
    pub fn accept(
        self,
        own: &OwnBundle<'_>,
        peer: &PeerBundle<'_>,
        first: &[u8],
        cx: &Context<'_>,
    ) -> Result<Accepted, CryptoError> {
        let first = FirstMessage::decode(first, self.post_quantum)?;
        let peer_key = PublicKey::decode(peer.payload, self.post_quantum)?;
        if first.bundle_key != PublicKey::decode(own.payload, self.post_quantum)?.key_id {
            return Err(CryptoError::UnknownKey("bundle key"));
        }
        let own_key = PrivateKey::from_slice(own.secret, self.post_quantum)?;
        if first.one_time_key.is_none() && own.one_time.is_some() {
            return Err(CryptoError::Malformed("the message does not use the one-time key named beside it"));
        }
        let find = |id| OneTimeSecret::find(id, own.one_time, self.post_quantum);
        let one_time = first.one_time_key.map(find).transpose()?;

        let secrets: Secrets = Handshake {
            context: &cx.binding,
            ephemeral: first.ephemeral,
            one_time: one_time.as_ref().map(|key| key.dh.public()),
            dh1: own_key.dh.agree(&peer_key.public)?,
            dh2: own_key.dh.agree(&first.ephemeral)?,
            dh3: one_time.as_ref().map(|key| key.dh.agree(&first.ephemeral)).transpose()?,
            kem: KemPart::decapsulate(&one_time.as_ref().unwrap_or(&own_key).kem, &first.kem_ciphertext),
        }
        .derive()?;
        secrets.verify(&first.confirmation)?;
        Ok(Accepted { agreed: secrets.agreed, own_bundle_key: own_key.dh })
    }
}
