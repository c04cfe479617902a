//! Who speaks to a listener without the transport, or vanishes without a word. For transports that say what their
//! [`Wire`](super::Wire) is; of others it is noted that nobody tried.

use std::time::Duration;

use tokio::time::timeout;

use super::bench::{Bench, End, Kind, accept, identity};
use super::frames::{self, Seen, frame};
use super::pressure::MAX_UNREAD_BYTES;
use super::tap::Tap;
use super::wire::Wire;
use crate::entropy::Entropy as _;
use crate::testing::Violation;
use crate::testing::entropy::TestEntropy;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::{Listener, MAX_FRAME_BYTES, Peer};

/// No datagram of the networks that are in use is longer.
const PIECE: usize = 1200;

fn wire<'a>(bench: &'a Bench<'_>) -> Option<&'a dyn Wire> {
    let wire = bench.subject().wire();
    if wire.is_none() {
        bench.note("the suite knows no wire of it, so nobody sent raw bytes or fell silent");
    }
    wire
}

/// What strangers say: other protocols, lengths over every limit, nothing that makes sense.
fn rubbish() -> Vec<Vec<u8>> {
    let mut random = vec![0; 20_000];
    // It never fails.
    TestEntropy::new(7).fill(&mut random).unwrap_or_default();
    let client_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &random[..509]].concat();
    vec![
        vec![0],
        vec![0xff],
        vec![0xff; 4],
        vec![0; 3000],
        vec![0xff; 100_000],
        vec![0x7f, 0xff, 0xff, 0xff, 1, 2, 3],
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        client_hello,
        random[..17].to_vec(),
        random,
    ]
}

/// Says something and hangs up, or says nothing more. A listener that hangs up first has said enough.
async fn say(
    wire: &dyn Wire,
    listener: &dyn Listener,
    bytes: &[u8],
) -> Result<Box<dyn super::Line>, Violation> {
    let line = wire.connect(&listener.address()).await.must("reaching a listener by hand")?;
    for piece in bytes.chunks(PIECE) {
        if line.send(piece).await.is_err() {
            break;
        }
    }
    Ok(line)
}

