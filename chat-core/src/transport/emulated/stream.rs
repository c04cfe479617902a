//! One stream: what waits to be sent on it, and what came and was not read.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use super::wire::{ResetCode, Said, StreamId};
use super::{CHUNK_BYTES, Malformed, WINDOW_BYTES};
use crate::transport::MAX_FRAME_BYTES;

/// What a piece costs beside its bytes, so that empty ones are not free.
const OVERHEAD: u32 = 64;
/// Credit is given back when so much was read since the last time.
const GIVE_BACK: u32 = WINDOW_BYTES / 4;
/// Frames, and bytes of them, that wait to be sent; one frame always fits.
const MAX_FRAMES: usize = 64;
const MAX_BYTES: usize = 64 << 10;

/// What a piece of this length takes from the window.
pub(super) fn cost(len: usize) -> u32 {
    // A piece has 16 KiB at most.
    u32::try_from(len).unwrap_or(u32::MAX).saturating_add(OVERHEAD)
}

/// How far a direction is that goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    Open,
    /// Closed here; the other end is to be told once everything is sent.
    Finishing,
    ResetDue(ResetCode),
    /// The other end was told that nothing follows.
    Over,
}

/// How far a direction is that comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Open,
    Finished,
    Cut(ResetCode),
}

/// What a reader gets.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    Piece { is_last: bool, bytes: Bytes },
    End,
    Cut(ResetCode),
    Nothing,
}

#[derive(Debug)]
pub(super) struct Stream {
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    credit: u32,
    out: Out,
    /// The other end wants no more.
    is_stopped: bool,
    /// The other end does not know of it yet.
    open_due: bool,

    pieces: VecDeque<(Bytes, bool)>,
    /// Bytes in `pieces`.
    pub(super) held: usize,
    /// What the other end may still send.
    allowance: u32,
    /// What was read and not given back.
    read: u32,
    /// Bytes of the frame that is coming in.
    frame: usize,
    into: In,
    stop_due: bool,
    stopped_by_us: bool,

    /// Somebody here has it, or had it.
    pub(super) is_taken: bool,
    /// Somebody may still read it, and write it.
    has_reader: bool,
    has_writer: bool,
    /// What was to be sent was given up.
    is_cut: bool,
}

