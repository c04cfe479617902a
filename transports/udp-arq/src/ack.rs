//! What we received and owe an acknowledgement for: which ranges, and when. RFC 9000 §13.2.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::chunk;
use crate::range_set::RangeSet;

/// Longest time an acknowledgement is held back.
pub(crate) const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// Packets after which it is not held back any longer (RFC 9000 §13.2.2).
const MAX_UNACKNOWLEDGED: u32 = 2;
/// Ranges that are remembered; the lowest are forgotten, and what they held is sent again if it was needed.
const MAX_RANGES: usize = 64;
/// Ranges in one ACK.
const MAX_SENT_RANGES: usize = 32;

/// The record of received packets.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// Packets after which an acknowledgement is not held back any longer.
    most_unacknowledged: u32,
    /// What the peer may not know yet that we have.
    ranges: RangeSet,
    largest: Option<(u64, Instant)>,
    /// Packets that ask for an acknowledgement, since the last one we sent.
    unacknowledged: u32,
    due: Option<Instant>,
}

impl Receipts {
    /// `window`: most packets in flight, as far as it is bounded here. The peer is taken to have the same bound, so with
    /// one of a single packet (stop-and-wait) it waits for each acknowledgement.
    pub(crate) fn new(window: Option<u32>) -> Self {
        let most_unacknowledged = window.unwrap_or(MAX_UNACKNOWLEDGED).min(MAX_UNACKNOWLEDGED);
        Self { most_unacknowledged, ranges: RangeSet::default(), largest: None, unacknowledged: 0, due: None }
    }

    /// A new packet came. `eliciting`: it asks for an acknowledgement; `urgent`: at once, because it ends a
    /// message that its sender waits for.
    pub(crate) fn on_packet(&mut self, now: Instant, number: u64, eliciting: bool, urgent: bool) {
        let expected = self.largest.map_or(0, |(largest, _)| largest + 1);
        self.ranges.insert(number..number + 1);
        if self.ranges.len() > MAX_RANGES {
            self.ranges.pop_lowest();
        }
        if number >= expected {
            self.largest = Some((number, now));
        }
        if eliciting {
            self.unacknowledged += 1;
            // A gap, or one that closes, is news for the peer's loss detection (RFC 9000 §13.2.1).
            let at_once = urgent || number != expected || self.unacknowledged >= self.most_unacknowledged;
            let due = if at_once { now } else { now + MAX_ACK_DELAY };
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    /// When an ACK must be sent even if nothing else is.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether an ACK on a packet that is sent anyway tells the peer anything.
    pub(crate) fn is_owed(&self) -> bool {
        self.unacknowledged > 0
    }

    /// Whether the peer should be asked to acknowledge our ACKs, so that the ranges don't pile up.
    pub(crate) fn is_piled_up(&self) -> bool {
        self.ranges.len() > MAX_SENT_RANGES / 2
    }

    #[cfg(test)]
    pub(crate) fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Appends an ACK of at most `room` bytes; returns the range of numbers it speaks of.
    pub(crate) fn put(&mut self, now: Instant, out: &mut Vec<u8>, room: usize) -> Option<Range<u64>> {
        let (largest, at) = self.largest?;
        let delay = u64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(u64::MAX);
        let newest = self.ranges.newest_first().take(MAX_SENT_RANGES);
        let lowest = chunk::put_ack(out, room, delay, newest)?;
        (self.unacknowledged, self.due) = (0, None);
        Some(lowest..largest + 1)
    }

    /// The peer has an ACK of ours that spoke of these numbers.
    pub(crate) fn on_ack_acknowledged(&mut self, spoken_of: &Range<u64>) {
        // The highest stays: an ACK always names the highest number received.
        let end = self.largest.map_or(spoken_of.end, |(largest, _)| spoken_of.end.min(largest));
        self.ranges.remove(&(spoken_of.start..end));
    }
}

#[cfg(test)]
// A lone range is a list of one range here, not its numbers.
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use crate::chunk::{Ack, Chunk, decode_all};

    fn ack(receipts: &mut Receipts, now: Instant) -> Option<Ack> {
        let mut out = Vec::new();
        receipts.put(now, &mut out, 1000)?;
        match decode_all(&out).unwrap().pop() {
            Some(Chunk::Ack(ack)) => Some(ack),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn with_stop_and_wait_no_packet_waits() {
        let (start, mut receipts) = (Instant::now(), Receipts::new(Some(1)));
        receipts.on_packet(start, 0, true, false);
        assert_eq!(receipts.due(), Some(start));
    }

    #[test]
    fn one_packet_waits_two_or_a_gap_or_an_end_do_not() {
        let (start, mut receipts) = (Instant::now(), Receipts::new(None));
        receipts.on_packet(start, 0, false, false);
        assert_eq!(receipts.due(), None, "nobody asked");
        receipts.on_packet(start, 1, true, false);
        assert_eq!(receipts.due(), Some(start + MAX_ACK_DELAY));
        let later = start + Duration::from_millis(3);
        receipts.on_packet(later, 2, true, false);
        assert_eq!(receipts.due(), Some(later));
        let sent = ack(&mut receipts, later + Duration::from_millis(2)).unwrap();
        assert_eq!(sent, Ack { delay_us: 2000, ranges: vec![0..3] });
        assert!(receipts.due().is_none() && !receipts.is_owed());
        receipts.on_packet(later, 4, true, false);
        assert_eq!(receipts.due(), Some(later), "a gap");
        ack(&mut receipts, later);
        receipts.on_packet(later, 3, true, false);
        assert_eq!(receipts.due(), Some(later), "the gap closes");
        ack(&mut receipts, later);
        receipts.on_packet(later, 5, true, true);
        assert_eq!(receipts.due(), Some(later), "the end of a message");
    }

    #[test]
    fn what_the_peer_knows_is_not_repeated_and_the_rest_is_bounded() {
        let (now, mut receipts) = (Instant::now(), Receipts::new(None));
        for number in 0..1000 {
            receipts.on_packet(now, number * 2, true, false);
        }
        assert_eq!(receipts.ranges.len(), MAX_RANGES);
        assert!(receipts.is_piled_up());
        let sent = ack(&mut receipts, now).unwrap();
        assert_eq!((sent.ranges.len(), sent.largest()), (MAX_SENT_RANGES, 1998));
        receipts.on_ack_acknowledged(&(sent.ranges.last().unwrap().start..1999));
        assert_eq!(receipts.ranges.len(), MAX_RANGES - MAX_SENT_RANGES + 1);
        assert_eq!(ack(&mut receipts, now).unwrap().largest(), 1998);
    }
}
