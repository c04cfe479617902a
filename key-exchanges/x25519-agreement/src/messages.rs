//! What travels, and the one-time secret as it is kept.

use chat_core::CryptoError;
use chat_core::record::{decode_strictly, encode};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::agreement::{KEY_LEN, SecretKey};

/// The version of both records.
pub(crate) const VERSION: u8 = 1;
/// Both records have less than 80 bytes.
const MAX_RECORD_BYTES: usize = 128;

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
}

impl PublicKey {
    /// The public half of `secret`, under a name.
    #[must_use]
    pub fn new(key_id: u32, secret: &SecretKey) -> Self {
        Self { version: VERSION, key_id, public: secret.public() }
    }

    /// The one encoding.
    ///
    /// # Errors
    /// None with this record; the encoder reports in its own type.
    pub fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(encode(PUBLIC_KEY, self)?.to_vec())
    }

    /// What [`Self::encode`] wrote. The point itself is judged by [`SecretKey::agree`].
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        let key: Self = decode_strictly(PUBLIC_KEY, bytes, MAX_RECORD_BYTES)?;
        if key.version == VERSION { Ok(key) } else { Err(CryptoError::Malformed("X25519 bundle version")) }
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
}

impl FirstMessage {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(encode(FIRST_MESSAGE, self)?.to_vec())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CryptoError> {
        let first: Self = decode_strictly(FIRST_MESSAGE, bytes, MAX_RECORD_BYTES)?;
        if first.version == VERSION { Ok(first) } else { Err(CryptoError::Malformed("x25519 version")) }
    }
}

/// The private half of a one-time key as it is kept: `key id u32 ‖ secret key (32)`.
pub struct OneTimeSecret;

impl OneTimeSecret {
    /// Makes the form in which it is kept.
    #[must_use]
    pub fn to_bytes(key_id: u32, secret: &SecretKey) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&key_id.to_be_bytes()[..], &secret.to_bytes()].concat())
    }

    /// The one-time key that a first message names, if `kept` is that one.
    ///
    /// # Errors
    /// [`CryptoError::UnknownKey`] if it is not, [`CryptoError::Malformed`] if its bytes are no key.
    pub fn find(key_id: u32, kept: Option<&[u8]>) -> Result<SecretKey, CryptoError> {
        let (kept_id, secret) = kept
            .and_then(|kept| kept.split_first_chunk())
            .ok_or(CryptoError::UnknownKey("one-time key used before, or never ours"))?;
        if u32::from_be_bytes(*kept_id) != key_id {
            return Err(CryptoError::UnknownKey("another one-time key"));
        }
        SecretKey::from_slice(secret)
    }
}