impl Stream {
    pub(super) fn new(is_ours: bool) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            credit: WINDOW_BYTES,
            out: Out::Open,
            is_stopped: false,
            open_due: is_ours,
            pieces: VecDeque::new(),
            held: 0,
            allowance: WINDOW_BYTES,
            read: 0,
            frame: 0,
            into: In::Open,
            stop_due: false,
            stopped_by_us: false,
            is_taken: is_ours,
            has_reader: true,
            has_writer: true,
            is_cut: false,
        }
    }

    /// One that nobody here takes.
    pub(super) fn refuse(&mut self) {
        self.cut(ResetCode::Refused);
        self.stop();
        (self.is_taken, self.has_writer) = (true, false);
    }

    /// Whether both ends know that nothing follows in either direction: it counts no more.
    pub(super) fn is_over(&self) -> bool {
        self.out == Out::Over && self.into != In::Open
    }

    /// Whether it may be forgotten here.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_over() && !self.has_reader && !self.has_writer && !self.open_due
    }

    // The sender's side.

    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() || (self.waiting.len() < MAX_FRAMES && self.waiting_bytes < MAX_BYTES)
    }

    pub(super) fn takes_frames(&self) -> bool {
        self.out == Out::Open && !self.is_stopped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.out == Out::Over
    }

    /// What was to be sent was given up.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        self.waiting_bytes += frame.len();
        self.waiting.push_back(frame);
    }

    pub(super) fn finish(&mut self) {
        if self.out == Out::Open {
            self.out = Out::Finishing;
        }
    }

    /// Whoever wrote has gone, or is to write no more.
    pub(super) fn cut(&mut self, code: ResetCode) {
        if matches!(self.out, Out::Open | Out::Finishing) {
            (self.out, self.is_cut) = (Out::ResetDue(code), true);
            (self.waiting, self.waiting_bytes) = (VecDeque::new(), 0);
        }
    }

    /// The sink was dropped: what is not closed was cut.
    pub(super) fn drop_sink(&mut self) {
        self.has_writer = false;
        if self.out == Out::Open {
            self.cut(ResetCode::Gone);
        }
    }

    /// The next piece's length and whether it is the frame's last, if there is credit for it.
    fn next_piece(&self) -> Option<(usize, bool)> {
        let frame = self.waiting.front()?;
        let len = frame.len().min(CHUNK_BYTES);
        (cost(len) <= self.credit).then_some((len, len == frame.len()))
    }

    /// Whether there is anything to say that is no data.
    pub(super) fn has_control(&self) -> bool {
        self.open_due
            || self.stop_due
            || matches!(self.out, Out::ResetDue(_))
            || (self.read >= GIVE_BACK && self.into == In::Open)
    }

    /// Whether it is its turn to send data, or the end of it.
    pub(super) fn has_data(&self) -> bool {
        self.next_piece().is_some() || (self.out == Out::Finishing && self.waiting.is_empty())
    }

    pub(super) fn next_control(&mut self, id: StreamId) -> Option<Said> {
        if std::mem::take(&mut self.open_due) {
            return Some(Said::Open(id.number));
        }
        if std::mem::take(&mut self.stop_due) {
            return Some(Said::Stop(id));
        }
        if let Out::ResetDue(code) = self.out {
            self.out = Out::Over;
            return Some(Said::Reset(id, code));
        }
        if self.read >= GIVE_BACK && self.into == In::Open {
            let more = std::mem::take(&mut self.read);
            self.allowance = self.allowance.saturating_add(more);
            return Some(Said::Credit(id, more));
        }
        None
    }

    pub(super) fn next_data(&mut self, id: StreamId) -> Option<Said> {
        let Some((len, is_last)) = self.next_piece() else {
            let ends = self.out == Out::Finishing && self.waiting.is_empty();
            return ends.then(|| {
                self.out = Out::Over;
                Said::Finish(id)
            });
        };
        let frame = self.waiting.front_mut()?;
        let bytes = frame.slice(..len);
        frame.advance(len);
        if is_last {
            self.waiting.pop_front();
        }
        self.waiting_bytes -= len;
        self.credit -= cost(len);
        Some(Said::Data { id, is_last, bytes })
    }

    // What the other end says.

    pub(super) fn on_data(&mut self, is_last: bool, bytes: Bytes) -> Result<(), Malformed> {
        if self.into != In::Open {
            return Err(Malformed("data behind the end of a stream"));
        }
        self.allowance = self
            .allowance
            .checked_sub(cost(bytes.len()))
            .ok_or(Malformed("more on a stream than its window"))?;
        self.frame += bytes.len();
        if self.frame > MAX_FRAME_BYTES {
            return Err(Malformed("a stream's frame over the limit"));
        }
        if is_last {
            self.frame = 0;
        }
        if !self.stopped_by_us {
            self.held += bytes.len();
            self.pieces.push_back((bytes, is_last));
        }
        Ok(())
    }

    pub(super) fn on_finish(&mut self) -> Result<(), Malformed> {
        if self.into != In::Open || self.frame > 0 {
            return Err(Malformed("an end of a stream behind its end, or within a frame"));
        }
        self.into = In::Finished;
        Ok(())
    }

    pub(super) fn on_reset(&mut self, code: ResetCode) -> Result<(), Malformed> {
        if self.into != In::Open {
            return Err(Malformed("a reset of a stream behind its end"));
        }
        self.into = In::Cut(code);
        self.forget_pieces();
        // Who never took it need not learn of it.
        if !self.is_taken && self.is_stopped {
            self.leave();
        }
        Ok(())
    }

    pub(super) fn on_stop(&mut self) {
        self.is_stopped = true;
        if self.is_taken {
            self.cut(ResetCode::Gone);
        } else if matches!(self.into, In::Cut(_)) {
            self.leave();
        }
    }

    /// Nobody need take it any more.
    fn leave(&mut self) {
        self.cut(ResetCode::Gone);
        (self.is_taken, self.has_reader, self.has_writer) = (true, false, false);
    }

    pub(super) fn on_credit(&mut self, more: u32) -> Result<(), Malformed> {
        let credit = self.credit.checked_add(more).filter(|&credit| credit <= WINDOW_BYTES);
        self.credit = credit.ok_or(Malformed("credit for what was never sent"))?;
        Ok(())
    }

    // The reader's side.

    /// Somebody takes one that the other end has opened.
    pub(super) fn take(&mut self) {
        self.is_taken = true;
        if self.is_stopped {
            self.cut(ResetCode::Gone);
        }
    }

    pub(super) fn read(&mut self) -> Read {
        if let Some((bytes, is_last)) = self.pieces.pop_front() {
            self.held -= bytes.len();
            self.read = self.read.saturating_add(cost(bytes.len()));
            return Read::Piece { is_last, bytes };
        }
        match self.into {
            In::Open => Read::Nothing,
            In::Finished => Read::End,
            In::Cut(code) => Read::Cut(code),
        }
    }

    /// Nobody reads it any more.
    pub(super) fn stop(&mut self) {
        self.has_reader = false;
        self.forget_pieces();
        if self.into == In::Open && !self.stopped_by_us {
            (self.stopped_by_us, self.stop_due) = (true, true);
        }
    }

    fn forget_pieces(&mut self) {
        (self.pieces, self.held) = (VecDeque::new(), 0);
    }
}
