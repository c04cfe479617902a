//! Chance that repeats.

use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// The same draws for the same seed and purpose.
#[derive(Debug, Clone)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// For one purpose of a seed; purposes do not disturb each other.
    pub fn of(seed: u64, purpose: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// One of `0..n`; 0 if there is none.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of the remainder does not matter here.
        if n == 0 { 0 } else { self.0.next_u64() % n }
    }

    /// One of `from..=to`.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// Yes, once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these; the first if there is only one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len() as u64) as usize).copied()
    }

    /// A time up to `longest_ms`, mostly far shorter.
    pub fn moment(&mut self, longest_ms: u64) -> Duration {
        let scale = self.pick(&[1, 10, 100, 1000]).unwrap_or(1);
        Duration::from_micros(self.below(longest_ms * 1000 / scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let draw = |seed, purpose| {
            let mut chance = Chance::of(seed, purpose);
            (0..8).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut chance = Chance::of(1, 1);
        assert!((0..200).all(|_| (3..=5).contains(&chance.within(3, 5))));
        assert!((0..200).all(|_| chance.moment(50) < Duration::from_millis(50)));
        assert_eq!((chance.below(0), chance.pick::<u8>(&[])), (0, None));
    }
}
