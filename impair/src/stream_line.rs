//! One direction of a TCP connection.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dice::{Dice, Throw};
use crate::line::flip;
use crate::loss::Loss;
use crate::rate::takes;
use crate::{Figures, Impairment, Probability};

/// One direction of a TCP connection over an impaired path. `now` is as in [`Line`](crate::Line), and so is chance.
///
/// A stream loses no bytes and keeps their order, so an impairment shows in it as time, in segments of at most
/// [`StreamLine::SEGMENT`] bytes:
/// - **loss** (and burst): a lost segment arrives one retransmission timeout late, and all behind it wait for it: 200 ms,
///   the least Linux waits, over a round trip of `2 (delay + jitter)`. On a line that loses everything nothing moves.
/// - **delay, jitter**: a segment never overtakes another.
/// - **rate**: segments are sent one behind the other; **queue** bytes wait for it at most, then
///   [`room`](StreamLine::room) is none and the sender is to wait.
/// - **blackhole**: while it is closed, nothing is sent; what is to be sent waits until it opens.
/// - **corrupt**: one bit of a segment is flipped (a checksum of TCP would have caught it: this is a hostile box).
/// - reorder, duplicate and mtu show nothing: TCP puts them right.
///
/// At most [`StreamLine::MAX_BYTES`] are under way.
#[derive(Debug, Clone)]
pub struct StreamLine {
    impairment: Impairment,
    dice: Dice,
    loss: Loss,
    /// What is not yet being sent, and since when it is there.
    waiting: VecDeque<(Duration, Piece)>,
    waiting_bytes: usize,
    /// What is under way, and when it arrives.
    under_way: VecDeque<(Duration, Piece)>,
    under_way_bytes: usize,
    free_at: Duration,
    arrives: Duration,
    ended: bool,
    /// The impairment was changed: what waits begins no earlier than the next moment that is heard of.
    changed: bool,
    now: Duration,
    figures: Figures,
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes, never none.
    Bytes(Vec<u8>),
    /// Nothing more comes.
    End,
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::End => 0,
        }
    }
}

impl StreamLine {
    /// Most bytes of a segment: an Ethernet packet without the headers of IPv4 and TCP.
    pub const SEGMENT: usize = 1460;
    /// Most bytes under way, those waiting among them.
    pub const MAX_BYTES: usize = 1 << 20;
    /// The least retransmission timeout.
    pub const MIN_RTO: Duration = Duration::from_millis(200);

    /// A line on which nothing is under way.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            dice: Dice::new(seed),
            loss: Loss::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            free_at: Duration::ZERO,
            arrives: Duration::ZERO,
            ended: false,
            changed: false,
            now: Duration::ZERO,
            figures: Figures::default(),
        }
    }

    /// How many bytes [`write`](Self::write) takes now. If none: ask again at [`next_at`](Self::next_at).
    pub fn room(&mut self, now: Duration) -> usize {
        self.advance(now);
        let queue = match self.impairment.rate {
            Some(_) => usize::try_from(self.impairment.queue).unwrap_or(usize::MAX).max(Self::SEGMENT),
            None => Self::MAX_BYTES,
        };
        let free = Self::MAX_BYTES.saturating_sub(self.waiting_bytes + self.under_way_bytes);
        if self.ended { 0 } else { queue.saturating_sub(self.waiting_bytes).min(free) }
    }

    /// Offers bytes; how many of them were taken: at most the room there is.
    pub fn write(&mut self, now: Duration, bytes: &[u8]) -> usize {
        let taken = self.room(now).min(bytes.len());
        for segment in bytes[..taken].chunks(Self::SEGMENT) {
            self.figures.offered += 1;
            self.figures.offered_bytes += segment.len() as u64;
            self.waiting_bytes += segment.len();
            self.waiting.push_back((self.now, Piece::Bytes(segment.to_vec())));
        }
        self.advance(now);
        taken
    }

    /// Says that nothing more will be written; it arrives behind what was. Bytes written later are not taken.
    pub fn end(&mut self, now: Duration) {
        self.advance(now);
        if !std::mem::replace(&mut self.ended, true) {
            self.waiting.push_back((self.now, Piece::End));
            self.advance(now);
        }
    }

    /// When [`read`](Self::read) or [`room`](Self::room) may give more; none if nothing is under way, or nothing moves
    /// before the next [`set`](Self::set).
    pub fn next_at(&self) -> Option<Duration> {
        let arrives = self.under_way.front().map(|(arrives, _)| *arrives);
        [arrives, self.next_start()].into_iter().flatten().min()
    }

    /// The next piece, if one has arrived by `now`; call it until there is none.
    pub fn read(&mut self, now: Duration) -> Option<Piece> {
        self.advance(now);
        let (arrives, _) = self.under_way.front()?;
        if *arrives > self.now {
            return None;
        }
        let (_, piece) = self.under_way.pop_front()?;
        self.under_way_bytes -= piece.len();
        if let Piece::Bytes(bytes) = &piece {
            self.figures.delivered += 1;
            self.figures.delivered_bytes += bytes.len() as u64;
        }
        Some(piece)
    }

    /// Changes what is wrong with the line. What is under way stays as it is; what waits to be sent is sent under the
    /// new impairment.
    pub fn set(&mut self, impairment: Impairment) {
        self.impairment = impairment;
        self.changed = true;
    }

    /// What is wrong with the line.
    pub fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// What became of the segments so far; `lost` are those that came one retransmission timeout late.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// How long after a segment its retransmission leaves.
    fn rto(&self) -> Duration {
        let trip = self.impairment.delay.saturating_add(self.impairment.jitter);
        Self::MIN_RTO.saturating_add(trip.saturating_mul(2))
    }

    /// When the first that waits begins to be sent; none if nothing waits or nothing moves.
    fn next_start(&self) -> Option<Duration> {
        let (since, _) = self.waiting.front()?;
        if self.impairment.loss == Probability::ALWAYS {
            return None;
        }
        let free = self.free_at.max(*since);
        match self.impairment.blackhole {
            None => Some(free),
            Some(hole) => hole.opens_at(free),
        }
    }

    /// Sends what could begin to be sent by `now`.
    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if std::mem::take(&mut self.changed) {
            self.free_at = self.free_at.max(self.now);
        }
        while let Some(start) = self.next_start()
            && start <= self.now
            && let Some((_, piece)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= piece.len();
            let sent = match self.impairment.rate {
                Some(rate) => start.saturating_add(takes(piece.len() as u64, rate)),
                None => start,
            };
            self.free_at = sent;
            self.send(sent, piece);
        }
    }

    /// One segment, or the end, goes its way.
    fn send(&mut self, sent: Duration, mut piece: Piece) {
        let [loss, jitter, corrupt, bit]: [Throw; 4] = std::array::from_fn(|_| self.dice.throw());
        let jitter = jitter.up_to(self.impairment.jitter);
        let mut arrives = sent.saturating_add(self.impairment.delay).saturating_add(jitter);
        let lost = self.loss.next(self.impairment.loss, self.impairment.burst, loss);
        if lost {
            arrives = arrives.saturating_add(self.rto());
        }
        if let Piece::Bytes(bytes) = &mut piece {
            self.figures.lost += u64::from(lost);
            let flipped = corrupt.happens(self.impairment.corrupt) && flip(bytes, bit);
            self.figures.corrupted += u64::from(flipped);
        }
        self.arrives = self.arrives.max(arrives);
        self.under_way_bytes += piece.len();
        self.under_way.push_back((self.arrives, piece));
    }
}
