//! What a sealed frame holds. There is one way to write it, with padding or without: what was read, written again, is the
//! same bytes.
//! Allocated: 4 bytes for each that came, and 1 KiB.

use chat_core::wire::Plaintext;

use crate::alloc::bounded;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    let Ok(plaintext) = bounded(4 * data.len() + (1 << 10), || Plaintext::decode(data)) else { return };
    assert!(*plaintext.encode() == data || *plaintext.encode_unpadded() == data);
    assert_ne!(plaintext.chain_link(), [0; 16], "zeros are the beginning of a chain");
}
