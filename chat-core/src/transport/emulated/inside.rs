//! The link below and the state over it: what is read from the one and written to it, and in which order.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::state::State;
use super::wire::{MARK, escaped, mark_before};
use crate::error::LinkError;
use crate::transport::{FrameSink, FrameSource, MAX_FRAME_BYTES, ReceiveMemory};

/// Frames of the link's own that are kept for their reader while somebody else reads, and bytes of them; one always fits.
const MAX_OWN_FRAMES: usize = 64;
const MAX_OWN_BYTES: usize = 256 << 10;
/// How often others leave their turn to the link's own frames: more often than there is somebody who may be asked before
/// whoever writes those, and not for ever, for he may have been dropped.
const TURNS: u8 = 64;

/// How a direction ended, to be told to many.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// In good order, or by this end.
    Closed,
    Failed(io::ErrorKind, String),
}

impl Ended {
    fn by(error: &LinkError) -> Self {
        match error {
            LinkError::Closed => Self::Closed,
            LinkError::Io(error) => Self::Failed(error.kind(), error.to_string()),
            other => Self::Failed(io::ErrorKind::Other, other.to_string()),
        }
    }

    pub(super) fn error(&self) -> LinkError {
        match self {
            Self::Closed => LinkError::Closed,
            Self::Failed(kind, text) => LinkError::Io(io::Error::new(*kind, text.clone())),
        }
    }
}

/// The link below and everything over it.
pub(super) struct Inside {
    pub(super) state: State,
    sink: Option<FrameSink>,
    source: Option<FrameSource>,
    pub(super) out_ended: Option<Ended>,
    pub(super) in_ended: Option<Ended>,
    /// How the link's own source is to end, until it has been told.
    own_end: Option<Option<LinkError>>,
    /// Frames of the link's own that somebody else has read.
    own_in: VecDeque<Bytes>,
    own_in_bytes: usize,
    memory: ReceiveMemory,
    /// A frame of the link's own behind what was sent in front of it; or for which there was suddenly no room below.
    own_out: VecDeque<Bytes>,
    /// So often others leave their turn to the link's own, for which somebody waits.
    own_turns: u8,
    /// Somebody has just left his.
    pub(super) has_left_turn: bool,
    /// The link's own sink was closed: nothing else goes out any more.
    is_closing: bool,
    /// Frames that went to the link below, and how many of them it has flushed.
    pub(super) given: u64,
    pub(super) flushed: u64,
    /// Whether a frame of the layer's is among those that it has not.
    owes_flush: bool,
    /// `given` when the last frame of the link's own went.
    own_through: u64,
    read_waker: Waker,
    write_waker: Waker,
}

impl Inside {
    /// The wakers are for reading and for writing.
    pub(super) fn new(sink: FrameSink, source: FrameSource, [read_waker, write_waker]: [Waker; 2]) -> Self {
        Self {
            state: State::new(),
            sink: Some(sink),
            source: Some(source),
            out_ended: None,
            in_ended: None,
            own_end: None,
            own_in: VecDeque::new(),
            own_in_bytes: 0,
            memory: ReceiveMemory::default(),
            own_out: VecDeque::new(),
            own_turns: 0,
            has_left_turn: false,
            is_closing: false,
            given: 0,
            flushed: 0,
            owes_flush: false,
            own_through: 0,
            read_waker,
            write_waker,
        }
    }

    pub(super) fn own_is_full(&self) -> bool {
        self.own_in.len() >= MAX_OWN_FRAMES || self.own_in_bytes >= MAX_OWN_BYTES
    }

    pub(super) fn poll_source(&mut self) -> Poll<Option<Result<Bytes, LinkError>>> {
        match &mut self.source {
            Some(source) => source.as_mut().poll_next(&mut Context::from_waker(&self.read_waker)),
            None => Poll::Ready(Some(Err(LinkError::Closed))),
        }
    }

