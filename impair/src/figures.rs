//! What became of the packets.

use std::ops::AddAssign;

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

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.offered += other.offered;
        self.offered_bytes += other.offered_bytes;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.reordered += other.reordered;
        self.dropped_queue += other.dropped_queue;
        self.dropped_mtu += other.dropped_mtu;
        self.dropped_blackhole += other.dropped_blackhole;
        self.dropped_full += other.dropped_full;
    }
}
