//! Carrying frames between two nodes over one kind of network.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use serde::Serialize;

use crate::error::LinkError;
use crate::identity::{Identity, PeerKey};
use crate::ids::PeerId;

pub mod emulated;
mod receive;

pub use receive::ReceiveMemory;

/// Longest frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 2 << 20;
/// Everything from a connection's first byte to an authenticated link must happen in this time.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Where frames go in. Reliable and ordered; not ready while the peer doesn't keep up, so memory is bounded.
/// Dropping a pending `send` either has queued the frame or has not; it is never torn. What was flushed arrives without
/// further calls, and what was closed also if the link is dropped then. Closing ends this direction alone; again is no error.
pub type FrameSink = Pin<Box<dyn Sink<Bytes, Error = LinkError> + Send>>;
/// Where frames come out, in the order they were sent. `next` is cancel safe: a frame is lost only with
/// the link. Ends with `None` after a close in good order, with an error otherwise, and then with `None` for ever.
pub type FrameSource = Pin<Box<dyn Stream<Item = Result<Bytes, LinkError>> + Send>>;

/// Where to dial or listen: `host:port` in whatever form the transport reads, and the peer that must answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// `host:port`, `[v6]:port`, or what else the transport understands.
    pub place: String,
    /// The peer that must be at the other end; none = whoever answers.
    pub pin: Option<PeerId>,
}

impl Address {
    /// An address without a pin.
    pub fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), pin: None }
    }

    /// Splits `host:port`, with `[v6]:port`.
    ///
    /// # Errors
    /// [`LinkError::BadAddress`] says what is missing.
    pub fn host_port(&self) -> Result<(String, u16), LinkError> {
        let bad =
            |reason: &str| LinkError::BadAddress { address: self.place.clone(), reason: reason.to_owned() };
        let (host, port) = self.place.rsplit_once(':').ok_or_else(|| bad("expected host:port"))?;
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').ok_or_else(|| bad("`[` without `]`"))?,
            None if host.contains(':') => return Err(bad("an IPv6 address stands in [brackets]")),
            None => host,
        };
        if host.contains(['[', ']']) {
            return Err(bad("a bracket out of place"));
        }
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        let port = port.parse().map_err(|_| bad("the port is a number from 0 to 65535"))?;
        Ok((host.to_owned(), port))
    }
}

/// `[FINGERPRINT@]place`
impl FromStr for Address {
    type Err = LinkError;
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let bad =
            |reason: &str| LinkError::BadAddress { address: text.to_owned(), reason: reason.to_owned() };
        let (pin, place) = match text.split_once('@') {
            Some((pin, place)) => {
                let pin =
                    pin.parse().map_err(|_| bad("before the `@` stands a fingerprint of 64 hex digits"))?;
                (Some(pin), place)
            }
            None => (None, text),
        };
        if place.is_empty() {
            return Err(bad("expected host:port"));
        }
        Ok(Self { place: place.to_owned(), pin })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pin {
            Some(pin) => write!(f, "{pin}@{}", self.place),
            None => f.write_str(&self.place),
        }
    }
}

/// A transport plugin. Nothing happens before `dial` or `listen`.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Connects to a node. Ends within [`HANDSHAKE_DEADLINE`]. Cancel safe: dropping it closes whatever was begun.
    ///
    /// # Errors
    /// [`LinkError`] with the address in its text.
    async fn dial(&self, to: &Address, me: &Identity) -> Result<Dialed, LinkError>;

    /// Begins to listen. Port 0 lets the system choose; [`Listener::address`] says what was bound.
    ///
    /// # Errors
    /// [`LinkError::AddressInUse`] if somebody listens there, other [`LinkError`]s otherwise.
    async fn listen(&self, on: &Address, me: &Identity) -> Result<Box<dyn Listener>, LinkError>;
}

/// Somebody who listens. Dropping it stops listening; links already made live on.
#[async_trait]
pub trait Listener: Send {
    /// The address that was really bound.
    fn address(&self) -> Address;

    /// The next node that wants in. Never waits for a peer's bytes: the handshake is [`Incoming`]'s. Cancel safe.
    ///
    /// # Errors
    /// Only if listening itself has ended; a failed peer is not an error here.
    async fn next(&mut self) -> Result<Box<dyn Incoming>, LinkError>;
}

/// A connection before its handshake, to be driven elsewhere under a deadline.
#[async_trait]
pub trait Incoming: Send {
    /// The remote address, for the log.
    fn remote(&self) -> String;

    /// The handshake as far as the transport has one.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is closed then.
    async fn handshake(self: Box<Self>) -> Result<Dialed, LinkError>;
}

/// What dialing or accepting gives.
pub enum Dialed {
    /// Frames without protection: somebody must put `transports/noise` over it before use.
    Bare(BareLink),
    /// An authenticated, encrypted hop.
    Secure(Link),
}

/// Which end of the handshake one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who dialed.
    Initiator,
    /// The one who listened.
    Responder,
}

