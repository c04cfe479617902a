//! Messages that wait, are on their way, or were lost on it.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::{Fragment, MAIN, WINDOW, cost};
use crate::chunk::{self, Data};
use crate::range_set::RangeSet;

/// A message is not cut for less than this many bytes of it, unless the packet has nothing else.
const MIN_FRAGMENT: usize = 64;

#[derive(Debug)]
struct Outgoing {
    bytes: Bytes,
    acknowledged: RangeSet,
    /// All of it arrived; the bytes are gone.
    done: bool,
    cost: u64,
}

impl Outgoing {
    fn has_arrived(&self, fragment: &Fragment) -> bool {
        self.done || (fragment.len > 0 && self.acknowledged.covers(&fragment.range()))
    }
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct SendStream {
    /// Number of the first message that is kept.
    base: u64,
    messages: VecDeque<Outgoing>,
    /// The first byte that was never sent: message number and offset.
    next: (u64, usize),
    /// To be sent again, lowest first.
    again: BTreeSet<Fragment>,
    /// Cost of the messages that are kept.
    buffered: u64,
    limit: u64,
    /// Credit used by the messages begun.
    used: u64,
    /// Bytes of fragments sent more than once.
    retransmits: u64,
    fin: Fin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    Open,
    /// To be sent, or sent again, behind the last message.
    Due,
    InFlight,
    Acknowledged,
}

impl SendStream {
    pub(crate) fn new() -> Self {
        Self {
            base: 0,
            messages: VecDeque::new(),
            next: (0, 0),
            again: BTreeSet::new(),
            buffered: 0,
            limit: WINDOW,
            used: 0,
            retransmits: 0,
            fin: Fin::Open,
        }
    }

    /// Cost of all messages that have not arrived wholly.
    pub(crate) fn buffered(&self) -> u64 {
        self.buffered
    }

    /// Fragments sent again.
    pub(crate) fn retransmits(&self) -> u64 {
        self.retransmits
    }

    /// Takes a message. Nothing follows a [`finish`](Self::finish).
    pub(crate) fn push(&mut self, bytes: Bytes) {
        let cost = cost(bytes.len());
        self.buffered += cost;
        self.messages.push_back(Outgoing { bytes, acknowledged: RangeSet::default(), done: false, cost });
    }

