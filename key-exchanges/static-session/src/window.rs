//! Which sequence numbers were received: all below a sliding window count as received.

use chat_core::CryptoError;
use minicbor::{Decode, Encode};

/// How many of the latest sequence numbers are told apart.
pub const WINDOW: u64 = 1024;

const WINDOW_BYTES: usize = WINDOW as usize / 8;

/// The numbers `next - WINDOW .. next`, a bit each; the bit of `seq` is `seq % WINDOW`, so that the window
/// moves without moving bits (RFC 6479).
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Window {
    /// One above the highest number that was received.
    #[n(0)]
    next: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    seen: [u8; WINDOW_BYTES],
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { next: 0, seen: [0; WINDOW_BYTES] }
    }

    /// Whether `seq` may still be received.
    pub(crate) fn check(&self, seq: u64) -> Result<(), CryptoError> {
        match self.next.checked_sub(seq) {
            None | Some(0) => Ok(()),
            Some(behind) if behind > WINDOW => Err(CryptoError::TooOld),
            Some(_) if self.bit(seq) => Err(CryptoError::Duplicate),
            Some(_) => Ok(()),
        }
    }

    /// Notes that `seq`, which [`Self::check`] allowed, was received. `seq` is below `u64::MAX`.
    pub(crate) fn insert(&mut self, seq: u64) {
        if seq >= self.next {
            // Numbers that enter the window take the bits of those that leave it.
            let entering = (seq - self.next).min(WINDOW - 1);
            (seq - entering..=seq).for_each(|new| self.set(new, false));
            self.next = seq.saturating_add(1);
        }
        self.set(seq, true);
    }

    /// Whether the window can have come about by receiving numbers below `limit`.
    pub(crate) fn is_possible(&self, limit: u64) -> bool {
        let highest_seen = self.next == 0 || self.bit(self.next - 1);
        let unused = self.next..WINDOW.max(self.next);
        self.next <= limit && highest_seen && !unused.into_iter().any(|seq| self.bit(seq))
    }

    fn bit(&self, seq: u64) -> bool {
        let (byte, mask) = place(seq);
        self.seen.get(byte).is_some_and(|bits| bits & mask != 0)
    }

    fn set(&mut self, seq: u64, seen: bool) {
        let (byte, mask) = place(seq);
        if let Some(bits) = self.seen.get_mut(byte) {
            *bits = if seen { *bits | mask } else { *bits & !mask };
        }
    }
}

/// Byte and bit of a number.
fn place(seq: u64) -> (usize, u8) {
    let index = seq % WINDOW;
    ((index / 8) as usize, 1 << (index % 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The window in the plainest words, to compare with.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn check(&self, seq: u64) -> Result<(), CryptoError> {
            let next = self.0.last().map_or(0, |highest| highest + 1);
            if seq + WINDOW < next {
                Err(CryptoError::TooOld)
            } else if self.0.contains(&seq) {
                Err(CryptoError::Duplicate)
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn behaves_as_the_model_over_many_jumps() {
        let (mut window, mut model) = (Window::new(), Model::default());
        let (mut at, mut state, mut kinds) = (0_u64, 1_u64, BTreeSet::new());
        for _ in 0..20_000 {
            // Numerical Recipes' LCG: any spread of jumps will do.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            at += (state >> 60) / 12;
            if state >> 32 & 0xfff == 0 {
                at += 700;
            }
            let seq = at.saturating_sub(state >> 40 & 0x7ff);
            let expected = model.check(seq);
            assert_eq!(window.check(seq), expected, "{seq}");
            kinds.insert(format!("{expected:?}"));
            if expected.is_ok() {
                window.insert(seq);
                model.0.insert(seq);
            }
            assert!(window.is_possible(u64::MAX));
        }
        assert_eq!(kinds.len(), 3, "{kinds:?}");
    }

    #[test]
    fn the_edges_of_the_window() {
        let mut window = Window::new();
        window.insert(5000);
        assert_eq!(window.check(5000), Err(CryptoError::Duplicate));
        assert_eq!(window.check(5001 - WINDOW), Ok(()));
        assert_eq!(window.check(5000 - WINDOW), Err(CryptoError::TooOld));
        assert_eq!(window.check(0), Err(CryptoError::TooOld));
        window.insert((1 << 63) - 1);
        assert_eq!(window.check(5001), Err(CryptoError::TooOld));
    }

    #[test]
    fn impossible_windows_are_told() {
        let full = Window { next: 8, seen: [0xff; WINDOW_BYTES] };
        let holes_only = Window { next: 8, seen: [0; WINDOW_BYTES] };
        let mut good = Window::new();
        assert!(good.is_possible(0));
        good.insert(7);
        assert!(good.is_possible(8) && !good.is_possible(7));
        assert!(!full.is_possible(8) && !holes_only.is_possible(8));
    }
}
