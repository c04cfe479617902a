//! Scenarios on virtual time: every one is exact for its seed.

mod data;
mod flood;
mod handshakes;
mod hostile;
mod lifetime;
mod silence;

pub(crate) mod net;
mod pair;
mod world;

use chat_core::{CryptoError, Entropy, Identity};

/// A seeded generator (SplitMix64, Steele et al. 2014). Fit for tests only.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Whether something of this probability happens.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= probability && probability > 0.0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(len).collect()
    }

    pub(crate) fn bytes_up_to(&mut self, max: usize) -> Vec<u8> {
        let len = self.below(max as u64 + 1) as usize;
        self.bytes(len)
    }
}

impl Entropy for Rng {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        let bytes = self.bytes(buf.len());
        buf.copy_from_slice(&bytes);
        Ok(())
    }
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}
