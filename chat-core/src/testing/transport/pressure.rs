//! Who writes waits for who reads, and memory is bounded.

use super::bench::{Bench, End, breathe};
use super::frames::{self, frame};
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::FrameSink;

/// Most bytes that both ends and what is between them may hold for a reader that does not read. The buffers of the
/// system count in, and grow to several MiB.
pub(super) const MAX_UNREAD_BYTES: usize = 32 << 20;

/// Hands frames over, from this number on, until the sink takes no more. Gives how many it took.
pub(super) async fn fill(
    bench: &Bench<'_>,
    sink: &mut FrameSink,
    first: u64,
    len: usize,
) -> Result<u64, Violation> {
    let mut taken = 0;
    loop {
        match bench.unless_quiet(frames::feed(sink, frame(first + taken, len))).await {
            None => break,
            Some(fed) => fed.must("feeding a frame")?,
        }
        taken += 1;
        let bytes = usize::try_from(taken).unwrap_or(usize::MAX).saturating_mul(len);
        ensure!(bytes <= MAX_UNREAD_BYTES, "{bytes} bytes in frames of {len} were taken though nobody reads");
    }
    ensure!(taken > 0, "no frame was taken");
    Ok(taken)
}

async fn flush(sink: &mut FrameSink) -> Result<(), Violation> {
    frames::flush(sink).await.must("flushing")
}

async fn read(end: &mut End, numbers: std::ops::Range<u64>, len: usize) -> Result<(), Violation> {
    for number in numbers {
        end.expect(number, len).await?;
    }
    Ok(())
}

pub(super) async fn a_reader_that_stops_makes_the_writer_wait(bench: &Bench<'_>) -> Result<(), Violation> {
    for len in [200, 60_000] {
        let (mut a, mut b) = bench.pair().await?;
        let taken = fill(bench, &mut a.sink, 0, len).await?;
        // The frame that had to wait was dropped, and is not on its way.
        let rest = async {
            a.send(taken, len).await?;
            frames::close(&mut a.sink).await.must("closing")
        };
        let all = async {
            read(&mut b, 0..taken + 1, len).await?;
            b.next().await.must_be_the_end("after all that was taken")
        };
        bench.both("what waited", rest, all).await?;
    }
    Ok(())
}

/// Reader and writer are tasks of their own: each sleeps until it is woken.
pub(super) async fn reading_lets_the_writer_go_on(bench: &Bench<'_>) -> Result<(), Violation> {
    const LEN: usize = 60_000;
    let (mut a, mut b) = bench.pair().await?;
    let mut next = 0;
    for _ in 0..3 {
        let taken = fill(bench, &mut a.sink, next, LEN).await?;
        let (from, more) = (next + taken, next + 2 * taken + 10);
        let writer = tokio::spawn(async move {
            for number in from..more {
                a.send(number, LEN).await?;
            }
            Ok::<_, Violation>(a)
        });
        breathe().await;
        ensure!(!writer.is_finished(), "the writer did not wait");
        let reader = tokio::spawn(async move {
            read(&mut b, next..more, LEN).await?;
            Ok::<_, Violation>(b)
        });
        let ended = bench.soon("a writer that waited, or its reader", async { tokio::join!(writer, reader) });
        let (writer, reader) = ended.await?;
        a = writer.must("a task")??;
        b = reader.must("a task")??;
        next = more;
    }
    Ok(())
}

/// A direction that is full stops neither the other nor, for ever, itself.
pub(super) async fn both_may_write_before_either_reads(bench: &Bench<'_>) -> Result<(), Violation> {
    const LEN: usize = 60_000;
    let (mut a, mut b) = bench.pair().await?;
    let there = fill(bench, &mut a.sink, 0, LEN).await?;
    let back = fill(bench, &mut b.sink, 0, LEN).await?;
    // While nobody touches the direction there.
    bench.both("reading while one's own frames wait", flush(&mut b.sink), read(&mut a, 0..back, LEN)).await?;
    bench.both("the other direction", flush(&mut a.sink), read(&mut b, 0..there, LEN)).await
}

pub(super) async fn a_waiting_writer_learns_that_the_reader_is_gone(
    bench: &Bench<'_>,
) -> Result<(), Violation> {
    const LEN: usize = 60_000;
    let (mut a, b) = bench.pair().await?;
    let taken = fill(bench, &mut a.sink, 0, LEN).await?;
    let writer = tokio::spawn(async move { frames::send(&mut a.sink, frame(taken, LEN)).await });
    breathe().await;
    ensure!(!writer.is_finished(), "the writer did not wait");
    drop(b);
    let told = bench.soon("a writer whose reader is gone", writer).await?.must("a task")?;
    ensure!(told.is_err(), "what nobody can read any more counts as sent");
    Ok(())
}
