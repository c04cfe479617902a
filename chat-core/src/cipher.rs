//! The AEAD algorithm under a session.

use crate::error::CryptoError;

/// Length of the tag that every cipher appends, in bytes.
pub const TAG_LEN: usize = 16;

/// An AEAD algorithm: makes keyed instances. Callers give a sequence number, never a nonce: the plugin
/// puts the number, right-aligned in zeros, into whatever its nonce is.
///
/// What an implementation has to hold is written down as tests: `chat_core::cipher_suite!`, with the feature
/// `testing`.
pub trait Cipher: Send + Sync {
    /// The name in profiles and key derivation, such as `aes-256-gcm`.
    fn name(&self) -> &'static str;
    /// Length of a key in bytes, 16 to 64.
    fn key_len(&self) -> usize;
    /// How many messages one key may seal: their sequence numbers are below it. At least 2¹⁶, and less than
    /// `u64::MAX`.
    fn message_limit(&self) -> u64;
    /// A keyed instance.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if `key` is not [`Cipher::key_len`] bytes long.
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError>;
}

/// A keyed AEAD. A (key, `seq`) pair must seal at most once, which the caller sees to: a key remembers nothing.
pub trait AeadKey: Send + Sync {
    /// Encrypts `buf` in place and appends the tag of [`TAG_LEN`] bytes. A block mode fills its last block of 16
    /// bytes before (PKCS#7, RFC 5652 §6.3); nothing else is added. The same input gives the same bytes.
    ///
    /// # Errors
    /// [`CryptoError::Exhausted`] past the algorithm's limits; `buf` is unchanged then.
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError>;
    /// Decrypts `buf` in place and removes the tag.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if `buf` is shorter than a tag, [`CryptoError::Forged`] if it does not
    /// verify, whatever the reason; `buf` then holds no plaintext.
    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError>;
}
