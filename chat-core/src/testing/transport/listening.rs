//! Dialing, listening, and many links at once.

use super::bench::{Bench, End, Kind, accept, alice, bob, breathe, identity};
use super::frames::{self, polled};
use crate::error::LinkError;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::{Listener, Role};

/// A frame each way.
async fn talk(bench: &Bench<'_>, a: &mut End, b: &mut End) -> Result<(), Violation> {
    bench.both("a frame there", a.send(1, 1000), b.expect(1, 1000)).await?;
    bench.both("a frame back", b.send(2, 1000), a.expect(2, 1000)).await
}

pub(super) async fn each_place_has_its_own_listener(bench: &Bench<'_>) -> Result<(), Violation> {
    let (mut one, mut other) = (bench.listen().await?, bench.listen().await?);
    ensure!(one.address() != other.address(), "two listeners are both at {}", one.address());
    let (mut a, mut b) = bench.link(&mut *one).await?;
    let (mut c, mut d) = bench.link(&mut *other).await?;
    talk(bench, &mut a, &mut b).await?;
    talk(bench, &mut c, &mut d).await
}

pub(super) async fn a_place_in_use_is_refused(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen().await?;
    let taken = listener.address();
    match bench.listen_at(&taken, &identity(3)).await? {
        Err(LinkError::AddressInUse { .. }) => {}
        Err(other) => return Err(Violation::new(format!("the refusal is not clear: {other}"))),
        Ok(_) => return Err(Violation::new(format!("two listen at {taken}"))),
    }
    let (mut a, mut b) = bench.link(&mut *listener).await?;
    talk(bench, &mut a, &mut b).await
}

pub(super) async fn a_place_is_free_again_after_its_listener(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen().await?;
    let place = listener.address();
    let link = bench.link(&mut *listener).await?;
    // Links may share the listener's socket: until the last one is gone, it may keep the place.
    drop((listener, link));
    let me = bob();
    let again = async || bench.listen_at(&place, &me).await.ok()?.ok();
    let mut listener = bench.look("a place is free again", again).await?;
    let (mut a, mut b) = bench.link(&mut *listener).await?;
    talk(bench, &mut a, &mut b).await
}

pub(super) async fn links_outlive_their_listener(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen().await?;
    let (mut a, mut b) = bench.link(&mut *listener).await?;
    drop(listener);
    for _ in 0..3 {
        breathe().await;
        talk(bench, &mut a, &mut b).await?;
    }
    Ok(())
}

pub(super) async fn dialing_nobody_is_told(bench: &Bench<'_>) -> Result<(), Violation> {
    let me = alice();
    let attempt = async || {
        let vacant = bench.listen().await.map(|listener| listener.address());
        let dialed = match &vacant {
            Ok(vacant) => bench.dial(vacant, &me).await,
            Err(why) => Err(why.clone()),
        };
        match dialed {
            Err(hangs) => Some(Err(hangs)),
            Ok(Err(LinkError::Unreachable { .. })) => Some(Ok(())),
            Ok(Err(other)) => Some(Err(Violation::new(format!("it is not said to be unreachable: {other}")))),
            // Somebody else may have taken the place meanwhile.
            Ok(Ok(_)) => None,
        }
    };
    bench.look("dialing a place that its listener has left fails", attempt).await?
}

/// Serves everybody who comes: whoever says something gets it back.
async fn echo(listener: &mut dyn Listener) -> Violation {
    let mut served = tokio::task::JoinSet::new();
    loop {
        match listener.next().await {
            Ok(incoming) => served.spawn(async move {
                let Ok(mut end) = accept(incoming).await else { return };
                while let Some(Ok(frame)) = frames::next(&mut end.source).await {
                    if frames::send(&mut end.sink, frame).await.is_err() {
                        return;
                    }
                }
            }),
            Err(error) => return Violation::new(format!("listening ended: {error}")),
        };
    }
}

/// Those who came and are not asked to go on, or do not go on themselves, keep nobody out.
pub(super) async fn a_stalled_handshake_holds_up_nobody(bench: &Bench<'_>) -> Result<(), Violation> {
    for stalled_after in 1..=4 {
        let mut listener = bench.listen().await?;
        let (address, me) = (listener.address(), alice());
        let transport = bench.transport()?;
        let mut slow: Vec<_> = (0..3).map(|_| transport.dial(&address, &me)).collect();
        for dial in &mut slow {
            for _ in 0..stalled_after {
                // Later it is polled no more, but not dropped either.
                if polled(1, dial.as_mut()).await.is_some() {
                    break;
                }
                breathe().await;
            }
        }
        // Those that have arrived by now are taken and left alone.
        let mut waiting = Vec::new();
        while let Some(incoming) = bench.unless_quiet(listener.next()).await {
            waiting.push(incoming.must("listening")?);
        }
        let newcomer = async {
            let mut end = bench.dial(&address, &identity(3)).await?.must("dialing")?;
            end.send(1, 1000).await?;
            end.expect(1, 1000).await
        };
        let both = async {
            tokio::select! {
                done = newcomer => done,
                ended = echo(&mut *listener) => Err(ended),
            }
        };
        bench.soon("a newcomer while others stall in their handshakes", both).await??;
    }
    Ok(())
}

pub(super) async fn many_links_do_not_mix(bench: &Bench<'_>) -> Result<(), Violation> {
    const LINKS: u8 = 24;
    const FRAMES: u64 = 12;
    let len = |number: u64| usize::try_from(8 + number * 7919 % 20_000).unwrap_or_default();
    let mut listener = bench.listen().await?;
    let address = listener.address();
    let mut dialers = tokio::task::JoinSet::new();
    for link in 0..LINKS {
        let (transport, address) = (bench.transport()?, address.clone());
        dialers.spawn(async move {
            let dialed = transport.dial(&address, &identity(10 + link)).await;
            let mut end = End::from(dialed.must("dialing")?);
            for number in (u64::from(link) * 1000..).take(FRAMES as usize) {
                end.send(number, len(number)).await?;
                end.expect(number, len(number)).await?;
            }
            Ok(())
        });
    }
    let all = async {
        tokio::select! {
            done = dialers.join_all() => done.into_iter().collect(),
            ended = echo(&mut *listener) => Err(ended),
        }
    };
    bench.soon("many links at once", all).await?
}

pub(super) async fn both_ends_agree_what_the_link_is(bench: &Bench<'_>) -> Result<(), Violation> {
    let (a, b) = bench.pair().await?;
    match (&a.kind, &b.kind) {
        (Kind::Bare { transport: ours, role: dialed }, Kind::Bare { transport: theirs, role: listened }) => {
            // The layer above binds both into its handshake.
            ensure!(ours == theirs, "one end calls the transport {ours}, the other {theirs}");
            let right = (*dialed, *listened) == (Role::Initiator, Role::Responder);
            ensure!(right, "who dialed is {dialed:?}, who listened {listened:?}");
            Ok(())
        }
        (Kind::Secure(_), Kind::Secure(_)) => Ok(()),
        (ours, theirs) => Err(Violation::new(format!("one end has {ours:?}, the other {theirs:?}"))),
    }
}
