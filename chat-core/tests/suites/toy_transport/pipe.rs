//! One direction of a link or of a stream: frames go in, are cut into chunks, wait in a bounded queue, and come out.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use chat_core::LinkError;
use chat_core::transport::MAX_FRAME_BYTES;
use futures_core::Stream;
use futures_sink::Sink;

use super::Fault;

const CHUNK: usize = 64 << 10;
/// Bytes that may wait in the queue, and in the sink before it.
const ROOM: usize = 1 << 20;
const STAGE: usize = 64 << 10;
/// What a frame costs beside its bytes.
const COST: usize = 128;
/// Frames after which the order slips, if it does.
const LATE: u64 = 3900;
/// And places abandoned after which one is used twice.
const MANY_ABANDONED: u32 = 6;
const LARGE: usize = 1 << 20;

fn cut() -> LinkError {
    LinkError::Io(io::Error::new(io::ErrorKind::ConnectionReset, "the other end has gone"))
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Open,
    Closed,
    Gone,
    Told,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<(Bytes, bool)>,
    end: End,
    source_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Chunks that have gone in.
    pushed: u64,
    /// How often a writer of a short frame had to wait.
    waits: u32,
}

/// What the two directions of a link share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Directions in the middle of a large frame.
    pub(crate) large: AtomicUsize,
    pub(crate) used: AtomicUsize,
    /// Datagrams that wait.
    pub(crate) datagrams: AtomicUsize,
    /// Bytes that went over streams.
    streamed: AtomicUsize,
}

/// A direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    fault: Fault,
    is_main: bool,
    shared: Arc<Shared>,
    state: Mutex<State>,
    used: AtomicUsize,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    /// The other direction, and the pipe into which a fault puts what is for this one.
    pub(crate) other: Mutex<Option<Weak<Pipe>>>,
    pub(crate) wrong: Mutex<Option<Arc<Pipe>>>,
    pub(crate) mixes: AtomicBool,
}

