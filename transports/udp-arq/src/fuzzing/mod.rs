//! What the fuzz targets in `fuzz/` drive: the decoders, two connections and a listener, each with a network
//! that does whatever its caller wants. Hidden behind the feature `fuzzing`; no part of the API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a finding")]

mod decoders;
mod listener;
mod pair;

use chat_core::{CryptoError, Entropy};

pub use decoders::{chunks, cookie, datagram, numbers};
pub use listener::{Sent, World};
pub use pair::{HELD_LIMIT, Pair, Setup};

/// A seeded generator (SplitMix64, Steele et al. 2014), so that an input always does the same.
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        for chunk in buf.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.iter_mut().zip((z ^ (z >> 31)).to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}
