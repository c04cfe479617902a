//! Keeping a link to the relay: dialed, used, lost, dialed again with a jittered back-off.

use std::sync::Arc;
use std::time::Duration;

use chat_core::entropy::Entropy;
use chat_core::transport::{FrameSink, FrameSource, Link, LinkStats, Peer, emulated};
use chat_core::wire::{FromRelay, ToRelay};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::round_trip::RoundTrip;
use crate::connect::{ConnectError, Connected, Connector};
use crate::engine::LinkInfo;

/// Records that may wait for the link. The engine's own window keeps it far below this.
const QUEUED_RECORDS: usize = 4096;
/// Longest time for one attempt: resolving, listening, a mailbox to be checked, the handshake.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// With nothing to say for so long, a ping keeps both sides sure of each other.
const PING_AFTER: Duration = Duration::from_secs(10);
/// A relay silent for so long, though pinged, is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest time for one write, and for the closing of a link.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// First wait after a loss; jittered between a quarter and all of it, so that not everybody comes back at once.
const FIRST_WAIT: Duration = Duration::from_millis(240);
/// A link that lived so long begins the back-off anew.
const HEALTHY: Duration = Duration::from_secs(5);
/// Most records written before a flush.
const WRITE_BATCH: usize = 64;

/// What the engine hears of the link.
pub(super) enum LinkEvent {
    /// An attempt begins.
    Dialing,
    /// There is a link; records go into `records`, a reason into `closer` ends it.
    Up { info: LinkInfo, records: mpsc::Sender<ToRelay>, closer: oneshot::Sender<String> },
    /// The relay says something.
    Record(FromRelay),
    /// The attempt failed, or the link ended.
    Down { reason: String },
    /// There will never be one.
    Fatal { exit_code: u8, message: String },
}

/// Dials again and again until the engine stops listening.
pub(super) async fn keep_linked(
    connector: Arc<dyn Connector>,
    events: mpsc::Sender<LinkEvent>,
    max_wait: Duration,
    mut entropy: Box<dyn Entropy>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        if events.send(LinkEvent::Dialing).await.is_err() {
            return;
        }
        let attempt = timeout(CONNECT_DEADLINE, connector.connect()).await;
        let late = || Err(ConnectError::Retry("the attempt to reach the relay took too long".to_owned()));
        let reason = match attempt.unwrap_or_else(|_| late()) {
            Ok(connected) => {
                let began = Instant::now();
                let Some(reason) = use_link(connected, &events).await else { return };
                if began.elapsed() >= HEALTHY {
                    wait = FIRST_WAIT;
                }
                reason
            }
            Err(ConnectError::Retry(reason)) => reason,
            Err(ConnectError::Fatal { exit_code, message }) => {
                // The engine decides when to end; without it there is nobody to tell.
                drop(events.send(LinkEvent::Fatal { exit_code, message }).await);
                return;
            }
        };
        if events.send(LinkEvent::Down { reason }).await.is_err() {
            return;
        }
        sleep(jittered(wait, &mut *entropy)).await;
        wait = (wait * 8 / 5).min(max_wait);
    }
}

fn jittered(wait: Duration, entropy: &mut dyn Entropy) -> Duration {
    let byte = entropy.bytes::<1>().map_or(255, |[byte]| byte);
    wait.mul_f64(0.25 + 0.75 * f64::from(byte) / 255.0)
}

