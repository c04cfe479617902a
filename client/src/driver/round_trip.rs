//! What is known of a link's path: the transport's figures; the round trip of pings where the transport does not measure it;
//! and lines of it in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::transport::{LinkFigures, LinkStats};
use tokio::time::{Instant, sleep};

/// With nothing to say for so long, a ping keeps both sides sure of each other; and where the transport does not measure
/// the round trip, one is due so long after the last, whatever else is said.
const PING_AFTER: Duration = Duration::from_secs(10);
/// The first one that measures: the relay has much to do when somebody comes.
const FIRST_PING: Duration = Duration::from_secs(1);
/// Between two lines about a link in the log.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// No ping was answered yet.
const UNKNOWN: u64 = u64::MAX;

/// The figures of a link, with the round trip to the relay and back if the transport does not know it.
pub(super) struct RoundTrip {
    transport: Arc<dyn LinkStats>,
    srtt_us: AtomicU64,
    last: Mutex<Option<(u64, Instant)>>,
}

impl RoundTrip {
    pub(super) fn new(transport: Arc<dyn LinkStats>) -> Arc<Self> {
        Arc::new(Self { transport, srtt_us: AtomicU64::new(UNKNOWN), last: Mutex::default() })
    }

    fn last(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The relay has answered this ping.
    pub(super) fn on_pong(&self, n: u64) {
        let Some((_, sent)) = self.last().take_if(|(last, _)| *last == n) else { return };
        let sample = u64::try_from(sent.elapsed().as_micros()).unwrap_or(UNKNOWN - 1);
        let smoothed = match self.srtt_us.load(Ordering::Relaxed) {
            UNKNOWN => sample,
            // RFC 6298 §2.
            before => before - before / 8 + sample / 8,
        };
        self.srtt_us.store(smoothed, Ordering::Relaxed);
    }

    /// Writes the figures into the log from time to time. Never ends; cancel safe.
    pub(super) async fn tell(&self) {
        loop {
            sleep(TELL_EVERY).await;
            self.tell_now("link");
        }
    }

    /// Writes the figures into the log: numbers and no names.
    pub(super) fn tell_now(&self, what: &'static str) {
        let LinkFigures { srtt_us, lost_packets, retransmits, sent_bytes, received_bytes, mtu, cwnd_bytes } =
            self.figures();
        tracing::debug!(
            srtt_us,
            lost_packets,
            retransmits,
            sent_bytes,
            received_bytes,
            mtu,
            cwnd_bytes,
            "{what}"
        );
    }
}

impl LinkStats for RoundTrip {
    fn figures(&self) -> LinkFigures {
        let figures = self.transport.figures();
        let measured = Some(self.srtt_us.load(Ordering::Relaxed)).filter(|&known| known != UNKNOWN);
        LinkFigures { srtt_us: figures.srtt_us.or(measured), ..figures }
    }

    fn waiting_bytes(&self) -> usize {
        self.transport.waiting_bytes()
    }
}

/// When the next ping is due.
pub(super) struct Pings {
    round_trip: Arc<RoundTrip>,
    measures: bool,
    next: Instant,
    number: u64,
}

impl Pings {
    pub(super) fn new(round_trip: &Arc<RoundTrip>) -> Self {
        let measures = round_trip.transport.figures().srtt_us.is_none();
        let first = if measures { FIRST_PING } else { PING_AFTER };
        Self { round_trip: Arc::clone(round_trip), measures, next: Instant::now() + first, number: 0 }
    }

    /// When something must be said, if nothing else is until then.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Something was said. Pings that measure are due nevertheless.
    pub(super) fn said_something(&mut self) {
        if !self.measures {
            self.next = Instant::now() + PING_AFTER;
        }
    }

    /// The number of the ping that is due now, if one is.
    pub(super) fn due(&mut self) -> Option<u64> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + PING_AFTER;
        self.number += 1;
        *self.round_trip.last() = Some((self.number, now));
        Some(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Knows(Option<u64>);

    impl LinkStats for Knows {
        fn figures(&self) -> LinkFigures {
            LinkFigures { srtt_us: self.0, sent_bytes: Some(7), ..LinkFigures::default() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pings_measure_what_the_transport_does_not() {
        let link = RoundTrip::new(Arc::new(Knows(None)));
        let mut pings = Pings::new(&link);
        assert_eq!((pings.due(), link.figures().srtt_us), (None, None));
        tokio::time::advance(FIRST_PING).await;
        let first = pings.due().unwrap();
        tokio::time::advance(Duration::from_millis(80)).await;
        link.on_pong(first + 1);
        assert_eq!(link.figures().srtt_us, None, "an answer to nothing");
        link.on_pong(first);
        link.on_pong(first);
        assert_eq!((link.figures().srtt_us, link.figures().sent_bytes), (Some(80_000), Some(7)));
        tokio::time::advance(PING_AFTER - Duration::from_millis(81)).await;
        pings.said_something();
        assert_eq!(pings.due(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        let second = pings.due().unwrap();
        tokio::time::advance(Duration::from_millis(160)).await;
        link.on_pong(second);
        assert_eq!(link.figures().srtt_us, Some(90_000));
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_transport_measures_a_ping_only_breaks_silence() {
        let link = RoundTrip::new(Arc::new(Knows(Some(5))));
        let mut pings = Pings::new(&link);
        for _ in 0..3 {
            tokio::time::advance(PING_AFTER - Duration::from_millis(1)).await;
            assert_eq!(pings.due(), None);
            pings.said_something();
        }
        tokio::time::advance(PING_AFTER).await;
        let n = pings.due().unwrap();
        tokio::time::advance(PING_AFTER).await;
        link.on_pong(n);
        assert_eq!(link.figures().srtt_us, Some(5));
    }
}
