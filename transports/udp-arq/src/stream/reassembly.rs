//! Messages that arrive: kept until all before them are complete, within the credit that was given.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use chat_core::transport::ReceiveMemory;

use super::{OVERHEAD, WINDOW, cost};
use crate::chunk::Data;
use crate::range_set::RangeSet;

/// Holes a message may have. An honest sender, whose fragments fill packets, leaves fewer than a thousand.
const MAX_HOLES: usize = 4096;
/// A new limit is told when this much of the window was read since the last one.
const ANNOUNCE_AFTER: u64 = WINDOW / 4;

/// The peer does what no honest one does; the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("more sent than the credit allows")]
    OverCredit,
    #[error("a message changed its length")]
    Length,
    #[error("a message in more pieces than any sender makes")]
    Pieces,
    #[error("a message behind the end, or an end that moved")]
    End,
    /// No fault of the peer's; but what was taken cannot be left out.
    #[error("a message that there is no memory for now")]
    Memory,
}

#[derive(Debug)]
enum Slot {
    Missing,
    Partial(Assembly),
    Complete(Bytes),
}

#[derive(Debug)]
struct Assembly {
    bytes: BytesMut,
    received: RangeSet,
}

/// The receiving side.
#[derive(Debug)]
pub(crate) struct ReceiveStream {
    /// Number of the next message to be read; the first slot is its.
    next: u64,
    slots: VecDeque<Slot>,
    /// Cost of the messages read so far.
    read: u64,
    /// Cost of the messages begun and not read.
    held: u64,
    announced: u64,
    /// How many messages there are, once the peer has said so.
    end: Option<u64>,
    memory: ReceiveMemory,
}

impl ReceiveStream {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            slots: VecDeque::new(),
            read: 0,
            held: 0,
            announced: WINDOW,
            end: None,
            memory: ReceiveMemory::default(),
        }
    }

    /// Takes a fragment; a repeated one changes nothing.
    pub(crate) fn on_data(&mut self, data: &Data<'_>) -> Result<(), Violation> {
        if self.end.is_some_and(|end| data.message >= end) {
            return Err(Violation::End);
        }
        let Some(ahead) = data.message.checked_sub(self.next) else { return Ok(()) };
        // Those between cost at least their overhead each, so more of them than this is over the credit, too.
        if ahead >= WINDOW / OVERHEAD {
            return Err(Violation::OverCredit);
        }
        let index = usize::try_from(ahead).map_err(|_| Violation::OverCredit)?;
        if matches!(self.slots.get(index), None | Some(Slot::Missing)) {
            self.begin(index, data)?;
        }
        let Some(slot) = self.slots.get_mut(index) else { return Ok(()) };
        match slot {
            Slot::Partial(assembly) => {
                if let Some(complete) = assembly.add(data)? {
                    *slot = Slot::Complete(complete);
                }
                Ok(())
            }
            Slot::Complete(bytes) if bytes.len() != data.total => Err(Violation::Length),
            Slot::Complete(_) | Slot::Missing => Ok(()),
        }
    }

    /// Reserves a message; its cost is checked before its memory is taken.
    fn begin(&mut self, index: usize, data: &Data<'_>) -> Result<(), Violation> {
        let cost = cost(data.total);
        if self.read + self.held + cost > self.announced {
            return Err(Violation::OverCredit);
        }
        self.memory
            .hold(usize::try_from(self.held + cost).unwrap_or(usize::MAX))
            .map_err(|_| Violation::Memory)?;
        self.held += cost;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || Slot::Missing);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = if data.bytes.len() == data.total {
                Slot::Complete(Bytes::copy_from_slice(data.bytes))
            } else {
                Slot::Partial(Assembly { bytes: BytesMut::zeroed(data.total), received: RangeSet::default() })
            };
        }
        Ok(())
    }

    /// The peer says how many messages there are.
    pub(crate) fn on_fin(&mut self, messages: u64) -> Result<(), Violation> {
        let last = self.slots.iter().rposition(|slot| !matches!(slot, Slot::Missing));
        let seen = self.next + last.map_or(0, |index| index as u64 + 1);
        if self.end.is_some_and(|end| end != messages) || messages < seen {
            return Err(Violation::End);
        }
        self.end = Some(messages);
        Ok(())
    }

    /// The next message in order.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let Some(Slot::Complete(bytes)) = self.slots.front_mut() else { return None };
        let bytes = std::mem::take(bytes);
        self.slots.pop_front();
        self.next += 1;
        self.held -= cost(bytes.len());
        self.read += cost(bytes.len());
        self.memory.count(usize::try_from(self.held).unwrap_or(usize::MAX));
        Some(ReceiveMemory::keep(bytes))
    }

    /// Whether the peer said the end and everything before it was read.
    pub(crate) fn is_finished(&self) -> bool {
        self.end == Some(self.next)
    }

    /// A new limit that the peer should be told, if it moved enough.
    pub(crate) fn limit_to_announce(&mut self) -> Option<u64> {
        let limit = self.read + WINDOW;
        if limit - self.announced < ANNOUNCE_AFTER {
            return None;
        }
        self.announced = limit;
        Some(limit)
    }

    /// The limit as it was told last.
    pub(crate) fn announced(&self) -> u64 {
        self.announced
    }

    /// Cost of what is held and not read; for tests of the bound.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held(&self) -> u64 {
        self.held
    }
}

