//! How a stream ends: in one direction, by a cut, because nobody reads it, or before it began.

use super::bench::{Bench, breathe};
use super::frames::{self, Seen, frame};
use super::streams::{next, of, opened, send};
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};

pub(super) async fn closing_one_direction_of_a_stream_leaves_the_other(
    bench: &Bench<'_>,
) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut ours, mut theirs) = opened(bench, &*a, &*b, 1).await?;
    let close = async { frames::close(&mut ours.0).await.must("closing") };
    let end = async { next(&mut theirs).await.must_be_the_end("a direction that was closed") };
    bench.both("a stream's close", close, end).await?;
    for number in 2..6 {
        let sent = async { send(&mut theirs, number, 30_000).await };
        let came = async { next(&mut ours).await.must_be(number, 30_000) };
        bench.both("the other direction of a stream", sent, came).await?;
    }
    let close = async { frames::close(&mut theirs.0).await.must("closing") };
    let end = async { next(&mut ours).await.must_be_the_end("the other direction, closed") };
    bench.both("the close of the other direction", close, end).await
}

/// What was cut does not look complete, and costs the link nothing.
pub(super) async fn a_stream_that_is_dropped_is_a_cut(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (ours, mut theirs) = opened(bench, &*a, &*b, 1).await?;
    let reader = tokio::spawn(async move { (next(&mut theirs).await, theirs) });
    breathe().await;
    ensure!(!reader.is_finished(), "the reader did not wait");
    drop(ours);
    let (seen, mut theirs) = bench.soon("a stream's cut", reader).await?.must("a task")?;
    match seen {
        Seen::Error(_) => {}
        Seen::End => return Err(Violation::new("a stream that was cut looks complete")),
        Seen::Frame(_) => return Err(Violation::new("a frame came that nobody sent")),
    }
    bench.soon("after a cut", next(&mut theirs)).await?.must_be_the_end("after a cut")?;
    bench.both("the link of a stream that was cut", pair.0.send(5, 1000), pair.1.expect(5, 1000)).await
}

pub(super) async fn who_writes_to_a_stream_that_nobody_reads_is_told(
    bench: &Bench<'_>,
) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let (mut ours, theirs) = opened(bench, &*a, &*b, 1).await?;
    let writer = tokio::spawn(async move {
        for number in 0.. {
            if let Err(error) = frames::send(&mut ours.0, frame(number, 60_000)).await {
                return (error, ours);
            }
        }
        (LinkError::Closed, ours)
    });
    breathe().await;
    // The other direction is not touched.
    let (sink, source) = theirs;
    drop(source);
    let (_, ours) = bench.soon("a writer whose reader is gone", writer).await?.must("a task")?;
    let (mut theirs, mut ours) = (sink, ours.1);
    let sent = async { frames::send(&mut theirs, frame(7, 1000)).await.must("sending a frame") };
    let came = async { Seen::of(frames::next(&mut ours).await).must_be(7, 1000) };
    bench.both("the other direction of a stream that nobody reads", sent, came).await?;
    bench.both("the link of such a stream", pair.0.send(5, 1000), pair.1.expect(5, 1000)).await
}

/// Who has no use for streams drops what takes them: whoever opens one is told before long, and the link goes on.
pub(super) async fn streams_that_nobody_takes_are_refused(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    drop((b, pair.1.streams.take()));
    let refused = async {
        let Ok(mut stream) = a.open().await else { return Ok(()) };
        // It may be taken before the refusal has come.
        if frames::send(&mut stream.0, frame(1, 50)).await.is_err() {
            return Ok(());
        }
        match next(&mut stream).await {
            Seen::Error(_) => Ok(()),
            Seen::Frame(_) | Seen::End => Err(Violation::new("somebody took a stream that nobody takes")),
        }
    };
    let other_end = async {
        match bench.unless_quiet(pair.1.next()).await {
            None => Ok(()),
            Some(seen) => Err(Violation::new(format!("a refused stream shows on the link: {seen:?}"))),
        }
    };
    bench.both("a stream that nobody takes", refused, other_end).await?;
    bench.both("the link of a refused stream", pair.0.send(5, 1000), pair.1.expect(5, 1000)).await
}
