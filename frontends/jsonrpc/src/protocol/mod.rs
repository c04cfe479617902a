//! JSON-RPC 2.0 as pure functions: a line becomes requests, an outcome becomes a line. No I/O, no engine.

mod answer;
mod error;
mod inert;
mod request;
mod tree;

pub(crate) use answer::{Id, Lag, Outcome, answer, join, lag, notification};
pub(crate) use error::{ProtocolKind, RpcError};
pub(crate) use request::{Call, Item, MAX_BATCH, Parsed, parse};

/// Version of the protocol that `system.hello` tells. It grows only when something old stops working.
pub const PROTOCOL: u32 = 1;
