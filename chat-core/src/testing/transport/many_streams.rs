//! What streams carry, and that they leave room for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bench::{Bench, breathe};
use super::frames::{self, Seen, frame, polled};
use super::pressure::MAX_UNREAD_BYTES;
use super::streams::{Stream, next, of, opened, send};
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::MAX_FRAME_BYTES;

/// Streams that each end may have open at least.
const PROMISED: u64 = 8;

pub(super) async fn frames_of_every_size_pass_a_stream(bench: &Bench<'_>) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut ours, mut theirs) = opened(bench, &*a, &*b, 1).await?;
    let edges = [16_384, 32_768, 65_536, 262_144, 1 << 20];
    let sizes = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]);
    for (number, len) in (2..).zip([0, 1, 7, 8, 1000].into_iter().chain(sizes).chain([MAX_FRAME_BYTES])) {
        let what = format!("a frame of {len} bytes on a stream");
        let came = async { next(&mut theirs).await.must_be(number, len) };
        bench.both(&what, async { send(&mut ours, number, len).await }, came).await?;
    }
    match frames::send(&mut ours.0, frame(1, MAX_FRAME_BYTES + 1)).await {
        Err(LinkError::FrameTooLarge { .. }) => Ok(()),
        Err(other) => Err(Violation::new(format!("the refusal is not clear: {other}"))),
        Ok(()) => Err(Violation::new("a frame over the limit was taken by a stream")),
    }
}

/// Of the calls of a stream each is dropped again and again while it waits.
pub(super) async fn dropping_calls_of_a_stream_tears_nothing(bench: &Bench<'_>) -> Result<(), Violation> {
    const FRAMES: u64 = 40;
    const LEN: usize = 200_000;
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut ours, mut theirs) = opened(bench, &*a, &*b, 1).await?;
    let write = async {
        for number in 0..FRAMES {
            let mut times = 0;
            while polled(1 + times % 3, frames::feed(&mut ours.0, frame(number, LEN))).await.is_none() {
                times += 1;
                breathe().await;
            }
            if let Some(flushed) = polled(2, frames::flush(&mut ours.0)).await {
                flushed.must("flushing")?;
            }
        }
        frames::close(&mut ours.0).await.must("closing")
    };
    let read = async {
        for number in 0..FRAMES {
            let mut times = 0;
            let came = loop {
                match polled(1 + times % 3, next(&mut theirs)).await {
                    Some(came) => break came,
                    None => times += 1,
                }
                breathe().await;
            };
            came.must_be(number, LEN)?;
        }
        next(&mut theirs).await.must_be_the_end("after the last frame of a stream")
    };
    bench.both("a stream whose calls are dropped", write, read).await
}

/// While one stream is as busy as it can be, others and the link itself have their turn.
pub(super) async fn a_busy_stream_starves_nobody(bench: &Bench<'_>) -> Result<(), Violation> {
    const LEN: usize = 60_000;
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut busy, mut busy_there) = opened(bench, &*a, &*b, 1).await?;
    let (mut ours, mut theirs) = opened(bench, &*a, &*b, 2).await?;
    let passed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&passed);
    let writer = tokio::spawn(async move {
        // An end, so that a rule that is broken ends, too.
        for number in 0..(2 * MAX_UNREAD_BYTES / LEN) as u64 {
            if frames::send(&mut busy.0, frame(number, LEN)).await.is_err() {
                break;
            }
        }
        busy
    });
    let reader = tokio::spawn(async move {
        while let Seen::Frame(came) = next(&mut busy_there).await {
            counted.fetch_add(came.len(), Ordering::Relaxed);
        }
    });
    let begun = async {
        while passed.load(Ordering::Relaxed) < 4 << 20 {
            breathe().await;
        }
    };
    bench.soon("a stream gets busy", begun).await?;
    for number in 3..8 {
        let before = passed.load(Ordering::Relaxed);
        let sent = async { send(&mut ours, number, 1000).await };
        let came = async { next(&mut theirs).await.must_be(number, 1000) };
        bench.both("a stream beside a busy one", sent, came).await?;
        bench
            .both("the link beside a busy stream", pair.0.send(number, 900), pair.1.expect(number, 900))
            .await?;
        let meanwhile = passed.load(Ordering::Relaxed) - before;
        ensure!(meanwhile <= MAX_UNREAD_BYTES, "{meanwhile} bytes of a busy stream went before a frame");
    }
    writer.abort();
    reader.abort();
    Ok(())
}

/// Each end has its streams open at once, and when they have ended, it may have as many again.
pub(super) async fn as_many_streams_as_promised_again_and_again(bench: &Bench<'_>) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    for round in 0..4 {
        let mut streams: Vec<(Stream, Stream)> = Vec::new();
        for number in 0..PROMISED {
            streams.push(opened(bench, &*a, &*b, number).await?);
            streams.push(opened(bench, &*b, &*a, number).await?);
        }
        for (number, (ours, theirs)) in (100 * round..).zip(&mut streams) {
            let there = async {
                send(ours, number, 20_000).await?;
                next(ours).await.must_be(number, 10_000)
            };
            let back = async {
                next(theirs).await.must_be(number, 20_000)?;
                send(theirs, number, 10_000).await
            };
            bench.both("one of many streams", there, back).await?;
        }
        for (ours, theirs) in &mut streams {
            let here = async {
                frames::close(&mut ours.0).await.must("closing")?;
                next(ours).await.must_be_the_end("one of many streams")
            };
            let there = async {
                frames::close(&mut theirs.0).await.must("closing")?;
                next(theirs).await.must_be_the_end("one of many streams")
            };
            bench.both("the end of one of many streams", here, there).await?;
        }
    }
    Ok(())
}
