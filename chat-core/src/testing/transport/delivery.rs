//! Frames arrive: all sizes, whole, in order, both ways.

use super::bench::{Bench, End};
use super::frames::{self, Seen, frame};
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::MAX_FRAME_BYTES;

/// Nothing, little, and what lies at the edges of lengths, packets, records and buffers.
fn sizes() -> Vec<usize> {
    // Noise messages and TLS records, Ethernet, IPv6 and the powers of two.
    let edges = [1232, 1400, 1452, 1500, 16_384, 65_518, 65_535, 65_536, 131_036];
    let powers = [8, 10, 12, 20].map(|bits| 1 << bits);
    let around = edges.into_iter().chain(powers).flat_map(|edge| [edge - 1, edge, edge + 1]);
    [0, 1, 2, 3, 4, 5].into_iter().chain(around).chain([MAX_FRAME_BYTES - 1, MAX_FRAME_BYTES]).collect()
}

pub(super) async fn frames_of_every_size_arrive(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    for (number, len) in (1..).zip(sizes()) {
        let what = format!("a frame of {len} bytes");
        bench.both(&what, a.send(number, len), b.expect(number, len)).await?;
        bench.both(&what, b.send(number + 1000, len), a.expect(number + 1000, len)).await?;
    }
    Ok(())
}

pub(super) async fn frames_cross_both_ways_at_once(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    for (number, len) in (1..).zip([0, 1, 1000, 300_000, 2_000_000, 5, 2_000_000]) {
        let back = number + 1000;
        let there = async {
            let sent = frames::send(&mut a.sink, frame(number, len)).await;
            sent.must("sending a frame")
        };
        let and_back = async {
            let sent = frames::send(&mut b.sink, frame(back, len)).await;
            sent.must("sending a frame")
        };
        let arrive = async { Seen::of(frames::next(&mut b.source).await).must_be(number, len) };
        let arrive_back = async { Seen::of(frames::next(&mut a.source).await).must_be(back, len) };
        let all = async { tokio::try_join!(there, and_back, arrive, arrive_back) };
        bench.soon(&format!("frames of {len} bytes both ways"), all).await??;
    }
    Ok(())
}

/// It is refused before anything of it is sent, and the link is as it was, or over, but never out of step.
pub(super) async fn too_long_a_frame_is_refused(bench: &Bench<'_>) -> Result<(), Violation> {
    for too_long in [MAX_FRAME_BYTES + 1, 2 * MAX_FRAME_BYTES] {
        let (mut a, mut b) = bench.pair().await?;
        bench.both("a frame before", a.send(1, 100), b.expect(1, 100)).await?;
        let refused = bench.soon("a refusal", frames::send(&mut a.sink, frame(2, too_long))).await?;
        match refused {
            Err(LinkError::FrameTooLarge { len, .. }) => {
                ensure!(len == too_long, "the refusal of {too_long} bytes says {len}");
            }
            Err(other) => return Err(Violation::new(format!("the refusal is not clear: {other}"))),
            Ok(()) => return Err(Violation::new(format!("a frame of {too_long} bytes was taken"))),
        }
        let next = async { Seen::of(frames::next(&mut b.source).await) };
        let both = async { tokio::join!(frames::send(&mut a.sink, frame(3, 100)), next) };
        match bench.soon("the frame after one too long", both).await? {
            (Ok(()), seen) => seen.must_be(3, 100)?,
            (Err(_), seen) => seen.must_be_over("after a refusal that ended the link")?,
        }
    }
    Ok(())
}

pub(super) async fn thousands_of_frames_keep_their_order(bench: &Bench<'_>) -> Result<(), Violation> {
    const FRAMES: u64 = 4000;
    let len = |number: u64| usize::try_from(number * 37 % 601).unwrap_or_default();
    let (mut a, mut b) = bench.pair().await?;
    let send = async {
        for number in 0..FRAMES {
            frames::feed(&mut a.sink, frame(number, len(number))).await.must("feeding a frame")?;
        }
        frames::close(&mut a.sink).await.must("closing")
    };
    let receive = async {
        for number in 0..FRAMES {
            b.expect(number, len(number)).await?;
        }
        b.next().await.must_be_the_end("after the last of thousands")
    };
    bench.both("thousands of frames", send, receive).await
}

/// After `flush` the sender does nothing more.
pub(super) async fn what_was_flushed_arrives_by_itself(bench: &Bench<'_>) -> Result<(), Violation> {
    const FRAMES: u64 = 50;
    let (mut a, mut b) = bench.pair().await?;
    for round in 0..3 {
        let numbers = || (round * FRAMES..).take(50);
        let send = async {
            for number in numbers() {
                frames::feed(&mut a.sink, frame(number, 100)).await.must("feeding a frame")?;
            }
            frames::flush(&mut a.sink).await.must("flushing")
        };
        let receive = async {
            for number in numbers() {
                b.expect(number, 100).await?;
            }
            Ok(())
        };
        bench.both("what was flushed", send, receive).await?;
    }
    Ok(())
}

type Figures = [(&'static str, Option<u64>); 4];

fn figures(end: &End) -> Figures {
    let it = end.stats.figures();
    [
        ("sent_bytes", it.sent_bytes),
        ("received_bytes", it.received_bytes),
        ("lost_packets", it.lost_packets),
        ("retransmits", it.retransmits),
    ]
}

/// What an end that has figures says, and that it says so before long without being used.
pub(super) async fn figures_only_grow(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut a, mut b) = bench.pair().await?;
    let mut before = [figures(&a), figures(&b)];
    for (number, len) in (1..).zip([1, 10_000, 300_000, 1, 10_000]) {
        bench.both("a frame", a.send(number, len), b.expect(number, len)).await?;
        bench.both("its echo", b.send(number, len), a.expect(number, len)).await?;
        let what = format!("figures of bytes grow by the {len} that went each way");
        let looked = async || {
            let now = [figures(&a), figures(&b)];
            let pairs = before.iter().flatten().zip(now.iter().flatten());
            let mut grown = true;
            for ((name, earlier), (_, later)) in pairs {
                if earlier.is_some() && earlier > later {
                    return Some(Err(Violation::new(format!("{name} went from {earlier:?} to {later:?}"))));
                }
                let by = later.unwrap_or_default().saturating_sub(earlier.unwrap_or_default());
                grown &= !name.ends_with("_bytes") || earlier.is_none() || by >= len as u64;
            }
            grown.then_some(Ok(now))
        };
        before = bench.look(&what, looked).await??;
    }
    Ok(())
}
