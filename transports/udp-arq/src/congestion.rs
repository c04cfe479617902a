//! How much may be in flight. The controller is a trait, because a better one comes; this is NewReno as
//! RFC 9002 §7 has it.

use std::fmt::Debug;
use std::time::Instant;

/// Packets that may be sent before anything is known of the path (RFC 9002 §7.2).
const INITIAL_PACKETS: u64 = 10;
const INITIAL_BYTES: u64 = 14_720;
/// The window never gets smaller (RFC 9002 §7.2).
const MIN_PACKETS: u64 = 2;

/// Decides the congestion window from what happens to packets.
pub(crate) trait Controller: Send + Debug {
    /// A packet of `bytes`, sent at `sent`, was acknowledged. `limited` says that the window, not the
    /// application, held the sender back; only then does the window grow (RFC 9002 §7.8).
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, limited: bool);
    /// Packets were lost, the last of them sent at `sent`. `persistent`: nothing got through for so long that
    /// the window must start anew (RFC 9002 §7.6).
    fn on_loss(&mut self, now: Instant, sent: Instant, persistent: bool);
    /// The window in bytes.
    fn window(&self) -> u64;
}

/// NewReno.
#[derive(Debug)]
pub(crate) struct NewReno {
    mtu: u64,
    /// The profile's bound on the window, in bytes.
    cap: u64,
    window: u64,
    threshold: u64,
    /// Bytes acknowledged in congestion avoidance that did not grow the window yet.
    credit: u64,
    /// Losses of packets sent before this belong to a loss that was reacted to.
    recovery_start: Option<Instant>,
}

impl NewReno {
    /// `cap` bounds the window, in packets.
    pub(crate) fn new(mtu: usize, cap: Option<u32>) -> Self {
        let mtu = mtu as u64;
        let cap = cap.map_or(u64::MAX, |packets| u64::from(packets) * mtu);
        let window = (INITIAL_PACKETS * mtu).min(INITIAL_BYTES.max(2 * mtu)).min(cap);
        Self { mtu, cap, window, threshold: u64::MAX, credit: 0, recovery_start: None }
    }

    fn floor(&self) -> u64 {
        (MIN_PACKETS * self.mtu).min(self.cap)
    }

    fn in_recovery(&self, sent: Instant) -> bool {
        self.recovery_start.is_some_and(|start| sent <= start)
    }
}

impl Controller for NewReno {
    fn on_ack(&mut self, _: Instant, sent: Instant, bytes: u64, limited: bool) {
        if !limited || self.in_recovery(sent) {
            return;
        }
        if self.window < self.threshold {
            self.window += bytes;
        } else {
            self.credit += bytes;
            if self.credit >= self.window {
                self.credit -= self.window;
                self.window += self.mtu;
            }
        }
        self.window = self.window.min(self.cap);
    }

    fn on_loss(&mut self, now: Instant, sent: Instant, persistent: bool) {
        if !self.in_recovery(sent) {
            self.recovery_start = Some(now);
            self.window = (self.window / 2).max(self.floor());
            self.threshold = self.window;
            self.credit = 0;
        }
        if persistent {
            self.window = self.floor();
            self.recovery_start = None;
        }
    }

    fn window(&self) -> u64 {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn slow_start_doubles_loss_halves_once_a_round_and_avoidance_adds_a_packet() {
        let (mut reno, start) = (NewReno::new(1200, None), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(reno.window(), 12_000);
        (0..10).for_each(|_| reno.on_ack(at(50), at(0), 1200, true));
        assert_eq!(reno.window(), 24_000);
        reno.on_loss(at(60), at(40), false);
        reno.on_loss(at(61), at(59), false);
        assert_eq!(reno.window(), 12_000, "both were sent before the reaction");
        reno.on_ack(at(62), at(59), 1200, true);
        assert_eq!(reno.window(), 12_000, "no growth in recovery");
        (0..10).for_each(|_| reno.on_ack(at(120), at(70), 1200, true));
        assert_eq!(reno.window(), 13_200);
        reno.on_loss(at(200), at(130), true);
        assert_eq!(reno.window(), 2400);
    }

    #[test]
    fn an_idle_application_grows_nothing_and_the_profile_caps() {
        let (mut reno, now) = (NewReno::new(1200, Some(1)), Instant::now());
        (0..100).for_each(|_| reno.on_ack(now, now, 1200, true));
        assert_eq!(reno.window(), 1200);
        reno.on_loss(now, now, true);
        assert_eq!(reno.window(), 1200);
        let mut reno = NewReno::new(1200, None);
        (0..100).for_each(|_| reno.on_ack(now, now, 1200, false));
        assert_eq!(reno.window(), 12_000);
    }
}
