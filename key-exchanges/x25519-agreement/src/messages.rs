//! What travels, and what is kept: a key pair's private halves, and those of a one-time key.

use chat_core::record::{decode_strictly, encode};
use chat_core::{CryptoError, Entropy};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::agreement::{KEY_LEN, SecretKey};
use crate::kem::{self, KemSeed};

/// The version of both records.
pub(crate) const VERSION: u8 = 1;
/// Both records have less than 80 bytes beside the KEM's key or ciphertext.
const MAX_RECORD_BYTES: usize = 128 + kem::PUBLIC_LEN;

const PUBLIC_KEY: &str = "X25519 bundle";
const FIRST_MESSAGE: &str = "x25519 first message";

/// A bundle key or one-time key, as published.
#[derive(Encode, Decode)]
pub struct PublicKey {
    #[n(0)]
    version: u8,
    /// What a first message calls it by.
    #[n(1)]
    pub key_id: u32,
    #[cbor(n(2), with = "minicbor::bytes")]
    /// The point's coordinate, little-endian (RFC 7748 §5).
    pub public: [u8; KEY_LEN],
    /// The key for ML-KEM-768, if the exchange is post-quantum.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) kem: Option<[u8; kem::PUBLIC_LEN]>,
}

impl PublicKey {
    /// The one encoding.
    ///
    /// # Errors
    /// None with this record; the encoder reports in its own type.
    pub fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(encode(PUBLIC_KEY, self)?.to_vec())
    }

    /// What [`Self::encode`] wrote, with a KEM key or without. The point itself is judged by [`SecretKey::agree`].
    pub(crate) fn decode(bytes: &[u8], post_quantum: bool) -> Result<Self, CryptoError> {
        let key: Self = decode_strictly(PUBLIC_KEY, bytes, MAX_RECORD_BYTES)?;
        if key.version != VERSION {
            return Err(CryptoError::Malformed("X25519 bundle version"));
        }
        check_kem(key.kem.is_some(), post_quantum)?;
        Ok(key)
    }
}

/// The core refuses a peer of the other kind by the name of the option; this is for one who lies about it.
fn check_kem(there: bool, wanted: bool) -> Result<(), CryptoError> {
    match (there, wanted) {
        (false, true) => Err(CryptoError::Malformed("an ML-KEM part is missing")),
        (true, false) => Err(CryptoError::Malformed("an ML-KEM part that was not agreed on")),
        _ => Ok(()),
    }
}

/// The private halves of a bundle key or one-time key. Erased on drop.
///
/// Kept as `X25519 key (32)`, and behind it, if the exchange is post-quantum, `d ‖ z (64)` of ML-KEM-768.
pub struct PrivateKey {
    pub(crate) dh: SecretKey,
    pub(crate) kem: Option<KemSeed>,
}

impl PrivateKey {
    /// A fresh pair, or two.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] without randomness.
    pub fn generate(post_quantum: bool, entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let dh = SecretKey::generate(entropy)?;
        let kem = post_quantum.then(|| KemSeed::generate(entropy)).transpose()?;
        Ok(Self { dh, kem })
    }

    /// The public halves, under a name.
    #[must_use]
    pub fn public(&self, key_id: u32) -> PublicKey {
        let kem = self.kem.as_ref().map(|seed| seed.expand().public());
        PublicKey { version: VERSION, key_id, public: self.dh.public(), kem }
    }

    /// As it is kept.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_LEN + kem::SEED_LEN));
        bytes.extend_from_slice(&self.dh.to_bytes());
        if let Some(kem) = &self.kem {
            bytes.extend_from_slice(kem.as_bytes());
        }
        bytes
    }

    /// What [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for another length.
    pub fn from_slice(bytes: &[u8], post_quantum: bool) -> Result<Self, CryptoError> {
        let dh_len = if post_quantum { bytes.len().saturating_sub(kem::SEED_LEN) } else { bytes.len() };
        let (dh, seed) = bytes.split_at_checked(dh_len).unwrap_or((bytes, &[]));
        let kem = post_quantum.then(|| KemSeed::from_slice(seed)).transpose()?;
        Ok(Self { dh: SecretKey::from_slice(dh)?, kem })
    }
}

/// What Alice sends.
#[derive(Encode, Decode)]
pub(crate) struct FirstMessage {
    #[n(0)]
    pub(crate) version: u8,
    /// `EK_A`
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) ephemeral: [u8; KEY_LEN],
    /// Which `BK_B` it was made for.
    #[n(2)]
    pub(crate) bundle_key: u32,
    /// Which `OPK_B` it uses up, if any.
    #[n(3)]
    pub(crate) one_time_key: Option<u32>,
    /// Proof that Alice has the same secrets and transcript.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) confirmation: [u8; 32],
    /// For the KEM key of `OPK_B`, or of `BK_B` without one.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) kem_ciphertext: Option<[u8; kem::CIPHERTEXT_LEN]>,
}

impl FirstMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(encode(FIRST_MESSAGE, self)?.to_vec())
    }

    pub(crate) fn decode(bytes: &[u8], post_quantum: bool) -> Result<Self, CryptoError> {
        let first: Self = decode_strictly(FIRST_MESSAGE, bytes, MAX_RECORD_BYTES)?;
        if first.version != VERSION {
            return Err(CryptoError::Malformed("x25519 version"));
        }
        check_kem(first.kem_ciphertext.is_some(), post_quantum)?;
        Ok(first)
    }
}

/// The private half of a one-time key as it is kept: `key id u32 ‖` what [`PrivateKey`] is kept as.
pub struct OneTimeSecret;

impl OneTimeSecret {
    /// Makes the form in which it is kept.
    #[must_use]
    pub fn to_bytes(key_id: u32, key: &PrivateKey) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&key_id.to_be_bytes()[..], &key.to_bytes()].concat())
    }

    /// The one-time key that a first message names, if `kept` is that one.
    pub(crate) fn find(
        key_id: u32,
        kept: Option<&[u8]>,
        post_quantum: bool,
    ) -> Result<PrivateKey, CryptoError> {
        let (kept_id, key) = kept
            .and_then(|kept| kept.split_first_chunk())
            .ok_or(CryptoError::UnknownKey("one-time key used before, or never ours"))?;
        if u32::from_be_bytes(*kept_id) != key_id {
            return Err(CryptoError::UnknownKey("another one-time key"));
        }
        PrivateKey::from_slice(key, post_quantum)
    }
}
