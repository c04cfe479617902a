//! What the ends of a link share: the link below, the state of the layer, and who waits.
//!
//! Whoever calls drives all of it. The link below knows one waker for reading and one for writing; each wakes everybody who
//! waits for that, and each looks whether it is for him.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;

use super::inside::Inside;
use crate::error::LinkError;
use crate::transport::{FrameSink, FrameSource};

/// Frames that are read before others have their turn.
const READ_BUDGET: usize = 64;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here panics with a lock held; if the transport does, what is here is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those who wait for the link below, by number, each at most once.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    wakers: Mutex<Vec<(u64, Waker)>>,
    /// It has rung since somebody asked last.
    rang: AtomicBool,
}

impl Waiting {
    fn add(&self, who: u64, waker: &Waker) {
        let mut wakers = lock(&self.wakers);
        match wakers.iter_mut().find(|(other, _)| *other == who) {
            Some((_, known)) => known.clone_from(waker),
            None => wakers.push((who, waker.clone())),
        }
    }

    fn remove(&self, who: u64) {
        lock(&self.wakers).retain(|(other, _)| *other != who);
    }

    fn ring(&self) {
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.ring();
    }
}

pub(super) struct Shared {
    inside: Mutex<Inside>,
    reading: Arc<Waiting>,
    writing: Arc<Waiting>,
    next_waiter: AtomicU64,
}

impl Shared {
    pub(super) fn new(sink: FrameSink, source: FrameSource) -> Arc<Self> {
        let (reading, writing) = (Arc::new(Waiting::default()), Arc::new(Waiting::default()));
        let wakers = [&reading, &writing].map(|waiting| Waker::from(Arc::clone(waiting)));
        let inside = Inside::new(sink, source, wakers);
        Arc::new(Self { inside: Mutex::new(inside), reading, writing, next_waiter: AtomicU64::new(0) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    /// A number for somebody who may wait; [`Shared::forget_waiter`] takes it back.
    pub(super) fn new_waiter(&self) -> u64 {
        self.next_waiter.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn forget_waiter(&self, who: u64) {
        self.reading.remove(who);
        self.writing.remove(who);
    }

    /// Has somebody woken when something comes.
    pub(super) fn wait_to_read(&self, who: u64, cx: &Context<'_>) {
        Self::wait(&self.reading, who, cx);
    }

    /// Has somebody woken when something has gone.
    pub(super) fn wait_to_write(&self, who: u64, cx: &Context<'_>) {
        Self::wait(&self.writing, who, cx);
    }

    fn wait(waiting: &Waiting, who: u64, cx: &Context<'_>) {
        waiting.add(who, cx.waker());
        // It may have rung between the look and this; the state is locked since before the look.
        if waiting.rang.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
    }

    /// Reads what is there, and answers it. Gives the next frame of the link's own only to its reader.
    pub(super) fn drive_in(&self, inside: &mut Inside, who: u64, for_own: bool) -> Option<Bytes> {
        let mut own = None;
        let mut has_news = false;
        self.reading.rang.store(false, Ordering::SeqCst);
        for read in 0.. {
            if inside.in_ended.is_some() || (!for_own && inside.own_is_full()) {
                break;
            }
            if read >= READ_BUDGET {
                self.reading.rang.store(true, Ordering::SeqCst);
                break;
            }
            let Poll::Ready(item) = inside.poll_source() else { break };
            match inside.take(item) {
                Some(frame) if for_own => {
                    own = Some(frame);
                    break;
                }
                Some(frame) => inside.keep_own(frame),
                None => {}
            }
            has_news = true;
        }
        if has_news {
            self.reading.remove(who);
            self.reading.ring();
            // Whoever waits for credit, or for a direction that has ended.
            self.writing.ring();
        }
        own
    }

    /// Sends what may go now; has somebody woken to go on with it. For whoever is going to wait.
    pub(super) fn drive_out(&self, inside: &mut Inside, who: u64, cx: &Context<'_>) {
        if self.pump(inside, who, false) {
            self.wait_to_write(who, cx);
        }
    }

    /// The same, and flushes whatever was given to the link below. Whoever waits says so himself.
    pub(super) fn drive_flush(&self, inside: &mut Inside, who: u64) {
        self.pump(inside, who, true);
    }

    /// Room for a frame of the link's own.
    pub(super) fn poll_own(
        &self,
        inside: &mut Inside,
        who: u64,
        cx: &Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        self.writing.rang.store(false, Ordering::SeqCst);
        let room = inside.poll_own();
        if room.is_pending() {
            self.wait_to_write(who, cx);
        }
        room
    }

    /// Closes the direction that goes out.
    pub(super) fn close(
        &self,
        inside: &mut Inside,
        who: u64,
        cx: &Context<'_>,
    ) -> Poll<Result<(), LinkError>> {
        self.writing.rang.store(false, Ordering::SeqCst);
        let closed = inside.poll_close();
        if closed.is_pending() {
            self.wait_to_write(who, cx);
        } else {
            self.ring_all();
        }
        closed
    }

    /// The same for who is not going to wait: if the link has no room, those who read go on with it.
    pub(super) fn hand_out(&self, inside: &mut Inside, who: u64) {
        if self.pump(inside, who, false) {
            self.reading.ring();
        }
    }

    /// Whether something is left for which there is no room.
    fn pump(&self, inside: &mut Inside, who: u64, flushes: bool) -> bool {
        self.writing.rang.store(false, Ordering::SeqCst);
        let before = (inside.given, inside.flushed, inside.out_ended.is_some());
        let is_left = inside.pump(flushes);
        if std::mem::take(&mut inside.has_left_turn) {
            // He comes again, behind whom he let go first.
            self.writing.rang.store(true, Ordering::SeqCst);
        }
        if before != (inside.given, inside.flushed, inside.out_ended.is_some()) {
            self.writing.remove(who);
            self.writing.ring();
        }
        is_left
    }

    /// Something that everybody must look at.
    pub(super) fn ring_all(&self) {
        self.reading.ring();
        self.writing.ring();
    }
}
