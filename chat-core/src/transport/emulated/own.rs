//! The link's own sink and source, and whoever waits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;

use super::inside::Inside;
use super::shared::Shared;
use crate::error::LinkError;

/// Somebody who waits, and is forgotten when he goes.
pub(super) struct Waiter {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
}

impl Waiter {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), number: shared.new_waiter() }
    }

    /// Reads until `look` finds what is waited for, or nothing more is there now.
    pub(super) fn poll_in<T>(
        &self,
        cx: &Context<'_>,
        mut look: impl FnMut(&mut Inside) -> Option<Result<T, LinkError>>,
    ) -> Poll<Result<T, LinkError>> {
        let mut inside = self.shared.lock();
        let mut found = look(&mut inside);
        if found.is_none() {
            self.shared.drive_in(&mut inside, self.number, false);
            found = look(&mut inside);
        }
        if let Some(found) = found {
            // Taking may have left something to say: credit.
            self.shared.hand_out(&mut inside, self.number);
            return Poll::Ready(found);
        }
        if let Some(ended) = &inside.in_ended {
            return Poll::Ready(Err(ended.error()));
        }
        self.shared.drive_out(&mut inside, self.number, cx);
        self.shared.wait_to_read(self.number, cx);
        Poll::Pending
    }

    /// Does something that may leave something to say.
    pub(super) fn act(&self, act: impl FnOnce(&mut Inside)) {
        let mut inside = self.shared.lock();
        act(&mut inside);
        self.shared.hand_out(&mut inside, self.number);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.shared.forget_waiter(self.number);
    }
}

/// Frames of the link's own, out.
pub(super) struct MainSink(Waiter);

impl MainSink {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Waiter::new(shared))
    }
}

impl Sink<Bytes> for MainSink {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let Waiter { shared, number } = &self.0;
        let mut inside = shared.lock();
        shared.poll_own(&mut inside, *number, cx)
    }

    fn start_send(self: Pin<&mut Self>, frame: Bytes) -> Result<(), LinkError> {
        self.0.shared.lock().send_own(frame)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let Waiter { shared, number } = &self.0;
        let mut inside = shared.lock();
        shared.drive_flush(&mut inside, *number);
        if inside.own_is_flushed() {
            return Poll::Ready(Ok(()));
        }
        if inside.out_ended.is_some() {
            return Poll::Ready(Err(inside.out_error()));
        }
        shared.wait_to_write(*number, cx);
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let Waiter { shared, number } = &self.0;
        let mut inside = shared.lock();
        shared.close(&mut inside, *number, cx)
    }
}

impl Drop for MainSink {
    fn drop(&mut self) {
        self.0.shared.lock().drop_sink();
        self.0.shared.ring_all();
    }
}

/// Frames of the link's own, in.
pub(super) struct MainSource(Waiter);

impl MainSource {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Waiter::new(shared))
    }
}

impl Stream for MainSource {
    type Item = Result<Bytes, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Waiter { shared, number } = &self.0;
        let mut inside = shared.lock();
        if let Some((frame, may_go_on)) = inside.next_own() {
            if may_go_on {
                shared.ring_all();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if inside.in_ended.is_some() {
            return Poll::Ready(inside.own_end());
        }
        let frame = shared.drive_in(&mut inside, *number, true);
        if frame.is_some() {
            shared.hand_out(&mut inside, *number);
            return Poll::Ready(frame.map(Ok));
        }
        if inside.in_ended.is_some() {
            return Poll::Ready(inside.own_end());
        }
        shared.drive_out(&mut inside, *number, cx);
        shared.wait_to_read(*number, cx);
        Poll::Pending
    }
}

impl Drop for MainSource {
    fn drop(&mut self) {
        self.0.shared.lock().drop_source();
        self.0.shared.ring_all();
    }
}
