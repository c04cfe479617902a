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
//!
//! # The link, byte by byte
//!
//! After the handshake each frame of the bare link is one Noise transport message (Noise §5.3, without
//! associated data), at most 65535 bytes:
//!
//! ```text
//! AES-256-GCM(kind 1 ‖ data 0 to 65518) ‖ tag 16
//! ```
//!
//! | kind | meaning | data |
//! |---|---|---|
//! | 0 | the whole frame, or the last part of it | any length; the last of several parts is never empty |
//! | 1 | a part of a frame, more follows | exactly 65518 bytes |
//! | 2 | close: nothing follows | none |
//!
//! The nonce is the number of the message in its direction, counted from 0 and never sent, so a message that is
//! doubled, left out, moved or turned around fails to open, and the link is over. After every 2^20 messages of
//! a direction its key is replaced by Noise's `REKEY` (§4.2); the count goes on. A source ends with `None` only
//! after kind 2; if the bare link ends otherwise, that is an error, so nobody can cut off the end unnoticed.
//! Either direction may be closed alone. A frame over 2 MiB is refused before its last part is stored.
//!
//! # Limits
//!
//! - The peer is proved to the initiator after message 2, to the responder after message 3. A responder that
//!   refuses message 3 hangs up; the initiator sees that as an error of its source.
//! - Identities are hidden from who listens, but an active stranger can learn the responder's, and whoever is
//!   dialed learns the initiator's only after proving its own.
//! - Keys are erased when no longer used, as far as the libraries let us: copies that `snow` and the compiler
//!   leave on the stack are not.

mod error;
mod foreign;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod messages;
mod over;
mod primitives;
mod secure;

pub use error::HandshakeError;
pub use foreign::{Strangers, datagram_looks_like, looks_like};
pub use handshake::{Handshake, MESSAGE_LENGTHS, Secured};
pub use messages::MAX_MESSAGE_BYTES;
pub use over::OverNoise;
pub use secure::{accept, check_pin, dial, dial_with, secure, secure_with};

// Named for the feature `zeroize`, with which the expanded keys of `aes-gcm` erase themselves.
use {aes as _, ghash as _};
