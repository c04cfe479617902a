//! The key of a store, and the keys that come from it.

use std::fmt;

use chat_core::entropy::Entropy;
use chat_core::error::CryptoError;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The key under which everything in a data directory is sealed. It erases itself.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// A new key.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] if there is no randomness.
    pub fn generate(entropy: &mut dyn Entropy) -> Result<Self, CryptoError> {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(key.as_mut())?;
        Ok(Self(key))
    }

    /// A key that lay somewhere.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key for one use: HKDF-SHA256 of this one with the label as info. No label is a prefix of another.
    pub(crate) fn derive(&self, label: &str) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let mut out = Zeroizing::new([0; 32]);
        // The limit of RFC 5869 §2.3 is far from 32 bytes.
        Hkdf::<Sha256>::new(None, self.0.as_ref())
            .expand(label.as_bytes(), out.as_mut())
            .map_err(|_| CryptoError::Failed("no key could be derived"))?;
        Ok(out)
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}
