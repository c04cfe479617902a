//! One error type a trait. Each variant is a sentence that names the reason; `#[non_exhaustive]` so that
//! a later version can tell more reasons apart.

use crate::ids::PeerId;

/// Why a key exchange, a session or a cipher refused. The state is unchanged whenever one of these comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The bytes don't have the required shape (length, encoding, a point off the curve).
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The authentication tag, signature or MAC does not verify.
    #[error("forged or damaged: authentication failed")]
    Forged,
    /// A frame or first message that was accepted before.
    #[error("duplicate: seen before")]
    Duplicate,
    /// A frame so far ahead of what was received that the way to its key is too long: the session is to be renewed.
    #[error("too far ahead of what was received")]
    TooFarAhead,
    /// A frame behind the window of what is kept: an old one, or a replay of one.
    #[error("too old: behind the window that is kept")]
    TooOld,
    /// A key that is not acceptable (too small, low order, wrong exponent, expired).
    #[error("key refused: {0}")]
    Untrusted(&'static str),
    /// A limit of the algorithm is reached (messages under a key, counter at its end).
    #[error("exhausted: {0}")]
    Exhausted(&'static str),
    /// The private part that would open this is not, or no longer, here.
    #[error("no private key for this: {0}")]
    UnknownKey(&'static str),
    /// The source of randomness failed; nothing was sent.
    #[error("the source of randomness failed")]
    Entropy,
    /// A plugin panicked or broke its contract; its session is taken down, nothing else.
    #[error("the plugin failed: {0}")]
    Failed(&'static str),
}

/// Why a link could not be made, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address is not one this transport understands.
    #[error("`{address}` is not an address for this transport: {reason}")]
    BadAddress {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host name has no address.
    #[error("the name `{host}` does not resolve: {reason}")]
    Resolve {
        /// The host part of the address.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// Somebody listens on this address already.
    #[error("{address} is in use")]
    AddressInUse {
        /// The address that could not be bound.
        address: String,
    },
    /// Nobody answers there.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// The address that was dialed.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// Something took longer than its deadline.
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The other end closed the link in good order.
    #[error("closed by the other end")]
    Closed,
    /// The other end proved another identity than the one required.
    #[error("the peer is {found}, but {expected} is required")]
    WrongPeer {
        /// The pinned peer.
        expected: PeerId,
        /// The peer that answered.
        found: PeerId,
    },
    /// The other end failed to prove who it is.
    #[error("the peer could not be authenticated: {0}")]
    NotAuthenticated(&'static str),
    /// The bytes are not this protocol; `looks_like` guesses what they are.
    #[error("the other end does not speak this protocol ({looks_like})")]
    ForeignProtocol {
        /// A guess for the log, such as "looks like HTTP".
        looks_like: &'static str,
    },
    /// A frame longer than the limit; nothing of it was allocated or sent.
    #[error("a frame of {len} bytes is over the limit of {max}")]
    FrameTooLarge {
        /// The announced length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The operating system failed in another way.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub use crate::profile::ProfileError;

/// Why a frontend ended otherwise than by the user's wish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontendError {
    /// The terminal, window or stream failed.
    #[error("the frontend's terminal or stream failed: {0}")]
    Io(#[from] std::io::Error),
    /// What the frontend needs is missing (no terminal, no display).
    #[error("{0}")]
    Unavailable(String),
}

/// Why a service could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Another service uses this name.
    #[error("a service named `{0}` runs already")]
    Duplicate(String),
    /// The engine has ended.
    #[error("the client has ended")]
    Ended,
}
