use chat_core::{CryptoError, LinkError};

/// Why a handshake went no further. Nothing that was read changes the handshake before it is accepted: after
/// an error from [`read_message`](crate::Handshake::read_message) the genuine message still passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It is the other side's turn, the handshake is over, or it is not over yet.
    #[error("a handshake message out of order")]
    OutOfOrder,
    /// Each message has one length, and this is another.
    #[error("a handshake message of {found} bytes, not {expected}")]
    Length {
        /// The length the message must have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// An X25519 key that agrees on nothing, or is not in canonical form.
    #[error("a key of low order or not in canonical form")]
    WeakKey,
    /// A key of ours came back as the peer's.
    #[error("our own handshake was sent back to us")]
    Reflected,
    /// The message was not made by the other end of this handshake: damaged, forged, for another transport.
    #[error("a forged or damaged handshake message")]
    Forged,
    /// The identity key in the message is not acceptable, or did not sign this handshake.
    #[error("the identity of the peer does not hold: {0}")]
    Identity(CryptoError),
    /// There is no randomness for keys.
    #[error("the source of randomness failed")]
    Entropy,
    /// The Noise library could not do its part.
    #[error("the Noise library failed")]
    Library,
}

impl From<snow::Error> for HandshakeError {
    fn from(error: snow::Error) -> Self {
        match error {
            snow::Error::Dh => Self::WeakKey,
            snow::Error::Decrypt | snow::Error::Input => Self::Forged,
            snow::Error::Rng => Self::Entropy,
            snow::Error::State(_) => Self::OutOfOrder,
            _ => Self::Library,
        }
    }
}

impl From<HandshakeError> for LinkError {
    fn from(error: HandshakeError) -> Self {
        Self::NotAuthenticated(match error {
            HandshakeError::OutOfOrder => "a handshake message out of order",
            HandshakeError::Length { .. } => "a handshake message of the wrong length",
            HandshakeError::WeakKey => "a key of low order or not in canonical form",
            HandshakeError::Reflected => "our own handshake was sent back to us",
            HandshakeError::Forged => "a forged or damaged handshake message",
            HandshakeError::Identity(_) => "the identity key or its signature does not hold",
            HandshakeError::Entropy => "the source of randomness failed",
            HandshakeError::Library => "the Noise library failed",
        })
    }
}