/// Whoever comes: strangers get nothing, and the one who is known gets everything back that it says.
async fn serve(listener: &mut dyn Listener) -> Violation {
    let mut served = tokio::task::JoinSet::new();
    let known = Peer::Key(identity(3).public());
    loop {
        let incoming = tokio::select! {
            incoming = listener.next() => incoming,
            Some(done) = served.join_next() => match done {
                Ok(Ok(())) => continue,
                Ok(Err(violation)) => return violation,
                Err(panic) => return Violation::new(format!("a handshake panicked: {panic}")),
            },
        };
        let incoming = match incoming {
            Ok(incoming) => incoming,
            Err(error) => return Violation::new(format!("rubbish ended the listener: {error}")),
        };
        let known = known.clone();
        served.spawn(async move {
            let Ok(mut end) = accept(incoming).await else { return Ok(()) };
            // Over a bare link it is for the layer above to refuse a stranger.
            let allowed = end.is_bare() || end.kind == Kind::Secure(known);
            ensure!(allowed, "somebody who said rubbish has a secure link");
            while let Some(Ok(frame)) = frames::next(&mut end.source).await {
                ensure!(frame.len() <= MAX_FRAME_BYTES, "rubbish made a frame of {} bytes", frame.len());
                if frames::send(&mut end.sink, frame).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
    }
}

/// Rubbish, other protocols, lengths over the limit: whoever says that gets no secure link, ends no listener, makes
/// nothing panic, and keeps nobody out, whether he hangs up then or not.
pub(super) async fn strangers_get_no_link_and_hold_up_nobody(bench: &Bench<'_>) -> Result<(), Violation> {
    let Some(wire) = wire(bench) else { return Ok(()) };
    let mut listener = bench.listen().await?;
    let mut lines = Vec::new();
    for (number, bytes) in rubbish().iter().enumerate() {
        let what = format!("{} bytes of rubbish, number {number}", bytes.len());
        let newcomer = async {
            // A listener need not read all of it; then the rest of it waits.
            let line = timeout(Duration::from_secs(1), say(wire, &*listener, bytes)).await;
            let stays = number % 2 == 1;
            lines.extend(line.ok().transpose()?.filter(|_| stays));
            Ok(())
        };
        bench.soon(&what, newcomer).await??;
        let address = listener.address();
        let newcomer = async {
            let mut end = bench.dial(&address, &identity(3)).await?.must("dialing")?;
            end.send(1, 1000).await?;
            end.expect(1, 1000).await
        };
        let both = async {
            tokio::select! {
                done = newcomer => done,
                ended = serve(&mut *listener) => Err(ended),
            }
        };
        let came = bench.soon("a newcomer after rubbish", both).await;
        came.and_then(|came| came).map_err(|violation| violation.under(what))?;
    }
    Ok(())
}

/// Whoever begins a handshake and says no more is given up: [`Incoming::handshake`](crate::Incoming::handshake) ends by
/// [`HANDSHAKE_DEADLINE`](crate::transport::HANDSHAKE_DEADLINE). A bare link may be there already, for the layer above to give
/// up.
pub(super) async fn half_a_handshake_ends_by_its_deadline(bench: &Bench<'_>) -> Result<(), Violation> {
    let Some(wire) = wire(bench) else { return Ok(()) };
    let mut listener = bench.listen().await?;
    let (a, b, tap) = Tap::link(bench, wire, &mut *listener).await?;
    let recorded = tap.recorded();
    drop((a, b, tap));
    let first = recorded.first().cloned().unwrap_or_default();
    ensure!(!first.is_empty(), "who dials says nothing");
    let mut lines = Vec::new();
    let mut handshakes = tokio::task::JoinSet::new();
    for begun in [&first[..first.len() / 2], &first] {
        let said = bench.soon("half a handshake", say(wire, &*listener, begun)).await?;
        lines.push(said?);
        // Where a handshake begins with datagrams, nobody may have come yet.
        let Some(incoming) = bench.unless_quiet(listener.next()).await else { continue };
        let incoming = incoming.must("listening")?;
        handshakes.spawn(async move { accept(incoming).await });
    }
    let deadline = bench.handshake_deadline();
    while let Some(ended) = timeout(deadline, handshakes.join_next()).await.map_err(|_| {
        Violation::new("who has said half of a handshake and then nothing is waited for beyond the deadline")
    })? {
        let ended = ended.must("a handshake that was begun and not finished")?;
        let secure = ended.as_ref().is_ok_and(|end| !end.is_bare());
        ensure!(!secure, "half a handshake made a secure link");
    }
    drop(lines);
    Ok(())
}

/// Bytes slipped in by somebody between, all ones: a length over every limit, wherever it stands. Nobody waits for so
/// much: either that ends the link, or (as with datagrams) it is nothing, and what follows arrives.
pub(super) async fn a_length_over_the_limit_is_not_waited_for(bench: &Bench<'_>) -> Result<(), Violation> {
    const ENOUGH: usize = 2 * MAX_FRAME_BYTES;
    let Some(wire) = wire(bench) else { return Ok(()) };
    let mut listener = bench.listen().await?;
    let (mut a, mut b, tap) = Tap::link(bench, wire, &mut *listener).await?;
    bench.both("a frame", a.send(1, 1000), b.expect(1, 1000)).await?;
    let write = async {
        for _ in 0..ENOUGH / PIECE {
            if tap.slip_in(&[0xff; PIECE]).await.is_err() {
                break;
            }
        }
        // If the link is over, nobody takes it.
        drop(a.send(2, 1000).await);
        std::future::pending().await
    };
    let read = async {
        let is_bare = b.is_bare();
        loop {
            match b.next().await {
                Seen::Frame(seen) if seen == frame(2, 1000) => return Ok(()),
                Seen::Frame(seen) if !is_bare => {
                    let what =
                        format!("a frame of {} bytes was made of what somebody slipped in", seen.len());
                    return Err(Violation::new(what));
                }
                Seen::Frame(seen) => {
                    ensure!(seen.len() <= MAX_FRAME_BYTES, "a frame of {} bytes came", seen.len());
                }
                Seen::End | Seen::Error(_) => return Ok(()),
            }
        }
    };
    let both = async {
        tokio::select! { done = read => done, never = write => never }
    };
    bench.soon("reading on after a length over every limit", both).await?
}

/// A peer vanishes without a word, as when a cable is pulled. Who says how soon it notices
/// ([`Subject::noticing_silence_within`](super::Subject::noticing_silence_within)) tells it by then at both
/// ends, as an error. Who leaves that to others stays honest: no frame, no end in good order, and not more than a bounded amount taken.
pub(super) async fn a_peer_that_vanishes_is_noticed_or_waited_for(
    bench: &Bench<'_>,
) -> Result<(), Violation> {
    let Some(wire) = wire(bench) else { return Ok(()) };
    let mut listener = bench.listen().await?;
    let (mut a, mut b, tap) = Tap::link(bench, wire, &mut *listener).await?;
    bench.both("a frame", a.send(1, 1000), b.expect(1, 1000)).await?;
    bench.both("a frame back", b.send(2, 1000), a.expect(2, 1000)).await?;
    tap.fall_silent();
    let Some(within) = bench.subject().notices_within() else {
        bench.note("it does not say how soon it notices a peer that has vanished");
        let both = async {
            tokio::select! { seen = a.next() => seen, seen = b.next() => seen }
        };
        let seen = bench.unless_quiet(both).await;
        let honest = matches!(seen, None | Some(Seen::Error(_)));
        ensure!(honest, "of a peer that has vanished came {seen:?}");
        return waits_for_room(bench, &mut a).await;
    };
    let noticed = async |end: &mut End, who: &str| match bench.within(within, end.next()).await {
        None => {
            Err(Violation::new(format!("{who} has not noticed after {within:?} that its peer has vanished")))
        }
        Some(Seen::Error(_)) => Ok(()),
        Some(other) => Err(Violation::new(format!("of {who}'s peer, which has vanished, came {other:?}"))),
    };
    tokio::try_join!(noticed(&mut a, "the dialer"), noticed(&mut b, "the listener")).map(drop)
}

/// Nobody reads, so the sink takes only so much; or an error.
async fn waits_for_room(bench: &Bench<'_>, end: &mut End) -> Result<(), Violation> {
    const LEN: usize = 60_000;
    let mut taken = 0;
    let mut number = 10;
    while let Some(Ok(())) = bench.unless_quiet(frames::feed(&mut end.sink, frame(number, LEN))).await {
        (taken, number) = (taken + LEN, number + 1);
        ensure!(taken <= MAX_UNREAD_BYTES, "{taken} bytes were taken for a peer that has vanished");
    }
    Ok(())
}
