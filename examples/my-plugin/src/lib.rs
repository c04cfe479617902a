//! Two plugins of a stranger: the transport `unix` and the cipher `aes-256-gcm-siv`.
//!
//! This crate depends on `chat-core` alone. A program with it in is two lines (see `my-chat/`):
//!
//! ```ignore
//! use my_plugin as _;
//! fn main() -> std::process::ExitCode { chat::main() }
//! ```
//!
//! Both plugins pass the conformance suites of `chat-core`; see `tests/`.

mod aes_gcm_siv;
mod unix;

pub use crate::aes_gcm_siv::{Aes256GcmSiv, CipherOptions};
pub use crate::unix::{Unix, UnixOptions};
