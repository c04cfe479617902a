//! A set of numbers as ascending ranges: received packets for the ACK, acknowledged and received bytes of a
//! message. Kept in a ring, because almost every change is at its end or its front.

use std::collections::VecDeque;
use std::ops::Range;

/// Disjoint, non-adjacent, ascending half-open ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(VecDeque<Range<u64>>);

impl RangeSet {
    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The ranges, highest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter().rev()
    }

    /// Forgets the lowest range.
    pub(crate) fn pop_lowest(&mut self) -> Option<Range<u64>> {
        self.0.pop_front()
    }

    /// Whether all of `range` is in the set.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let at = self.0.partition_point(|held| held.end <= range.start);
        self.0.get(at).is_some_and(|held| held.start <= range.start && range.end <= held.end)
    }

    /// Adds a range, joining what it touches.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // The common case: the end of the set grows.
        match self.0.back_mut() {
            Some(last) if last.end == range.start => {
                last.end = range.end;
                return;
            }
            Some(last) if last.end > range.start => {}
            _ => {
                self.0.push_back(range);
                return;
            }
        }
        let first = self.0.partition_point(|held| held.end < range.start);
        let end = self.0.partition_point(|held| held.start <= range.end);
        let joined = self
            .0
            .range(first..end)
            .fold(range, |sum, held| sum.start.min(held.start)..sum.end.max(held.end));
        self.splice(first..end, &[joined]);
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        let first = self.0.partition_point(|held| held.end <= range.start);
        let end = self.0.partition_point(|held| held.start < range.end);
        if first >= end || range.is_empty() {
            return;
        }
        let left = self.0.get(first).map_or(0..0, |held| held.start..range.start);
        let right = self.0.get(end - 1).map_or(0..0, |held| range.end..held.end);
        let kept: Vec<_> = [left, right].into_iter().filter(|part| !part.is_empty()).collect();
        self.splice(first..end, &kept);
    }

    /// Replaces the ranges at these positions.
    fn splice(&mut self, positions: Range<usize>, with: &[Range<u64>]) {
        let mut tail = self.0.split_off(positions.end.min(self.0.len()));
        self.0.truncate(positions.start);
        self.0.extend(with.iter().cloned());
        self.0.append(&mut tail);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tests::Rng;

    #[test]
    fn agrees_with_a_plain_set_of_numbers() {
        let mut rng = Rng::new(1);
        for _ in 0..200 {
            let (mut set, mut plain) = (RangeSet::default(), BTreeSet::new());
            for _ in 0..60 {
                let start = rng.below(80);
                let range = start..start + rng.below(9);
                if rng.below(3) == 0 {
                    set.remove(&range);
                    plain.retain(|n| !range.contains(n));
                } else {
                    set.insert(range.clone());
                    plain.extend(range);
                }
                let listed: Vec<u64> = set.0.iter().cloned().flatten().collect();
                assert_eq!(listed, plain.iter().copied().collect::<Vec<_>>());
                assert!(set.0.iter().zip(set.0.iter().skip(1)).all(|(a, b)| a.end < b.start), "{set:?}");
                let probe = rng.below(80)..rng.below(90);
                assert_eq!(
                    set.covers(&probe),
                    probe.clone().all(|n| plain.contains(&n)),
                    "{set:?} {probe:?}"
                );
            }
        }
    }
}