    /// What the source gave: a frame of the link's own, one of the layer's, or the end.
    pub(super) fn take(&mut self, item: Option<Result<Bytes, LinkError>>) -> Option<Bytes> {
        match item {
            Some(Ok(frame)) => match self.state.on_frame(frame) {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {
                    if let Err(error) = self.memory.hold(self.own_in_bytes + self.state.held()) {
                        self.fail(error);
                    }
                }
                Err(malformed) => self.fail(malformed.into()),
            },
            Some(Err(error)) => self.end_in(Some(error)),
            None if self.state.is_within_frame() => {
                let text = "the link was cut within a frame";
                self.end_in(Some(io::Error::new(io::ErrorKind::UnexpectedEof, text).into()));
            }
            None => self.end_in(None),
        }
        None
    }

    pub(super) fn keep_own(&mut self, frame: Bytes) {
        self.own_in_bytes += frame.len();
        self.own_in.push_back(frame);
        self.memory.count(self.own_in_bytes + self.state.held());
    }

    /// Gives a frame that was kept, and whether those who read may go on.
    pub(super) fn next_own(&mut self) -> Option<(Bytes, bool)> {
        let was_full = self.own_is_full();
        let frame = self.own_in.pop_front()?;
        self.own_in_bytes -= frame.len();
        self.count();
        Some((frame, was_full))
    }

    /// Less is held than before.
    pub(super) fn count(&mut self) {
        self.memory.count(self.own_in_bytes + self.state.held());
    }

    /// How the link's own source ends, once.
    pub(super) fn own_end(&mut self) -> Option<Result<Bytes, LinkError>> {
        self.own_end.take().flatten().map(Err)
    }

    fn end_in(&mut self, error: Option<LinkError>) {
        self.in_ended.get_or_insert_with(|| error.as_ref().map_or(Ended::Closed, Ended::by));
        self.own_end = Some(error);
        self.source = None;
    }

    /// The link is of no more use, in both directions.
    fn fail(&mut self, error: LinkError) {
        tracing::debug!(%error, "a link was given up");
        self.state.refuse_streams();
        self.state.refuse_datagrams();
        self.end_out(Ended::by(&error));
        self.end_in(Some(error));
    }

    fn end_out(&mut self, how: Ended) {
        self.out_ended.get_or_insert(how);
        self.sink = None;
    }

    /// Nobody reads the link's own frames any more.
    pub(super) fn drop_source(&mut self) {
        self.end_in(None);
        (self.own_in, self.own_in_bytes) = (VecDeque::new(), 0);
    }

    /// Nobody writes frames of the link's own any more.
    pub(super) fn drop_sink(&mut self) {
        self.end_out(Ended::Closed);
        self.own_out = VecDeque::new();
    }

