//! What the user types: which key does what, the line editor, and completion.

pub(crate) mod complete;
pub(crate) mod editor;
pub(crate) mod history;
pub(crate) mod keys;
