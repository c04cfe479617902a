//! How long a round trip takes. RFC 6298 with the acknowledgement delay taken off (RFC 9002 §5).

use std::time::Duration;

/// Granularity of timers (RFC 9002 §6.1.2).
pub(crate) const GRANULARITY: Duration = Duration::from_millis(1);
/// Before the first sample (RFC 9002 §6.2.2 says 333 ms; our handshake has usually given a sample by then).
const INITIAL: Duration = Duration::from_millis(200);
/// A probe earlier than this would, on loopback, race the scheduler and not the network.
const MIN_RTO: Duration = Duration::from_millis(20);

/// The estimate.
#[derive(Debug, Clone)]
pub(crate) struct Rtt {
    latest: Duration,
    smoothed: Option<Duration>,
    variance: Duration,
    min: Duration,
}

impl Rtt {
    pub(crate) fn new() -> Self {
        Self { latest: INITIAL, smoothed: None, variance: INITIAL / 2, min: INITIAL }
    }

    /// Takes a sample: time from the sending of the highest newly acknowledged packet, and how long the peer
    /// says it kept the ACK (at most `max_ack_delay` is believed).
    pub(crate) fn sample(&mut self, sample: Duration, ack_delay: Duration, max_ack_delay: Duration) {
        self.latest = sample;
        let Some(smoothed) = self.smoothed else {
            (self.smoothed, self.variance, self.min) = (Some(sample), sample / 2, sample);
            return;
        };
        self.min = self.min.min(sample);
        let delay = ack_delay.min(max_ack_delay);
        // A delay that would make the path faster than it ever was is not believed (RFC 9002 §5.3).
        let adjusted = if sample >= self.min + delay { sample - delay } else { sample };
        self.variance = (self.variance * 3 + smoothed.abs_diff(adjusted)) / 4;
        self.smoothed = Some((smoothed * 7 + adjusted) / 8);
    }

    /// `srtt`, a guess before the first sample.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(INITIAL)
    }

    /// `srtt`, if it was measured.
    pub(crate) fn measured(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Probe timeout without back-off: `srtt + max(4·rttvar, granularity) + max_ack_delay` (RFC 9002 §6.2.1).
    pub(crate) fn pto(&self, max_ack_delay: Duration) -> Duration {
        (self.smoothed() + (self.variance * 4).max(GRANULARITY) + max_ack_delay).max(MIN_RTO)
    }

    /// How long after a packet one sent before it counts as lost (RFC 9002 §6.1.2: 9/8 of the round trip).
    pub(crate) fn loss_delay(&self) -> Duration {
        (self.smoothed().max(self.latest) * 9 / 8).max(GRANULARITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_arithmetic_of_rfc_6298() {
        let mut rtt = Rtt::new();
        rtt.sample(100 * MS, 50 * MS, 25 * MS);
        assert_eq!((rtt.smoothed(), rtt.variance), (100 * MS, 50 * MS), "no delay is taken off the first");
        rtt.sample(140 * MS, Duration::ZERO, 25 * MS);
        assert_eq!((rtt.smoothed(), rtt.variance), (105 * MS, Duration::from_micros(47_500)));
        assert_eq!(rtt.pto(25 * MS), Duration::from_millis(105 + 190 + 25));
    }

    #[test]
    fn ack_delay_is_believed_within_bounds() {
        let mut rtt = Rtt::new();
        rtt.sample(100 * MS, Duration::ZERO, 25 * MS);
        rtt.sample(110 * MS, 10 * MS, 25 * MS);
        assert_eq!(rtt.smoothed(), 100 * MS);
        rtt.sample(110 * MS, 1000 * MS, 25 * MS);
        assert_eq!(rtt.smoothed(), (700 * MS + 110 * MS) / 8, "an impossible delay is not taken off");
    }

    #[test]
    fn a_fast_path_has_a_floor() {
        let mut rtt = Rtt::new();
        for _ in 0..50 {
            rtt.sample(Duration::from_micros(80), Duration::ZERO, Duration::ZERO);
        }
        assert_eq!(rtt.pto(Duration::ZERO), MIN_RTO);
        assert_eq!(rtt.loss_delay(), GRANULARITY);
    }
}
