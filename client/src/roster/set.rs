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

    /// What is in both.
    pub(super) fn common(&self, other: &Self) -> impl Iterator<Item = usize> {
        let both = self.0.iter().zip(other.0).map(|(word, other)| word & other);
        both.enumerate().filter(|(_, word)| *word != 0).flat_map(|(place, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| place * 64 + bit)
        })
    }

    /// Adds another one. What was not there before.
    pub(super) fn take_in(&mut self, other: &Self) -> Self {
        let mut new = other.clone();
        for (word, new) in self.0.iter_mut().zip(&mut new.0) {
            *new &= !*word;
            *word |= *new;
        }
        new
    }

    pub(super) fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }
}
