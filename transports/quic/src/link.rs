//! A link over a connection: the main stream, further ones, datagrams, figures.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::transport::{
    Datagrams, FrameSink, FrameSource, HANDSHAKE_DEADLINE, LinkFigures, LinkStats, Peer, Streams,
};
use chat_core::{Link, LinkError};
use quinn::{Connection, RecvStream, SendDatagramError, SendStream, StoppedError, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use transport_tcp::framing::{Reader, Writer};

use crate::refusal::{self, lost};
use crate::side::{MAX_STREAMS, SPARE_STREAMS, WINDOW_WITH_STREAMS};

/// What the dialer says first on the main stream, so that it is known to the other end.
const OPENING: u8 = 1;
/// Before all other streams.
const MAIN_PRIORITY: i32 = 1;
/// Longest datagram: it fits where QUIC does (RFC 9000 §14), with the longest header.
const MAX_DATAGRAM: usize = 1150;
/// Nobody reads what an end says by going.
const GONE: VarInt = VarInt::from_u32(0);

/// The link of who dialed.
pub(crate) async fn dialed(connection: Connection, peer: Peer) -> Result<Link, LinkError> {
    let (mut send, receive) = connection.open_bi().await.map_err(lost)?;
    send.write_all(&[OPENING]).await.map_err(refusal::writing)?;
    Ok(link(connection, peer, send, receive, 0))
}

/// The link of who listened.
pub(crate) async fn accepted(connection: Connection, peer: Peer) -> Result<Link, LinkError> {
    let (send, mut receive) = connection.accept_bi().await.map_err(lost)?;
    let mut opening = [0];
    let read = receive.read(&mut opening).await.map_err(refusal::reading)?;
    if read.is_none() || opening != [OPENING] {
        return Err(LinkError::ForeignProtocol {
            looks_like: "looks like another version of this transport",
        });
    }
    Ok(link(connection, peer, send, receive, 1))
}

fn link(
    connection: Connection,
    peer: Peer,
    send: SendStream,
    receive: RecvStream,
    taken_streams: u32,
) -> Link {
    if let Err(error) = send.set_priority(MAIN_PRIORITY) {
        tracing::debug!(%error, "the main stream is no more than others");
    }
    let guard = Arc::new(Guard(connection.clone()));
    let (sink, source) = framed(send, receive, Some(guard));
    let used = AtomicBool::new(false);
    let streams = NativeStreams { connection: connection.clone(), taken_streams, used };
    Link {
        peer,
        sink,
        source,
        datagrams: Some(Arc::new(NativeDatagrams(connection.clone()))),
        streams: Some(Arc::new(streams)),
        stats: Arc::new(Figures(connection)),
    }
}

/// Held by the two halves of the main stream: when both are gone, so is the link, whoever else still knows of it.
struct Guard(Connection);

impl Drop for Guard {
    fn drop(&mut self) {
        end(&self.0);
    }
}

/// Ends a connection from this side.
pub(crate) fn end(connection: &Connection) {
    connection.close(GONE, b"");
}

fn framed(send: SendStream, receive: RecvStream, guard: Option<Arc<Guard>>) -> (FrameSink, FrameSource) {
    let outgoing = Outgoing { stream: send, end: End::Open, _guard: guard.clone() };
    let incoming = Incoming { stream: receive, _guard: guard };
    (Box::pin(Writer::secured(outgoing)), Box::pin(Reader::secured(incoming)))
}

/// Bytes out. Dropped without a close it is reset: what was cut must not look complete.
struct Outgoing {
    stream: SendStream,
    end: End,
    _guard: Option<Arc<Guard>>,
}

enum End {
    Open,
    /// Until the other end's machine has everything.
    Closing(Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>),
    Closed,
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf).map_err(refusal::writing)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut written = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            match self.as_mut().poll_write(cx, buf) {
                Poll::Ready(Ok(bytes)) => {
                    written += bytes;
                    if bytes < buf.len() {
                        break;
                    }
                }
                // Of an error the next write tells.
                _ if written > 0 => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library sends by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.end {
                End::Open => {
                    this.stream.finish().map_err(io::Error::other)?;
                    this.end = End::Closing(Box::pin(this.stream.stopped()));
                }
                End::Closing(all_there) => {
                    let stopped = ready!(all_there.as_mut().poll(cx)).map_err(refusal::closing)?;
                    if stopped.is_some() {
                        return Poll::Ready(Err(refusal::stopped()));
                    }
                    this.end = End::Closed;
                }
                End::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // It fails on one that the other end has stopped or the connection has lost, and then nothing is left to do.
        if matches!(self.end, End::Open) && self.stream.reset(GONE).is_err() {
            tracing::trace!("a stream had ended before it was dropped");
        }
    }
}

/// Bytes in.
struct Incoming {
    stream: RecvStream,
    _guard: Option<Arc<Guard>>,
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.poll_read_buf(cx, buf).map_err(refusal::reading)
    }
}

