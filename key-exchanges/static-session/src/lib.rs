//! The session that `x25519` and `rsa-hybrid` share: one key a direction for its whole life, and a fresh
//! key for each message, derived with a random salt.
//!
//! A handshake hands over the transcript hash `TH` and the secret `SK`, 32 bytes each. Integers are
//! big-endian, `lp(x)` is `u32 length ‖ x`, `‖` joins:
//!
//! ```text
//! direction key   HKDF-SHA256(salt = TH, ikm = SK, info = "chat/plain/1 initiator" | "chat/plain/1 responder", 32)
//! message key     HKDF-SHA256(salt, direction key, "chat/plain/1 message " ‖ cipher name, cipher key length)
//! frame           seq u64 ‖ salt (16) ‖ ciphertext ‖ tag (16), sealed with cipher sequence number 0
//! associated data lp(TH) ‖ role of the sender u8 (0 initiator, 1 responder) ‖ seq u64
//! ```
//!
//! - The salt is random, so that a state that was cloned or restored from an old copy, and then counts on
//!   from a number it used already, still never repeats a key with a nonce.
//! - `seq` counts from 0. The receiver takes frames in any order within the last [`WINDOW`] numbers, each once.
//! - Nothing is decided before the tag verifies: a frame with a forged number is [`CryptoError::Forged`],
//!   not `Duplicate`, and changes nothing.
//!
//! The direction keys stay in the saved state, so **whoever steals it opens the session's earlier
//! frames**: no forward secrecy and no healing before the next handshake. That is due after
//! [`RENEWAL_MESSAGES`] messages or [`RENEWAL_MS`].
//!
//! [`CryptoError::Forged`]: chat_core::CryptoError::Forged

mod session;
mod state;
mod window;

pub use session::{RENEWAL_MESSAGES, RENEWAL_MS, StaticSession};
pub use state::Role;
pub use window::WINDOW;
