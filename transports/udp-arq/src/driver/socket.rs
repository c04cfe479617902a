//! A UDP socket, connected to one peer or open to all.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::address::Route;

/// Longest datagram there is.
pub(crate) const MAX_DATAGRAM: usize = 1 << 16;

/// What was read: one datagram, or several of one length that the system has put together (the last may be
/// shorter).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) len: usize,
    /// Where each ends and the next begins.
    pub(crate) stride: usize,
    pub(crate) from: Route,
}

/// What became of a datagram that was to be sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Yes,
    /// The socket's buffer is full: wait until it is writable.
    Blocked,
    /// The network says that nobody is there.
    Unreachable(io::Error),
    /// It is lost like one that the network lost.
    Lost(io::Error),
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Socket {
    udp: UdpSocket,
    /// The one address it talks to, if it is connected. Then the system tells of ICMP errors.
    peer: Option<SocketAddr>,
    /// Knows, on a socket of all our addresses, which of them a datagram came to.
    addresses: Option<UdpSocketState>,
}

impl Socket {
    /// A socket that talks to one address.
    pub(crate) async fn connect(to: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let udp = UdpSocket::bind(any).await?;
        udp.connect(to).await?;
        Ok(Self { udp, peer: Some(to), addresses: None })
    }

    /// A socket that anybody can reach. The port is exclusive: no address is shared.
    pub(crate) async fn bind(on: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(on).await?;
        let addresses = if on.ip().is_unspecified() { know_addresses(&udp) } else { None };
        Ok(Self { udp, peer: None, addresses })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Waits until there is something to read, or with `writing` room to write. Cancel safe.
    pub(crate) async fn ready(&self, writing: bool) -> io::Result<()> {
        let interest = if writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.udp.ready(interest).await.map(drop)
    }

    /// What came next, into a buffer of [`MAX_DATAGRAM`]; `WouldBlock` if there is nothing now.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        if let Some(state) = &self.addresses {
            return self.try_receive_at(state, buffer);
        }
        let (len, from) = match self.peer {
            Some(peer) => (self.udp.try_recv(buffer)?, peer),
            None => self.udp.try_recv_from(buffer)?,
        };
        Ok(Received { len, stride: len, from: from.into() })
    }

    fn try_receive_at(&self, state: &UdpSocketState, buffer: &mut [u8]) -> io::Result<Received> {
        let mut meta = [RecvMeta::default()];
        self.udp.try_io(Interest::READABLE, || {
            state.recv((&self.udp).into(), &mut [IoSliceMut::new(buffer)], &mut meta)
        })?;
        let [RecvMeta { addr, len, stride, dst_ip, .. }] = meta;
        Ok(Received { len, stride, from: Route { remote: addr, local: dst_ip } })
    }

    /// Sends a datagram now or says why not.
    pub(crate) fn try_send(&self, to: Route, datagram: &[u8]) -> Sent {
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

    fn try_send_from(&self, state: &UdpSocketState, to: Route, contents: &[u8]) -> io::Result<()> {
        let Route { remote: destination, local: src_ip } = to;
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip };
        self.udp.try_io(Interest::WRITABLE, || state.try_send((&self.udp).into(), &transmit))
    }

    /// Whether an error tells of the peer. On a socket that is open to all it tells of nobody in particular.
    pub(crate) fn says_unreachable(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
        self.peer.is_some()
            && matches!(
                error.kind(),
                ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
            )
    }
}

fn know_addresses(udp: &UdpSocket) -> Option<UdpSocketState> {
    let state = UdpSocketState::new(udp.into());
    // Without it the system chooses the address to answer from; with a single one, rightly.
    state.inspect_err(|error| tracing::debug!(%error, "which address was dialed cannot be told")).ok()
}
