//! What becomes of a command.

use chat_core::api::CommandError;

use crate::store::StoreError;

/// What a command gives, or why it was not done.
pub(super) type Answer<T> = Result<T, Denied>;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Denied {
    /// The user is told so, and the turn goes on.
    Command(CommandError),
    /// The store failed: the turn is undone.
    Store(StoreError),
}

impl From<CommandError> for Denied {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