/// Uses a link until it ends; the reason, or `None` if the engine has ended.
async fn use_link(connected: Connected, events: &mpsc::Sender<LinkEvent>) -> Option<String> {
    let Connected { link, relay, hosting, listen, superseded } = connected;
    // No service takes streams or datagrams of the relay yet: they are refused.
    let Link { peer, mut sink, source, stats, .. } = emulated::complete(link);
    let round_trip = RoundTrip::new(stats);
    let stats = Arc::clone(&round_trip) as Arc<dyn LinkStats>;
    let fingerprint = match &peer {
        Peer::Key(key) => Some(key.peer_id()),
        Peer::Name(_) => None,
    };
    let (records, queue) = mpsc::channel(QUEUED_RECORDS);
    let (closer, closed) = oneshot::channel();
    let pings = records.downgrade();
    let info = LinkInfo { relay, fingerprint, hosting, listen, stats };
    events.send(LinkEvent::Up { info, records, closer }).await.ok()?;
    let reason = tokio::select! {
        biased;
        reason = read(source, events, &round_trip) => reason,
        written = write(&mut sink, queue) => written,
        reason = closed => Some(reason.unwrap_or_else(|_| "closed".to_owned())),
        () = given_up(superseded) => Some("this program has become the relay".to_owned()),
        never = round_trip.watch(pings) => match never {},
    };
    round_trip.tell("the link ends");
    // A farewell, so that the relay need not wait for silence; a peer that doesn't take it is left.
    if let Ok(Err(error)) = timeout(CLOSE_DEADLINE, sink.close()).await {
        tracing::debug!(%error, "the link was not closed in good order");
    }
    reason
}

async fn given_up(superseded: Option<oneshot::Receiver<()>>) {
    if let Some(signal) = superseded
        && signal.await.is_ok()
    {
        return;
    }
    // A sender that was dropped means that nothing better will come.
    std::future::pending().await
}

async fn read(
    mut source: FrameSource,
    events: &mpsc::Sender<LinkEvent>,
    round_trip: &RoundTrip,
) -> Option<String> {
    loop {
        let frame = match timeout(SILENCE, source.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Some(error.to_string()),
            Ok(None) => return Some("the relay closed the link".to_owned()),
            Err(_) => return Some("the relay is silent".to_owned()),
        };
        match FromRelay::decode(&frame) {
            Ok(record) => {
                round_trip.on_record(&record);
                events.send(LinkEvent::Record(record)).await.ok()?;
            }
            Err(error) => return Some(format!("the relay sent what is no record: {error}")),
        }
    }
}

/// Writes records until the engine closes the queue (`None`) or the link fails.
async fn write(sink: &mut FrameSink, mut queue: mpsc::Receiver<ToRelay>) -> Option<String> {
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    loop {
        match timeout(PING_AFTER, queue.recv_many(&mut batch, WRITE_BATCH)).await {
            Ok(0) => return None,
            Ok(_) => {}
            Err(_) => batch.push(ToRelay::Ping { n: 0 }),
        }
        for record in batch.drain(..) {
            match timeout(WRITE_DEADLINE, sink.feed(record.encode().into())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Some(error.to_string()),
                Err(_) => return Some("the relay does not take what is sent".to_owned()),
            }
        }
        match timeout(WRITE_DEADLINE, sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Some(error.to_string()),
            Err(_) => return Some("the relay does not take what is sent".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use chat_core::entropy::OsEntropy;

    use super::*;

    /// A connector whose attempts never end.
    struct Stuck;

    #[async_trait]
    impl Connector for Stuck {
        fn relay(&self) -> String {
            "memory://nowhere".to_owned()
        }
        async fn prepare(&self) -> Result<Vec<String>, ConnectError> {
            Ok(Vec::new())
        }
        async fn connect(&self) -> Result<Connected, ConnectError> {
            std::future::pending().await
        }
    }

    /// The clock is the test's own.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_never_ends_is_given_up_and_made_again() {
        let (events, mut heard) = mpsc::channel(4);
        let linking =
            tokio::spawn(keep_linked(Arc::new(Stuck), events, Duration::from_secs(1), Box::new(OsEntropy)));
        for _ in 0..3 {
            assert!(matches!(heard.recv().await, Some(LinkEvent::Dialing)));
            let Some(LinkEvent::Down { reason }) = heard.recv().await else { panic!("down is next") };
            assert!(reason.contains("too long"), "{reason}");
        }
        drop(heard);
        linking.await.unwrap();
    }
}
