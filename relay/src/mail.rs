//! What one client still has to get: a queue of live envelopes, or a place in its mailbox to read on from,
//! and the window of what it has not acknowledged. No I/O, no lock, no clock.

use std::collections::VecDeque;

use bytes::Bytes;
use chat_core::wire::relay::MAX_BATCH;

use crate::mailbox::Page;
use crate::records::{self, DELIVERY_OVERHEAD};

/// Longest `Deliver` record that holds more than one envelope, in bytes: short enough that a slow link shows
/// progress between two of them.
const MAX_RECORD_BYTES: usize = 64 << 10;
/// Most bytes of a mailbox read at a time, unless one envelope has more.
pub(crate) const PAGE_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

/// What to read from the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CatchUp {
    pub(crate) after: u64,
    pub(crate) max_items: usize,
    pub(crate) max_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Mail {
    window: Window,
    live: VecDeque<(u64, Bytes)>,
    live_bytes: usize,
    /// Whatever is for this client up to this number was sent or is in `live`.
    position: u64,
    /// The highest number known to be for this client.
    newest: u64,
    /// Whether the mailbox has to be read before live envelopes are taken again.
    behind: bool,
    unacked: VecDeque<(u64, usize)>,
    unacked_bytes: usize,
    sent: u64,
    acked: u64,
}

impl Mail {
    /// A client that has acknowledged up to `cursor`.
    pub(crate) fn new(cursor: u64, window: Window) -> Self {
        Self {
            window,
            live: VecDeque::new(),
            live_bytes: 0,
            position: cursor,
            newest: cursor,
            behind: true,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            sent: cursor,
            acked: cursor,
        }
    }

    /// Bytes of the live queue.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Envelopes in the live queue.
    pub(crate) fn live_items(&self) -> usize {
        self.live.len()
    }

    /// A committed envelope for this client; numbers grow from call to call. `fits` says whether so many bytes
    /// may be queued. False if the client has fallen behind by this.
    pub(crate) fn push(&mut self, n: u64, envelope: Bytes, fits: impl FnOnce(usize) -> bool) -> bool {
        if n <= self.position {
            return true;
        }
        self.newest = n;
        if self.behind {
            return true;
        }
        if fits(self.live_bytes + envelope.len()) {
            self.live_bytes += envelope.len();
            self.live.push_back((n, envelope));
            self.position = n;
            return true;
        }
        // Unsent envelopes are in the mailbox too: read them there when there is room.
        if let Some((first, _)) = self.live.front() {
            self.position = first.saturating_sub(1);
        }
        self.live.clear();
        self.live_bytes = 0;
        self.behind = true;
        false
    }

    fn window_is_open(&self) -> bool {
        self.unacked.len() < self.window.items.max(1) && self.unacked_bytes < self.window.bytes.max(1)
    }

    /// What to read now, if anything: at most so many bytes, but one envelope if there is one.
    pub(crate) fn catch_up(&self, page_bytes: usize) -> Option<CatchUp> {
        (self.behind && self.live.is_empty() && self.window_is_open()).then(|| CatchUp {
            after: self.position,
            max_items: self.window.items.saturating_sub(self.unacked.len()).max(1),
            max_bytes: self.window.bytes.saturating_sub(self.unacked_bytes).min(page_bytes),
        })
    }

    /// What was read.
    pub(crate) fn caught_up(&mut self, page: Page) {
        self.position = self.position.max(page.through);
        self.behind = page.more || self.newest > self.position;
        self.live_bytes += page.items.iter().map(|(_, envelope)| envelope.len()).sum::<usize>();
        self.live.extend(page.items);
    }

    /// The next record to send, as far as the window allows.
    pub(crate) fn next_record(&mut self) -> Option<(Bytes, usize)> {
        let mut batch: Vec<(u64, Bytes)> = Vec::new();
        let mut bytes = 0;
        while let Some((n, envelope)) = self.live.pop_front() {
            let len = envelope.len();
            let fits = self.window_is_open()
                && (batch.is_empty()
                    || (batch.len() < MAX_BATCH
                        && bytes + len + DELIVERY_OVERHEAD <= MAX_RECORD_BYTES
                        && self.unacked_bytes + len <= self.window.bytes));
            if !fits {
                self.live.push_front((n, envelope));
                break;
            }
            bytes += len + DELIVERY_OVERHEAD;
            self.live_bytes -= len;
            self.unacked_bytes += len;
            self.unacked.push_back((n, len));
            self.sent = n;
            batch.push((n, envelope));
        }
        if self.live.is_empty() {
            self.live = VecDeque::new();
        }
        let count = batch.len();
        (count > 0).then(|| (records::deliver(batch.iter().map(|(n, envelope)| (*n, envelope))), count))
    }

