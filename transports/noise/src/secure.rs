use std::io;

use bytes::Bytes;
use chat_core::transport::{BareLink, HANDSHAKE_DEADLINE, Peer};
use chat_core::{
    Address, Dialed, Entropy, Identity, Incoming, Link, LinkError, OsEntropy, PeerId, PeerKey, Transport,
};
use futures_util::{SinkExt as _, StreamExt as _};

use crate::error::HandshakeError;
use crate::foreign::looks_like;
use crate::frames::{SealedSink, SealedSource};
use crate::handshake::Handshake;
use crate::messages::{Opener, Sealer};

/// Authenticates both ends of a bare link and encrypts it from here on. Ends within [`HANDSHAKE_DEADLINE`].
/// Dropping the future drops the link. The peer is whoever is there; [`check_pin`] holds it against an address.
///
/// # Errors
/// [`LinkError::NotAuthenticated`], [`LinkError::ForeignProtocol`], [`LinkError::Timeout`], or those of the bare link.
pub async fn secure(bare: BareLink, me: &Identity) -> Result<Link, LinkError> {
    secure_with(bare, me, Box::new(OsEntropy)).await
}

/// As [`secure`], with the randomness handed in.
///
/// # Errors
/// As [`secure`].
pub async fn secure_with(
    bare: BareLink,
    me: &Identity,
    entropy: Box<dyn Entropy>,
) -> Result<Link, LinkError> {
    in_time(handshake(bare, me, None, entropy)).await
}

/// Dials, secures the link if it is bare, and checks the address's pin: all of it within [`HANDSHAKE_DEADLINE`].
/// On a bare link, another peer than the pinned one is not told who called.
/// Dropping the future closes whatever was begun.
///
/// # Errors
/// As [`Transport::dial`], [`secure`] and [`check_pin`].
pub async fn dial(transport: &dyn Transport, to: &Address, me: &Identity) -> Result<Link, LinkError> {
    dial_with(transport, to, me, Box::new(OsEntropy)).await
}

/// As [`dial`], with the randomness of the layer (not of the transport) handed in.
///
/// # Errors
/// As [`dial`].
pub async fn dial_with(
    transport: &dyn Transport,
    to: &Address,
    me: &Identity,
    entropy: Box<dyn Entropy>,
) -> Result<Link, LinkError> {
    in_time(async {
        let link = finish(transport.dial(to, me).await?, me, to.pin, entropy).await?;
        check_pin(&link, to)?;
        Ok(link)
    })
    .await
}

/// Finishes the handshake of somebody who dialed us, within [`HANDSHAKE_DEADLINE`] in total, and secures the link
/// if it is bare. Dropping the future closes the connection.
///
/// # Errors
/// As [`Incoming::handshake`] and [`secure`].
pub async fn accept(incoming: Box<dyn Incoming>, me: &Identity) -> Result<Link, LinkError> {
    in_time(async { finish(incoming.handshake().await?, me, None, Box::new(OsEntropy)).await }).await
}

/// Checks that the pinned peer is at the other end, if the address pins one.
///
/// # Errors
/// [`LinkError::WrongPeer`]; [`LinkError::NotAuthenticated`] if the peer proved a name but no key.
pub fn check_pin(link: &Link, address: &Address) -> Result<(), LinkError> {
    match (address.pin, &link.peer) {
        (None, _) => Ok(()),
        (Some(expected), Peer::Key(key)) => check_key(key, expected),
        (Some(_), Peer::Name(_)) => {
            Err(LinkError::NotAuthenticated("the address pins a key, but the peer proved only a name"))
        }
    }
}

fn check_key(key: &PeerKey, expected: PeerId) -> Result<(), LinkError> {
    let found = key.peer_id();
    if found == expected { Ok(()) } else { Err(LinkError::WrongPeer { expected, found }) }
}

async fn in_time(link: impl Future<Output = Result<Link, LinkError>>) -> Result<Link, LinkError> {
    let late = |_| Err(LinkError::Timeout("the handshake of the link"));
    tokio::time::timeout(HANDSHAKE_DEADLINE, link).await.unwrap_or_else(late)
}

async fn finish(
    dialed: Dialed,
    me: &Identity,
    pin: Option<PeerId>,
    entropy: Box<dyn Entropy>,
) -> Result<Link, LinkError> {
    match dialed {
        Dialed::Secure(link) => Ok(link),
        Dialed::Bare(bare) => handshake(bare, me, pin, entropy).await,
    }
}

async fn handshake(
    bare: BareLink,
    me: &Identity,
    pin: Option<PeerId>,
    mut entropy: Box<dyn Entropy>,
) -> Result<Link, LinkError> {
    let BareLink { transport, role, mut sink, mut source, stats } = bare;
    let mut handshake = Handshake::with_entropy(role, transport, me, &mut *entropy)?;
    let mut first = true;
    while !handshake.is_finished() {
        if handshake.is_my_turn() {
            sink.send(Bytes::from(handshake.write_message()?)).await?;
            continue;
        }
        let message = source.next().await.ok_or_else(hung_up)??;
        match handshake.read_message(&message) {
            Err(HandshakeError::Length { .. }) if first => {
                return Err(LinkError::ForeignProtocol { looks_like: looks_like(&message) });
            }
            read => read?,
        }
        // Before the answer, which would say who we are.
        if let (Some(expected), Some(peer)) = (pin, handshake.peer()) {
            check_key(peer, expected)?;
        }
        first = false;
    }
    let secured = handshake.finish()?;
    Ok(Link {
        peer: Peer::Key(secured.peer),
        sink: Box::pin(SealedSink::new(sink, Sealer::new(&secured.send_key))),
        source: Box::pin(SealedSource::new(source, Opener::new(&secured.receive_key))),
        datagrams: None,
        streams: None,
        stats,
    })
}

fn hung_up() -> LinkError {
    LinkError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end hung up during the handshake"))
}
