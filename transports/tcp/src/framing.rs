//! Preamble and frames over a stream of bytes, this transport's or one that is secured already.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use chat_core::LinkError;
use chat_core::transport::{MAX_FRAME_BYTES, ReceiveMemory};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use transport_noise::{MAX_MESSAGE_BYTES, looks_like};

use crate::Counters;

/// What each side sends first: the name and the version of what follows.
pub(crate) const PREAMBLE: [u8; 8] = *b"chattcp\x01";
const NAME_BYTES: usize = 7;
const PREFIX_BYTES: usize = 4;

/// Frames of each direction that belong to the handshake, when nobody knows yet who is there.
const HANDSHAKE_FRAMES: u64 = 2;
/// Space for reading, at least; and at most for what has only been announced, before and after the handshake.
const READ_BYTES: usize = 8 << 10;
const MAX_READ_BYTES: usize = 64 << 10;
/// Smaller frames are copied out of the buffer.
const TAKEN_BYTES: usize = READ_BYTES / 2;

/// Smaller frames are copied behind each other, larger ones are written from where they are.
const COPY_BELOW_BYTES: usize = 1 << 10;
/// Bytes that wait for the socket before the sink asks its user to wait.
const HIGH_WATER_BYTES: usize = 128 << 10;
/// Pieces in one write; the system takes at least as many (POSIX `IOV_MAX` is 1024 where it matters).
const MAX_PIECES: usize = 64;

fn limit(frames: u64) -> usize {
    if frames < HANDSHAKE_FRAMES { MAX_MESSAGE_BYTES } else { MAX_FRAME_BYTES }
}

fn cut(what: &'static str) -> LinkError {
    LinkError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, what))
}

/// Frames out of bytes. All state is here, so dropping a future that waits for a frame loses nothing.
pub struct Reader<R> {
    io: R,
    buf: BytesMut,
    greeted: bool,
    frames: u64,
    ended: bool,
    memory: ReceiveMemory,
    counters: Arc<Counters>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(io: R, counters: Arc<Counters>) -> Self {
        let (buf, memory) = Default::default();
        Self { io, buf, greeted: false, frames: 0, ended: false, memory, counters }
    }

    /// For a stream of somebody who has proved to be somebody: without a preamble, and every frame may be as long as any.
    pub fn secured(io: R) -> Self {
        Self { greeted: true, frames: HANDSHAKE_FRAMES, ..Self::new(io, Arc::default()) }
    }

    /// Waits for the other side's preamble. Cancel safe.
    pub(crate) async fn preamble(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_preamble(cx)).await
    }

    fn poll_preamble(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.greeted {
            let common = self.buf.iter().zip(&PREAMBLE).take_while(|(theirs, ours)| theirs == ours).count();
            if common == PREAMBLE.len() {
                self.buf.advance(PREAMBLE.len());
                self.greeted = true;
            } else if common < self.buf.len() {
                let looks_like = if common == NAME_BYTES {
                    "looks like another version of this transport"
                } else {
                    looks_like(&self.buf)
                };
                return Poll::Ready(Err(LinkError::ForeignProtocol { looks_like }));
            } else if !ready!(self.poll_fill(cx, PREAMBLE.len()))? {
                return Poll::Ready(Err(cut("the other end hung up before it said what it speaks")));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, LinkError>> {
        ready!(self.poll_preamble(cx))?;
        loop {
            let wanted = match self.buf.first_chunk::<PREFIX_BYTES>() {
                None => PREFIX_BYTES,
                Some(&prefix) => {
                    let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
                    let max = limit(self.frames);
                    if len > max {
                        return Poll::Ready(Err(LinkError::FrameTooLarge { len, max }));
                    }
                    if self.buf.len() - PREFIX_BYTES >= len {
                        self.buf.advance(PREFIX_BYTES);
                        self.frames += 1;
                        return Poll::Ready(Ok(Some(self.take(len))));
                    }
                    PREFIX_BYTES + len
                }
            };
            if !ready!(self.poll_fill(cx, wanted - self.buf.len()))? {
                let whole = self.buf.is_empty();
                return Poll::Ready(if whole {
                    Ok(None)
                } else {
                    Err(cut("the link was cut within a frame"))
                });
            }
        }
    }

    /// The first bytes that have been read, as a frame. What is cut from the buffer keeps all of it alive for as long as
    /// somebody keeps the frame, so small ones are copied: thousands that wait together cost what they hold.
    fn take(&mut self, len: usize) -> Bytes {
        if len < TAKEN_BYTES {
            let frame = Bytes::copy_from_slice(&self.buf[..len]);
            self.buf.advance(len);
            frame
        } else {
            self.buf.split_to(len).freeze()
        }
    }

    /// Reads what is there, with room for `missing` bytes as far as they are trusted to come; `false` at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, missing: usize) -> Poll<Result<bool, LinkError>> {
        let trusted = if self.frames < HANDSHAKE_FRAMES { READ_BYTES } else { MAX_READ_BYTES };
        let room = missing.clamp(READ_BYTES, trusted.max(self.buf.len()));
        self.memory.hold(self.buf.len() + room)?;
        self.buf.reserve(room);
        let Poll::Ready(read) = pin!(self.io.read_buf(&mut self.buf)).poll(cx) else {
            if self.buf.is_empty() {
                // A link on which nothing comes needs no buffer; there are thousands of them.
                (self.buf, self.memory) = Default::default();
            }
            return Poll::Pending;
        };
        let read = read?;
        self.counters.received.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(read > 0))
    }
}

