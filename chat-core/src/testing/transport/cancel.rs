//! A future that is dropped at any point loses nothing, doubles nothing and tears nothing.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::bench::{Bench, End, accept, alice, bob, breathe, identity};
use super::frames::{self, Seen, frame, number_of, polled};
use super::pressure::fill;
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::FrameSource;

/// Long enough to be sent in parts.
const LEN: usize = 300_000;
/// The number of the last frame of a rule.
const LAST: u64 = u64::MAX;
/// Futures to be dropped while they wait, and frames after which that is given up.
const DROPS: u32 = 24;
const MOST_FRAMES: u64 = 150;

/// Drops futures at one point after the other.
struct Dropper {
    calls: usize,
    dropped: u32,
    /// Lets the other side begin, when the first was dropped or when this is.
    begin: Option<oneshot::Sender<()>>,
}

/// Closed until a [`Dropper`] has dropped its first future: whoever would answer that future waits here, so that there is
/// one that waits, however fast the machine and whoever runs first.
struct Gate(oneshot::Receiver<()>);

impl Gate {
    async fn opened(self) {
        // An error is a dropper that is gone: nothing is left to wait for.
        self.0.await.ok();
    }
}

impl Dropper {
    fn new() -> (Self, Gate) {
        let (begin, gate) = oneshot::channel();
        (Self { calls: 0, dropped: 0, begin: Some(begin) }, Gate(gate))
    }

    /// Opens the gate before anything was dropped.
    fn open(&mut self) {
        self.begin = None;
    }

    /// Polls the future once, or up to four times: its output, or `None` if it was dropped.
    async fn poll<F: Future>(&mut self, future: F) -> Option<F::Output> {
        self.calls += 1;
        // Not before the first was dropped, so that there is one.
        let times = if self.dropped == 0 { 1 } else { self.calls % 4 + 1 };
        let output = polled(times, future).await;
        if output.is_none() {
            self.dropped += 1;
            self.open();
            breathe().await;
        }
        output
    }

    fn has_enough(&self) -> bool {
        self.dropped >= DROPS
    }

    fn must_have_dropped(&self) -> Result<(), Violation> {
        ensure!(self.dropped > 0, "no call ever waited, so that nothing was tried");
        Ok(())
    }
}

/// Reads frames of [`LEN`] bytes up to [`LAST`], and gives their numbers.
async fn read_to_last(source: &mut FrameSource) -> Result<Vec<u64>, Violation> {
    let mut numbers = Vec::new();
    loop {
        match Seen::of(frames::next(source).await) {
            Seen::Frame(seen) => {
                let number = number_of(&seen).filter(|&number| seen == frame(number, LEN));
                let Some(number) = number else {
                    let after = numbers.last();
                    return Err(Violation::new(format!("a torn frame after frame {after:?}")));
                };
                if number == LAST {
                    return Ok(numbers);
                }
                numbers.push(number);
            }
            Seen::End => return Err(Violation::new("the source ended before the last frame")),
            Seen::Error(error) => return Err(Violation::new(error.to_string())),
        }
    }
}

/// What came must be these, in this order.
fn must_be_in_order(came: &[u64], sent: u64) -> Result<(), Violation> {
    let expected: Vec<u64> = (0..sent).collect();
    ensure!(came == expected, "of the frames 0 to {sent} these came: {came:?}");
    Ok(())
}

/// Runs a writer against a reader in a task of its own, which begins when the gate is open.
async fn against_a_reader<T>(
    bench: &Bench<'_>,
    what: &str,
    (mut b, gate): (End, Gate),
    writer: impl Future<Output = Result<T, Violation>>,
) -> Result<(T, Vec<u64>), Violation> {
    let reader = tokio::spawn(async move {
        gate.opened().await;
        read_to_last(&mut b.source).await
    });
    let written = bench.soon(what, writer).await?;
    let read = match written {
        Ok(_) => bench.soon(what, reader).await?,
        // What the reader saw, if it saw anything, says more than what the writer makes of it.
        Err(_) => bench.unless_quiet(reader).await.unwrap_or(Ok(Ok(Vec::new()))),
    };
    let read = read.must("a task")??;
    Ok((written?, read))
}

async fn finish(a: &mut End) -> Result<(), Violation> {
    frames::send(&mut a.sink, frame(LAST, LEN)).await.must("sending a frame")
}

