//! Conformance suites: what a plugin has to hold, as tests that any crate runs on its own plugin by one
//! line. Behind the feature `testing`, so that a build without tests has nothing of it.
//!
//! ```toml
//! [dev-dependencies]
//! chat-core = { version = "…", features = ["testing"] }
//! ```
//!
//! and at the end of the plugin's `lib.rs`, or in a file under `tests/`:
//!
//! ```ignore
//! #[cfg(test)]
//! mod conformance {
//!     chat_core::cipher_suite!(super::MyCipher);
//! }
//! ```
//!
//! | suite | for | rules |
//! |---|---|---|
//! | [`cipher_suite!`](crate::cipher_suite) | a [`Cipher`](crate::Cipher) | [`cipher::RULES`] |
//! | [`frontend_suite!`](crate::frontend_suite) | a [`Frontend`](crate::Frontend), through a seat in front of it | [`frontend::RULES`] |
//! | [`key_exchange_suite!`](crate::key_exchange_suite) | a [`KeyExchange`](crate::KeyExchange) and its [`Session`](crate::Session)s | [`key_exchange::RULES`] |
//! | [`transport_suite!`](crate::transport_suite) | a [`Transport`](crate::Transport), bare or secure | [`transport::RULES`] |
//!
//! What a relay keeps its mail in has a suite in the crate `relay`, behind a feature of the same name: `relay::mailbox_suite!`.
//!
//! - Each rule becomes a test of its own, so a failure names the rule; the function of that name in the
//!   suite's modules says what it demands.
//! - The plugin is given by its type, and is then built from its `EXAMPLE`; by its type and other options;
//!   or by a piece of profile, and is then looked up among the linked plugins, as the program does. A frontend
//!   brings somebody who sits in front of it, a transport a place where nobody listens.
//! - Rules take no randomness but their own and measure no time. Those for ciphers, key exchanges and frontends need
//!   no network and no file: a failure repeats to the byte. Those for transports use the transport's own network, and
//!   where they look whether something does *not* come, they wait until nothing has moved for half a second (on
//!   virtual time not at all).
//! - A suite in a module of its own lets a crate run it for several plugins.
//!
//! A rule that no broken plugin breaks proves nothing. `chat-core/tests/suites` holds, for each rule, a
//! plugin that is broken in the one way that the rule is there for, and shows that the rule tells.

mod bytes;
pub mod cipher;
mod declared;
mod entropy;
pub mod frontend;
mod hanging;
pub mod key_exchange;
mod log;
mod rule;
mod test_cipher;
pub mod transport;

pub use declared::Declared;
pub use entropy::{FailingEntropy, TestEntropy};
pub use hanging::Hanging;
pub use rule::{Must, Rule, Violation, check};
pub use test_cipher::TestCipher;
