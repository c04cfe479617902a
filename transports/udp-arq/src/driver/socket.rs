//! A UDP socket, connected to one peer or open to all.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Longest datagram there is.
pub(crate) const MAX_DATAGRAM: usize = 1 << 16;

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
        Ok(Self { udp, peer: Some(to) })
    }

    /// A socket that anybody can reach. The port is exclusive: no address is shared.
    pub(crate) async fn bind(on: SocketAddr) -> io::Result<Self> {
        Ok(Self { udp: UdpSocket::bind(on).await?, peer: None })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Waits until there is something to read, or with `writing` room to write. Cancel safe.
    pub(crate) async fn ready(&self, writing: bool) -> io::Result<()> {
        let interest = if writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.udp.ready(interest).await.map(drop)
    }

    /// The next datagram; `WouldBlock` if there is none now.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.peer {
            Some(peer) => self.udp.try_recv(buffer).map(|len| (len, peer)),
            None => self.udp.try_recv_from(buffer),
        }
    }

    /// Sends a datagram now or says why not.
    pub(crate) fn try_send(&self, to: SocketAddr, datagram: &[u8]) -> Sent {
        let send = || match self.peer {
            Some(_) => self.udp.try_send(datagram),
            None => self.udp.try_send_to(datagram, to),
        };
        match send() {
            Ok(_) => Sent::Yes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(error) if self.says_unreachable(&error) => {
                // The error is that of an earlier datagram; this one was not tried yet.
                match send() {
                    Err(again) if again.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
                    Ok(_) | Err(_) => Sent::Unreachable(error),
                }
            }
            Err(error) => Sent::Lost(error),
        }
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
