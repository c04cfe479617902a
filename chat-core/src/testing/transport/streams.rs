//! Streams beside the main one, if the link has any: native or emulated, the same holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bench::{Bench, End, breathe};
use super::frames::{self, Seen, frame, number_of, polled};
use super::pressure::fill;
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::{FrameSink, FrameSource, Streams};

pub(super) type Stream = (FrameSink, FrameSource);

pub(super) fn of(bench: &Bench<'_>, pair: &(End, End)) -> Result<Option<[Arc<dyn Streams>; 2]>, Violation> {
    match (&pair.0.streams, &pair.1.streams) {
        (Some(a), Some(b)) => Ok(Some([Arc::clone(a), Arc::clone(b)])),
        (None, None) => {
            bench.note("the link has no streams");
            Ok(None)
        }
        _ => Err(Violation::new("one end has streams, and the other has none")),
    }
}

pub(super) async fn next(stream: &mut Stream) -> Seen {
    Seen::of(frames::next(&mut stream.1).await)
}

pub(super) async fn send(stream: &mut Stream, number: u64, len: usize) -> Result<(), Violation> {
    frames::send(&mut stream.0, frame(number, len)).await.must("sending a frame")
}

/// Opens a stream, with a first frame that makes it known to the other end whatever the transport, and accepts it there.
pub(super) async fn opened(
    bench: &Bench<'_>,
    from: &dyn Streams,
    to: &dyn Streams,
    number: u64,
) -> Result<(Stream, Stream), Violation> {
    let open = async {
        let mut stream = from.open().await?;
        frames::send(&mut stream.0, frame(number, 50)).await?;
        Ok::<_, LinkError>(stream)
    };
    let both = async { tokio::try_join!(open, to.accept()) };
    let (ours, mut theirs) = bench.soon("a stream", both).await?.must("opening a stream")?;
    bench.soon("its first frame", next(&mut theirs)).await?.must_be(number, 50)?;
    Ok((ours, theirs))
}

pub(super) async fn streams_carry_frames_apart(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let mut streams = Vec::new();
    for number in 0..4 {
        let (from, to) = if number % 2 == 0 { (&a, &b) } else { (&b, &a) };
        streams.push(opened(bench, &**from, &**to, number).await?);
    }
    for round in 1..4 {
        for (stream, (ours, theirs)) in (0..4).zip(&mut streams) {
            send(ours, 100 * round + stream, 3000).await?;
            send(theirs, 200 * round + stream, 70).await?;
        }
        pair.0.send(round, 500).await?;
        // The other way round than they were sent.
        bench.soon("a frame of the main stream", pair.1.expect(round, 500)).await??;
        for (stream, (ours, theirs)) in (0..4u64).zip(&mut streams).collect::<Vec<_>>().into_iter().rev() {
            bench.soon("a stream's frame", next(theirs)).await?.must_be(100 * round + stream, 3000)?;
            bench.soon("a stream's frame", next(ours)).await?.must_be(200 * round + stream, 70)?;
        }
    }
    Ok(())
}

pub(super) async fn a_full_stream_holds_up_no_other(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut full, mut unread) = opened(bench, &*a, &*b, 1).await?;
    let (mut ours, mut theirs) = opened(bench, &*a, &*b, 2).await?;
    let taken = fill(bench, &mut full.0, 0, 60_000).await?;
    let sent = async { send(&mut ours, 3, 1000).await };
    let came = async { next(&mut theirs).await.must_be(3, 1000) };
    bench.both("a stream beside one that nobody reads", sent, came).await?;
    bench.both("the link beside a full stream", pair.0.send(4, 1000), pair.1.expect(4, 1000)).await?;
    let flush = async { frames::flush(&mut full.0).await.must("flushing") };
    let read = async {
        for number in 0..taken {
            next(&mut unread).await.must_be(number, 60_000)?;
        }
        Ok(())
    };
    bench.both("what waited in the full stream", flush, read).await
}

pub(super) async fn a_stream_ends_by_itself(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut closed, mut read) = opened(bench, &*a, &*b, 1).await?;
    let (mut ours, mut theirs) = opened(bench, &*a, &*b, 2).await?;
    let close = async {
        send(&mut closed, 3, 1000).await?;
        frames::close(&mut closed.0).await.must("closing")
    };
    let end = async {
        next(&mut read).await.must_be(3, 1000)?;
        next(&mut read).await.must_be_the_end("a stream that was closed")
    };
    bench.both("a stream's close", close, end).await?;
    let sent = async { send(&mut ours, 4, 1000).await };
    let came = async { next(&mut theirs).await.must_be(4, 1000) };
    bench.both("a stream beside one that was closed", sent, came).await?;
    bench.both("the link of a closed stream", pair.0.send(5, 1000), pair.1.expect(5, 1000)).await
}

pub(super) async fn dropping_open_or_accept_loses_no_stream(bench: &Bench<'_>) -> Result<(), Violation> {
    const STREAMS: u64 = 8;
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let opener = tokio::spawn(async move {
        let mut kept = Vec::new();
        for number in 0..STREAMS {
            // An `open` that was dropped has opened nothing, or a stream that ends.
            drop(polled(1 + (number % 3) as usize, a.open()).await);
            let mut stream = a.open().await?;
            frames::send(&mut stream.0, frame(number, 50)).await?;
            kept.push(stream);
        }
        Ok::<_, LinkError>((kept, a))
    });
    let mut accepted = BTreeMap::new();
    let mut times = 0;
    while (accepted.len() as u64) < STREAMS {
        times = times % 3 + 1;
        let Some(stream) = bench.soon("a stream", polled(times, b.accept())).await? else {
            breathe().await;
            continue;
        };
        let mut stream = stream.must("accepting a stream")?;
        match bench.soon("a stream's first frame, or its end", next(&mut stream)).await? {
            Seen::Frame(first) => {
                let number = number_of(&first).unwrap_or_default();
                ensure!(first == frame(number, 50), "a stream begins with another frame than its first");
                ensure!(accepted.insert(number, stream).is_none(), "stream {number} came twice");
            }
            Seen::End | Seen::Error(_) => {}
        }
    }
    let opened = bench.soon("who opened", opener).await?.must("a task")?;
    opened.must("opening streams")?;
    Ok(())
}

pub(super) async fn streams_end_with_their_link(bench: &Bench<'_>) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (ours, mut theirs) = opened(bench, &*a, &*b, 1).await?;
    let reader = tokio::spawn(async move { next(&mut theirs).await });
    let acceptor = tokio::spawn(async move { b.accept().await.map(|_| ()) });
    breathe().await;
    ensure!(!reader.is_finished() && !acceptor.is_finished(), "somebody did not wait");
    drop((pair.0, a, ours));
    let both = async { tokio::join!(reader, acceptor) };
    let (seen, accepted) = bench.soon("who waits for a stream when the link ends", both).await?;
    seen.must("a task")?.must_be_over("a stream of a link that has ended")?;
    ensure!(accepted.must("the handshake")?.is_err(), "a stream came of a link that has ended");
    drop(pair.1);
    Ok(())
}