/// A link whose other end nobody has proved yet. It may hold the first two frames of each direction, which are the
/// handshake of the layer above, to 65535 bytes.
pub struct BareLink {
    /// The name of the transport, bound into the handshake above.
    pub transport: &'static str,
    /// Who dialed.
    pub role: Role,
    /// Frames out.
    pub sink: FrameSink,
    /// Frames in.
    pub source: FrameSource,
    /// Figures of the path.
    pub stats: Arc<dyn LinkStats>,
}

/// Who was proved to be at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A node, by its identity key.
    Key(PeerKey),
    /// A server, by a name that a certificate authority vouches for.
    Name(String),
}

/// A live, authenticated connection to the next node.
pub struct Link {
    /// Who is there.
    pub peer: Peer,
    /// Frames out.
    pub sink: FrameSink,
    /// Frames in.
    pub source: FrameSource,
    /// Unreliable datagrams, if the transport has them; [`emulated::complete`] gives them to any link.
    pub datagrams: Option<Arc<dyn Datagrams>>,
    /// Independent streams, if the transport has them; [`emulated::complete`] gives them to any link.
    pub streams: Option<Arc<dyn Streams>>,
    /// Figures of the path.
    pub stats: Arc<dyn LinkStats>,
}

/// Datagrams that may be lost, doubled or reordered, but never altered.
#[async_trait]
pub trait Datagrams: Send + Sync {
    /// Sends now or drops; never waits.
    ///
    /// # Errors
    /// [`LinkError::FrameTooLarge`] over [`Datagrams::max_len`], or the end of the link.
    fn send(&self, datagram: Bytes) -> Result<(), LinkError>;
    /// The next one. Cancel safe.
    ///
    /// # Errors
    /// The end of the link.
    async fn recv(&self) -> Result<Bytes, LinkError>;
    /// Longest datagram now, in bytes.
    fn max_len(&self) -> usize;
    /// Whether the core carries them over frames because the transport has none.
    fn emulated(&self) -> bool;
}

/// Streams of frames beside the main one, which do not block each other: none takes another's room or turn, and what waits
/// unread on one is bounded. Each end may have eight of its own at least. One direction may be closed while the other goes
/// on; dropping a sink that was not closed cuts its direction, which is an error at the other end, and dropping a source tells
/// whoever writes. What was flushed arrives while the link lives: close the link last. Once an end has dropped the last handle
/// to its `Streams`, nobody takes streams there, and the other's are refused: at once by emulated ones, after
/// [`HANDSHAKE_DEADLINE`] at the latest by others.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Opens a stream towards the peer; waits for [`HANDSHAKE_DEADLINE`] at most if there are too many. Cancel safe.
    ///
    /// # Errors
    /// The end of the link, or its limit of streams.
    async fn open(&self) -> Result<(FrameSink, FrameSource), LinkError>;
    /// The next stream the peer opened. Cancel safe.
    ///
    /// # Errors
    /// The end of the link.
    async fn accept(&self) -> Result<(FrameSink, FrameSource), LinkError>;
    /// Whether the core carries them over frames because the transport has none.
    fn emulated(&self) -> bool;
}

/// Figures of a live link.
pub trait LinkStats: Send + Sync {
    /// The figures of this moment.
    fn figures(&self) -> LinkFigures;

    /// Bytes that were given to the sink and flushed, and that the transport keeps until the peer has them; 0 if it
    /// keeps none, as where the system does.
    fn waiting_bytes(&self) -> usize {
        0
    }
}

/// What a link knows about its path; `None` where the transport can't tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct LinkFigures {
    /// Smoothed round-trip time in microseconds: of the transport, or of the client's pings where that can't tell.
    pub srtt_us: Option<u64>,
    /// Packets declared lost.
    pub lost_packets: Option<u64>,
    /// Packets sent again, or as many packets' worth.
    pub retransmits: Option<u64>,
    /// Bytes handed to the network.
    pub sent_bytes: Option<u64>,
    /// Bytes taken from the network.
    pub received_bytes: Option<u64>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// Congestion window in bytes.
    pub cwnd_bytes: Option<u64>,
}

/// For links that have no figures.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoStats;

impl LinkStats for NoStats {
    fn figures(&self) -> LinkFigures {
        LinkFigures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let pin = "ab".repeat(32);
        let address: Address = format!("{pin}@host:1").parse().unwrap();
        assert_eq!(address.pin.unwrap().to_string(), pin);
        assert_eq!(address.host_port().unwrap(), ("host".into(), 1));
        assert_eq!("[::1]:5".parse::<Address>().unwrap().host_port().unwrap(), ("::1".into(), 5));
        for bad in ["", "ab@host:1", "@host:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        for bad in ["host", "host:x", "host:70000", "::1:5", ":5", "[::1:5"] {
            assert!(Address::new(bad).host_port().is_err(), "{bad}");
        }
    }
}
