//! Two connections with known keys and a virtual network between them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::transport::Role;

use super::net::{Net, Path};
use super::{Rng, identity};
use crate::config::Config;
use crate::connection::{Connection, SendError};
use crate::handshake::Established;
use crate::packet::ConnectionId;
use crate::protect::{ReceiveKeys, SendKeys};

pub(crate) struct Pair {
    pub(crate) net: Net,
    pub(crate) ends: [Connection; 2],
    pub(crate) to_send: [VecDeque<Bytes>; 2],
    pub(crate) received: [Vec<Bytes>; 2],
    /// Whether somebody takes the frames that arrive.
    pub(crate) reading: [bool; 2],
    /// Processes that get no time: what comes for them waits in their socket.
    pub(crate) stopped: [bool; 2],
    waiting: [Vec<Vec<u8>>; 2],
}

const IDS: [ConnectionId; 2] = [ConnectionId([0xa0; 8]), ConnectionId([0xb1; 8])];

/// One side of a handshake that never took place.
pub(crate) fn established(now: Instant, side: usize, config: &Config) -> Established {
    let keys = [[1; 32], [2; 32]];
    let limits = config.keys.clone();
    Established {
        peer: identity(1 + (1 - side) as u8).public(),
        role: [Role::Initiator, Role::Responder][side],
        remote: IDS[1 - side],
        send: SendKeys::new(now, &keys[side], &[9; 32], IDS[1 - side], limits.clone()).unwrap(),
        receive: ReceiveKeys::new(&keys[1 - side], &[9; 32], limits).unwrap(),
        finish: None,
        round_trip: Some(Duration::from_millis(50)),
    }
}

impl Pair {
    pub(crate) fn new(seed: u64, path: Path) -> Self {
        Self::with(seed, path, &Config::default(), 0)
    }

    pub(crate) fn with(seed: u64, path: Path, config: &Config, first_number: u64) -> Self {
        let net = Net::new(seed, path);
        let end = |side: usize| {
            let entropy = Box::new(Rng::new(seed ^ side as u64));
            let mut end =
                Connection::new(net.now, config.clone(), established(net.now, side, config), entropy);
            end.number_from(first_number);
            end
        };
        let ends = [end(0), end(1)];
        let (to_send, received, waiting) = Default::default();
        Self { net, ends, to_send, received, reading: [true; 2], stopped: [false; 2], waiting }
    }

    pub(crate) fn now(&self) -> Instant {
        self.net.now
    }

    /// Moves frames and datagrams until nothing more happens at this instant.
    pub(crate) fn settle(&mut self) {
        let now = self.net.now;
        for side in (0..2).filter(|&side| !self.stopped[side]) {
            let end = &mut self.ends[side];
            while let Some(frame) = self.to_send[side].pop_front() {
                if let Err(SendError::Full(frame)) = end.send(frame) {
                    self.to_send[side].push_front(frame);
                    break;
                }
            }
            if self.reading[side] {
                self.received[side].extend(std::iter::from_fn(|| end.poll_frame()));
            }
            loop {
                let mut datagram = Vec::new();
                if !end.poll_transmit(now, &mut datagram) {
                    break;
                }
                assert!(datagram.len() <= 1200 && !datagram.is_empty());
                self.net.send(side, datagram);
            }
        }
    }

    /// Goes to the next thing that happens; `false` if nothing ever will, or not before `until`.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.settle();
        let [first, second] =
            [0, 1].map(|side| self.ends[side].poll_timeout().filter(|_| !self.stopped[side]));
        let Some(next) = [first, second, self.net.next_arrival()]
            .into_iter()
            .flatten()
            .min()
            .filter(|&next| next <= until)
        else {
            self.net.now = until;
            return false;
        };
        self.net.now = self.net.now.max(next);
        for (to, mut bytes) in self.net.arrivals() {
            // The endpoint looks at the id before anything else.
            if self.stopped[to] {
                self.waiting[to].push(bytes);
            } else if bytes.get(1..9) == Some(&IDS[to].0[..]) {
                self.ends[to].handle_datagram(self.net.now, &mut bytes);
            }
        }
        for side in (0..2).filter(|&side| !self.stopped[side]) {
            // The driver, too, looks at its timers before it reads.
            let end = &mut self.ends[side];
            if end.poll_timeout().is_some_and(|at| at <= self.net.now) {
                end.handle_timeout(self.net.now);
            }
            for mut bytes in self.waiting[side].drain(..) {
                end.handle_datagram(self.net.now, &mut bytes);
            }
        }
        self.settle();
        true
    }

    /// Runs for this long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.net.now + time;
        let mut steps = 0u64;
        while self.step(until) {
            steps += 1;
            assert!(steps < 5_000_000, "something spins");
        }
    }

    /// Runs until the condition holds, at most this long. Whether it does.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.net.now + limit;
        let mut steps = 0u64;
        while !done(self) {
            if !self.step(until) {
                return done(self);
            }
            steps += 1;
            assert!(steps < 5_000_000, "something spins");
        }
        true
    }

    /// Runs until end 1 has this many frames.
    pub(crate) fn deliver(&mut self, limit: Duration, frames: usize) -> bool {
        self.run_until(limit, |pair| pair.received[1].len() >= frames)
    }

    /// What the next datagram of a side would be, without sending it.
    pub(crate) fn next_datagram(&mut self, side: usize) -> Vec<u8> {
        let mut datagram = Vec::new();
        assert!(self.ends[side].poll_transmit(self.net.now, &mut datagram), "nothing to send");
        datagram
    }
}