impl Pipe {
    pub(crate) fn new(fault: Fault, is_main: bool, shared: &Arc<Shared>) -> Arc<Self> {
        // What is wrong with the link's own frames is not wrong with streams.
        let fault = if is_main || fault.is_of_streams() { fault } else { Fault::Nothing };
        Arc::new(Self {
            fault,
            is_main,
            shared: Arc::clone(shared),
            state: Mutex::default(),
            used: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            other: Mutex::default(),
            wrong: Mutex::default(),
            mixes: AtomicBool::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Whether it has to do with the room of others.
    fn shares(&self) -> bool {
        match self.is_main {
            true => self.fault == Fault::SharesItsRoom,
            false => self.fault == Fault::StreamsShareTheirRoom,
        }
    }

    fn take_room(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if self.shares() {
            self.shared.used.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn give_room(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if self.shares() {
            self.shared.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn has_room(&self) -> bool {
        let held_up = self.fault == Fault::DatagramsHoldUpFrames
            && self.is_main
            && self.shared.datagrams.load(Ordering::Relaxed) > ROOM / 2;
        let streamed = self.shared.streamed.load(Ordering::Relaxed);
        let goes_last = self.fault == Fault::BusyStreamGoesFirst
            && self.sent.load(Ordering::Relaxed) < LARGE as u64
            && streamed > 3 * LARGE;
        let others =
            if self.shares() && streamed < 3 * LARGE { self.shared.used.load(Ordering::Relaxed) } else { 0 };
        self.used.load(Ordering::Relaxed).max(others) < ROOM && !held_up && !goes_last
    }

    fn cost(&self, chunk: &Bytes) -> usize {
        if self.fault == Fault::SmallFramesAreFree && chunk.len() < 1000 { 0 } else { chunk.len() + COST }
    }

    fn push(&self, chunk: Bytes, is_last: bool) {
        if self.mixes.load(Ordering::Relaxed)
            && (2000..10_000).contains(&chunk.len())
            && let Some(wrong) = &*self.wrong.lock().unwrap()
        {
            return wrong.push_here(chunk, is_last);
        }
        self.push_here(chunk, is_last);
    }

    fn push_here(&self, chunk: Bytes, is_last: bool) {
        self.take_room(self.cost(&chunk));
        self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if !self.is_main {
            self.shared.streamed.fetch_add(chunk.len(), Ordering::Relaxed);
        }
        let mut state = self.state();
        if state.end != End::Open {
            return;
        }
        state.pushed += 1;
        state.chunks.push_back((chunk, is_last));
        if self.fault == Fault::OrderSlipsOnce && state.pushed == LATE {
            let len = state.chunks.len();
            state.chunks.swap(len - 1, len.saturating_sub(2));
        }
        wake(state.reader.take());
    }

    fn is_closed(&self) -> bool {
        self.state().end == End::Closed
    }

    fn the_other_is_closed(&self) -> bool {
        let other = self.other.lock().unwrap().as_ref().and_then(Weak::upgrade);
        other.is_some_and(|other| other.is_closed())
    }

    pub(crate) fn end(&self, how: End) {
        let late = self.the_other_is_closed();
        let mut state = self.state();
        if state.end != End::Open {
            return;
        }
        if self.fault == Fault::CloseThrowsAway && how == End::Closed && late {
            state.chunks.clear();
        }
        state.end = how;
        let forgets = match how {
            End::Closed => self.fault == Fault::CloseForgetsTheReader,
            _ => self.fault == Fault::DropForgetsTheReader && self.is_main && state.pushed > 0,
        };
        if !forgets {
            wake(state.reader.take());
        }
        drop(state);
        let spreads =
            matches!(self.fault, Fault::StreamCloseEndsTheLink | Fault::StreamCloseEndsBothDirections);
        let both = spreads && how == End::Closed && !self.is_main;
        let other = self.other.lock().unwrap().as_ref().and_then(Weak::upgrade);
        if let (true, Some(other)) = (both, other) {
            other.end(End::Closed);
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Where frames go in.
pub(crate) struct ToySink {
    pipe: Arc<Pipe>,
    staged: VecDeque<Bytes>,
    bytes: usize,
    /// How much of the first frame has gone.
    offset: usize,
    unfinished_flush: bool,
    /// Who waits for room.
    waits: Option<Waker>,
    abandoned: u32,
    close_asked: bool,
    closed: bool,
}

impl ToySink {
    pub(crate) fn new(pipe: Arc<Pipe>) -> Self {
        Self {
            pipe,
            staged: VecDeque::new(),
            bytes: 0,
            offset: 0,
            unfinished_flush: false,
            waits: None,
            abandoned: 0,
            close_asked: false,
            closed: false,
        }
    }

    /// Moves chunks into the queue until so many frames are left.
    fn poll_push(&mut self, cx: &Context<'_>, leave: usize) -> Poll<Result<(), LinkError>> {
        while self.staged.len() > leave {
            let Some(front) = self.staged.front() else { break };
            let (fault, len) = (self.pipe.fault, front.len());
            {
                let mut state = self.pipe.state();
                if state.source_gone {
                    return Poll::Ready(Err(cut()));
                }
                if !self.pipe.has_room() {
                    state.waits += u32::from(len <= CHUNK);
                    let forgets = fault == Fault::ForgetsTheWriter && len <= CHUNK && state.waits > 4;
                    state.writer = (!forgets).then(|| cx.waker().clone());
                    return Poll::Pending;
                }
            }
            let end = len.min(self.offset + CHUNK);
            let mut chunk = front.slice(self.offset..end);
            self.spoil(&mut chunk, len);
            let is_full = end - self.offset == CHUNK && end == len;
            self.pipe.push(chunk, end == len && !(is_full && fault == Fault::ForgetsTheEndOfFullChunks));
            self.offset = end;
            if end == len {
                (self.offset, self.bytes) = (0, self.bytes - len);
                self.staged.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn spoil(&self, chunk: &mut Bytes, len: usize) {
        if len < LARGE || self.pipe.fault != Fault::SharesABuffer {
            return;
        }
        let large = &self.pipe.shared.large;
        let others = if self.offset == 0 {
            large.fetch_add(1, Ordering::Relaxed)
        } else {
            large.load(Ordering::Relaxed) - 1
        };
        if others > 0 {
            *chunk = Bytes::from(vec![0; chunk.len()]);
        }
        if self.offset + chunk.len() == len {
            large.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn refuse(&mut self, frame: &Bytes) -> Result<(), LinkError> {
        let (len, max) = (frame.len(), MAX_FRAME_BYTES);
        match self.pipe.fault {
            Fault::StreamsTakeShortFramesOnly if !self.pipe.is_main && len > LARGE => {
                Err(LinkError::FrameTooLarge { len, max: LARGE })
            }
            _ if len <= max => Ok(()),
            Fault::TakesAnyLength => Ok(()),
            Fault::RefusesWithoutReason => Err(cut()),
            fault => {
                if fault == Fault::RefusesTooLate {
                    self.pipe.push(frame.slice(..CHUNK), false);
                }
                Err(LinkError::FrameTooLarge { len, max })
            }
        }
    }
}

impl Sink<Bytes> for ToySink {
    type Error = LinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.closed && self.pipe.fault != Fault::SendsAfterClose {
            return Poll::Ready(Err(LinkError::Closed));
        }
        let another = self.waits.as_ref().is_some_and(|waker| !waker.will_wake(cx.waker()));
        self.abandoned += u32::from(another && !self.unfinished_flush);
        if self.pipe.fault == Fault::SendGivesUpTheRest && self.unfinished_flush && self.offset > 0 {
            (self.offset, self.bytes) = (0, 0);
            self.staged.clear();
        }
        while self.bytes >= STAGE {
            let leave = self.staged.len() - 1;
            match self.poll_push(cx, leave) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.waits = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        self.waits = None;
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        if self.closed {
            return if self.pipe.fault == Fault::SendsAfterClose { Ok(()) } else { Err(LinkError::Closed) };
        }
        self.refuse(&frame)?;
        if self.pipe.fault == Fault::FeedDoubles && self.abandoned >= MANY_ABANDONED {
            self.abandoned = 0;
            self.bytes += frame.len();
            self.staged.push_back(frame.clone());
        }
        self.bytes += frame.len();
        self.staged.push_back(frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let leaves = self.pipe.fault == Fault::FlushLeavesTheLast && self.staged.len() > 10;
        let flushed = self.poll_push(cx, usize::from(leaves));
        self.unfinished_flush = flushed.is_pending();
        flushed
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let asked = std::mem::replace(&mut self.close_asked, true);
        if self.closed && self.pipe.fault == Fault::SecondCloseFails {
            return Poll::Ready(Err(LinkError::Closed));
        }
        let another = self.waits.as_ref().is_some_and(|waker| !waker.will_wake(cx.waker()));
        if asked && another && self.pipe.fault == Fault::CloseIsDoneWhenAskedAgain {
            self.staged.clear();
        }
        self.waits = Some(cx.waker().clone());
        match self.poll_push(cx, 0) {
            Poll::Ready(Ok(())) => {
                self.closed = true;
                self.pipe.end(End::Closed);
                Poll::Ready(Ok(()))
            }
            failed_or_pending => failed_or_pending,
        }
    }
}

impl Drop for ToySink {
    fn drop(&mut self) {
        if self.closed && self.pipe.fault == Fault::DropTakesBackWhatWasClosed {
            self.pipe.state().chunks.clear();
        }
        self.pipe.end(End::Gone);
    }
}

/// Where frames come out.
pub(crate) struct ToySource {
    pipe: Arc<Pipe>,
    partial: BytesMut,
    /// Who asked for the frame that is coming.
    asked: Option<Waker>,
    ended: bool,
}

impl ToySource {
    pub(crate) fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe, partial: BytesMut::new(), asked: None, ended: false }
    }

    fn over(&mut self, end: End) -> Poll<Option<Result<Bytes, LinkError>>> {
        let fault = self.pipe.fault;
        let again = std::mem::replace(&mut self.ended, true);
        if again && end == End::Closed && fault == Fault::EndIsToldOnce {
            return Poll::Pending;
        }
        let looks_good = match self.pipe.is_main {
            true => fault == Fault::CutLooksLikeAClose,
            false => fault == Fault::StreamCutLooksLikeAClose,
        };
        if end != End::Gone || looks_good {
            return Poll::Ready(None);
        }
        self.pipe.state().end = End::Told;
        if fault == Fault::DeliversTornFrames && !self.partial.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.partial).freeze())));
        }
        Poll::Ready(Some(Err(cut())))
    }
}

impl Stream for ToySource {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let another = self.asked.as_ref().is_some_and(|waker| !waker.will_wake(cx.waker()));
        let anew = if self.pipe.is_main { Fault::NextBeginsAnew } else { Fault::StreamNextBeginsAnew };
        if another && self.pipe.fault == anew {
            self.partial.clear();
        }
        loop {
            let mut state = self.pipe.state();
            let Some((chunk, is_last)) = state.chunks.pop_front() else {
                let end = state.end;
                if end != End::Open {
                    drop(state);
                    return self.over(end);
                }
                state.reader = Some(cx.waker().clone());
                drop(state);
                if self.pipe.fault == Fault::CloseStopsTheReader && self.pipe.the_other_is_closed() {
                    return Poll::Ready(None);
                }
                self.asked = Some(cx.waker().clone());
                return Poll::Pending;
            };
            self.pipe.give_room(self.pipe.cost(&chunk));
            self.pipe.received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            let writer = state.writer.take();
            drop(state);
            wake(writer);
            self.partial.extend_from_slice(&chunk);
            if is_last {
                self.asked = None;
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.partial).freeze())));
            }
        }
    }
}

impl Drop for ToySource {
    fn drop(&mut self) {
        if self.pipe.fault == Fault::StreamWriterIsNotTold && !self.pipe.is_main {
            return;
        }
        let mut state = self.pipe.state();
        state.source_gone = true;
        let left: Vec<_> = state.chunks.drain(..).collect();
        left.iter().for_each(|(chunk, _)| self.pipe.give_room(self.pipe.cost(chunk)));
        if self.pipe.fault != Fault::ForgetsTheWriterWhenTheReaderGoes {
            wake(state.writer.take());
        }
    }
}
