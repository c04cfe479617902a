//! The records of a hop, and the envelope in them. The first byte chooses which.
//!
//! What was decoded and is encoded again decodes to the same; its encoding is no longer than what came.
//! Allocated: 16 bytes for each that came, and 4 KiB.

use std::fmt::Debug;

use chat_core::wire::{Envelope, FromRelay, ToRelay};

use crate::alloc::bounded;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 3 {
        0 => again(bytes, ToRelay::decode, ToRelay::encode),
        1 => again(bytes, FromRelay::decode, FromRelay::encode),
        _ => again(bytes, Envelope::decode, Envelope::encode),
    }
}

fn again<T: PartialEq + Debug, E: std::fmt::Display>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, E>,
    encode: fn(&T) -> Vec<u8>,
) {
    let decoded = bounded(16 * bytes.len() + (4 << 10), || decode(bytes));
    match decoded {
        Ok(record) => {
            let encoded = encode(&record);
            assert!(encoded.len() <= bytes.len());
            assert!(decode(&encoded).is_ok_and(|same| same == record), "{record:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
