//! Frames that say which they are, and the sink and the source of a link one call at a time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::error::LinkError;
use crate::testing::Violation;
use crate::transport::{FrameSink, FrameSource, MAX_FRAME_BYTES};

/// A frame that begins with its number, as far as there is room, and goes on with what no other frame has.
pub(super) fn frame(number: u64, len: usize) -> Bytes {
    // No power of two, so that a part that is missing, doubled or moved shows.
    const PERIOD: usize = 251;
    let mut block = [0; PERIOD];
    for (index, byte) in (0u64..).zip(&mut block) {
        *byte = (index.wrapping_mul(number | 1).wrapping_add(number) >> 1) as u8;
    }
    let mut frame = BytesMut::with_capacity(len + PERIOD);
    frame.extend_from_slice(&number.to_be_bytes());
    while frame.len() < len {
        frame.extend_from_slice(&block);
    }
    frame.truncate(len);
    frame.freeze()
}

/// The number that a frame says it has.
pub(super) fn number_of(frame: &[u8]) -> Option<u64> {
    frame.first_chunk().map(|number| u64::from_be_bytes(*number))
}

/// What a source gave.
#[derive(Debug)]
pub(super) enum Seen {
    Frame(Bytes),
    End,
    Error(LinkError),
}

impl Seen {
    pub(super) fn of(item: Option<Result<Bytes, LinkError>>) -> Self {
        match item {
            Some(Ok(frame)) => Self::Frame(frame),
            Some(Err(error)) => Self::Error(error),
            None => Self::End,
        }
    }

    pub(super) fn must_be(&self, number: u64, len: usize) -> Result<(), Violation> {
        let expected = format_args!("frame {number} of {len} bytes was expected").to_string();
        match self {
            Self::Frame(frame) if *frame == frame_like(number, len) => Ok(()),
            Self::Frame(frame) if frame.len() == len => {
                Err(Violation::new(format!("{expected}, and as many bytes of something else came")))
            }
            Self::Frame(frame) => {
                Err(Violation::new(format!("{expected}, and one of {} bytes came", frame.len())))
            }
            Self::End => Err(Violation::new(format!("{expected}, and the source ended"))),
            Self::Error(error) => Err(Violation::new(format!("{expected}, and not: {error}"))),
        }
    }

    /// The end, well or not; no frame.
    pub(super) fn must_be_over(&self, what: &str) -> Result<(), Violation> {
        match self {
            Self::Frame(frame) => {
                Err(Violation::new(format!("{what}: a frame of {} bytes came", frame.len())))
            }
            Self::End | Self::Error(_) => Ok(()),
        }
    }

    /// The end in good order.
    pub(super) fn must_be_the_end(&self, what: &str) -> Result<(), Violation> {
        match self {
            Self::Error(error) => Err(Violation::new(format!("{what}: {error}"))),
            _ => self.must_be_over(what),
        }
    }
}

fn frame_like(number: u64, len: usize) -> Bytes {
    frame(number, len.min(MAX_FRAME_BYTES + 1))
}

async fn ready(sink: &mut FrameSink) -> Result<(), LinkError> {
    poll_fn(|cx| sink.as_mut().poll_ready(cx)).await
}

/// Hands a frame over without sending it yet. Dropped before it is ready, it has not handed it over.
pub(super) async fn feed(sink: &mut FrameSink, frame: Bytes) -> Result<(), LinkError> {
    ready(sink).await?;
    sink.as_mut().start_send(frame)
}

pub(super) async fn flush(sink: &mut FrameSink) -> Result<(), LinkError> {
    poll_fn(|cx| sink.as_mut().poll_flush(cx)).await
}

pub(super) async fn send(sink: &mut FrameSink, frame: Bytes) -> Result<(), LinkError> {
    feed(sink, frame).await?;
    flush(sink).await
}

pub(super) async fn close(sink: &mut FrameSink) -> Result<(), LinkError> {
    poll_fn(|cx| sink.as_mut().poll_close(cx)).await
}

pub(super) async fn next(source: &mut FrameSource) -> Option<Result<Bytes, LinkError>> {
    poll_fn(|cx| source.as_mut().poll_next(cx)).await
}

/// Polls a future so many times, the last time as somebody whom nobody can wake any more, and drops it: as a `select!`
/// does whose other branch is first.
pub(super) async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        left = left.saturating_sub(1);
        if left > 0 {
            return future.as_mut().poll(cx).map(Some);
        }
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}
