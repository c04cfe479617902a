//! What is known of a link's path: the transport's figures; the round trip of pings where the transport does not measure it;
//! and lines of it in the log.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::transport::{LinkFigures, LinkStats};
use chat_core::wire::{FromRelay, ToRelay};
use tokio::sync::Notify;
use tokio::sync::mpsc::WeakSender;
use tokio::time::{Instant, sleep};

/// Between two pings that measure.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Before the first one: the relay has much to do when somebody comes.
const FIRST_PING: Duration = Duration::from_secs(1);
/// Between two lines about a link in the log.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Numbers of these pings: of no others.
const NUMBERS: u64 = 1 << 62;

/// No ping was answered yet.
const UNKNOWN: u64 = u64::MAX;

/// The figures of a link, with the round trip to the relay and back if the transport does not know it.
pub(super) struct RoundTrip {
    transport: Arc<dyn LinkStats>,
    srtt_us: AtomicU64,
    /// The ping that is not answered.
    asked: Mutex<Option<(u64, Instant)>>,
    heard: Notify,
}

impl RoundTrip {
    pub(super) fn new(transport: Arc<dyn LinkStats>) -> Arc<Self> {
        let (asked, heard) = (Mutex::default(), Notify::new());
        Arc::new(Self { transport, srtt_us: AtomicU64::new(UNKNOWN), asked, heard })
    }

    fn asked(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The relay says something.
    pub(super) fn on_record(&self, record: &FromRelay) {
        self.heard.notify_one();
        let FromRelay::Pong { n } = record else { return };
        let Some((_, sent)) = self.asked().take_if(|(asked, _)| asked == n) else { return };
        let sample = u64::try_from(sent.elapsed().as_micros()).unwrap_or(UNKNOWN - 1);
        let smoothed = match self.srtt_us.load(Ordering::Relaxed) {
            UNKNOWN => sample,
            // RFC 6298 §2.
            before => before - before / 8 + sample / 8,
        };
        self.srtt_us.store(smoothed, Ordering::Relaxed);
    }

    /// Measures, and writes figures into the log from time to time. Cancel safe.
    pub(super) async fn watch(&self, records: WeakSender<ToRelay>) -> Infallible {
        let (never, _) = tokio::join!(self.measure(records), self.keep_telling());
        never
    }

    async fn measure(&self, records: WeakSender<ToRelay>) -> Infallible {
        // Before it has welcomed us nothing but a greeting may be said.
        self.heard.notified().await;
        sleep(FIRST_PING).await;
        for n in NUMBERS.. {
            if self.transport.figures().srtt_us.is_none()
                && let Some(records) = records.upgrade()
            {
                *self.asked() = Some((n, Instant::now()));
                // If so much waits that there is no room, this is no time to measure.
                drop(records.try_send(ToRelay::Ping { n }));
            }
            sleep(PING_EVERY).await;
        }
        std::future::pending().await
    }

    async fn keep_telling(&self) -> Infallible {
        loop {
            sleep(TELL_EVERY).await;
            self.tell("link");
        }
    }

    /// Writes the figures into the log: numbers and no names.
    pub(super) fn tell(&self, what: &'static str) {
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Knows(Option<u64>);

    impl LinkStats for Knows {
        fn figures(&self) -> LinkFigures {
            LinkFigures { srtt_us: self.0, sent_bytes: Some(7), ..LinkFigures::default() }
        }
    }

    const WELCOME: FromRelay = FromRelay::Moving;

    async fn ping(records: &mut mpsc::Receiver<ToRelay>) -> u64 {
        match records.recv().await {
            Some(ToRelay::Ping { n }) => n,
            other => panic!("{other:?}"),
        }
    }

    /// The clock is the test's own.
    #[tokio::test(start_paused = true)]
    async fn pings_measure_what_the_transport_does_not() {
        let link = RoundTrip::new(Arc::new(Knows(None)));
        let (sender, mut records) = mpsc::channel(4);
        let (watched, pings) = (Arc::clone(&link), sender.downgrade());
        tokio::spawn(async move { watched.watch(pings).await });
        let greeted = tokio::time::timeout(Duration::from_secs(60), records.recv()).await;
        assert!(greeted.is_err(), "nothing is said before the relay has said something");
        link.on_record(&WELCOME);
        let first = ping(&mut records).await;
        tokio::time::advance(Duration::from_millis(80)).await;
        link.on_record(&FromRelay::Pong { n: 0 });
        assert_eq!(link.figures().srtt_us, None, "an answer to another");
        link.on_record(&FromRelay::Pong { n: first });
        link.on_record(&FromRelay::Pong { n: first });
        assert_eq!((link.figures().srtt_us, link.figures().sent_bytes), (Some(80_000), Some(7)));
        let second = ping(&mut records).await;
        assert_ne!(first, second);
        tokio::time::advance(Duration::from_millis(160)).await;
        link.on_record(&FromRelay::Pong { n: second });
        assert_eq!(link.figures().srtt_us, Some(90_000));
        drop(sender);
        assert!(records.recv().await.is_none(), "who measures keeps no link alive");
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_transport_measures_nobody_pings() {
        let link = RoundTrip::new(Arc::new(Knows(Some(5))));
        let (sender, mut records) = mpsc::channel(4);
        link.on_record(&WELCOME);
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::select! {
                never = link.watch(sender.downgrade()) => match never {},
                said = records.recv() => said,
            }
        });
        assert!(waited.await.is_err());
        assert_eq!(link.figures().srtt_us, Some(5));
    }
}
