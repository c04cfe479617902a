//! Chat over a bad network: how long a short frame is on its way, all stacks and losses at the same time.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::try_join_all;
use impair::{Impairment, Probability, Proxy, ProxyConfig};
use tokio::time::{Instant, sleep_until, timeout};

use super::pipe::{Frame, Pipe};
use super::stack::Stack;
use crate::Fault;
use crate::stats::Samples;

/// Percent of packets that are lost, each way.
pub(crate) const LOSSES: [u32; 4] = [0, 1, 5, 10];
/// Each way.
pub(crate) const DELAY: Duration = Duration::from_millis(25);
pub(crate) const MESSAGE_BYTES: usize = 200;
pub(crate) const GAP: Duration = Duration::from_millis(20);
/// How long is written.
pub(crate) const SPAN: Duration = Duration::from_secs(10);
/// Messages before the ones that count: a new link knows nothing of its path.
const WARM_UP: usize = 25;
/// How late a sender may be, and not be charged for it.
const SLACK: Duration = Duration::from_millis(3);
/// For a link: some handshakes are given up where much is lost.
const ATTEMPTS: usize = 8;
/// After the last was written.
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Of each stack at each of [`LOSSES`].
pub(crate) async fn measure(stacks: &[Stack], round: u32) -> Result<Vec<[Delays; LOSSES.len()]>, Fault> {
    let of_stack = async |stack: Stack| {
        let delays = LOSSES.map(|loss| async move {
            let chatted = chat(stack, loss, round).await;
            chatted.map_err(|error| Fault::from(format!("{} at {loss} %: {error}", stack.label())))
        });
        let [none, one, five, ten] = delays;
        let (none, one, five, ten) = tokio::try_join!(none, one, five, ten)?;
        Ok::<_, Fault>([none, one, five, ten])
    };
    try_join_all(stacks.iter().map(|stack| of_stack(*stack))).await
}

async fn chat(stack: Stack, loss: u32, round: u32) -> Result<Delays, Fault> {
    let mut listening = stack.listen().await?;
    let proxy = proxy(stack, loss, round, listening.address()?).await?;
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel::<Pipe>(ATTEMPTS);
    let accepting = tokio::spawn(async move {
        while let Ok(arrival) = listening.next().await {
            let arrived = arrived.clone();
            tokio::spawn(async move {
                let Ok(mut pipe) = arrival.handshake().await else { return };
                // One whose dialer has given it up says nothing. For a second one nobody waits.
                if let Ok(Some(_)) = pipe.recv().await {
                    arrived.send(pipe).await.ok();
                }
            });
        }
    });
    let sender = dial(stack, proxy.address()).await?;
    let receiver = timeout(PATIENCE, arrivals.recv()).await?.ok_or("nobody accepts")?;
    let delays = converse(sender, receiver).await;
    accepting.abort();
    delays
}

async fn proxy(stack: Stack, loss: u32, round: u32, to: SocketAddr) -> Result<Proxy, Fault> {
    let impairment = Impairment { loss: Probability::percent(loss), delay: DELAY, ..Impairment::NONE };
    let config = ProxyConfig::new(impairment, u64::from(round) << 8 | u64::from(loss));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(if stack.is_udp() { Proxy::udp(any, to, config).await? } else { Proxy::tcp(any, to, config).await? })
}

/// With a first frame, so that both ends know of it.
async fn dial(stack: Stack, to: SocketAddr) -> Result<Pipe, Fault> {
    let mut last = Fault::from("never dialed");
    for _ in 0..ATTEMPTS {
        match stack.dialer()?.dial(to).await {
            Ok(mut pipe) => {
                pipe.send(&message(Duration::ZERO)?).await?;
                return Ok(pipe);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// That says since when it is charged.
fn message(from: Duration) -> Result<Frame, Fault> {
    let mut data = [0; MESSAGE_BYTES];
    data[1..9].copy_from_slice(&u64::try_from(from.as_nanos())?.to_be_bytes());
    Ok(Frame::new(&data))
}

async fn converse(mut sender: Pipe, mut receiver: Pipe) -> Result<Delays, Fault> {
    let count = WARM_UP + usize::try_from(SPAN.as_millis() / GAP.as_millis())?;
    let began = Instant::now();
    let writing = async {
        for n in 0..count {
            let due = began + GAP * u32::try_from(n)?;
            sleep_until(due).await;
            let now = Instant::now();
            // Who is held up by his transport is charged from when he wanted to write.
            let from = if now > due + SLACK { due } else { now };
            sender.send(&message(from - began)?).await?;
        }
        Ok::<_, Fault>(())
    };
    let reading = async {
        let (mut delays, mut last) = (Samples::default(), Duration::ZERO);
        for n in 0..count {
            let head = receiver.recv().await?.ok_or("the link ended")?;
            let from = Duration::from_nanos(head.number());
            if head.len != MESSAGE_BYTES || from < last {
                return Err(Fault::from("a message came out of place"));
            }
            if n >= WARM_UP {
                delays.push_ms(began.elapsed().saturating_sub(from));
            }
            last = from;
        }
        Ok(Delays { p50: delays.median(), p99: delays.percentile(99) })
    };
    let all = async { tokio::try_join!(writing, reading) };
    let ((), delays) = timeout(SPAN + PATIENCE, all).await??;
    Ok(delays)
}
