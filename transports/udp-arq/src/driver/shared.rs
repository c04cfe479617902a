//! What a link's halves and the task of its socket share: two bounded queues of frames, and who waits for what.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use chat_core::LinkError;
use chat_core::transport::{LinkFigures, LinkStats, MAX_FRAME_BYTES, ReceiveMemory};
use tokio::sync::Notify;

use crate::connection::{Connection, End, SendError};
use crate::endpoint::Handle;

/// Frames, and bytes of them, that wait in a queue between the task and a half of a link. One frame fits
/// always, however long.
const MAX_FRAMES: usize = 64;
const MAX_BYTES: usize = 256 << 10;

/// The links that want the task's attention, each at most once, and the bell.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    handles: Mutex<Vec<Handle>>,
    bell: Notify,
}

impl Wakeups {
    fn ring(&self, handle: Handle) {
        lock(&self.handles).push(handle);
        self.bell.notify_one();
    }

    /// Waits for a ring. Cancel safe.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(crate) fn take(&self) -> Vec<Handle> {
        std::mem::take(&mut *lock(&self.handles))
    }
}

/// A queue of frames with the one who waits at its other end.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.frames.is_empty() || (self.frames.len() < MAX_FRAMES && self.bytes < MAX_BYTES)
    }

    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.waker = Some(cx.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    out: Queue,
    inward: Queue,
    /// No frame follows from the sink: it was closed or dropped.
    finishing: bool,
    sink_dropped: bool,
    source_dropped: bool,
    /// The peer has everything that was sent.
    delivered: bool,
    /// The peer has finished, and all it sent is in the queue.
    complete: bool,
    end: Option<End>,
    end_told: bool,
    figures: LinkFigures,
    /// What the connection has taken and the peer has not acknowledged, in bytes.
    unacknowledged: usize,
    /// For the queue of frames that nobody has taken.
    memory: ReceiveMemory,
    /// Whether the task was rung for and has not come yet.
    rung: bool,
}

/// The shared state of a link.
#[derive(Debug)]
pub(crate) struct Shared {
    handle: Handle,
    wakeups: Arc<Wakeups>,
    state: Mutex<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics with the lock held; if something did, the queues would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(handle: Handle, wakeups: Arc<Wakeups>) -> Arc<Self> {
        Arc::new(Self { handle, wakeups, state: Mutex::default() })
    }

    fn ring(&self, state: &mut State) {
        if !std::mem::replace(&mut state.rung, true) {
            self.wakeups.ring(self.handle);
        }
    }

    // The halves' side.

    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = lock(&self.state);
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.error()));
        }
        if state.finishing {
            return Poll::Ready(Err(LinkError::Closed));
        }
        if state.out.has_room() {
            return Poll::Ready(Ok(()));
        }
        state.out.wait(cx);
        Poll::Pending
    }

    pub(super) fn start_send(&self, frame: Bytes) -> Result<(), LinkError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(LinkError::FrameTooLarge { len: frame.len(), max: MAX_FRAME_BYTES });
        }
        let mut state = lock(&self.state);
        if state.finishing || state.end.is_some() {
            return Err(state.end.map_or(LinkError::Closed, End::error));
        }
        state.out.push(frame);
        self.ring(&mut state);
        Ok(())
    }

    /// Ready when the connection has taken every frame.
    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = lock(&self.state);
        if state.out.frames.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.error()));
        }
        state.out.wait(cx);
        Poll::Pending
    }

    /// Ready when the peer has every frame. Bounded by the connection's linger.
    pub(super) fn poll_close(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = lock(&self.state);
        if !std::mem::replace(&mut state.finishing, true) {
            self.ring(&mut state);
        }
        if state.delivered {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.error()));
        }
        state.out.wait(cx);
        Poll::Pending
    }

    pub(super) fn drop_sink(&self) {
        let mut state = lock(&self.state);
        (state.finishing, state.sink_dropped) = (true, true);
        self.ring(&mut state);
    }

    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, LinkError>>> {
        let mut state = lock(&self.state);
        let had_room = state.inward.has_room();
        if let Some(frame) = state.inward.pop() {
            let bytes = state.inward.bytes;
            state.memory.count(bytes);
            if !had_room {
                self.ring(&mut state);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if state.complete || state.end_told {
            return Poll::Ready(None);
        }
        if let Some(end) = state.end {
            state.end_told = true;
            return Poll::Ready(Some(Err(end.error())));
        }
        state.inward.wait(cx);
        Poll::Pending
    }

    pub(super) fn drop_source(&self) {
        let mut state = lock(&self.state);
        state.source_dropped = true;
        state.inward = Queue::default();
        self.ring(&mut state);
    }

    // The task's side.

    /// Whether both halves are gone.
    pub(super) fn is_released(&self) -> bool {
        let state = lock(&self.state);
        state.sink_dropped && state.source_dropped
    }

    /// Moves frames both ways and tells each side what it must know of the other.
    pub(super) fn exchange(&self, now: Instant, connection: &mut Connection) {
        let mut state = lock(&self.state);
        state.rung = false;
        take_outgoing(&mut state, now, connection);
        give_incoming(&mut state, connection);
        state.delivered = connection.is_delivered();
        state.complete = connection.is_read_to_the_end();
        state.figures = connection.figures();
        state.unacknowledged = usize::try_from(connection.buffered()).unwrap_or(usize::MAX);
        state.end = state.end.or(connection.end());
        if state.delivered || state.end.is_some() {
            state.out.wake();
        }
        if state.complete || state.end.is_some() {
            state.inward.wake();
        }
    }

    /// The figures of this moment, with what has just been sent.
    pub(super) fn note(&self, figures: LinkFigures) {
        lock(&self.state).figures = figures;
    }

    /// There is no connection any more, or there never was one.
    pub(super) fn end(&self, end: End) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(end);
        state.out.wake();
        state.inward.wake();
    }
}

/// The sink's frames go to the connection.
fn take_outgoing(state: &mut State, now: Instant, connection: &mut Connection) {
    let mut took = false;
    while connection.can_send() {
        let Some(frame) = state.out.pop() else { break };
        took = true;
        match connection.send(frame) {
            Ok(()) => {}
            Err(SendError::Full(frame)) => {
                state.out.bytes += frame.len();
                state.out.frames.push_front(frame);
                break;
            }
            // The sink checks the length, and the end of the connection is told below.
            Err(SendError::TooLarge(_) | SendError::Closed) => break,
        }
    }
    if took {
        state.out.wake();
    }
    if state.finishing {
        connection.linger(now);
        if state.out.frames.is_empty() {
            connection.finish(now);
        }
    }
    if state.sink_dropped && state.source_dropped && state.out.frames.is_empty() {
        connection.release(now);
    }
}

/// The connection's frames go to the source. When the connection ends, all it still has, which its credit
/// bounds: nobody is there to keep it.
fn give_incoming(state: &mut State, connection: &mut Connection) {
    let ended = connection.end().is_some();
    let mut gave = false;
    while ended || state.source_dropped || state.inward.has_room() {
        let Some(frame) = connection.poll_frame() else { break };
        gave = true;
        if !state.source_dropped {
            state.inward.push(frame);
        }
    }
    if gave {
        state.memory.count(state.inward.bytes);
        state.inward.wake();
    }
}

impl LinkStats for Shared {
    fn waiting_bytes(&self) -> usize {
        let state = lock(&self.state);
        state.out.bytes.saturating_add(state.unacknowledged)
    }

    fn figures(&self) -> LinkFigures {
        lock(&self.state).figures.clone()
    }
}
