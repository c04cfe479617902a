//! What the program holds beside the link's own ends: streams, datagrams.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::time::timeout;

use super::MAX_DATAGRAM_BYTES;
use super::inside::Inside;
use super::own::Waiter;
use super::shared::Shared;
use super::stream::{Read, Stream as State};
use super::wire::{ResetCode, StreamId};
use crate::error::LinkError;
use crate::transport::{
    Datagrams, FrameSink, FrameSource, HANDSHAKE_DEADLINE, MAX_FRAME_BYTES, ReceiveMemory, Streams,
};

fn no_reader() -> LinkError {
    LinkError::Io(io::Error::new(
        io::ErrorKind::BrokenPipe,
        "nobody reads this stream at the other end any more",
    ))
}

fn cut(code: ResetCode) -> LinkError {
    LinkError::Io(match code {
        ResetCode::Gone => {
            io::Error::new(io::ErrorKind::ConnectionReset, "the other end cut this stream short")
        }
        ResetCode::Refused => {
            io::Error::new(io::ErrorKind::ConnectionRefused, "the other end takes no streams")
        }
    })
}

/// Frames of a stream, out.
struct StreamSink {
    waiter: Waiter,
    id: StreamId,
    is_closed: bool,
    /// Frames given to the link below once it had all of this stream's; none = not yet.
    through: Option<u64>,
}

impl StreamSink {
    /// Why nothing can be sent on it any more.
    fn refusal(&self, inside: &mut Inside) -> Option<LinkError> {
        if inside.out_ended.is_some() {
            return Some(inside.out_error());
        }
        if self.is_closed {
            return Some(LinkError::Closed);
        }
        (!self.with(inside, |stream| stream.takes_frames())).then(no_reader)
    }

    fn with(&self, inside: &mut Inside, ask: impl FnOnce(&mut State) -> bool) -> bool {
        inside.state.with(self.id, ask).unwrap_or(false)
    }

    fn poll_room(&self, inside: &mut Inside) -> Option<Result<(), LinkError>> {
        if let Some(error) = self.refusal(inside) {
            return Some(Err(error));
        }
        self.with(inside, |stream| stream.has_room()).then_some(Ok(()))
    }

    /// Whether all is with the transport, once nothing waits any more that `is_left`.
    fn poll_gone(
        &mut self,
        cx: &Context<'_>,
        is_left: impl Fn(&mut State) -> bool,
    ) -> Poll<Result<(), LinkError>> {
        let mut through = self.through;
        let polled = self.poll_out(cx, |inside| {
            if self.with(inside, |stream| stream.is_cut()) {
                return Some(Err(no_reader()));
            }
            if !self.with(inside, &is_left) {
                let through = *through.get_or_insert(inside.given());
                if inside.is_flushed(through) {
                    return Some(Ok(()));
                }
            }
            inside.out_ended.is_some().then(|| Err(inside.out_error()))
        });
        self.through = through;
        polled
    }

    /// Sends, and takes credit, until `done`, or nothing moves now.
    fn poll_out(
        &self,
        cx: &Context<'_>,
        mut done: impl FnMut(&mut Inside) -> Option<Result<(), LinkError>>,
    ) -> Poll<Result<(), LinkError>> {
        let Waiter { shared, number } = &self.waiter;
        let mut inside = shared.lock();
        shared.drive_flush(&mut inside, *number);
        if let Some(done) = done(&mut inside) {
            return Poll::Ready(done);
        }
        shared.drive_in(&mut inside, *number, false);
        shared.drive_flush(&mut inside, *number);
        if let Some(done) = done(&mut inside) {
            return Poll::Ready(done);
        }
        if let Some(ended) = &inside.in_ended {
            // No credit comes any more.
            return Poll::Ready(Err(ended.error()));
        }
        shared.wait_to_write(*number, cx);
        shared.wait_to_read(*number, cx);
        Poll::Pending
    }
}

impl Sink<Bytes> for StreamSink {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let known = {
            let mut inside = self.waiter.shared.lock();
            self.poll_room(&mut inside)
        };
        match known {
            Some(known) => Poll::Ready(known),
            None => self.poll_out(cx, |inside| self.poll_room(inside)),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        let (len, max) = (frame.len(), MAX_FRAME_BYTES);
        if len > max {
            return Err(LinkError::FrameTooLarge { len, max });
        }
        self.through = None;
        let mut inside = self.waiter.shared.lock();
        if let Some(error) = self.refusal(&mut inside) {
            return Err(error);
        }
        inside.state.with(self.id, |stream| stream.push(frame));
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_gone(cx, |stream| !stream.is_empty())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !std::mem::replace(&mut self.is_closed, true) {
            let id = self.id;
            self.waiter.shared.lock().state.with(id, |stream| stream.finish());
            self.through = None;
        }
        self.poll_gone(cx, |stream| !stream.is_finished())
    }
}

impl Drop for StreamSink {
    fn drop(&mut self) {
        let id = self.id;
        self.waiter.act(|inside| inside.state.drop_sink(id));
    }
}

