//! What frontends speak with the engine.
pub mod handle;
