//! The AEAD algorithm under a session.

use crate::error::CryptoError;

/// Length of the tag that every cipher appends, in bytes.
pub const TAG_LEN: usize = 16;

/// An AEAD algorithm: makes keyed instances. Callers give a sequence number, never a nonce: the plugin
/// puts the number, right-aligned in zeros, into whatever its nonce is.
pub trait Cipher: Send + Sync {
    /// The name in profiles and key derivation, such as `aes-256-gcm`.
    fn name(&self) -> &'static str;
    /// Length of a key in bytes.
    fn key_len(&self) -> usize;
    /// How many messages one key may seal.
    fn message_limit(&self) -> u64;
    /// A keyed instance.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if `key` is not [`Cipher::key_len`] bytes long.
    fn key(&self, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError>;
}

/// A keyed AEAD. A (key, `seq`) pair must seal at most once.
pub trait AeadKey: Send + Sync {
    /// Encrypts `buf` in place and appends the tag of [`TAG_LEN`] bytes.
    ///
    /// # Errors
    /// [`CryptoError::Exhausted`] past the algorithm's limits.
    fn seal(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError>;
    /// Decrypts `buf` in place and removes the tag.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if `buf` is shorter than a tag, [`CryptoError::Forged`] if it does not
    /// verify; `buf` then holds no plaintext.
    fn open(&self, seq: u64, aad: &[u8], buf: &mut Vec<u8>) -> Result<(), CryptoError>;
}
