//! The socket of who listens: the library's, and an ear for what is no QUIC, of which the library says nothing.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime as _, TokioRuntime, UdpPoller};
use transport_noise::Strangers;

/// Of a packet that is no QUIC of version 1: the bit is always set there (RFC 9000 §17).
const FIXED_BIT: u8 = 0x40;
const LONG_HEADER: u8 = 0x80;

pub(crate) struct Listening {
    socket: Arc<dyn AsyncUdpSocket>,
    strangers: Mutex<Strangers>,
}

impl Listening {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Arc<Self>> {
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self { socket, strangers: Mutex::default() }))
    }

    fn hear(&self, from: SocketAddr, datagram: &[u8]) {
        if may_be_strange(datagram) {
            self.strangers.lock().unwrap_or_else(PoisonError::into_inner).note(from, datagram);
        }
    }
}

/// Whether a datagram is worth a closer look; nearly none of a link is.
fn may_be_strange(datagram: &[u8]) -> bool {
    match datagram {
        [first, 0, 0, 0, 0 | 1, ..] if first & LONG_HEADER != 0 => false,
        [first, ..] if first & (LONG_HEADER | FIXED_BIT) == FIXED_BIT => {
            datagram.get(..4).is_some_and(<[u8]>::is_ascii)
        }
        _ => true,
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsyncUdpSocket for Listening {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        for (buffer, meta) in bufs.iter().zip(&*meta).take(received) {
            let bytes = buffer.get(..meta.len).unwrap_or_default();
            // Several of one sender may come in one piece, all but the last of this length.
            for datagram in bytes.chunks(meta.stride.max(1)) {
                self.hear(meta.addr, datagram);
            }
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::may_be_strange;

    #[test]
    fn what_is_of_a_link_is_not_looked_at_twice() {
        for (datagram, expected) in [
            (&b"\xc3\x00\x00\x00\x01"[..], false),
            (b"\x43\x9a\x11\xfe", false),
            (b"GET / HTTP/1.1", true),
            (b"\xc1ARQ\x01", true),
            (b"\x16\x03\x01", true),
            (b"", true),
        ] {
            assert_eq!(may_be_strange(datagram), expected, "{datagram:?}");
        }
    }
}
