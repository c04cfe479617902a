//! Keeping a link to the relay: dialed, used, lost, dialed again with a jittered back-off.

use std::sync::Arc;
use std::time::Duration;

use chat_core::entropy::Entropy;
use chat_core::transport::{FrameSink, FrameSource, Link, LinkStats, Peer, emulated};
use chat_core::wire::{FromRelay, ToRelay};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::life::Life;
use super::pulse::Pulse;
use super::round_trip::RoundTrip;
use crate::connect::{Choice, ConnectError, Connected, Connector, News};
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
/// How long a link that was given up for another lives on: the relay ends it by itself once the other is welcome, and
/// nobody is told that one had gone.
const RETIREMENT: Duration = Duration::from_secs(3);
/// Most records written before a flush.
const WRITE_BATCH: usize = 64;

/// What the engine hears of the link.
pub(super) enum LinkEvent {
    /// An attempt begins.
    Dialing,
    /// There is a link; records go into `records`, a reason into `closer` ends it.
    /// `moved`: in place of one that is given up.
    Up { info: LinkInfo, records: mpsc::Sender<ToRelay>, closer: oneshot::Sender<String>, moved: bool },
    /// Somebody who is not the relay answered on a transport that is not in use.
    Impostor(String),
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
                let Some(reason) = stay_linked(connected, &*connector, &events).await else { return };
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

/// How the use of a link ends.
enum End {
    /// The engine has ended.
    Over,
    /// The link has.
    Lost(String),
    /// It is given up for another one.
    Moved(Box<Connected>, Retired),
}

/// A link that was given up: nobody reads it any more.
struct Retired {
    _sink: FrameSink,
    _source: FrameSource,
}

/// Uses a link, and those that take its place, until there is none; the reason, or `None` if the engine has ended.
async fn stay_linked(
    mut connected: Connected,
    connector: &dyn Connector,
    events: &mpsc::Sender<LinkEvent>,
) -> Option<String> {
    let (mut retired, mut rate) = (None, Pulse::first_rate());
    loop {
        match use_link(connected, retired, &mut rate, connector, events).await {
            End::Over => return None,
            End::Lost(reason) => return Some(reason),
            End::Moved(next, old) => (connected, retired) = (*next, Some(old)),
        }
    }
}

/// Uses one link until it ends.
async fn use_link(
    connected: Connected,
    retired: Option<Retired>,
    rate: &mut u64,
    connector: &dyn Connector,
    events: &mpsc::Sender<LinkEvent>,
) -> End {
    let Connected { link, relay, hosting, listen, superseded, choice } = connected;
    // No service takes streams or datagrams of the relay yet: they are refused.
    let Link { peer, mut sink, mut source, stats, .. } = emulated::complete(link);
    let round_trip = RoundTrip::new(stats);
    let stats = Arc::clone(&round_trip) as Arc<dyn LinkStats>;
    let fingerprint = match &peer {
        Peer::Key(key) => Some(key.peer_id()),
        Peer::Name(_) => None,
    };
    let (choice, news) = match choice {
        Some(Choice { number, reason, news, taken }) => {
            taken();
            (Some((number, reason)), Some(news))
        }
        None => (None, None),
    };
    let life = Life::new(news.is_some(), Arc::clone(&stats), *rate);
    let (records, queue) = mpsc::channel(QUEUED_RECORDS);
    let (closer, closed) = oneshot::channel();
    let pings = records.downgrade();
    let (questions, asked) = mpsc::channel(1);
    let info = LinkInfo { relay, fingerprint, hosting, listen, stats, choice };
    let moved = retired.is_some();
    if events.send(LinkEvent::Up { info, records, closer, moved }).await.is_err() {
        return End::Over;
    }
    let next = tokio::select! {
        biased;
        reason = read(&mut source, events, &life, &round_trip) => Err(reason),
        written = write(&mut sink, queue, asked, &life) => Err(written),
        reason = closed => Err(Some(reason.unwrap_or_else(|_| "closed".to_owned()))),
        () = given_up(superseded) => Err(Some("this program has become the relay".to_owned())),
        better = better(news, events) => Ok(better),
        another = life.look_after(questions, connector) => {
            *rate = life.next_rate();
            Ok(another)
        }
        never = retire(retired) => match never {},
        never = round_trip.watch(pings) => match never {},
    };
    round_trip.tell("the link ends");
    let reason = match next {
        Ok(next) => return End::Moved(Box::new(next), Retired { _sink: sink, _source: source }),
        Err(reason) => reason,
    };
    // A farewell, so that the relay need not wait for silence; a peer that doesn't take it is left.
    if let Ok(Err(error)) = timeout(CLOSE_DEADLINE, sink.close()).await {
        tracing::debug!(%error, "the link was not closed in good order");
    }
    reason.map_or(End::Over, End::Lost)
}

async fn retire(retired: Option<Retired>) -> std::convert::Infallible {
    if let Some(retired) = retired {
        sleep(RETIREMENT).await;
        drop(retired);
    }
    std::future::pending().await
}

/// A better link than the one in use; what else is found out is passed on.
async fn better(news: Option<mpsc::Receiver<News>>, events: &mpsc::Sender<LinkEvent>) -> Connected {
    let Some(mut news) = news else { return std::future::pending().await };
    while let Some(told) = news.recv().await {
        match told {
            News::Better(connected) => return *connected,
            News::Impostor(who) => {
                // Without the engine there is nobody to tell.
                drop(events.send(LinkEvent::Impostor(who)).await);
            }
        }
    }
    // Nobody looks any more.
    std::future::pending().await
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
    source: &mut FrameSource,
    events: &mpsc::Sender<LinkEvent>,
    life: &Life,
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
                life.heard(&record);
                events.send(LinkEvent::Record(record)).await.ok()?;
            }
            Err(error) => return Some(format!("the relay sent what is no record: {error}")),
        }
    }
}

/// What is to be written next.
enum Next {
    /// So many records; with none, the engine has closed the queue.
    Records(usize),
    /// A question.
    Ask(u64),
}

/// Writes records until the engine closes the queue (`None`) or the link fails.
async fn write(
    sink: &mut FrameSink,
    mut queue: mpsc::Receiver<ToRelay>,
    mut asked: mpsc::Receiver<u64>,
    life: &Life,
) -> Option<String> {
    let mut batch = Vec::with_capacity(WRITE_BATCH);
    loop {
        let next = async {
            tokio::select! {
                biased;
                Some(n) = asked.recv() => Next::Ask(n),
                count = queue.recv_many(&mut batch, WRITE_BATCH) => Next::Records(count),
            }
        };
        match timeout(PING_AFTER, next).await {
            Ok(Next::Records(0)) => return None,
            Ok(Next::Records(_)) => {}
            Ok(Next::Ask(n)) => batch.push(ToRelay::Ping { n }),
            Err(_) => batch.push(ToRelay::Ping { n: 0 }),
        }
        for record in batch.drain(..) {
            let frame = record.encode();
            life.sent(frame.len());
            match timeout(WRITE_DEADLINE, sink.feed(frame.into())).await {
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