impl<R: AsyncRead + Unpin> Stream for Reader<R> {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_frame(cx)).transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

/// Bytes out of frames: gathered while the socket is busy, and written many at a time.
pub struct Writer<W> {
    io: W,
    /// Written first.
    queue: VecDeque<Bytes>,
    /// Written after the queue, and still growing.
    tail: BytesMut,
    /// Bytes in queue and tail.
    waiting: usize,
    frames: u64,
    closed: bool,
    counters: Arc<Counters>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(io: W, counters: Arc<Counters>) -> Self {
        let (queue, tail) = (VecDeque::new(), BytesMut::new());
        Self { io, queue, tail, waiting: 0, frames: 0, closed: false, counters }
    }

    /// For a stream to somebody who has proved to be somebody: without a preamble, and every frame may be as long as any.
    pub fn secured(io: W) -> Self {
        Self { frames: HANDSHAKE_FRAMES, ..Self::new(io, Arc::default()) }
    }

    /// Puts the preamble in front of what will be sent.
    pub(crate) fn send_preamble(&mut self) {
        self.tail.put_slice(&PREAMBLE);
        self.waiting += PREAMBLE.len();
    }

    /// Writes until fewer than `below` bytes wait.
    fn poll_write_until(&mut self, cx: &mut Context<'_>, below: usize) -> Poll<Result<(), LinkError>> {
        while self.waiting >= below {
            let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
            let waiting = self.queue.iter().map(|piece| &piece[..]).chain([&self.tail[..]]);
            let count = pieces.iter_mut().zip(waiting).map(|(to, piece)| *to = IoSlice::new(piece)).count();
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, &pieces[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.counters.sent.fetch_add(written as u64, Ordering::Relaxed);
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.waiting -= written;
        while let Some(piece) = self.queue.front_mut() {
            let of_this = written.min(piece.len());
            piece.advance(of_this);
            written -= of_this;
            if !piece.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        self.tail.advance(written);
        // What was needed once is not kept for as long as the link lives.
        if self.waiting == 0 && self.tail.capacity() > COPY_BELOW_BYTES {
            (self.queue, self.tail) = Default::default();
        }
    }
}

impl<W: AsyncWrite + Unpin> Sink<Bytes> for Writer<W> {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_write_until(cx, HIGH_WATER_BYTES)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        let (len, max) = (frame.len(), limit(self.frames));
        if self.closed {
            return Err(LinkError::Closed);
        }
        let prefix = u32::try_from(len).ok().filter(|_| len <= max);
        self.tail.put_u32(prefix.ok_or(LinkError::FrameTooLarge { len, max })?);
        if len < COPY_BELOW_BYTES {
            self.tail.put_slice(&frame);
        } else {
            let before = self.tail.split().freeze();
            self.queue.extend([before, frame]);
        }
        self.waiting += PREFIX_BYTES + len;
        self.frames += 1;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_write_until(cx, 1))?;
        Pin::new(&mut self.io).poll_flush(cx).map_err(LinkError::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.closed = true;
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx).map_err(LinkError::from)
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
