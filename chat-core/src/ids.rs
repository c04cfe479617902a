//! Identifiers: fixed arrays that print as lowercase hex, so that they can be logged and compared by eye.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A string that is not the hex form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits")]
pub struct ParseIdError {
    expected: usize,
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let error = ParseIdError { expected: N * 2 };
    let bytes = text.as_bytes();
    if bytes.len() != N * 2 {
        return Err(error);
    }
    let mut out = [0u8; N];
    for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).map_err(|_| error.clone())?;
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return Err(error);
        }
        *slot = u8::from_str_radix(digits, 16).map_err(|_| error.clone())?;
    }
    Ok(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// From a slice of exactly [`Self::LEN`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The first four hex digits, for names such as `bob·7f3a`.
            pub fn short(&self) -> String {
                format!("{self}").chars().take(4).collect()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^[0-9a-f]{", stringify!($len), "x2}$").replace(
                        concat!(stringify!($len), "x2"), &($len * 2).to_string()),
                })
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self, e: &mut minicbor::Encoder<W>, _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                Self::from_slice(bytes)
                    .ok_or_else(|| minicbor::decode::Error::message(concat!("not a ", stringify!($name))))
            }
        }
    };
}

id!(
    /// A node, and its fingerprint: SHA-256 of a label and its Ed25519 identity key. Trust goes by this, never by nick.
    PeerId, 32
);
id!(
    /// A conversation: two peers, or a room.
    ConversationId, 16
);
id!(
    /// A message, random, the same for every recipient; what deduplicates it.
    MessageId, 16
);
id!(
    /// An envelope: one sealed copy of something, for one recipient. Made of its frame, which is sealed under
    /// fresh randomness; a resend keeps it.
    EnvelopeId, 16
);
id!(
    /// A session of two peers, derived from its handshake bytes, so both sides know it.
    SessionId, 16
);
id!(
    /// A one-time key of a peer, by the hash of its encoding.
    OneTimeKeyId, 16
);

/// Milliseconds since the Unix epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

impl Timestamp {
    /// The system's wall clock. Sans-IO code takes a `Timestamp` as an argument instead.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// This moment moved by `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this, 0 if it is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_malformed() {
        let id = MessageId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "ab", &"zz".repeat(16), &"ab".repeat(17), "+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1"] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad:?}");
        }
    }
}
