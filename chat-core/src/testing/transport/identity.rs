//! Who is at the other end of a secure link.

use super::bench::{Bench, End, Kind, accept, alice, bob, identity};
use crate::error::LinkError;
use crate::identity::PeerKey;
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

/// Dials with a pin, while somebody serves whoever comes.
async fn dial_pinned(
    bench: &Bench<'_>,
    listener: &mut dyn Listener,
    pinned: u8,
) -> Result<Result<End, LinkError>, Violation> {
    let address = Address { pin: Some(identity(pinned).peer_id()), ..listener.address() };
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
    let right = dial_pinned(bench, &mut *listener, 2).await?.must("dialing with the right pin")?;
    if right.is_bare() {
        bench.note(BARE);
        return Ok(());
    }
    match dial_pinned(bench, &mut *listener, 9).await? {
        Err(LinkError::WrongPeer { expected, found }) => {
            let right = (expected, found) == (identity(9).peer_id(), bob().peer_id());
            ensure!(right, "the refusal says that {found} answered where {expected} was pinned");
            Ok(())
        }
        Err(other) => Err(Violation::new(format!("the refusal is not clear: {other}"))),
        Ok(_) => Err(Violation::new("somebody else than the pinned peer was accepted")),
    }
}
