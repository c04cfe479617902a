//! Where datagrams go out and come in: the system's UDP sockets, or whatever else somebody hands in, such as the
//! network of a simulation.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use async_trait::async_trait;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Longest datagram there is: what a buffer for [`Socket::try_receive`] must hold.
pub const MAX_DATAGRAM: usize = 1 << 16;

/// The two ends of a path, as far as they matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The peer's address.
    pub remote: SocketAddr,
    /// The address of ours that the peer sent to, if the socket may have several: it waits for an answer from there.
    pub local: Option<IpAddr>,
}

impl From<SocketAddr> for Route {
    fn from(remote: SocketAddr) -> Self {
        Self { remote, local: None }
    }
}

/// What was read: one datagram, or several of one length that the system has put together (the last may be
/// shorter).
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// Where each ends and the next begins.
    pub stride: usize,
    /// Where they came from.
    pub from: Route,
}

/// What became of a datagram that was to be sent.
#[derive(Debug)]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// The socket's buffer is full: wait until it is writable.
    Blocked,
    /// The network says that nobody is there.
    Unreachable(io::Error),
    /// It is lost like one that the network lost.
    Lost(io::Error),
}

/// Opens sockets.
#[async_trait]
pub trait Network: Send + Sync {
    /// A socket that talks to one address.
    ///
    /// # Errors
    /// As of a UDP socket.
    async fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Socket>>;

    /// A socket that anybody can reach; port 0 lets the network choose. No two sockets share an address.
    ///
    /// # Errors
    /// As of a UDP socket; `AddrInUse` and `AddrNotAvailable` mean what they say.
    async fn bind(&self, on: SocketAddr) -> io::Result<Box<dyn Socket>>;
}

/// Sends and receives datagrams, unreliably.
#[async_trait]
pub trait Socket: Send + Sync {
    /// Its own address.
    ///
    /// # Errors
    /// As of a UDP socket.
    fn local_address(&self) -> io::Result<SocketAddr>;

    /// Waits until there is something to read, or with `writing` room to write. Cancel safe.
    ///
    /// # Errors
    /// As of a UDP socket.
    async fn ready(&self, writing: bool) -> io::Result<()>;

    /// What came next, into a buffer of [`MAX_DATAGRAM`].
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing now.
    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends a datagram now or says why not.
    fn try_send(&self, to: Route, datagram: &[u8]) -> Sent;

    /// Whether an error tells of the peer. On a socket that is open to all it tells of nobody in particular.
    fn says_unreachable(&self, error: &io::Error) -> bool;
}

/// The UDP of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Udp;

#[async_trait]
impl Network for Udp {
    async fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Socket>> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let udp = UdpSocket::bind(any).await?;
        udp.connect(to).await?;
        Ok(Box::new(System { udp, peer: Some(to), addresses: None }))
    }

    async fn bind(&self, on: SocketAddr) -> io::Result<Box<dyn Socket>> {
        let udp = UdpSocket::bind(on).await?;
        let addresses = if on.ip().is_unspecified() { know_addresses(&udp) } else { None };
        Ok(Box::new(System { udp, peer: None, addresses }))
    }
}

/// A UDP socket, connected to one peer or open to all.
#[derive(Debug)]
struct System {
    udp: UdpSocket,
    /// The one address it talks to, if it is connected. Then the system tells of ICMP errors.
    peer: Option<SocketAddr>,
    /// Knows, on a socket of all our addresses, which of them a datagram came to.
    addresses: Option<UdpSocketState>,
}

#[async_trait]
impl Socket for System {
    fn local_address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    async fn ready(&self, writing: bool) -> io::Result<()> {
        let interest = if writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.udp.ready(interest).await.map(drop)
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        if let Some(state) = &self.addresses {
            return self.try_receive_at(state, buffer);
        }
        let (len, from) = match self.peer {
            Some(peer) => (self.udp.try_recv(buffer)?, peer),
            None => self.udp.try_recv_from(buffer)?,
        };
        Ok(Received { len, stride: len, from: from.into() })
    }

    fn try_send(&self, to: Route, datagram: &[u8]) -> Sent {
        let send = || match (&self.addresses, self.peer) {
            (Some(state), _) => self.try_send_from(state, to, datagram),
            (None, Some(_)) => self.udp.try_send(datagram).map(drop),
            (None, None) => self.udp.try_send_to(datagram, to.remote).map(drop),
        };
        match send() {
            Ok(()) => Sent::Yes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(error) if self.says_unreachable(&error) => {
                // The error is that of an earlier datagram; this one was not tried yet.
                match send() {
                    Err(again) if again.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
                    Ok(()) | Err(_) => Sent::Unreachable(error),
                }
            }
            Err(error) => Sent::Lost(error),
        }
    }

    fn says_unreachable(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
        self.peer.is_some()
            && matches!(
                error.kind(),
                ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
            )
    }
}

impl System {
    fn try_receive_at(&self, state: &UdpSocketState, buffer: &mut [u8]) -> io::Result<Received> {
        let mut meta = [RecvMeta::default()];
        self.udp.try_io(Interest::READABLE, || {
            state.recv((&self.udp).into(), &mut [IoSliceMut::new(buffer)], &mut meta)
        })?;
        let [RecvMeta { addr, len, stride, dst_ip, .. }] = meta;
        Ok(Received { len, stride, from: Route { remote: addr, local: dst_ip } })
    }

    fn try_send_from(&self, state: &UdpSocketState, to: Route, contents: &[u8]) -> io::Result<()> {
        let Route { remote: destination, local: src_ip } = to;
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
        self.udp.try_io(Interest::WRITABLE, || state.try_send((&self.udp).into(), &transmit))
    }
}

fn know_addresses(udp: &UdpSocket) -> Option<UdpSocketState> {
    let state = UdpSocketState::new(udp.into());
    // Without it the system chooses the address to answer from; with a single one, rightly.
    state.inspect_err(|error| tracing::debug!(%error, "which address was dialed cannot be told")).ok()
}
