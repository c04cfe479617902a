//! What we sent and what became of it: the ring of sent packets, loss detection by packets and by time
//! (RFC 9002 §6.1), and the probe timeout (§6.2).

mod probe;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use crate::ack::MAX_ACK_DELAY;
use crate::chunk::Ack;
use crate::rtt::Rtt;
use crate::stream::Fragment;

pub(crate) use probe::Timer;

/// A packet is lost once one sent this much later is acknowledged (RFC 9002 §6.1.1).
const PACKET_THRESHOLD: u64 = 3;
/// Packets that are remembered; an older one counts as lost. Bounds the ring against a peer that acknowledges nothing.
const MAX_TRACKED: usize = 1 << 16;
/// Probe timeouts without an acknowledgement for which lost packets count as persistent congestion (RFC 9002 §7.6.1).
const PERSISTENT: u32 = 3;

/// What a packet carried, to be sent again if it is lost.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) data: Vec<Fragment>,
    pub(crate) fin: bool,
    pub(crate) credit: bool,
    /// The numbers its ACK spoke of.
    pub(crate) ack: Option<Range<u64>>,
}

/// A packet that was sent.
#[derive(Debug)]
pub(crate) struct SentPacket {
    pub(crate) number: u64,
    pub(crate) at: Instant,
    pub(crate) bytes: u64,
    /// Whether it asks for an acknowledgement. Others don't count as in flight.
    pub(crate) eliciting: bool,
    pub(crate) contents: Contents,
}

#[derive(Debug)]
enum Slot {
    Sent(SentPacket),
    Acknowledged,
    Lost,
    /// A number that was never used, to catch a peer that acknowledges what it did not receive.
    Skipped,
}

/// The peer acknowledged a packet that was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeverSent;

/// What an ACK told.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: Vec<SentPacket>,
    /// The highest packet of the ACK was new and asked for it: when it was sent.
    pub(crate) sampled: Option<Instant>,
}

/// Packets that were lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    pub(crate) packets: Vec<SentPacket>,
    /// Nothing got through for so long that the path must be learned anew.
    pub(crate) persistent: bool,
}

/// The ring and its timers.
#[derive(Debug)]
pub(crate) struct SentPackets {
    /// Number of the first slot.
    base: u64,
    ring: VecDeque<Slot>,
    largest_acknowledged: Option<u64>,
    loss_at: Option<Instant>,
    in_flight_bytes: u64,
    in_flight: usize,
    last_eliciting: Option<Instant>,
    /// Since when data is in flight without any of it being acknowledged.
    stalled_since: Option<Instant>,
    probes: u32,
}

