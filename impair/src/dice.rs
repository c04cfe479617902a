//! Chance that repeats: the same seed gives the same throws, on every machine.

use std::time::Duration;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::Probability;

/// One throw: uniform over all 64-bit numbers. Who may need one takes it in any case, so that one impairment changes
/// nothing in what the others do to the same packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throw(u64);

/// A source of throws: xoshiro256++ (Blackman and Vigna, <https://prng.di.unimi.it>), seeded by SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(crate) fn throw(&mut self) -> Throw {
        Throw(self.0.next_u64())
    }
}

/// Integers only: floating point could differ between machines. What they are off by is less than `n / 2^64`.
impl Throw {
    /// Uniform in `0..n`.
    pub(crate) fn below(self, n: u64) -> u64 {
        // The upper half of a product is less than either factor.
        ((u128::from(self.0) * u128::from(n)) >> 64) as u64
    }

    /// Whether what happens with this probability happens.
    pub(crate) fn happens(self, probability: Probability) -> bool {
        self.in_ratio(u64::from(probability.in_millionths()), u64::from(Probability::ONE))
    }

    /// Whether what happens `wins` times of `of` happens.
    pub(crate) fn in_ratio(self, wins: u64, of: u64) -> bool {
        self.below(of) < wins
    }

    /// Uniform from nothing to `most`, both included, in nanoseconds.
    pub(crate) fn up_to(self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(most.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are kept as tests must mean the same for ever.
    #[test]
    fn the_same_on_every_machine() {
        let mut dice = Dice::new(7);
        let throws = [dice.throw().0, dice.throw().0, dice.throw().0];
        assert_eq!(throws, [1021219803524665661, 3174977118032272916, 13236943193235544178]);
    }

    #[test]
    fn never_and_always_are_meant() {
        for throw in [Throw(0), Throw(1), Throw(u64::MAX / 2), Throw(u64::MAX)] {
            assert!(!throw.happens(Probability::NEVER));
            assert!(throw.happens(Probability::ALWAYS));
            assert!(throw.up_to(Duration::MAX) <= Duration::from_nanos(u64::MAX));
            assert_eq!(throw.up_to(Duration::ZERO), Duration::ZERO);
            assert!(throw.below(3) < 3);
        }
        assert_eq!(Throw(u64::MAX).up_to(Duration::from_nanos(9)), Duration::from_nanos(9));
    }
}
