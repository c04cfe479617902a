//! Randomness as a value that is handed in, so that tests and simulations are exact.

use crate::error::CryptoError;

/// A source of random bytes fit for keys.
pub trait Entropy: Send {
    /// Fills `buf` wholly.
    ///
    /// # Errors
    /// [`CryptoError::Entropy`] if the source failed; `buf` must then not be used.
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError>;
}

impl dyn Entropy + '_ {
    /// An array of random bytes.
    ///
    /// # Errors
    /// As [`Entropy::fill`].
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], CryptoError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(buf).map_err(|_| CryptoError::Entropy)
    }
}
