//! Profiles as their authors and the program meet them: what is refused and how it is said, which layer wins,
//! what is shown, and that nothing makes the reader panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

mod hostile;
mod layers;
mod listeners;
mod malformed;
mod plugins;
mod secrecy;
mod shipped;
mod show;
mod stack;
mod transports;
