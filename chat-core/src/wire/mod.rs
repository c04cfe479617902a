//! What is on the wire, documented byte by byte in `chat-core/WIRE.md`.
//!
//! | module | who reads it |
//! |---|---|
//! | [`relay`] | client and relay: the records of one hop |
//! | [`envelope`] | client and relay: what is routed and stored, sealed |
//! | [`bundle`] | clients: signed public keys, and the handshake in front of a session |
//! | [`one_time`] | clients: signed keys that a first message uses up |
//! | [`membership`] | the members of a closed room: who is in it |
//! | [`plaintext`], [`body`] | the two ends of a session only: what a sealed frame holds, and what that says |
//!
//! Records are CBOR arrays (RFC 8949): fields a reader doesn't know are skipped, lengths are checked
//! against the bytes that are really there before anything is allocated. Bundles, one-time keys and handshakes decode
//! strictly: encoding them again gives the same bytes. Nothing nests deeper than 16 levels, not even what is skipped.

pub mod body;
pub mod bundle;
pub mod envelope;
pub mod membership;
mod nesting;
pub mod one_time;
pub mod plaintext;
pub mod relay;

pub use body::Body;
pub use bundle::{Bundle, Handshake, SignedBundle, StackProfile};
pub use envelope::{Envelope, Recipient};
pub use one_time::{OneTimeKey, OneTimeKeys, SignedOneTimeKey};
pub use plaintext::Plaintext;
pub use relay::{FromRelay, ToRelay};

/// The version of everything in here.
pub const WIRE_VERSION: u32 = 1;

/// Why bytes from outside are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not decodable.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// Which record.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Decodable, but not the one way to write it.
    #[error("{0} is not in canonical form")]
    NotCanonical(&'static str),
    /// Over a limit.
    #[error("{what} has {len} bytes, more than {max}")]
    TooLarge {
        /// Which record.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// `u32` big-endian length ‖ bytes, as used in every hashed transcript.
pub fn lp(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), bytes].concat()
}

pub(crate) fn encode<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    // A `Vec` as target cannot fail, and no `Encode` in this module refuses a value.
    minicbor::to_vec(value).unwrap_or_default()
}

pub(crate) fn decode<'b, T: minicbor::Decode<'b, ()>>(
    what: &'static str,
    bytes: &'b [u8],
) -> Result<T, WireError> {
    if !nesting::is_shallow(bytes) {
        return Err(WireError::Malformed { what, reason: "not well formed, or nested too deep".into() });
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(|e| WireError::Malformed { what, reason: e.to_string() })?;
    if decoder.position() == bytes.len() {
        Ok(value)
    } else {
        Err(WireError::Malformed { what, reason: "trailing bytes".into() })
    }
}

pub(crate) fn decode_strictly<'b, T>(what: &'static str, bytes: &'b [u8], max: usize) -> Result<T, WireError>
where
    T: minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    if bytes.len() > max {
        return Err(WireError::TooLarge { what, len: bytes.len(), max });
    }
    let value: T = decode(what, bytes)?;
    if encode(&value) == bytes { Ok(value) } else { Err(WireError::NotCanonical(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_stands_before_the_bytes() {
        assert_eq!(lp(b""), [0, 0, 0, 0]);
        assert_eq!(lp(&[7; 300])[..5], [0, 0, 1, 44, 7]);
        assert_eq!(lp(&[7; 300]).len(), 304);
    }

    #[test]
    fn each_way_to_be_wrong_has_its_name() {
        let strictly = |bytes: &'static [u8]| decode_strictly::<u32>("number", bytes, 2);
        assert_eq!((strictly(&[7]), strictly(&[0x18, 24])), (Ok(7), Ok(24)));
        assert_eq!(strictly(&[0x18, 7]), Err(WireError::NotCanonical("number")));
        assert_eq!(strictly(&[7, 7, 7]), Err(WireError::TooLarge { what: "number", len: 3, max: 2 }));
        for bytes in [&[7, 7][..], &[0x81, 7], &[]] {
            let refused = decode::<u32>("number", bytes);
            assert!(
                matches!(refused, Err(WireError::Malformed { what: "number", .. })),
                "{bytes:?}: {refused:?}"
            );
        }
    }
}
