//! What a person or a program sits in front of, and the handle it holds on the client engine.

pub use crate::api::handle::{ClientHandle, EventReader, Lagged, Place};
use crate::error::FrontendError;

/// A frontend plugin. It renders what the engine tells and holds no truth of its own: it can be killed and
/// replaced at any moment without loss.
pub trait Frontend: Send {
    /// Runs until the user leaves or [`ClientHandle::stopping`] says so. Owns the calling (main) thread, so
    /// it may block; it never blocks the engine, whose queues towards it are bounded. While it runs, nobody else
    /// writes to the terminal: messages come before it or after it, logs go to a file.
    ///
    /// # Errors
    /// [`FrontendError`] if the terminal, window or stream failed. The engine shuts down in good order after it.
    fn run(self: Box<Self>, client: ClientHandle) -> Result<(), FrontendError>;

    /// Whether it can run here, asked before anything is made: no file exists then, and nothing has started.
    ///
    /// # Errors
    /// [`FrontendError`] with what is missing, such as a terminal.
    fn require(&self) -> Result<(), FrontendError> {
        Ok(())
    }

    /// Whether a person sits there: such a frontend keeps trying when the relay can't be reached.
    fn interactive(&self) -> bool {
        true
    }
}
