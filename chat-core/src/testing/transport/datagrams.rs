//! Datagrams, if the link has any: native or emulated, the same holds. They may be lost, never altered.

use std::sync::Arc;

use bytes::Bytes;

use super::bench::{Bench, End, breathe};
use super::frames::{frame, number_of};
use super::pressure::MAX_UNREAD_BYTES;
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::Datagrams;

/// Datagrams of which one at least must arrive.
const TRIES: u64 = 50;

fn of(bench: &Bench<'_>, pair: &(End, End)) -> Result<Option<[Arc<dyn Datagrams>; 2]>, Violation> {
    match (&pair.0.datagrams, &pair.1.datagrams) {
        (Some(a), Some(b)) => Ok(Some([Arc::clone(a), Arc::clone(b)])),
        (None, None) => {
            bench.note("the link has no datagrams");
            Ok(None)
        }
        _ => Err(Violation::new("one end has datagrams, and the other has none")),
    }
}

pub(super) async fn datagrams_arrive_unaltered(bench: &Bench<'_>) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    ensure!(a.max_len() > 0 && b.max_len() > 0, "no datagram fits");
    for (from, to) in [(&a, &b), (&b, &a)] {
        let longest = from.max_len();
        for len in [0, 1, 8, 100, longest / 2, longest].into_iter().filter(|&len| len <= longest) {
            one_arrives(bench, &**from, &**to, len).await?;
        }
    }
    Ok(())
}

async fn one_arrives(
    bench: &Bench<'_>,
    from: &dyn Datagrams,
    to: &dyn Datagrams,
    len: usize,
) -> Result<(), Violation> {
    for number in 0..TRIES {
        from.send(frame(number, len)).must("sending a datagram")?;
        let Some(came) = bench.unless_quiet(to.recv()).await else { continue };
        let came = came.must("receiving a datagram")?;
        let sent = number_of(&came).unwrap_or_default();
        if came.len() != len {
            // A late one of another length; of those that are too short to have a number, any may be it.
            ensure!(came == frame(sent, came.len()), "{} bytes came that nobody sent", came.len());
            continue;
        }
        ensure!(
            (0..=number).any(|number| came == frame(number, len)),
            "a datagram of {len} bytes was altered on its way"
        );
        return Ok(());
    }
    Err(Violation::new(format!("of {TRIES} datagrams of {len} bytes none arrived")))
}

pub(super) async fn too_long_a_datagram_is_refused(bench: &Bench<'_>) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    for end in [a, b] {
        let too_long = end.max_len() + 1;
        match end.send(frame(1, too_long)) {
            Err(LinkError::FrameTooLarge { len, .. }) => {
                ensure!(len == too_long, "the refusal of {too_long} bytes says {len}");
            }
            Err(other) => return Err(Violation::new(format!("the refusal is not clear: {other}"))),
            Ok(()) => return Err(Violation::new(format!("a datagram of {too_long} bytes was taken"))),
        }
    }
    Ok(())
}

/// They are dropped when nobody takes them: memory is bounded, and frames are not held up.
pub(super) async fn datagrams_nobody_reads_are_dropped(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let datagram = Bytes::from(vec![7; a.max_len()]);
    let sent = 2 * MAX_UNREAD_BYTES;
    for number in 0..sent / a.max_len() {
        a.send(datagram.clone()).must("sending a datagram")?;
        if number % 64 == 0 {
            breathe().await;
        }
    }
    bench.both("a frame beside datagrams", pair.0.send(1, 1000), pair.1.expect(1, 1000)).await?;
    let mut kept = 0;
    while let Some(came) = bench.unless_quiet(b.recv()).await {
        kept += came.must("receiving a datagram")?.len();
    }
    ensure!(kept <= MAX_UNREAD_BYTES, "{kept} of {sent} bytes that nobody took were kept");
    Ok(())
}

pub(super) async fn datagrams_end_with_their_link(bench: &Bench<'_>) -> Result<(), Violation> {
    let pair = bench.pair().await?;
    let Some([a, b]) = of(bench, &pair)? else { return Ok(()) };
    let reader = tokio::spawn(async move { b.recv().await });
    breathe().await;
    ensure!(!reader.is_finished(), "the reader did not wait");
    drop((pair.0, a));
    let told = bench.soon("who waits for a datagram when the link ends", reader).await?;
    ensure!(told.must("a task")?.is_err(), "a datagram came of a link that has ended");
    drop(pair.1);
    Ok(())
}
