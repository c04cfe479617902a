//! Noise over a bare link: authenticates both ends and encrypts every frame.
//!
//! # The handshake, byte by byte
//!
//! `Noise_XX_25519_AESGCM_SHA256` (Noise revision 34) with the prologue
//!
//! ```text
//! "chat/noise/1" ‖ u32 length of the transport's name ‖ the transport's name
//! ```
//!
//! Integers are big-endian. Each side draws a Noise static key for this handshake alone; what lasts is the
//! identity key (Ed25519), which signs for it. Every message has one length and nothing may follow it:
//!
//! | message | from | bytes |
//! |---|---|---|
//! | 1 | initiator | ephemeral key 32 |
//! | 2 | responder | ephemeral key 32 ‖ sealed (static key 32) 48 ‖ sealed (identity key 32 ‖ signature 64) 112 = 192 |
//! | 3 | initiator | sealed (static key 32) 48 ‖ sealed (identity key 32 ‖ signature 64) 112 = 160 |
//!
//! The signature is made by the identity key over
//!
//! ```text
//! "chat/hop/1" ‖ role 1 ‖ handshake hash 32 ‖ Noise static key 32
//! ```
//!
//! - role: `1` if the signer is the initiator, `2` if it is the responder;
//! - handshake hash: Noise's `h` before the first byte of the message that carries the signature, so after
//!   message 1 for the responder and after message 2 for the initiator. It covers the name of the protocol,
//!   the prologue and every byte sent before, on both sides the same;
//! - Noise static key: the signer's, which the same message carries.
//!
//! Refused beside what Noise itself refuses: X25519 keys of low order or not in canonical form, an identity
//! key of low order, a signature that is not strictly RFC 8032, our own keys coming back. The same identity
//! at both ends is allowed: a node that hosts a relay dials itself.

mod error;
mod handshake;
mod primitives;

pub use error::HandshakeError;
pub use handshake::{Handshake, MESSAGE_LENGTHS, Secured};

// Named for the feature `zeroize`, with which the expanded keys of `aes-gcm` erase themselves.
use {aes as _, ghash as _};