    /// The client has everything up to `through`. Gives the number to tell the mailbox, if that is news: never
    /// more than was sent on this link.
    pub(crate) fn ack(&mut self, through: u64) -> Option<u64> {
        let through = through.min(self.sent);
        if through <= self.acked {
            return None;
        }
        self.acked = through;
        while let Some((n, len)) = self.unacked.front().copied()
            && n <= through
        {
            self.unacked_bytes -= len;
            self.unacked.pop_front();
        }
        Some(through)
    }
}

#[cfg(test)]
mod tests {
    use chat_core::wire::{Envelope, FromRelay, Recipient};
    use chat_core::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId};

    use super::*;

    const WINDOW: Window = Window { items: 4, bytes: 2000 };

    fn envelope(len: usize) -> Bytes {
        let envelope = Envelope {
            id: EnvelopeId([1; 16]),
            to: Recipient::Peer(PeerId([2; 32])),
            from: PeerId([1; 32]),
            conversation: ConversationId([3; 16]),
            message: MessageId([4; 16]),
            session: SessionId([5; 16]),
            handshake: None,
            frame: vec![0; len],
        };
        envelope.encode().into()
    }

    fn page(numbers: impl IntoIterator<Item = u64>, through: u64, more: bool) -> Page {
        let items = numbers.into_iter().map(|n| (n, envelope(10))).collect();
        Page { items, through, more, damaged: Vec::new() }
    }

    fn sent(mail: &mut Mail) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some((record, count)) = mail.next_record() {
            let FromRelay::Deliver { items } = FromRelay::decode(&record).unwrap() else { panic!() };
            assert_eq!(items.len(), count);
            numbers.extend(items.iter().map(|item| item.n));
        }
        numbers
    }

    fn live(cursor: u64) -> Mail {
        let mut mail = Mail::new(cursor, WINDOW);
        assert!(mail.catch_up(PAGE_BYTES).is_some());
        mail.caught_up(page([], cursor, false));
        mail
    }

    #[test]
    fn the_window_stops_and_an_ack_moves_it() {
        let mut mail = live(0);
        for n in 1..=10 {
            assert!(mail.push(n, envelope(10), |_| true));
        }
        assert_eq!(sent(&mut mail), [1, 2, 3, 4]);
        assert_eq!(mail.ack(2), Some(2));
        assert_eq!(mail.ack(2), None);
        assert_eq!(sent(&mut mail), [5, 6]);
        assert_eq!(mail.ack(u64::MAX), Some(6), "never more than was sent");
        assert_eq!(sent(&mut mail), [7, 8, 9, 10]);
    }

    #[test]
    fn the_window_in_bytes_lets_one_large_envelope_through() {
        let mut mail = live(0);
        for n in 1..=3 {
            assert!(mail.push(n, envelope(5000), |_| true));
        }
        assert_eq!(sent(&mut mail), [1]);
        assert_eq!(mail.ack(1), Some(1));
        assert_eq!(sent(&mut mail), [2]);
    }

    #[test]
    fn overflow_goes_back_to_the_first_unsent_and_nothing_comes_twice() {
        let mut mail = live(0);
        for n in 1..=6 {
            assert!(mail.push(n, envelope(10), |_| true));
        }
        assert_eq!(sent(&mut mail), [1, 2, 3, 4]);
        assert!(!mail.push(7, envelope(10), |_| false));
        assert_eq!(mail.live_bytes(), 0);
        assert!(mail.catch_up(PAGE_BYTES).is_none(), "the window is full");
        assert!(mail.push(8, envelope(10), |_| true), "noted only");
        mail.ack(4);
        let read = mail.catch_up(PAGE_BYTES).unwrap();
        assert_eq!((read.after, read.max_items), (4, 4));
        // Number 9 was committed before the read and is routed after it; 8 was routed, but not in the snapshot.
        mail.caught_up(page([5, 6, 7], 7, false));
        assert_eq!(sent(&mut mail), [5, 6, 7]);
        let read = mail.catch_up(PAGE_BYTES).unwrap();
        assert_eq!((read.after, read.max_items), (7, 1));
        mail.caught_up(page([8], 8, true));
        assert_eq!(sent(&mut mail), [8]);
        mail.ack(8);
        mail.caught_up(page([9], 9, false));
        assert!(mail.push(9, envelope(10), |_| true));
        assert!(mail.push(10, envelope(10), |_| true));
        assert_eq!(sent(&mut mail), [9, 10]);
        assert_eq!(mail.catch_up(PAGE_BYTES), None);
    }
}