impl SentPackets {
    /// `first` is the number of the first packet.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            base: first,
            ring: VecDeque::new(),
            largest_acknowledged: first.checked_sub(1),
            loss_at: None,
            in_flight_bytes: 0,
            in_flight: 0,
            last_eliciting: None,
            stalled_since: None,
            probes: 0,
        }
    }

    /// The number the next packet has.
    pub(crate) fn next_number(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    pub(crate) fn largest_acknowledged(&self) -> Option<u64> {
        self.largest_acknowledged
    }

    /// Bytes of packets that are neither acknowledged nor lost.
    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// Probe timeouts in a row.
    pub(crate) fn probes(&self) -> u32 {
        self.probes
    }

    /// Since when something is in flight without progress.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Leaves the next number unused.
    pub(crate) fn skip_number(&mut self) {
        self.ring.push_back(Slot::Skipped);
    }

    /// Remembers a packet of [`Self::next_number`]. Returns one that had to be forgotten, which counts as lost.
    pub(crate) fn on_sent(&mut self, packet: SentPacket) -> Option<SentPacket> {
        if packet.eliciting {
            self.in_flight += 1;
            self.in_flight_bytes += packet.bytes;
            self.last_eliciting = Some(packet.at);
            self.stalled_since.get_or_insert(packet.at);
        }
        self.ring.push_back(Slot::Sent(packet));
        self.trim();
        if self.ring.len() <= MAX_TRACKED {
            return None;
        }
        let forgotten = self.take(self.base, Slot::Lost);
        self.trim();
        forgotten.filter(|packet| packet.eliciting)
    }

    /// Takes a packet out of the ring and leaves `mark` in its place.
    fn take(&mut self, number: u64, mark: Slot) -> Option<SentPacket> {
        let index = usize::try_from(number.checked_sub(self.base)?).ok()?;
        let slot = self.ring.get_mut(index)?;
        if !matches!(slot, Slot::Sent(_)) {
            return None;
        }
        let Slot::Sent(packet) = std::mem::replace(slot, mark) else { return None };
        if packet.eliciting {
            self.in_flight -= 1;
            self.in_flight_bytes -= packet.bytes;
            if self.in_flight == 0 {
                self.stalled_since = None;
            }
        }
        Some(packet)
    }

    /// Drops slots at the front that nobody waits for.
    fn trim(&mut self) {
        while let Some(front) = self.ring.front() {
            match front {
                Slot::Sent(packet) if packet.eliciting => break,
                // An ACK alone in a long silence: kept while it is the newest, so its own acknowledgement counts.
                Slot::Sent(_) if self.ring.len() < 64 => break,
                _ => {}
            }
            self.ring.pop_front();
            self.base += 1;
        }
    }

    /// Takes an acknowledgement.
    ///
    /// # Errors
    /// [`NeverSent`] if it speaks of a packet that does not exist.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: &Ack) -> Result<Outcome, NeverSent> {
        let next = self.next_number();
        let largest = ack.largest();
        if largest >= next {
            return Err(NeverSent);
        }
        let mut outcome = Outcome::default();
        for range in &ack.ranges {
            for number in range.start.max(self.base)..range.end {
                let index = usize::try_from(number - self.base).map_err(|_| NeverSent)?;
                if matches!(self.ring.get(index), Some(Slot::Skipped)) {
                    return Err(NeverSent);
                }
                outcome.acknowledged.extend(self.take(number, Slot::Acknowledged));
            }
        }
        self.largest_acknowledged = self.largest_acknowledged.max(Some(largest));
        let eliciting = outcome.acknowledged.iter().any(|packet| packet.eliciting);
        if eliciting {
            let newest = outcome.acknowledged.iter().find(|packet| packet.number == largest);
            outcome.sampled = newest.map(|packet| packet.at);
            self.probes = 0;
            self.stalled_since = (self.in_flight > 0).then_some(now);
        }
        self.trim();
        Ok(outcome)
    }

    /// Finds what is lost by now and sets the timer for what may be lost next.
    pub(crate) fn detect_losses(&mut self, now: Instant, rtt: &Rtt) -> Losses {
        self.loss_at = None;
        let Some(largest) = self.largest_acknowledged else { return Losses::default() };
        let delay = rtt.loss_delay();
        let persistent_for = rtt.pto(MAX_ACK_DELAY) * PERSISTENT;
        let mut losses = Losses::default();
        let mut silence: Option<Instant> = None;
        for number in self.base..largest {
            let slot = usize::try_from(number - self.base).ok().and_then(|index| self.ring.get(index));
            let packet = match slot {
                Some(Slot::Sent(packet)) if packet.eliciting => packet,
                Some(Slot::Acknowledged) => {
                    silence = None;
                    continue;
                }
                _ => continue,
            };
            let late_at = packet.at + delay;
            if number + PACKET_THRESHOLD > largest && late_at > now {
                self.loss_at = Some(self.loss_at.map_or(late_at, |at| at.min(late_at)));
                continue;
            }
            let began = *silence.get_or_insert(packet.at);
            let silent_for = packet.at.saturating_duration_since(began);
            losses.persistent |= rtt.measured().is_some() && silent_for > persistent_for;
            losses.packets.extend(self.take(number, Slot::Lost));
        }
        self.trim();
        losses
    }

    /// How many slots the ring has; for the test of its bound.
    #[cfg(test)]
    pub(crate) fn tracked(&self) -> usize {
        self.ring.len()
    }
}