    /// No message follows.
    pub(crate) fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Due;
        }
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.fin != Fin::Open
    }

    /// Whether the peer has everything, the end included.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin == Fin::Acknowledged && self.messages.is_empty()
    }

    /// The peer allows this much in all.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    fn message_count(&self) -> u64 {
        self.base + self.messages.len() as u64
    }

    fn outgoing(&self, message: u64) -> Option<&Outgoing> {
        self.messages.get(usize::try_from(message.checked_sub(self.base)?).ok()?)
    }

    fn outgoing_mut(&mut self, message: u64) -> Option<&mut Outgoing> {
        self.messages.get_mut(usize::try_from(message.checked_sub(self.base)?).ok()?)
    }

    /// Whether [`put_next`](Self::put_next) has something, given room.
    pub(crate) fn has_something(&self) -> bool {
        !self.again.is_empty() || self.next_unsent().is_some() || self.fin_is_due()
    }

    /// Whether the end is to be sent now.
    fn fin_is_due(&self) -> bool {
        self.fin == Fin::Due && self.next.0 == self.message_count()
    }

    /// The next bytes that were never sent, if the peer's credit allows to begin their message.
    fn next_unsent(&self) -> Option<Fragment> {
        let (message, offset) = self.next;
        let outgoing = self.outgoing(message)?;
        let allowed = offset > 0 || self.used + outgoing.cost <= self.limit;
        allowed.then(|| Fragment { message, offset, len: outgoing.bytes.len() - offset })
    }

    /// Appends the next fragment, as much of it as fits into `room` bytes: lost ones first, then new ones.
    pub(crate) fn put_next(&mut self, out: &mut Vec<u8>, room: usize) -> Option<Fragment> {
        while let Some(&fragment) = self.again.first() {
            if self.outgoing(fragment.message).is_none_or(|outgoing| outgoing.has_arrived(&fragment)) {
                self.again.pop_first();
                continue;
            }
            let sent = self.put(out, room, fragment)?;
            self.again.pop_first();
            if sent.len < fragment.len {
                let (offset, len) = (sent.offset + sent.len, fragment.len - sent.len);
                self.again.insert(Fragment { offset, len, ..sent });
            }
            self.retransmits += 1;
            return Some(sent);
        }
        let fragment = self.next_unsent()?;
        let sent = self.put(out, room, fragment)?;
        if sent.offset == 0 {
            self.used += self.outgoing(sent.message).map_or(0, |outgoing| outgoing.cost);
        }
        self.next = if sent.len == fragment.len {
            (sent.message + 1, 0)
        } else {
            (sent.message, sent.offset + sent.len)
        };
        Some(sent)
    }

    fn put(&self, out: &mut Vec<u8>, room: usize, fragment: Fragment) -> Option<Fragment> {
        let Fragment { message, offset, len } = fragment;
        let outgoing = self.outgoing(message)?;
        let bytes = outgoing.bytes.get(offset..offset + len)?;
        let mut data = Data { stream: MAIN, message, total: outgoing.bytes.len(), offset, bytes };
        let fits = chunk::data_fits(&data, room)?;
        if fits < len && fits < MIN_FRAGMENT {
            return None;
        }
        data.bytes = bytes.get(..fits)?;
        chunk::put_data(out, &data);
        Some(Fragment { message, offset, len: fits })
    }

    /// Appends the end of the stream, if it is due and fits.
    pub(crate) fn put_fin(&mut self, out: &mut Vec<u8>, room: usize) -> bool {
        let due = self.fin_is_due() && room >= 16;
        if due {
            chunk::put_fin(out, MAIN, self.message_count());
            self.fin = Fin::InFlight;
        }
        due
    }

    /// A fragment arrived.
    pub(crate) fn on_acknowledged(&mut self, fragment: &Fragment) {
        let Some(outgoing) = self.outgoing_mut(fragment.message).filter(|outgoing| !outgoing.done) else {
            return;
        };
        outgoing.acknowledged.insert(fragment.range());
        if !outgoing.acknowledged.covers(&(0..outgoing.bytes.len() as u64)) {
            return;
        }
        let cost = outgoing.cost;
        outgoing.done = true;
        outgoing.bytes = Bytes::new();
        outgoing.acknowledged = RangeSet::default();
        self.buffered -= cost;
        while self.messages.front().is_some_and(|first| first.done) {
            self.messages.pop_front();
            self.base += 1;
        }
    }

    /// The end of the stream arrived.
    pub(crate) fn on_fin_acknowledged(&mut self) {
        self.fin = Fin::Acknowledged;
    }

    /// A fragment was lost, or is to be sent again because nothing is heard.
    pub(crate) fn on_lost(&mut self, fragment: &Fragment) {
        if self.outgoing(fragment.message).is_some_and(|outgoing| !outgoing.has_arrived(fragment)) {
            self.again.insert(*fragment);
        }
    }

    /// The end of the stream was lost.
    pub(crate) fn on_fin_lost(&mut self) {
        if self.fin == Fin::InFlight {
            self.fin = Fin::Due;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Chunk, decode_all};

    fn fragments(stream: &mut SendStream, room: usize) -> Vec<Fragment> {
        let mut out = Vec::new();
        std::iter::from_fn(|| {
            out.clear();
            let fragment = stream.put_next(&mut out, room)?;
            assert!(out.len() <= room);
            assert!(matches!(decode_all(&out).unwrap()[..], [Chunk::Data(_)]));
            Some(fragment)
        })
        .collect()
    }

    #[test]
    fn lost_fragments_come_first_and_what_arrived_is_not_repeated() {
        let mut stream = SendStream::new();
        stream.push(Bytes::from(vec![1; 2500]));
        stream.push(Bytes::new());
        let first = fragments(&mut stream, 1100);
        assert_eq!(first.len(), 4);
        stream.push(Bytes::from_static(b"new"));
        first.iter().for_each(|fragment| stream.on_lost(fragment));
        first.iter().for_each(|fragment| stream.on_lost(fragment));
        stream.on_acknowledged(&first[1]);
        let second = fragments(&mut stream, 1100);
        assert_eq!(second[..3], [first[0], first[2], first[3]]);
        assert_eq!(second[3], Fragment { message: 2, offset: 0, len: 3 });
        assert_eq!(stream.retransmits(), 3);
        second.iter().for_each(|fragment| stream.on_acknowledged(fragment));
        assert_eq!((stream.buffered(), stream.messages.len()), (0, 0));
    }

    #[test]
    fn a_lost_fragment_is_cut_to_a_smaller_room() {
        let mut stream = SendStream::new();
        stream.push(Bytes::from(vec![1; 1000]));
        let whole = fragments(&mut stream, 1100);
        stream.on_lost(&whole[0]);
        let parts = fragments(&mut stream, 400);
        assert_eq!(parts.iter().map(|part| part.len).sum::<usize>(), 1000);
        assert!(parts.len() == 3 && parts.windows(2).all(|two| two[0].offset + two[0].len == two[1].offset));
    }

    #[test]
    fn without_credit_no_message_is_begun() {
        let mut stream = SendStream::new();
        (0..3).for_each(|_| stream.push(Bytes::from(vec![0; 2 << 20])));
        let last = fragments(&mut stream, 60_000).pop().unwrap();
        assert_eq!((last.message, last.offset + last.len), (1, 2 << 20));
        assert!(!stream.has_something());
        stream.set_limit(WINDOW + cost(2 << 20) - 1);
        assert!(!stream.has_something());
        stream.set_limit(WINDOW + cost(2 << 20));
        stream.set_limit(0);
        assert!(stream.has_something(), "credit is never taken back");
    }

    #[test]
    fn the_end_comes_behind_the_last_message_until_it_is_acknowledged() {
        let (mut stream, mut out) = (SendStream::new(), Vec::new());
        stream.push(Bytes::from_static(b"last"));
        stream.finish();
        assert!(!stream.put_fin(&mut out, 100));
        let sent = fragments(&mut stream, 100);
        assert!(stream.put_fin(&mut out, 100) && !stream.put_fin(&mut out, 100));
        assert_eq!(decode_all(&out).unwrap(), [Chunk::Fin { stream: MAIN, messages: 1 }]);
        stream.on_fin_lost();
        assert!(stream.put_fin(&mut out, 100));
        stream.on_fin_acknowledged();
        stream.on_fin_lost();
        assert!(!stream.has_something() && !stream.is_finished());
        stream.on_acknowledged(&sent[0]);
        assert!(stream.is_finished());
    }
}
