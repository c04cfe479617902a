//! From an address to a socket, dialing or listening; and whether a silent address is one that nobody has.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use chat_core::{Address, LinkError};
use socket2::SockRef;
use transport_tcp::connect::resolve;

/// Bytes that a listening socket holds until they are read: some thousand first packets.
const RECEIVE_BUFFER: usize = 4 << 20;

/// An answer from far away takes no longer, and most come at once.
const SCOUT_AFTER: Duration = Duration::from_millis(300);

fn any(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// A socket to dial from. It is bound to no address of this machine, so that the link may follow when that changes.
pub(crate) fn to_dial(to: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(any(to))
}

/// Binds to the first of the host's addresses that can be. One in use ends it: a host with two addresses must not get two
/// listeners.
pub(crate) async fn bind(on: &Address) -> Result<UdpSocket, LinkError> {
    let mut last = None;
    for address in resolve(on).await? {
        match UdpSocket::bind(address) {
            Ok(socket) => {
                hold_more(&socket);
                return Ok(socket);
            }
            Err(error) => last = Some(error),
        }
        if last.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
    }
    Err(transport_tcp::connect::not_bound(on, last))
}

/// In a flood of first packets those of honest dialers are lost where the system has no room for them, and the next try is a
/// third of a second away. The system may allow less than is asked for.
fn hold_more(socket: &UdpSocket) {
    if let Err(error) = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!(%error, "the system holds no more datagrams than usual");
    }
}

/// Whether the machine at the address has answered that nobody listens there; what else can go wrong says nothing of it.
pub(crate) fn means_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Waits until the system says that nobody is at the address, which it tells a socket that is connected to it and no other:
/// one of its own, which sends an empty datagram to an address that has been silent for a while. Never ends otherwise.
pub(crate) async fn nobody_there(address: SocketAddr) -> io::Error {
    tokio::time::sleep(SCOUT_AFTER).await;
    let asked = async {
        let scout = tokio::net::UdpSocket::bind(any(address)).await?;
        scout.connect(address).await?;
        scout.send(&[]).await?;
        // What comes is no answer to that.
        loop {
            scout.recv(&mut [0]).await?;
        }
    };
    let error: io::Result<std::convert::Infallible> = asked.await;
    match error {
        Err(error) => error,
    }
}
