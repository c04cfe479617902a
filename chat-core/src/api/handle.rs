//! The handle a frontend holds.
/// A frontend's handle on the engine.
#[derive(Debug, Clone)]
pub struct ClientHandle;
