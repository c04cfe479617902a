//! Sets of operations.

use chat_core::wire::membership::MAX_OPERATIONS;

const WORDS: usize = MAX_OPERATIONS.div_ceil(64);

/// A set of operations, by their place in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set([u64; WORDS]);

impl Set {
    pub(super) fn empty() -> Self {
        Self([0; WORDS])
    }

    pub(super) fn first(count: usize) -> Self {
        let mut all = Self::empty();
        (0..count).for_each(|at| all.add(at));
        all
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    pub(super) fn add(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn without(&self, at: usize) -> Self {
        let mut less = self.clone();
        if let Some(word) = less.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
        less
    }

    pub(super) fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }
}