#[cfg(test)]
// A lone range is a list of one range here, not its numbers.
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ack(ranges: &[Range<u64>]) -> Ack {
        Ack { delay_us: 0, ranges: ranges.to_vec() }
    }

    fn send(sent: &mut SentPackets, at: Instant, eliciting: bool) {
        let number = sent.next_number();
        sent.on_sent(SentPacket { number, at, bytes: 100, eliciting, contents: Contents::default() });
    }

    fn numbers(packets: &[SentPacket]) -> Vec<u64> {
        packets.iter().map(|packet| packet.number).collect()
    }

    fn sampled() -> Rtt {
        let mut rtt = Rtt::new();
        rtt.sample(40 * MS, Duration::ZERO, Duration::ZERO);
        rtt
    }

    #[test]
    fn three_later_packets_or_the_time_of_one_and_an_eighth_round_trips() {
        let (start, rtt, mut sent) = (Instant::now(), sampled(), SentPackets::new(0));
        (0..6).for_each(|n| send(&mut sent, start + n * MS, true));
        let outcome = sent.on_ack(start + 41 * MS, &ack(&[4..5])).unwrap();
        assert_eq!(numbers(&outcome.acknowledged), [4]);
        assert_eq!(outcome.sampled, Some(start + 4 * MS));
        assert_eq!(numbers(&sent.detect_losses(start + 41 * MS, &rtt).packets), [0, 1]);
        assert_eq!(sent.timeout(&rtt, None), Some((start + 47 * MS, Timer::Loss)));
        assert_eq!(numbers(&sent.detect_losses(start + 47 * MS, &rtt).packets), [2]);
        assert_eq!(numbers(&sent.detect_losses(start + 48 * MS, &rtt).packets), [3]);
        assert_eq!(
            (sent.in_flight, sent.in_flight_bytes),
            (1, 100),
            "number 5 is above what was acknowledged"
        );
        assert_eq!(sent.timeout(&rtt, None).unwrap().1, Timer::Probe);
    }

    #[test]
    fn what_was_never_sent_or_skipped_must_not_be_acknowledged() {
        let (start, mut sent) = (Instant::now(), SentPackets::new(7));
        send(&mut sent, start, true);
        sent.skip_number();
        send(&mut sent, start, true);
        assert_eq!(sent.on_ack(start, &ack(&[7..11])).err(), Some(NeverSent));
        assert_eq!(sent.on_ack(start, &ack(&[8..10])).err(), Some(NeverSent));
        assert_eq!(numbers(&sent.on_ack(start, &ack(&[9..10, 0..8])).unwrap().acknowledged), [9, 7]);
        assert_eq!(sent.tracked(), 0);
    }

    #[test]
    fn an_acknowledgement_counts_once() {
        let (start, mut sent) = (Instant::now(), SentPackets::new(0));
        send(&mut sent, start, true);
        send(&mut sent, start, true);
        assert_eq!(sent.on_ack(start, &ack(&[1..2])).unwrap().acknowledged.len(), 1);
        let again = sent.on_ack(start, &ack(&[1..2])).unwrap();
        assert!(again.acknowledged.is_empty() && again.sampled.is_none());
        assert_eq!(sent.in_flight, 1);
    }

    #[test]
    fn a_long_silence_is_persistent_congestion_and_scattered_losses_are_not() {
        let (start, rtt) = (Instant::now(), sampled());
        let mut sent = SentPackets::new(0);
        (0..20).for_each(|n| send(&mut sent, start + n * 50 * MS, true));
        sent.on_ack(start + 1000 * MS, &ack(&[19..20])).unwrap();
        assert!(sent.detect_losses(start + 1000 * MS, &rtt).persistent);
        let mut sent = SentPackets::new(0);
        (0..20).for_each(|n| send(&mut sent, start + n * 50 * MS, true));
        let some: Vec<_> = (0..10).rev().map(|n| 2 * n + 1..2 * n + 2).collect();
        sent.on_ack(start + 1000 * MS, &ack(&some)).unwrap();
        let losses = sent.detect_losses(start + 1000 * MS, &rtt);
        assert!(losses.packets.len() == 10 && !losses.persistent);
    }

    #[test]
    fn the_ring_is_bounded() {
        let (start, mut sent) = (Instant::now(), SentPackets::new(0));
        let mut forgotten = 0;
        for n in 0..200_000 {
            let number = sent.next_number();
            let packet =
                SentPacket { number, at: start, bytes: 9, eliciting: n == 0, contents: Contents::default() };
            forgotten += usize::from(sent.on_sent(packet).is_some());
        }
        assert!(forgotten == 1 && sent.tracked() <= MAX_TRACKED, "{forgotten} {}", sent.tracked());
        assert_eq!(sent.in_flight, 0);
    }
}
