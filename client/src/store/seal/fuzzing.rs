//! A sealed row, for the fuzz targets.

use chat_core::entropy::Entropy;
use rusqlite::types::ValueRef;

use super::row::{RowKey, encode};

/// Seals any bytes as the hidden values of a row. Nothing if there is no randomness.
pub fn seal_row(beside: &[u8], hidden: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
    RowKey::new("fuzz", &[4; 32]).seal(1, beside, hidden, entropy).unwrap_or_default()
}

/// Opens a row: the hidden values, encoded again.
pub fn open_row(sealed: &[u8], beside: &[u8]) -> Option<Vec<u8>> {
    let values = RowKey::new("fuzz", &[4; 32]).open(sealed, beside)?;
    Some(encode(values.iter().map(ValueRef::from)).to_vec())
}
