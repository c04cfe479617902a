//! The state of a link's layer, without input and output: frames of the layer below in and out.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::queue::Dropping;
use super::stream::{Read, Stream};
use super::wire::{self, Heard, MARK, MAX_STREAM_NUMBER, ResetCode, Said, StreamId};
use super::{MAX_DATAGRAMS_IN, MAX_DATAGRAMS_OUT, MAX_STREAMS, Malformed, VERSION};
use crate::transport::MAX_FRAME_BYTES;

/// Everything but the wakers and the link below.
#[derive(Debug)]
pub(super) struct State {
    /// This end has said its version.
    has_greeted: bool,
    /// The other one has.
    was_greeted: bool,
    streams: BTreeMap<StreamId, Stream>,
    /// Numbers of the next streams.
    next_ours: u32,
    next_theirs: u32,
    /// Those that the other end has opened and nobody here has taken.
    untaken: VecDeque<StreamId>,
    /// Whether somebody here may take streams, and datagrams.
    takes_streams: bool,
    takes_datagrams: bool,
    datagrams_out: Dropping,
    datagrams_in: Dropping,
    /// Who sent data last.
    last_sender: Option<StreamId>,
    last_was_datagram: bool,
    /// The next frame of the link's own has lost a mark in front.
    mark_is_missing: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            has_greeted: false,
            was_greeted: false,
            streams: BTreeMap::new(),
            next_ours: 0,
            next_theirs: 0,
            untaken: VecDeque::new(),
            takes_streams: true,
            takes_datagrams: true,
            datagrams_out: Dropping::new(MAX_DATAGRAMS_OUT),
            datagrams_in: Dropping::new(MAX_DATAGRAMS_IN),
            last_sender: None,
            last_was_datagram: false,
            mark_is_missing: false,
        }
    }

    // What comes.

    /// Takes a frame of the layer below; gives it if it is the link's own.
    pub(super) fn on_frame(&mut self, frame: Bytes) -> Result<Option<Bytes>, Malformed> {
        match wire::decode(frame)? {
            Heard::Own(frame) if std::mem::take(&mut self.mark_is_missing) => {
                if frame.len() != MAX_FRAME_BYTES - 1 {
                    return Err(Malformed("a frame that would have fitted with its mark"));
                }
                let mut whole = BytesMut::with_capacity(MAX_FRAME_BYTES);
                whole.extend_from_slice(&[MARK]);
                whole.extend_from_slice(&frame);
                Ok(Some(whole.freeze()))
            }
            Heard::Own(frame) => Ok(Some(frame)),
            Heard::MarkBefore if self.mark_is_missing => Err(Malformed("two marks before a frame")),
            Heard::MarkBefore => {
                self.mark_is_missing = true;
                Ok(None)
            }
            Heard::Layer(said) => self.on_said(said).map(|()| None),
        }
    }

    /// Of the link's own frames one has begun and not come.
    pub(super) fn is_within_frame(&self) -> bool {
        self.mark_is_missing
    }

    fn on_said(&mut self, said: Said) -> Result<(), Malformed> {
        if let Said::Hello { .. } = said {
            // Whatever is higher than ours, it is ours that is spoken.
            return match std::mem::replace(&mut self.was_greeted, true) {
                true => Err(Malformed("a second greeting")),
                false => Ok(()),
            };
        }
        if !self.was_greeted {
            return Err(Malformed("no greeting"));
        }
        match said {
            Said::Hello { .. } => {}
            Said::Open(number) => self.on_open(number)?,
            Said::Datagram(datagram) if self.takes_datagrams => self.datagrams_in.push(datagram),
            Said::Datagram(_) => {}
            Said::Data { id, is_last, bytes } => self.stream(id)?.on_data(is_last, bytes)?,
            Said::Finish(id) => self.stream(id)?.on_finish()?,
            Said::Reset(id, code) => self.stream(id)?.on_reset(code)?,
            // These may have been on their way when it ended.
            Said::Stop(id) if self.was_opened(id) => self.if_there(id, |stream| {
                stream.on_stop();
                Ok(())
            })?,
            Said::Credit(id, more) if self.was_opened(id) => {
                self.if_there(id, |stream| stream.on_credit(more))?;
            }
            Said::Stop(_) | Said::Credit(..) => return Err(Malformed("a stream that was never opened")),
        }
        self.forget();
        Ok(())
    }

    fn was_opened(&self, id: StreamId) -> bool {
        id.number < if id.is_ours { self.next_ours } else { self.next_theirs }
    }

    fn stream(&mut self, id: StreamId) -> Result<&mut Stream, Malformed> {
        self.streams.get_mut(&id).ok_or(Malformed("a stream that is not open"))
    }

    fn if_there(
        &mut self,
        id: StreamId,
        apply: impl FnOnce(&mut Stream) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.streams.get_mut(&id).map_or(Ok(()), apply)
    }

    fn on_open(&mut self, number: u32) -> Result<(), Malformed> {
        if number != self.next_theirs {
            return Err(Malformed("streams that are not opened in their order"));
        }
        if self.count(false) >= MAX_STREAMS {
            return Err(Malformed("more streams than there may be"));
        }
        self.next_theirs += 1;
        let id = StreamId { is_ours: false, number };
        let mut stream = Stream::new(false);
        if self.takes_streams {
            self.untaken.push_back(id);
        } else {
            stream.refuse();
        }
        self.streams.insert(id, stream);
        Ok(())
    }

    /// Streams of one end that have not ended.
    fn count(&self, is_ours: bool) -> usize {
        let of = |(id, stream): &(&StreamId, &Stream)| id.is_ours == is_ours && !stream.is_over();
        self.streams.iter().filter(of).count()
    }

    /// Forgets streams that have ended and that nobody reads.
    fn forget(&mut self) {
        self.streams.retain(|_, stream| !stream.is_forgettable());
        let streams = &self.streams;
        self.untaken.retain(|id| streams.get(id).is_some_and(|stream| !stream.is_taken));
    }

    /// Bytes of streams that came and were not read.
    pub(super) fn held(&self) -> usize {
        self.streams.values().map(|stream| stream.held).sum()
    }

    // What goes.

    /// Whether there is anything to send that is not the link's own.
    pub(super) fn has_something(&self) -> bool {
        !self.datagrams_out.is_empty()
            || self.streams.values().any(|stream| stream.has_control() || stream.has_data())
    }

    /// The next frame for the layer below of those that keep others going. They are short and few.
    pub(super) fn next_control(&mut self) -> Option<Bytes> {
        if !self.has_greeted && self.has_something() {
            self.has_greeted = true;
            return Some(Said::Hello { version: VERSION }.encode());
        }
        let said = self.streams.iter_mut().find_map(|(id, stream)| stream.next_control(*id))?;
        self.forget();
        Some(said.encode())
    }

    /// The next frame for the layer below of those that are many: a datagram or a piece of a stream in turn.
    pub(super) fn next_bulk(&mut self) -> Option<Bytes> {
        let datagram = if self.last_was_datagram { None } else { self.next_datagram() };
        let said = datagram.or_else(|| self.next_data()).or_else(|| self.next_datagram())?;
        self.last_was_datagram = matches!(said, Said::Datagram(_));
        self.forget();
        Some(said.encode())
    }

    fn next_datagram(&mut self) -> Option<Said> {
        self.datagrams_out.pop().map(Said::Datagram)
    }

    /// A piece of the stream whose turn it is.
    fn next_data(&mut self) -> Option<Said> {
        let has_data = |(id, stream): (&StreamId, &Stream)| stream.has_data().then_some(*id);
        let after = self.last_sender.and_then(|last| {
            let later = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            self.streams.range(later).find_map(has_data)
        });
        let id = after.or_else(|| self.streams.iter().find_map(has_data))?;
        self.last_sender = Some(id);
        self.streams.get_mut(&id)?.next_data(id)
    }

    // What the program does.

    /// A new stream, if there may be one more.
    pub(super) fn open(&mut self) -> Option<StreamId> {
        if self.next_ours >= MAX_STREAM_NUMBER || self.count(true) >= MAX_STREAMS {
            return None;
        }
        let id = StreamId { is_ours: true, number: self.next_ours };
        self.next_ours += 1;
        self.streams.insert(id, Stream::new(true));
        Some(id)
    }

    /// The next one that the other end has opened.
    pub(super) fn accept(&mut self) -> Option<StreamId> {
        let id = self.untaken.pop_front()?;
        self.with(id, Stream::take);
        Some(id)
    }

    /// Nobody here takes streams any more.
    pub(super) fn refuse_streams(&mut self) {
        self.takes_streams = false;
        for id in std::mem::take(&mut self.untaken) {
            self.with(id, Stream::refuse);
        }
        self.forget();
    }

    /// Nobody here takes datagrams any more.
    pub(super) fn refuse_datagrams(&mut self) {
        self.takes_datagrams = false;
        self.datagrams_in.clear();
    }

    pub(super) fn send_datagram(&mut self, datagram: Bytes) {
        self.datagrams_out.push(datagram);
    }

    pub(super) fn take_datagram(&mut self) -> Option<Bytes> {
        self.datagrams_in.pop()
    }

    /// Does something with a stream that somebody holds.
    pub(super) fn with<T>(&mut self, id: StreamId, act: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.streams.get_mut(&id).map(act)
    }

    /// The reader of a stream has gone.
    pub(super) fn drop_source(&mut self, id: StreamId) {
        self.with(id, Stream::stop);
        self.forget();
    }

    /// The writer of a stream has gone.
    pub(super) fn drop_sink(&mut self, id: StreamId) {
        self.with(id, Stream::drop_sink);
        self.forget();
    }

    /// What a reader of a stream gets.
    pub(super) fn read(&mut self, id: StreamId) -> Read {
        self.with(id, Stream::read).unwrap_or(Read::Cut(ResetCode::Gone))
    }
}
