//! How a link ends: well, by half, without a word, in the middle of a frame.

use super::bench::{Bench, breathe};
use super::frames::{self, Seen, frame, number_of};
use super::pressure::fill;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::{FrameSink, FrameSource};

pub(super) async fn a_close_is_an_end_after_every_frame(bench: &Bench<'_>) -> Result<(), Violation> {
    const FRAMES: u64 = 300;
    let (mut a, mut b) = bench.pair().await?;
    let close = async {
        for number in 0..FRAMES {
            frames::feed(&mut a.sink, frame(number, 2000)).await.must("feeding a frame")?;
        }
        frames::feed(&mut a.sink, frame(FRAMES, 300_000)).await.must("feeding a frame")?;
        frames::close(&mut a.sink).await.must("closing")
    };
    let read = async {
        for number in 0..FRAMES {
            b.expect(number, 2000).await?;
        }
        b.expect(FRAMES, 300_000).await?;
        b.next().await.must_be_the_end("after a close")?;
        b.next().await.must_be_the_end("after the end")
    };
    bench.both("a close", close, read).await
}

pub(super) async fn a_close_wakes_a_reader_that_waits(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    bench.both("a frame", a.send(1, 10), b.expect(1, 10)).await?;
    let reader = tokio::spawn(async move { b.next().await });
    breathe().await;
    ensure!(!reader.is_finished(), "the reader did not wait");
    let both = async { tokio::join!(frames::close(&mut a.sink), reader) };
    let (closed, seen) = bench.soon("a reader that waits while the other end closes", both).await?;
    closed.must("closing")?;
    seen.must("a task")?.must_be_the_end("a close")
}

/// Frames that nobody closed the link upon may be lost with it; those before a close are not.
pub(super) async fn a_link_may_be_dropped_once_it_is_closed(bench: &Bench<'_>) -> Result<(), Violation> {
    const FRAMES: u64 = 150;
    let (mut a, mut b) = bench.pair().await?;
    let close = async {
        for number in 0..FRAMES {
            frames::feed(&mut a.sink, frame(number, 5000)).await.must("feeding a frame")?;
        }
        frames::close(&mut a.sink).await.must("closing")?;
        drop(a);
        Ok(())
    };
    let read = async {
        for number in 0..FRAMES {
            b.expect(number, 5000).await?;
        }
        b.next().await.must_be_the_end("after a close")
    };
    bench.both("a link that is closed and dropped", close, read).await
}

pub(super) async fn both_may_close_at_once(bench: &Bench<'_>) -> Result<(), Violation> {
    const FRAMES: u64 = 100;
    let (mut a, mut b) = bench.pair().await?;
    let write = async |sink: &mut FrameSink| {
        for number in 0..FRAMES {
            frames::feed(sink, frame(number, 3000)).await.must("feeding a frame")?;
        }
        frames::close(sink).await.must("closing")
    };
    let read = async |source: &mut FrameSource| {
        for number in 0..FRAMES {
            Seen::of(frames::next(source).await).must_be(number, 3000)?;
        }
        Seen::of(frames::next(source).await).must_be_the_end("after a close")
    };
    let all = async {
        tokio::try_join!(write(&mut a.sink), write(&mut b.sink), read(&mut a.source), read(&mut b.source))
    };
    bench.soon("two closes that cross", all).await??;
    Ok(())
}

pub(super) async fn closing_twice_is_no_error(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    let close = async {
        a.send(1, 100).await?;
        for time in ["the first", "the second", "the third"] {
            let closed = frames::close(&mut a.sink).await;
            closed.map_err(|error| Violation::new(format!("{time} close: {error}")))?;
        }
        Ok(())
    };
    let read = async {
        b.expect(1, 100).await?;
        b.next().await.must_be_the_end("after closes")
    };
    bench.both("closes", close, read).await
}

pub(super) async fn nothing_is_sent_after_a_close(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    let close = async {
        a.send(1, 100).await?;
        frames::close(&mut a.sink).await.must("closing")?;
        for len in [0, 100] {
            let sent = frames::send(&mut a.sink, frame(2, len)).await;
            ensure!(sent.is_err(), "a frame of {len} bytes was taken after the close");
        }
        Ok(())
    };
    let read = async {
        b.expect(1, 100).await?;
        b.next().await.must_be_the_end("after a close")
    };
    bench.both("a send after a close", close, read).await
}

/// The two directions of a link end one by one.
pub(super) async fn closing_one_direction_leaves_the_other(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    let closed = async { frames::close(&mut a.sink).await.must("closing") };
    let seen = async { Seen::of(frames::next(&mut b.source).await).must_be_the_end("a close") };
    bench.both("a close", closed, seen).await?;
    for (number, len) in (1..).zip([10, 1_900_000, 0]) {
        bench.both("a frame after the other end closed", b.send(number, len), a.expect(number, len)).await?;
    }
    let closed = async { frames::close(&mut b.sink).await.must("closing") };
    let seen = async { Seen::of(frames::next(&mut a.source).await).must_be_the_end("the other close") };
    bench.both("the other close", closed, seen).await
}

pub(super) async fn a_link_that_is_dropped_is_noticed(bench: &Bench<'_>) -> Result<(), Violation> {
    for dialer_goes in [true, false] {
        let (mut a, mut b) = bench.pair().await?;
        bench.both("a frame", a.send(1, 10), b.expect(1, 10)).await?;
        let (gone, mut left) = if dialer_goes { (a, b) } else { (b, a) };
        let reader = tokio::spawn(async move {
            let seen = left.next().await;
            (seen, left)
        });
        breathe().await;
        ensure!(!reader.is_finished(), "the reader did not wait");
        drop(gone);
        let noticed = bench.soon("a reader whose other end was dropped", reader).await?;
        let (seen, mut left) = noticed.must("a task")?;
        seen.must_be_over("a link that was dropped")?;
        let again = bench.soon("a source that has ended", left.next()).await?;
        again.must_be_the_end("an end is told once")?;
        let refused = async || frames::send(&mut left.sink, frame(2, 1000)).await.err();
        bench.look("a send to nobody fails", refused).await?;
    }
    Ok(())
}

/// Who writes vanishes while a frame is on its way: the reader gets whole frames or none of it.
pub(super) async fn a_frame_cut_short_is_not_delivered(bench: &Bench<'_>) -> Result<(), Violation> {
    // No divisor of any buffer's size.
    const LEN: usize = 700_001;
    let (mut a, mut b) = bench.pair().await?;
    let is_bare = b.is_bare();
    let taken = fill(bench, &mut a.sink, 0, LEN).await?;
    drop(a);
    let mut came = 0;
    let over = loop {
        match bench.soon("the end of a link that was cut", b.next()).await? {
            Seen::Frame(seen) => {
                let whole = seen == frame(came, LEN);
                let number = number_of(&seen);
                ensure!(whole, "after {came} frames came {} bytes, number {number:?}", seen.len());
                came += 1;
            }
            over => break over,
        }
    };
    ensure!(came <= taken, "{came} frames came of {taken}");
    // Whoever puts a layer over a bare link finds out by it.
    let told = matches!(over, Seen::Error(_)) || came == taken || is_bare;
    ensure!(told, "{came} of {taken} frames came, and then an end as if that were all");
    Ok(())
}
