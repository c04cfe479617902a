//! Something peers do together beside talking: files, calls, a stranger's whiteboard.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::ServiceError;
use crate::ids::PeerId;

/// A service plugin. Its payloads travel through the sessions, sealed like messages.
pub trait Service: Send + Sync {
    /// Begins to serve; returns at once.
    ///
    /// # Errors
    /// [`ServiceError`] if the name is taken or the engine has ended.
    fn start(&self, peers: Box<dyn ServiceHandle>) -> Result<Box<dyn RunningService>, ServiceError>;
}

/// What the engine gives to a service. Payloads are at most 1 MiB.
#[async_trait]
pub trait ServiceHandle: Send {
    /// Seals a payload for a peer and commits it; it is delivered once, in order, also to a peer who is away.
    ///
    /// # Errors
    /// [`ServiceError::Ended`].
    async fn send(&self, to: PeerId, payload: Bytes) -> Result<(), ServiceError>;
    /// The next payload from a peer. Cancel safe.
    ///
    /// # Errors
    /// [`ServiceError::Ended`].
    async fn recv(&mut self) -> Result<(PeerId, Bytes), ServiceError>;
}

/// A service at work; dropping it ends it.
pub trait RunningService: Send {}
