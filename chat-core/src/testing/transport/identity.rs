//! Who is at the other end of a secure link.

use super::bench::{Bench, End, Kind, accept, alice, bob, identity, mallory_as};
use crate::error::LinkError;
use crate::identity::PeerKey;
use crate::ids::PeerId;
use crate::testing::Violation;
use crate::testing::rule::{Must as _, ensure};
use crate::transport::{Address, Listener, Peer};

const BARE: &str = "the link is bare: who is there is for the layer above it to prove";

fn must_be(end: &End, who: PeerKey) -> Result<(), Violation> {
    match &end.kind {
        Kind::Secure(Peer::Key(key)) => {
            ensure!(*key == who, "{key:?} is said to be there, and {who:?} is");
            Ok(())
        }
        other => Err(Violation::new(format!("{who:?} is there, and this is known: {other:?}"))),
    }
}

pub(super) async fn each_end_knows_the_other(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen().await?;
    for seed in [1, 3, 2] {
        let (address, me) = (listener.address(), identity(seed));
        let accepted = async { accept(listener.next().await?).await };
        let both = async { tokio::join!(bench.dial(&address, &me), accepted) };
        let (dialed, accepted) = bench.soon("a handshake", both).await?;
        let (a, b) = (dialed?.must("dialing")?, accepted.must("the handshake")?);
        if a.is_bare() {
            bench.note(BARE);
            return Ok(());
        }
        must_be(&a, bob().public())?;
        // The last time it is Bob's own key: a node that hosts dials itself.
        must_be(&b, me.public())?;
    }
    Ok(())
}

/// Alice dials with a pin or without, while somebody serves whoever comes.
async fn dial_served(
    bench: &Bench<'_>,
    listener: &mut dyn Listener,
    pin: Option<PeerId>,
) -> Result<Result<End, LinkError>, Violation> {
    let address = Address { pin, ..listener.address() };
    let serve = async {
        let mut served = Vec::new();
        loop {
            match listener.next().await {
                // Whether it succeeds is the dialer's to say.
                Ok(incoming) => served.push(accept(incoming).await),
                Err(error) => return error,
            }
        }
    };
    let me = alice();
    tokio::select! {
        dialed = bench.dial(&address, &me) => dialed,
        error = serve => Err(Violation::new(format!("listening ended: {error}"))),
    }
}

pub(super) async fn the_pinned_peer_must_answer(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen().await?;
    let right = dial_served(bench, &mut *listener, Some(bob().peer_id()))
        .await?
        .must("dialing with the right pin")?;
    if right.is_bare() {
        bench.note(BARE);
        return Ok(());
    }
    match dial_served(bench, &mut *listener, Some(identity(9).peer_id())).await? {
        Err(LinkError::WrongPeer { expected, found }) => {
            let right = (expected, found) == (identity(9).peer_id(), bob().peer_id());
            ensure!(right, "the refusal says that {found} answered where {expected} was pinned");
            Ok(())
        }
        Err(other) => Err(Violation::new(format!("the refusal is not clear: {other}"))),
        Ok(_) => Err(Violation::new("somebody else than the pinned peer was accepted")),
    }
}

fn must_not_be(end: &End, claimed: PeerKey, who: &str) -> Result<(), Violation> {
    let believed = end.kind == Kind::Secure(Peer::Key(claimed));
    ensure!(!believed, "{who}, who has not the key, is taken for {claimed:?}");
    Ok(())
}

/// Mallory dials as Alice, who was there before, and as Bob, whom he dials; Bob takes him for neither. What Mallory's end
/// makes of it is not asked.
pub(super) async fn who_dials_must_prove_who_it_is(bench: &Bench<'_>) -> Result<(), Violation> {
    let mut listener = bench.listen().await?;
    let address = listener.address();
    // Once she is in, all who came before her were heard.
    let last = identity(3);
    let serve = async {
        let mut served: Vec<End> = Vec::new();
        while served.last().is_none_or(|end| !end.is_bare() && must_be(end, last.public()).is_err()) {
            let incoming = listener.next().await.must("waiting for who dials")?;
            served.extend(accept(incoming).await);
        }
        Ok::<_, Violation>(served)
    };
    let dial = async {
        let honest = bench.dial(&address, &alice()).await?.must("dialing")?;
        let mut held = Vec::new();
        if !honest.is_bare() {
            for liar in [mallory_as(&alice()), mallory_as(&bob())] {
                held.push(bench.dial(&address, &liar).await?);
            }
            held.push(Ok(bench.dial(&address, &last).await?.must("dialing after the liars")?));
        }
        Ok::<_, Violation>((honest, held))
    };
    let both = async { tokio::try_join!(serve, dial) };
    let (served, (honest, _held)) =
        bench.soon("an honest dialer after two liars is known for who it is", both).await??;
    if honest.is_bare() {
        bench.note(BARE);
        return Ok(());
    }
    let (first, others) = served.split_first().ok_or_else(|| Violation::new("nobody was served"))?;
    must_be(first, alice().public())?;
    others.iter().try_for_each(|end| {
        must_not_be(end, alice().public(), "somebody who dials")?;
        must_not_be(end, bob().public(), "somebody who dials")
    })
}

/// Mallory listens as Bob, and as Alice herself, who dials; she takes him for neither, and has no link at all if she
/// pinned whom he claims to be.
pub(super) async fn who_listens_must_prove_who_it_is(bench: &Bench<'_>) -> Result<(), Violation> {
    for claimed in [bob(), alice()] {
        let Ok(mut listener) = bench.listen_at(&bench.subject().place(), &mallory_as(&claimed)).await? else {
            bench.note("it does not listen for a liar, so nobody was tried who does");
            continue;
        };
        match dial_served(bench, &mut *listener, None).await? {
            Ok(end) if end.is_bare() => {
                bench.note(BARE);
                return Ok(());
            }
            Ok(end) => must_not_be(&end, claimed.public(), "somebody who listens")?,
            Err(_) => {}
        }
        let pinned = dial_served(bench, &mut *listener, Some(claimed.peer_id())).await?;
        ensure!(pinned.is_err(), "somebody who has not the key of the pinned peer was accepted");
    }
    Ok(())
}
