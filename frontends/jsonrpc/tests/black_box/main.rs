//! The frontend from outside: bytes in, bytes out, and an engine that the test plays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checker;
mod endings;
mod flow;
mod hostile;
mod requests;
mod resume;
mod samples;
mod schema;
#[cfg(unix)]
mod socket;
mod support;
