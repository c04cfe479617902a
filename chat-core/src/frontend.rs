//! What a person or a program sits in front of, and the handle it holds on the client engine.

pub use crate::api::handle::{ClientHandle, EventReader, Lagged, Place};
use crate::error::FrontendError;

/// A frontend plugin. It renders what the engine tells and holds no truth of its own: it can be killed and
/// replaced at any moment without loss.
pub trait Frontend: Send {
    /// Runs until the user leaves or [`ClientHandle::stopping`] says so. Owns the calling (main) thread, so
    /// it may block; it never blocks the engine, whose queues towards it are bounded.
    ///
    /// # Errors
    /// [`FrontendError`] if the terminal, window or stream failed. The engine shuts down in good order after it.
    fn run(self: Box<Self>, client: ClientHandle) -> Result<(), FrontendError>;

    /// Whether it owns the terminal, so that logs and messages must not go there while it runs.
    fn owns_terminal(&self) -> bool {
        false
    }

    /// Whether a person sits there: such a frontend keeps trying when the relay can't be reached.
    fn interactive(&self) -> bool {
        true
    }
}
