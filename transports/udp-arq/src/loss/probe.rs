//! When to do something although nothing was heard: the loss timer, and probes with back-off (RFC 9002 §6.2).

use std::time::{Duration, Instant};

use super::{Contents, SentPackets, Slot};
use crate::ack::MAX_ACK_DELAY;
use crate::rtt::Rtt;

/// While data waits, probes come at least this often, so that a link that loses much still gets on.
const BACK_OFF_CAP: Duration = Duration::from_millis(300);
/// After this time without progress, probes come as rarely as [`LATE_BACK_OFF_CAP`].
const PATIENCE: Duration = Duration::from_secs(10);
const LATE_BACK_OFF_CAP: Duration = Duration::from_secs(2);

/// Which timer ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A packet below the highest acknowledged one is late.
    Loss,
    /// Nothing was heard for a probe timeout.
    Probe,
}

impl SentPackets {
    /// The next timer.
    pub(crate) fn timeout(&self, rtt: &Rtt, fixed: Option<Duration>) -> Option<(Instant, Timer)> {
        if let Some(at) = self.loss_at {
            return Some((at, Timer::Loss));
        }
        let last = self.last_eliciting.filter(|_| self.in_flight > 0)?;
        Some((last + self.probe_interval(last, rtt, fixed), Timer::Probe))
    }

    /// The probe timeout with back-off: 1.5 times as long each time, but capped.
    fn probe_interval(&self, last: Instant, rtt: &Rtt, fixed: Option<Duration>) -> Duration {
        if let Some(fixed) = fixed {
            return fixed;
        }
        let base = rtt.pto(MAX_ACK_DELAY);
        let stalled =
            self.stalled_since.map_or(Duration::ZERO, |since| last.saturating_duration_since(since));
        let cap = if stalled < PATIENCE { BACK_OFF_CAP } else { LATE_BACK_OFF_CAP };
        let backed_off = base.mul_f64(1.5f64.powi(self.probes.min(16).cast_signed()));
        backed_off.min(cap.max(rtt.smoothed() * 4)).max(base)
    }

    /// The probe timer ran out: what the oldest packets in flight carried, to be sent once more.
    pub(crate) fn on_probe_timeout(&mut self, packets: usize) -> Contents {
        self.probes += 1;
        let mut again = Contents::default();
        let in_flight = self.ring.iter().filter_map(|slot| match slot {
            Slot::Sent(packet) if packet.eliciting => Some(&packet.contents),
            _ => None,
        });
        for contents in in_flight.take(packets) {
            again.data.extend_from_slice(&contents.data);
            again.fin |= contents.fin;
            again.credit |= contents.credit;
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Ack;
    use crate::loss::SentPacket;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn probes_back_off_but_never_stay_away() {
        let (start, mut rtt, mut sent) = (Instant::now(), Rtt::new(), SentPackets::new(0));
        rtt.sample(40 * MS, Duration::ZERO, Duration::ZERO);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..60 {
            let number = sent.next_number();
            sent.on_sent(SentPacket {
                number,
                at: now,
                bytes: 9,
                eliciting: true,
                contents: Contents::default(),
            });
            let (at, timer) = sent.timeout(&rtt, None).unwrap();
            assert_eq!(timer, Timer::Probe);
            waits.push(at - now);
            now = at;
            sent.on_probe_timeout(1);
        }
        assert_eq!(waits[0], 40 * MS + 80 * MS + MAX_ACK_DELAY);
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(waits[5..30].iter().all(|&wait| wait == BACK_OFF_CAP));
        assert_eq!(waits.last(), Some(&LATE_BACK_OFF_CAP));
        assert_eq!(sent.timeout(&rtt, Some(7 * MS)), Some((now + 7 * MS - waits[59], Timer::Probe)));
        assert_eq!(sent.stalled_since(), Some(start));
        // An acknowledgement, and the next wait is the first one again.
        let largest = sent.next_number() - 2;
        sent.on_ack(now, &Ack { delay_us: 0, ranges: std::iter::once(0..largest + 1).collect() }).unwrap();
        let (at, _) = sent.timeout(&rtt, None).unwrap();
        assert_eq!((at - (now - waits[59]), sent.stalled_since()), (waits[0], Some(now)));
    }
}