/// Frames of a stream, in.
struct StreamSource {
    waiter: Waiter,
    id: StreamId,
    /// What has come of a frame.
    frame: BytesMut,
    memory: ReceiveMemory,
    has_ended: bool,
}

impl Stream for StreamSource {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { waiter, id, frame, memory, has_ended } = &mut *self;
        if *has_ended {
            return Poll::Ready(None);
        }
        let polled = waiter.poll_in(cx, |inside| {
            loop {
                let (is_last, bytes) = match inside.state.read(*id) {
                    Read::Piece { is_last, bytes } => (is_last, bytes),
                    Read::End => return Some(Ok(None)),
                    Read::Cut(code) => return Some(Err(cut(code))),
                    Read::Nothing => return None,
                };
                inside.count();
                if is_last && frame.is_empty() {
                    return Some(Ok(Some(bytes)));
                }
                if let Err(error) = memory.hold(frame.len() + bytes.len()) {
                    return Some(Err(error));
                }
                frame.extend_from_slice(&bytes);
                if is_last {
                    let whole = std::mem::take(frame).freeze();
                    memory.count(0);
                    return Some(Ok(Some(ReceiveMemory::keep(whole))));
                }
            }
        });
        let Poll::Ready(item) = polled else { return Poll::Pending };
        let item = item.transpose();
        *has_ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl Drop for StreamSource {
    fn drop(&mut self) {
        let id = self.id;
        self.waiter.act(|inside| {
            inside.state.drop_source(id);
            inside.count();
        });
    }
}

/// The streams of a link that has none by itself.
pub(super) struct EmulatedStreams {
    shared: Arc<Shared>,
}

impl EmulatedStreams {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    fn stream(&self, id: StreamId) -> (FrameSink, FrameSource) {
        let sink = StreamSink { waiter: Waiter::new(&self.shared), id, is_closed: false, through: None };
        let source = StreamSource {
            waiter: Waiter::new(&self.shared),
            id,
            frame: BytesMut::new(),
            memory: ReceiveMemory::default(),
            has_ended: false,
        };
        (Box::pin(sink), Box::pin(source))
    }

    fn opened(inside: &mut Inside) -> Option<Result<StreamId, LinkError>> {
        match (&inside.in_ended, &inside.out_ended) {
            (Some(ended), _) | (_, Some(ended)) => Some(Err(ended.error())),
            (None, None) => inside.state.open().map(Ok),
        }
    }
}

#[async_trait]
impl Streams for EmulatedStreams {
    async fn open(&self) -> Result<(FrameSink, FrameSource), LinkError> {
        let waiter = Waiter::new(&self.shared);
        let poll = |cx: &mut Context<'_>| waiter.poll_in(cx, Self::opened);
        let id = match poll_fn(|cx| Poll::Ready(poll(cx))).await {
            Poll::Ready(opened) => opened?,
            Poll::Pending => {
                let full = |_| LinkError::Timeout("a stream: the other end takes no more of them now");
                timeout(HANDSHAKE_DEADLINE, poll_fn(poll)).await.map_err(full)??
            }
        };
        Ok(self.stream(id))
    }

    async fn accept(&self) -> Result<(FrameSink, FrameSource), LinkError> {
        let waiter = Waiter::new(&self.shared);
        let id = poll_fn(|cx| waiter.poll_in(cx, |inside| inside.state.accept().map(Ok))).await?;
        Ok(self.stream(id))
    }

    fn emulated(&self) -> bool {
        true
    }
}

impl Drop for EmulatedStreams {
    fn drop(&mut self) {
        Waiter::new(&self.shared).act(|inside| inside.state.refuse_streams());
    }
}

/// The datagrams of a link that has none by itself.
pub(super) struct EmulatedDatagrams {
    shared: Arc<Shared>,
}

impl EmulatedDatagrams {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }
}

#[async_trait]
impl Datagrams for EmulatedDatagrams {
    fn send(&self, datagram: Bytes) -> Result<(), LinkError> {
        let (len, max) = (datagram.len(), self.max_len());
        if len > max {
            return Err(LinkError::FrameTooLarge { len, max });
        }
        let waiter = Waiter::new(&self.shared);
        let mut inside = self.shared.lock();
        if inside.out_ended.is_some() {
            return Err(inside.out_error());
        }
        inside.state.send_datagram(datagram);
        self.shared.hand_out(&mut inside, waiter.number);
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes, LinkError> {
        let waiter = Waiter::new(&self.shared);
        poll_fn(|cx| waiter.poll_in(cx, |inside| inside.state.take_datagram().map(Ok))).await
    }

    fn max_len(&self) -> usize {
        MAX_DATAGRAM_BYTES
    }

    fn emulated(&self) -> bool {
        true
    }
}

impl Drop for EmulatedDatagrams {
    fn drop(&mut self) {
        self.shared.lock().state.refuse_datagrams();
    }
}
