//! Randomness that repeats, and randomness that fails.

use sha2::{Digest as _, Sha256};

use crate::entropy::Entropy;
use crate::error::CryptoError;

/// Randomness that is the same for the same seed: SHA-256 of seed and counter.
#[derive(Debug, Clone)]
pub struct TestEntropy {
    seed: u64,
    counter: u64,
}

impl TestEntropy {
    /// Another seed gives other bytes.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    /// The next bytes.
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.draw(&mut bytes);
        bytes
    }

    /// The next number below `end`, near enough to uniform; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.draw(&mut bytes);
        (u64::from_be_bytes(bytes) % (end.max(1) as u64)) as usize
    }

    fn draw(&mut self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(32) {
            let block = Sha256::new_with_prefix(self.seed.to_be_bytes())
                .chain_update(self.counter.to_be_bytes())
                .finalize();
            self.counter += 1;
            chunk.iter_mut().zip(block).for_each(|(slot, byte)| *slot = byte);
        }
    }
}

impl Entropy for TestEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        self.draw(buf);
        Ok(())
    }
}

/// Randomness that fails after a number of draws, and leaves garbage in the buffer when it does.
#[derive(Debug, Clone)]
pub struct FailingEntropy {
    source: TestEntropy,
    draws_left: usize,
}

impl FailingEntropy {
    /// Gives `draws` times, then fails for ever.
    pub fn after(draws: usize) -> Self {
        Self { source: TestEntropy::new(99), draws_left: draws }
    }
}

impl Entropy for FailingEntropy {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        self.source.fill(buf)?;
        self.draws_left = self.draws_left.checked_sub(1).ok_or(CryptoError::Entropy)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_failing_comes_in_time() {
        assert_eq!(TestEntropy::new(1).take(100), TestEntropy::new(1).take(100));
        assert_ne!(TestEntropy::new(1).take(100), TestEntropy::new(2).take(100));
        let mut entropy = TestEntropy::new(3);
        assert_ne!(entropy.take(32), entropy.take(32));
        assert!((0..100).all(|_| entropy.below(7) < 7) && entropy.below(0) == 0);
        let mut failing = FailingEntropy::after(1);
        assert_eq!(failing.fill(&mut [0; 4]), Ok(()));
        assert_eq!(failing.fill(&mut [0; 4]), Err(CryptoError::Entropy));
        assert_eq!(failing.fill(&mut []), Err(CryptoError::Entropy));
    }
}