    /// Polls the sink below; its errors end this direction.
    fn below(
        &mut self,
        poll: impl FnOnce(&mut FrameSink, &mut Context<'_>) -> Poll<Result<(), LinkError>>,
    ) -> Poll<Result<(), LinkError>> {
        let Some(sink) = &mut self.sink else {
            return Poll::Ready(Err(self.out_error()));
        };
        let polled = poll(sink, &mut Context::from_waker(&self.write_waker));
        if let Poll::Ready(Err(error)) = &polled {
            self.end_out(Ended::by(error));
        }
        polled
    }

    pub(super) fn out_error(&self) -> LinkError {
        self.out_ended.as_ref().map_or(LinkError::Closed, Ended::error)
    }

    fn give(&mut self, frame: Bytes, is_own: bool) -> Result<(), LinkError> {
        let sink = self.sink.as_mut().ok_or(LinkError::Closed)?;
        let given = sink.as_mut().start_send(frame);
        match &given {
            Ok(()) => {
                self.given += 1;
                self.owes_flush |= !is_own;
                if is_own {
                    self.own_through = self.given;
                }
            }
            Err(error) => self.end_out(Ended::by(error)),
        }
        given
    }

    /// Sends what may go now: what is left of the link's own first, then what is short, then one of the others when all before it
    /// is flushed. Whether something is left for which there is no room.
    pub(super) fn pump(&mut self, flushes: bool) -> bool {
        while self.sink.is_some() {
            if self.is_closing && self.own_out.is_empty() {
                // Closing flushes by itself.
                return false;
            }
            let has_more = !self.own_out.is_empty() || (!self.is_closing && self.state.has_something());
            if !has_more {
                return (self.owes_flush || flushes) && self.poll_flush_below().is_pending();
            }
            match self.below(|sink, cx| sink.as_mut().poll_ready(cx)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => return true,
            }
            let own = self.own_out.pop_front();
            let is_own = own.is_some();
            let next = match own.or_else(|| self.state.next_control()) {
                Some(next) => Some(next),
                None => match self.poll_flush_below() {
                    Poll::Ready(Ok(())) if self.own_turns > 0 => {
                        self.own_turns -= 1;
                        self.has_left_turn = true;
                        return true;
                    }
                    Poll::Ready(Ok(())) => self.state.next_bulk(),
                    Poll::Ready(Err(_)) => return false,
                    Poll::Pending => return true,
                },
            };
            let Some(frame) = next else { return false };
            if self.give(frame, is_own).is_err() {
                return false;
            }
        }
        false
    }

    fn poll_flush_below(&mut self) -> Poll<Result<(), LinkError>> {
        if self.given == self.flushed {
            return Poll::Ready(Ok(()));
        }
        let polled = self.below(|sink, cx| sink.as_mut().poll_flush(cx));
        if let Poll::Ready(Ok(())) = polled {
            (self.flushed, self.owes_flush) = (self.given, false);
        }
        polled
    }

    /// Whether everything that was given so far is with the transport.
    pub(super) fn is_flushed(&self, through: u64) -> bool {
        self.flushed >= through
    }

    /// As many frames as were given to the link below.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    // The link's own frames.

    /// Whether there is room for one. Until it has come, or did not come for long, others leave their turn to it.
    pub(super) fn poll_own(&mut self) -> Poll<Result<(), LinkError>> {
        if self.is_closing || self.sink.is_none() {
            return Poll::Ready(Err(self.out_error()));
        }
        if !self.own_out.is_empty() {
            self.pump(false);
        }
        self.own_turns = TURNS;
        if self.own_out.is_empty() {
            return self.below(|sink, cx| sink.as_mut().poll_ready(cx));
        }
        Poll::Pending
    }

    /// Whether all that was taken of them is with the transport.
    pub(super) fn own_is_flushed(&self) -> bool {
        self.own_out.is_empty() && self.flushed >= self.own_through
    }

    /// Takes a frame of the link's own: behind [`Inside::poll_own`] there is room below, whatever of others waits.
    pub(super) fn send_own(&mut self, frame: Bytes) -> Result<(), LinkError> {
        if self.is_closing || self.sink.is_none() {
            return Err(self.out_error());
        }
        let (len, max) = (frame.len(), MAX_FRAME_BYTES);
        if len > max {
            return Err(LinkError::FrameTooLarge { len, max });
        }
        self.own_turns = 0;
        if len < max || frame.first() != Some(&MARK) {
            return self.give_own(escaped(&frame).unwrap_or(frame));
        }
        self.give_own(mark_before())?;
        let rest = frame.slice(1..);
        self.own_out.push_back(escaped(&rest).unwrap_or(rest));
        Ok(())
    }

    fn give_own(&mut self, frame: Bytes) -> Result<(), LinkError> {
        if self.own_out.is_empty()
            && let Poll::Ready(ready) = self.below(|sink, cx| sink.as_mut().poll_ready(cx))
        {
            return ready.and_then(|()| self.give(frame, true));
        }
        // Others have used the room meanwhile: whoever asked for it came late.
        self.own_out.push_back(frame);
        Ok(())
    }

    /// Closes this direction once what waits of the link's own has gone. Whoever waits is woken by writing.
    pub(super) fn poll_close(&mut self) -> Poll<Result<(), LinkError>> {
        self.is_closing = true;
        if self.sink.is_none() {
            return Poll::Ready(match self.out_ended {
                Some(Ended::Failed(..)) => Err(self.out_error()),
                _ => Ok(()),
            });
        }
        if self.pump(false) && !self.own_out.is_empty() {
            return Poll::Pending;
        }
        let closed = self.below(|sink, cx| sink.as_mut().poll_close(cx));
        if let Poll::Ready(Ok(())) = closed {
            self.out_ended.get_or_insert(Ended::Closed);
            (self.flushed, self.owes_flush) = (self.given, false);
        }
        closed
    }
}
