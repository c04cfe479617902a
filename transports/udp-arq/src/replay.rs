//! Which packet numbers were seen, so that a replayed packet is ignored. RFC 4303 §3.4.3: a window that
//! slides with the highest number, here as a ring of bits; what is behind it counts as seen.

/// How far behind the highest number a packet may come, in packets.
pub(crate) const WINDOW: u64 = 4096;
const WORDS: usize = (WINDOW / 64) as usize;

/// The window. 512 bytes.
#[derive(Debug)]
pub(crate) struct ReplayWindow {
    /// The lowest number above all that were seen.
    next: u64,
    bits: [u64; WORDS],
}

impl ReplayWindow {
    pub(crate) fn new() -> Self {
        Self { next: 0, bits: [0; WORDS] }
    }

    /// Whether the number was seen, or is too old to tell.
    pub(crate) fn seen(&self, number: u64) -> bool {
        if number >= self.next {
            return false;
        }
        number + WINDOW < self.next || self.bits[slot(number)] & bit(number) != 0
    }

    /// Marks an authenticated packet as seen.
    pub(crate) fn mark(&mut self, number: u64) {
        if number >= self.next {
            // Bits of the numbers that come into the window now belonged to ones that leave it.
            if number - self.next >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                (self.next..number).for_each(|skipped| self.bits[slot(skipped)] &= !bit(skipped));
            }
            self.next = number + 1;
        } else if number + WINDOW < self.next {
            return;
        }
        self.bits[slot(number)] |= bit(number);
    }
}

fn slot(number: u64) -> usize {
    (number % WINDOW / 64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tests::Rng;

    #[test]
    fn no_number_passes_twice_and_none_within_the_window_is_lost() {
        let mut rng = Rng::new(2);
        let (mut window, mut seen, mut highest) = (ReplayWindow::new(), HashSet::new(), 0u64);
        let (mut fresh, mut refused) = (0, 0);
        for round in 0..40_000u64 {
            let jump = if round % 1000 == 0 { rng.below(3 * WINDOW) } else { rng.below(3) };
            let number = (highest + jump).saturating_sub(rng.below(6) * rng.below(WINDOW / 4));
            if number + WINDOW < highest + 1 {
                assert!(window.seen(number));
                continue;
            }
            assert_eq!(window.seen(number), seen.contains(&number), "{number} of {highest}");
            if window.seen(number) {
                refused += 1;
            } else {
                fresh += 1;
            }
            window.mark(number);
            assert!(window.seen(number));
            seen.insert(number);
            highest = highest.max(number);
        }
        assert!(fresh > 1000 && refused > 1000);
    }
}
