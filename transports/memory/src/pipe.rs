//! One direction of a link: a bounded queue of frames.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chat_core::LinkError;
use chat_core::transport::{FrameSink, FrameSource, LinkFigures, LinkStats, MAX_FRAME_BYTES};
use futures_util::{Sink, Stream};

/// How much a direction holds: no further frame is taken once either is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

/// Bytes that went into a direction.
pub(crate) type Figures = Arc<AtomicU64>;

/// The two ends of a direction.
pub(crate) struct Pipe {
    pub(crate) sink: FrameSink,
    pub(crate) source: FrameSource,
    pub(crate) figures: Figures,
}

pub(crate) fn pipe(capacity: Capacity) -> Pipe {
    let shared = Arc::new(Shared { capacity, state: Mutex::default() });
    let figures = Figures::default();
    let sink = PipeSink { shared: Arc::clone(&shared), sent: Arc::clone(&figures) };
    Pipe { sink: Box::pin(sink), source: Box::pin(PipeSource { shared }), figures }
}

/// The figures of the end that sends into one direction and receives from the other.
pub(crate) fn stats(sent: Figures, received: Figures) -> Arc<dyn LinkStats> {
    Arc::new(PipeStats { sent, received })
}

struct PipeStats {
    sent: Figures,
    received: Figures,
}

impl LinkStats for PipeStats {
    fn figures(&self) -> LinkFigures {
        LinkFigures {
            sent_bytes: Some(self.sent.load(Ordering::Relaxed)),
            received_bytes: Some(self.received.load(Ordering::Relaxed)),
            ..LinkFigures::default()
        }
    }
}

struct Shared {
    capacity: Capacity,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    bytes: usize,
    sink: SinkEnd,
    source_gone: bool,
    /// Woken when there is something to take.
    reader: Option<Waker>,
    /// Woken when there is room.
    writer: Option<Waker>,
}

#[derive(Default, PartialEq)]
enum SinkEnd {
    #[default]
    Open,
    /// Closed in good order.
    Closed,
    /// Dropped without a close.
    Gone,
    /// Dropped, and the reader has had its error.
    Told,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change under this lock is complete, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: SinkEnd) {
        let mut state = self.state();
        if state.sink == SinkEnd::Open {
            state.sink = how;
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn cut() -> LinkError {
    LinkError::Io(io::Error::new(io::ErrorKind::ConnectionReset, "the other end dropped the link"))
}

struct PipeSink {
    shared: Arc<Shared>,
    sent: Figures,
}

impl Sink<Bytes> for PipeSink {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let Capacity { frames, bytes } = self.shared.capacity;
        let mut state = self.shared.state();
        if state.source_gone {
            return Poll::Ready(Err(cut()));
        }
        if state.sink != SinkEnd::Open {
            return Poll::Ready(Err(LinkError::Closed));
        }
        if state.queue.len() < frames && state.bytes < bytes {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(LinkError::FrameTooLarge { len: frame.len(), max: MAX_FRAME_BYTES });
        }
        let mut state = self.shared.state();
        if state.source_gone {
            return Err(cut());
        }
        self.sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
        state.bytes += frame.len();
        state.queue.push_back(frame);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// What is in the queue is as far as it goes without the reader.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.shared.end(SinkEnd::Closed);
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeSink {
    fn drop(&mut self) {
        self.shared.end(SinkEnd::Gone);
    }
}

struct PipeSource {
    shared: Arc<Shared>,
}

impl Stream for PipeSource {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.shared.state();
        if let Some(frame) = state.queue.pop_front() {
            state.bytes -= frame.len();
            let writer = state.writer.take();
            drop(state);
            wake(writer);
            return Poll::Ready(Some(Ok(frame)));
        }
        match state.sink {
            SinkEnd::Open => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            SinkEnd::Closed | SinkEnd::Told => Poll::Ready(None),
            SinkEnd::Gone => {
                state.sink = SinkEnd::Told;
                Poll::Ready(Some(Err(cut())))
            }
        }
    }
}

impl Drop for PipeSource {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.source_gone = true;
        state.queue.clear();
        state.bytes = 0;
        let writer = state.writer.take();
        drop(state);
        wake(writer);
    }
}
