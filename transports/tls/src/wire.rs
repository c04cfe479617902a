//! The socket under TLS: counts bytes, remembers what came first, and ends a handshake that begins with its end: the library
//! would take a `close_notify` there for the other end's last word, and wait for what can't come.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use transport_tcp::Counters;

/// As many bytes as it takes to guess a protocol.
const FIRST_BYTES: usize = 16;
/// A type of record (RFC 8446 §5.1), and a level of alerts (§6).
const ALERT: u8 = 0x15;
const WARNING: u8 = 1;

#[derive(Debug)]
pub(crate) struct Wire<S> {
    io: S,
    counters: Arc<Counters>,
    first: [u8; FIRST_BYTES],
    known: usize,
}

impl<S> Wire<S> {
    pub(crate) fn new(io: S, counters: Arc<Counters>) -> Self {
        Self { io, counters, first: [0; FIRST_BYTES], known: 0 }
    }

    /// What the other end said first.
    pub(crate) fn first_bytes(&self) -> &[u8] {
        &self.first[..self.known]
    }

    /// Whether the first record is an alert without consequence, such as `close_notify` (RFC 8446 §6): level warning.
    fn begins_with_a_warning(&self) -> bool {
        matches!(self.first_bytes(), [ALERT, _, _, _, _, WARNING, ..])
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        let this = &mut *self;
        let first = this.first[this.known..].iter_mut().zip(read);
        this.known += first.map(|(to, byte)| *to = *byte).count();
        this.counters.received.fetch_add(read.len() as u64, Ordering::Relaxed);
        if this.begins_with_a_warning() {
            let what = "the other end ended the handshake before it began";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.counters.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.sent(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