pub(super) async fn dropping_next_loses_nothing(bench: &Bench<'_>) -> Result<(), Violation> {
    const SIZES: [usize; 8] = [LEN, 5, 0, 70_000, 1, 600_000, 20, LEN];
    let sent = || (1..).zip(SIZES.repeat(4));
    let (mut a, mut b) = bench.pair().await?;
    let (mut dropper, gate) = Dropper::new();
    let sender = tokio::spawn(async move {
        gate.opened().await;
        for (number, len) in sent() {
            a.send(number, len).await?;
        }
        Ok::<_, Violation>(a)
    });
    for (number, len) in sent() {
        let seen = loop {
            let next = dropper.poll(frames::next(&mut b.source));
            if let Some(item) = bench.soon("a frame", next).await? {
                break Seen::of(item);
            }
        };
        seen.must_be(number, len)?;
    }
    dropper.must_have_dropped()?;
    bench.soon("the sender", sender).await?.must("a task")??;
    Ok(())
}

/// A `send` that was dropped has sent its frame, or has not; a `flush` may be dropped as one likes.
pub(super) async fn dropping_send_or_flush_tears_nothing(bench: &Bench<'_>) -> Result<(), Violation> {
    drop_sends(bench).await?;
    drop_flushes(bench).await
}

async fn drop_sends(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, b) = bench.pair().await?;
    let (mut dropper, gate) = Dropper::new();
    let write = async {
        let mut sent = BTreeSet::new();
        for number in 0..MOST_FRAMES {
            if dropper.has_enough() {
                break;
            }
            if let Some(result) = dropper.poll(frames::send(&mut a.sink, frame(number, LEN))).await {
                result.must("a call that was not dropped")?;
                sent.insert(number);
            }
        }
        dropper.must_have_dropped()?;
        finish(&mut a).await?;
        Ok(sent)
    };
    let (sent, came) = against_a_reader(bench, "sends that are dropped", (b, gate), write).await?;
    ensure!(came.is_sorted_by(|one, next| one < next), "out of order or doubled: {came:?}");
    let lost: Vec<_> = sent.into_iter().filter(|number| !came.contains(number)).collect();
    ensure!(lost.is_empty(), "frames {lost:?} were sent, and lost by a send dropped later");
    Ok(())
}

async fn drop_flushes(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, b) = bench.pair().await?;
    let (mut dropper, gate) = Dropper::new();
    // A `feed` may wait for the reader here, and it isn't dropped.
    dropper.open();
    let write = async {
        let mut number = 0;
        while !dropper.has_enough() && number < MOST_FRAMES {
            frames::feed(&mut a.sink, frame(number, LEN)).await.must("feeding a frame")?;
            number += 1;
            if let Some(result) = dropper.poll(frames::flush(&mut a.sink)).await {
                result.must("a call that was not dropped")?;
            }
        }
        if dropper.dropped == 0 {
            bench.note("`flush` never waits");
        }
        finish(&mut a).await?;
        Ok(number)
    };
    let (sent, came) = against_a_reader(bench, "flushes that are dropped", (b, gate), write).await?;
    must_be_in_order(&came, sent)
}

/// A `feed` that was dropped while it waited has not taken its frame.
pub(super) async fn dropping_feed_doubles_nothing(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, b) = bench.pair().await?;
    let (mut dropper, gate) = Dropper::new();
    let write = async {
        let mut number = 0;
        while !dropper.has_enough() && number < MOST_FRAMES {
            if let Some(result) = dropper.poll(frames::feed(&mut a.sink, frame(number, LEN))).await {
                result.must("a call that was not dropped")?;
                number += 1;
            }
        }
        dropper.must_have_dropped()?;
        finish(&mut a).await?;
        Ok(number)
    };
    let (sent, came) = against_a_reader(bench, "feeds that are dropped", (b, gate), write).await?;
    must_be_in_order(&came, sent)
}

/// A `close` that was dropped may be asked for again.
pub(super) async fn dropping_close_loses_nothing(bench: &Bench<'_>) -> Result<(), Violation> {
    for times in 1..=4 {
        let (mut a, mut b) = bench.pair().await?;
        let taken = fill(bench, &mut a.sink, 0, LEN).await?;
        let close = async {
            if polled(times, frames::close(&mut a.sink)).await.is_none() {
                breathe().await;
                frames::close(&mut a.sink).await.must("closing")?;
            }
            Ok(())
        };
        let read = async {
            for number in 0..taken {
                b.expect(number, LEN).await?;
            }
            b.next().await.must_be_the_end("after a close that was asked for twice")
        };
        bench.both("a close that was dropped", close, read).await?;
    }
    Ok(())
}

