//! Over real sockets on this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

mod deaths;
mod floods;
mod links;
mod support;