impl Assembly {
    /// Adds a fragment; gives the message when it is complete.
    fn add(&mut self, data: &Data<'_>) -> Result<Option<Bytes>, Violation> {
        if self.bytes.len() != data.total {
            return Err(Violation::Length);
        }
        let range = data.offset as u64..(data.offset + data.bytes.len()) as u64;
        let target = self.bytes.get_mut(data.offset..data.offset + data.bytes.len());
        target.ok_or(Violation::Length)?.copy_from_slice(data.bytes);
        self.received.insert(range);
        if self.received.len() > MAX_HOLES {
            return Err(Violation::Pieces);
        }
        let complete = self.received.covers(&(0..data.total as u64));
        Ok(complete.then(|| std::mem::take(&mut self.bytes).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(message: u64, total: usize, offset: usize, bytes: &[u8]) -> Data<'_> {
        Data { stream: 0, message, total, offset, bytes }
    }

    #[test]
    fn messages_come_out_in_order_whatever_order_their_pieces_came_in() {
        let mut stream = ReceiveStream::new();
        stream.on_data(&data(2, 1, 0, b"c")).unwrap();
        stream.on_data(&data(1, 0, 0, b"")).unwrap();
        stream.on_data(&data(0, 4, 2, b"cd")).unwrap();
        assert_eq!(stream.pop(), None);
        stream.on_data(&data(0, 4, 1, b"bc")).unwrap();
        stream.on_data(&data(0, 4, 0, b"a")).unwrap();
        stream.on_data(&data(0, 4, 0, b"a")).unwrap();
        let read: Vec<_> = std::iter::from_fn(|| stream.pop()).collect();
        assert_eq!(read, [&b"abcd"[..], b"", b"c"]);
        stream.on_data(&data(0, 4, 0, b"a")).unwrap();
        assert_eq!((stream.pop(), stream.held()), (None, 0));
    }

    #[test]
    fn a_sender_beyond_the_credit_is_cut() {
        let long = 2 << 20;
        let mut stream = ReceiveStream::new();
        stream.on_data(&data(0, long, 0, b"a")).unwrap();
        stream.on_data(&data(7, long, 0, b"a")).unwrap();
        assert_eq!(stream.on_data(&data(1, 0, 0, b"")), Err(Violation::OverCredit));
        assert_eq!(stream.on_data(&data(WINDOW / OVERHEAD, 0, 0, b"")), Err(Violation::OverCredit));
        assert_eq!(stream.held(), WINDOW);
    }

    #[test]
    fn credit_grows_with_reading_and_is_told_in_steps() {
        let mut stream = ReceiveStream::new();
        let mut told = 0;
        for message in 0..100_000 {
            stream.on_data(&data(message, 3, 0, b"abc")).unwrap();
            assert!(stream.pop().is_some());
            told += usize::from(stream.limit_to_announce().is_some());
        }
        assert_eq!(told as u64, 100_000 * cost(3) / (ANNOUNCE_AFTER + cost(3)));
        assert!(stream.announced() > 100_000 * cost(3));
    }

    #[test]
    fn impossible_pieces_and_ends_are_refused() {
        let mut stream = ReceiveStream::new();
        stream.on_data(&data(0, 10, 0, b"a")).unwrap();
        assert_eq!(stream.on_data(&data(0, 11, 0, b"a")), Err(Violation::Length));
        stream.on_data(&data(1, 1, 0, b"a")).unwrap();
        assert_eq!(stream.on_data(&data(1, 2, 0, b"a")), Err(Violation::Length));
        assert_eq!(stream.on_fin(1), Err(Violation::End));
        stream.on_fin(2).unwrap();
        stream.on_fin(2).unwrap();
        assert_eq!(stream.on_fin(3), Err(Violation::End));
        assert_eq!(stream.on_data(&data(2, 1, 0, b"a")), Err(Violation::End));
        let mut stream = ReceiveStream::new();
        let refused = (0..10_000).find_map(|n| stream.on_data(&data(0, 100_000, 2 * n, b"a")).err());
        assert_eq!(refused, Some(Violation::Pieces));
    }

    #[test]
    fn the_end_is_reached_when_all_was_read() {
        let mut stream = ReceiveStream::new();
        stream.on_fin(1).unwrap();
        stream.on_data(&data(0, 1, 0, b"x")).unwrap();
        assert!(!stream.is_finished());
        stream.pop();
        assert!(stream.is_finished());
        let mut empty = ReceiveStream::new();
        empty.on_fin(0).unwrap();
        assert!(empty.is_finished());
    }
}