pub(super) async fn dropping_listener_next_loses_nobody(bench: &Bench<'_>) -> Result<(), Violation> {
    const DIALERS: u8 = 12;
    let mut listener = bench.listen().await?;
    let address = listener.address();
    let mut dialers = tokio::task::JoinSet::new();
    for number in 0..DIALERS {
        let (transport, address) = (bench.transport()?, address.clone());
        dialers.spawn(async move {
            let dialed = transport.dial(&address, &identity(10 + number)).await;
            let mut end = End::from(dialed.must("dialing")?);
            end.send(number.into(), 8).await?;
            // Until the other end has read it.
            end.expect(number.into(), 9).await
        });
    }
    let mut accepted = tokio::task::JoinSet::new();
    let (mut dropper, _nobody_waits) = Dropper::new();
    while accepted.len() < usize::from(DIALERS) {
        let next = dropper.poll(listener.next());
        let Some(incoming) = bench.soon("somebody who dialed", next).await? else { continue };
        let incoming = incoming.must("listening")?;
        accepted.spawn(async move {
            let mut end = accept(incoming).await.must("the handshake")?;
            let Seen::Frame(first) = end.next().await else {
                return Err(Violation::new("somebody dialed and said nothing"));
            };
            let number = number_of(&first).unwrap_or(LAST);
            end.send(number, 9).await?;
            Ok((number, end))
        });
    }
    let met = bench.soon("who dialed", accepted.join_all()).await?;
    let met: Vec<_> = met.into_iter().collect::<Result<_, _>>()?;
    let numbers: BTreeSet<u64> = met.iter().map(|(number, _)| *number).collect();
    ensure!(numbers.len() == usize::from(DIALERS), "of {DIALERS} dialers these were met: {numbers:?}");
    bench.soon("the dialers", dialers.join_all()).await?.into_iter().collect()
}

/// What became of somebody who came in.
enum Met {
    /// Whoever it was has gone, during the handshake or after it.
    Gone,
    /// It was the one who stayed.
    Stayed,
}

async fn meet(incoming: Box<dyn crate::transport::Incoming>) -> Result<Met, Violation> {
    let Ok(mut end) = accept(incoming).await else { return Ok(Met::Gone) };
    match end.next().await {
        Seen::Frame(first) => {
            ensure!(first == frame(1, 100), "a dialer that was dropped said something");
            Ok(Met::Stayed)
        }
        Seen::End | Seen::Error(_) => Ok(Met::Gone),
    }
}

/// A dial that is dropped at any point ends what it began: nobody is left at the other end, and the next one is served.
pub(super) async fn dropping_dial_leaves_nobody_behind(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen_as(&bob()).await?;
    let (address, me) = (listener.address(), alice());
    let (transport, mut met) = (bench.transport()?, tokio::task::JoinSet::new());
    let dial = async {
        for times in 1..=12 {
            // One that was through before it could be dropped is dropped as a link.
            drop(polled(times, transport.dial(&address, &me)).await);
            breathe().await;
        }
        let mut end = End::from(transport.dial(&address, &me).await?);
        frames::send(&mut end.sink, frame(1, 100)).await?;
        Ok::<_, LinkError>(end)
    };
    let listen = async {
        loop {
            match listener.next().await {
                Ok(incoming) => met.spawn(meet(incoming)),
                Err(error) => return error,
            };
        }
    };
    let dialed = async {
        tokio::select! {
            dialed = dial => dialed.must("dialing"),
            error = listen => Err(Violation::new(format!("listening ended: {error}"))),
        }
    };
    // The listener is asked on by nobody once the last one is through; who is in the queue then comes below.
    let end = bench.soon("a dial after those that were dropped", dialed).await??;
    while let Some(incoming) = bench.unless_quiet(listener.next()).await {
        met.spawn(meet(incoming.must("listening")?));
    }
    let deadline = tokio::time::timeout(bench.handshake_deadline(), met.join_all());
    let met = deadline.await.map_err(|_| Violation::new("somebody who was dropped is still there"))?;
    let met: Vec<Met> = met.into_iter().collect::<Result<_, _>>()?;
    let stayed = met.iter().filter(|met| matches!(met, Met::Stayed)).count();
    ensure!(stayed == 1, "{stayed} dialers stayed, of which one was wanted");
    drop(end);
    Ok(())
}
