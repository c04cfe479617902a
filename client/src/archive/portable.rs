//! A few bytes, sealed under a passphrase alone, to be carried elsewhere: an identity, or the key of an export.

use chat_core::entropy::Entropy;
use chat_core::error::CryptoError;
use zeroize::Zeroizing;

use crate::vault::wrapped::{self, Closed, Secret};
use crate::vault::{COST, Cost};

/// Why something that was carried here does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortableError {
    /// The one answer to a wrong passphrase and a flipped bit.
    #[error("this passphrase does not open the file; nothing was changed")]
    Wrong,
    /// It is something else.
    #[error("the file is not an export of this kind, or is cut off; nothing was changed")]
    Malformed,
    /// Somebody has made guessing cheaper.
    #[error(
        "the file was sealed with Argon2id of {memory_kib} KiB and {passes} passes, which is weaker, or more, than this \
         program accepts; nothing was changed"
    )]
    Cost {
        /// Its memory.
        memory_kib: u32,
        /// Its passes.
        passes: u32,
    },
    /// No randomness, or a cipher that fails.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Seals `content` under a passphrase. `magic` says what it is, and is bound to it. Takes a fraction of a second.
///
/// # Errors
/// No randomness.
pub fn seal_portable(
    magic: &[u8; 16],
    passphrase: &str,
    content: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, PortableError> {
    Ok(wrapped::seal(magic, Secret::Passphrase(passphrase), COST, content, entropy)?)
}

/// Opens what [`seal_portable`] gave.
///
/// # Errors
/// [`PortableError`]
pub fn open_portable(
    magic: &[u8; 16],
    passphrase: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, PortableError> {
    wrapped::open(magic, Secret::Passphrase(passphrase), sealed).map_err(|closed| match closed {
        Closed::Wrong => PortableError::Wrong,
        Closed::Malformed | Closed::OtherSecret { .. } => PortableError::Malformed,
        Closed::Weak(Cost { memory_kib, passes, .. })
        | Closed::TooCostly(Cost { memory_kib, passes, .. }) => PortableError::Cost { memory_kib, passes },
        Closed::Failed(error) => PortableError::Crypto(error),
    })
}