struct NativeStreams {
    connection: Connection,
    /// Those of the other end that don't count: the main one.
    taken_streams: u32,
    used: AtomicBool,
}

impl NativeStreams {
    /// From the first use on the other end may open streams, and what comes on them has room beside the main one. A node
    /// that uses none, such as a relay, keeps nothing for them.
    fn use_them(&self) {
        if !self.used.swap(true, Ordering::Relaxed) {
            self.connection.set_receive_window(WINDOW_WITH_STREAMS.into());
            let streams = self.taken_streams + MAX_STREAMS + SPARE_STREAMS;
            self.connection.set_max_concurrent_bi_streams(streams.into());
        }
    }
}

#[async_trait]
impl Streams for NativeStreams {
    async fn open(&self) -> Result<(FrameSink, FrameSource), LinkError> {
        self.use_them();
        let opened = timeout(HANDSHAKE_DEADLINE, self.connection.open_bi()).await;
        let full = |_| LinkError::Timeout("a stream: the other end takes no more of them now");
        let (send, receive) = opened.map_err(full)?.map_err(lost)?;
        Ok(framed(send, receive, None))
    }

    async fn accept(&self) -> Result<(FrameSink, FrameSource), LinkError> {
        self.use_them();
        let (send, receive) = self.connection.accept_bi().await.map_err(lost)?;
        Ok(framed(send, receive, None))
    }

    fn emulated(&self) -> bool {
        false
    }
}

struct NativeDatagrams(Connection);

#[async_trait]
impl Datagrams for NativeDatagrams {
    fn send(&self, datagram: Bytes) -> Result<(), LinkError> {
        let (len, max) = (datagram.len(), self.max_len());
        if len > max {
            return Err(LinkError::FrameTooLarge { len, max });
        }
        self.0.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::ConnectionLost(error) => lost(error),
            SendDatagramError::TooLarge => LinkError::FrameTooLarge { len, max },
            other => LinkError::Io(io::Error::other(other)),
        })
    }

    async fn recv(&self) -> Result<Bytes, LinkError> {
        self.0.read_datagram().await.map_err(lost)
    }

    fn max_len(&self) -> usize {
        self.0.max_datagram_size().unwrap_or(0).min(MAX_DATAGRAM)
    }

    fn emulated(&self) -> bool {
        false
    }
}

struct Figures(Connection);

impl LinkStats for Figures {
    fn figures(&self) -> LinkFigures {
        let stats = self.0.stats();
        LinkFigures {
            srtt_us: u64::try_from(stats.path.rtt.as_micros()).ok(),
            lost_packets: Some(stats.path.lost_packets),
            // The library sends what a lost packet carried again in others, and counts the lost ones alone.
            retransmits: Some(stats.path.lost_packets),
            sent_bytes: Some(stats.udp_tx.bytes),
            received_bytes: Some(stats.udp_rx.bytes),
            mtu: Some(stats.path.current_mtu.into()),
            cwnd_bytes: Some(stats.path.cwnd),
        }
    }
}
