//! What became of the packets.

use std::ops::{AddAssign, Sub};

/// What became of the packets that were given to a [`Line`](crate::Line), or of the segments of a
/// [`StreamLine`](crate::StreamLine), so far.
///
/// Of a `Line`, `offered + duplicated` is at all times `delivered`, plus all that was lost and dropped, plus what is
/// under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Packets given to it.
    pub offered: u64,
    /// Bytes in them.
    pub offered_bytes: u64,
    /// Packets that came out, copies included.
    pub delivered: u64,
    /// Bytes in them.
    pub delivered_bytes: u64,
    /// Packets lost by chance; in a stream, segments that came one RTO late.
    pub lost: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets and copies in which a bit was flipped.
    pub corrupted: u64,
    /// Packets that came out behind one that was offered later (RFC 4737 §3.3), by jitter too; copies don't count.
    pub reordered: u64,
    /// Packets for which the queue of a rate-limited line had no room.
    pub dropped_queue: u64,
    /// Packets that were too large for the line.
    pub dropped_mtu: u64,
    /// Packets that were offered while the line was closed.
    pub dropped_blackhole: u64,
    /// Packets and copies dropped because as much was under way as the model holds.
    pub dropped_full: u64,
}

impl Figures {
    /// All of them with their names, in the order of the fields.
    pub fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("offered", self.offered),
            ("offered_bytes", self.offered_bytes),
            ("delivered", self.delivered),
            ("delivered_bytes", self.delivered_bytes),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("corrupted", self.corrupted),
            ("reordered", self.reordered),
            ("dropped_queue", self.dropped_queue),
            ("dropped_mtu", self.dropped_mtu),
            ("dropped_blackhole", self.dropped_blackhole),
            ("dropped_full", self.dropped_full),
        ]
    }

    /// Each changed by `change`, which gets the same one of `other`.
    fn zip(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        let Self {
            offered,
            offered_bytes,
            delivered,
            delivered_bytes,
            lost,
            duplicated,
            corrupted,
            reordered,
            dropped_queue,
            dropped_mtu,
            dropped_blackhole,
            dropped_full,
        } = self;
        let own = [
            offered,
            offered_bytes,
            delivered,
            delivered_bytes,
            lost,
            duplicated,
            corrupted,
            reordered,
            dropped_queue,
            dropped_mtu,
            dropped_blackhole,
            dropped_full,
        ];
        for (own, (_, other)) in own.into_iter().zip(other.named()) {
            change(own, other);
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.zip(&other, |own, other| *own = own.saturating_add(other));
    }
}

/// What came since; figures only grow.
impl Sub for Figures {
    type Output = Self;

    fn sub(mut self, before: Self) -> Self {
        self.zip(&before, |own, before| *own = own.saturating_sub(before));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_are_added_and_named() {
        let mut one = Figures::default();
        let each = std::cell::Cell::new(0);
        one.zip(&Figures::default(), |own, _| {
            each.set(each.get() + 1);
            *own = each.get();
        });
        assert_eq!(one.named().map(|(_, n)| n), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!((one.offered, one.lost, one.dropped_full), (1, 5, 12));
        let mut two = one;
        two += one;
        assert_eq!((two.named()[11], two - one), (("dropped_full", 24), one));
        assert!(one.named().iter().all(|(name, _)| format!("{one:?}").contains(&format!(" {name}: "))));
    }
}
