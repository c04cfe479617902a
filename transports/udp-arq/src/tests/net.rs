//! A network of a virtual clock: what it does to datagrams is drawn from a seed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::Rng;

/// What a path does to datagrams in one direction.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    pub(crate) latency: Duration,
    /// Added at random.
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
    /// Chance that a loss is followed by another one.
    pub(crate) burst: f64,
    pub(crate) duplicate: f64,
    /// Chance to be held back by [`Path::late`].
    pub(crate) reorder: f64,
    pub(crate) late: Duration,
    /// Chance that a bit flips.
    pub(crate) corrupt: f64,
    /// Nothing passes at these times.
    pub(crate) blackout: Vec<Range<Duration>>,
    /// The first datagrams that are lost.
    pub(crate) drop_first: usize,
}

impl Path {
    pub(crate) fn clean() -> Self {
        Self {
            latency: Duration::from_millis(25),
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            late: Duration::from_millis(15),
            corrupt: 0.0,
            blackout: Vec::new(),
            drop_first: 0,
        }
    }

    pub(crate) fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::clean() }
    }

    pub(crate) fn dead() -> Self {
        Self::lossy(1.0)
    }
}

/// A datagram somebody can look at.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) from: usize,
    pub(crate) bytes: Vec<u8>,
}

/// Two directions between two ends, 0 and 1.
pub(crate) struct Net {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    /// By the sending end.
    pub(crate) paths: [Path; 2],
    bursting: [bool; 2],
    sent: [usize; 2],
    pub(crate) bytes: [usize; 2],
    queue: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    order: u64,
    /// One packet, by sender and number, to which something happens.
    single: Option<(usize, usize, u8)>,
    /// Copies of everything that was sent, if wanted.
    pub(crate) tap: Option<Vec<Seen>>,
}

impl Net {
    pub(crate) fn new(seed: u64, path: Path) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            rng: Rng::new(seed),
            paths: [path.clone(), path],
            bursting: [false; 2],
            sent: [0; 2],
            bytes: [0; 2],
            queue: BTreeMap::new(),
            order: 0,
            single: None,
            tap: None,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Datagrams sent by an end.
    pub(crate) fn sent(&self, end: usize) -> usize {
        self.sent[end]
    }

    /// The packet of this number of this sender is lost (0), comes twice (1) or half a second late (2).
    pub(crate) fn single_out(&mut self, from: usize, number: usize, what: u8) {
        self.single = Some((from, number, what));
    }

    pub(crate) fn send(&mut self, from: usize, bytes: Vec<u8>) {
        let path = self.paths[from].clone();
        self.sent[from] += 1;
        self.bytes[from] += bytes.len();
        if let Some(tap) = &mut self.tap {
            tap.push(Seen { from, bytes: bytes.clone() });
        }
        let what = self.single.filter(|&(sender, number, _)| sender == from && number + 1 == self.sent[from]);
        match what.map(|(_, _, what)| what) {
            Some(0) => return,
            Some(1) => self.inject(1 - from, self.now + path.latency, bytes.clone()),
            Some(_) => return self.inject(1 - from, self.now + 20 * path.latency, bytes),
            None => {}
        }
        let elapsed = self.elapsed();
        let loss = if self.bursting[from] { path.burst.max(path.loss) } else { path.loss };
        let lost = self.rng.chance(loss);
        self.bursting[from] = lost && path.burst > 0.0;
        let dark = path.blackout.iter().any(|range| range.contains(&elapsed));
        if lost || dark || self.sent[from] <= path.drop_first {
            return;
        }
        let copies = 1 + usize::from(self.rng.chance(path.duplicate));
        for _ in 0..copies {
            let mut copy = bytes.clone();
            if self.rng.chance(path.corrupt) {
                let bit = self.rng.below(copy.len() as u64 * 8) as usize;
                copy[bit / 8] ^= 1 << (bit % 8);
            }
            let mut delay = path.latency;
            delay += Duration::from_nanos(self.rng.below(path.jitter.as_nanos() as u64 + 1));
            if self.rng.chance(path.reorder) {
                delay += path.late;
            }
            self.inject(1 - from, self.now + delay, copy);
        }
    }

    /// Puts a datagram for `to` on the wire, whoever made it.
    pub(crate) fn inject(&mut self, to: usize, at: Instant, bytes: Vec<u8>) {
        self.order += 1;
        self.queue.insert((at, self.order), (to, bytes));
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.queue.keys().next().map(|&(at, _)| at)
    }

    /// What arrives by now.
    pub(crate) fn arrivals(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut due = Vec::new();
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            due.push(entry.remove());
        }
        due
    }
}
