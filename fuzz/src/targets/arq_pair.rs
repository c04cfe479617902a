//! Two connections of udp-arq under any schedule: datagrams lost, late, doubled, reordered, damaged and made up;
//! time that stands still or jumps; readers that stop; ends that finish. With the first byte odd, one of them has a
//! peer with the right keys and other code, which seals what the script says.
//!
//! - Frames arrive in order, each once, none that was not sent; no damaged or doubled datagram is taken.
//! - Neither end says that the other broke the protocol, unless it did.
//! - Neither ever has something due at an instant at which it has done everything: its driver would spin.
//! - When the network heals and neither end has given up, everything arrives.
//! - What is held for a reader stays within the window, whatever the peer sends.
//!
//! Allocated: 32 MiB: for each end what it may hold (4 MiB) and what waits to be sent (1 MiB), twice over for
//! growing, and the datagrams.

use std::time::Duration;

use bytes::Bytes;
use transport_udp_arq::fuzzing::{HELD_LIMIT, Pair, Setup};

use crate::alloc::bounded;
use crate::script::Script;

/// Datagrams on their way to each end.
const MAX_IN_FLIGHT: usize = 96;
/// Bytes that one input sends.
const MAX_SENT: usize = 3 << 20;

pub fn prepare() {}

pub fn run(data: &[u8]) {
    bounded(32 << 20, || {
        let mut script = Script::new(data);
        let mut play = Play::new(&mut script);
        while !script.is_over() {
            play.step(&mut script);
            play.check();
        }
        play.heal();
    });
}

struct Play {
    pair: Pair,
    /// By who receives them.
    in_flight: [Vec<Vec<u8>>; 2],
    /// By who sent them.
    sent: [Vec<Bytes>; 2],
    /// How many of them the other side has read.
    read: [usize; 2],
    reading: [bool; 2],
    sent_bytes: usize,
    hostile: bool,
    done: bool,
}

impl Play {
    fn new(script: &mut Script<'_>) -> Self {
        let (hostile, setup) = (script.byte() & 1 == 1, script.byte());
        let setup = Setup {
            window: [None, Some(1), Some(2), Some(16)][usize::from(setup & 3)],
            update_after: [1 << 22, 2, 5, 40][usize::from(setup >> 2 & 3)],
            first_number: [0, 250, 0xfff0, 0xffff_ff80][usize::from(setup >> 4 & 3)],
        };
        Self {
            pair: Pair::new(setup),
            in_flight: Default::default(),
            sent: Default::default(),
            read: [0; 2],
            reading: [true; 2],
            sent_bytes: 0,
            hostile,
            done: false,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let op = script.byte();
        let side = usize::from(op >> 7);
        match op & 0x0f {
            0 => self.send(side, usize::from(script.byte())),
            1 => self.send(side, usize::from(script.u16()) * usize::from(1 + (op >> 4 & 3))),
            2 | 3 => self.flush(side),
            4 => self.arrive(side, script, true),
            5 => self.all_arrive(side),
            6 => self.arrive(side, script, false),
            7 => self.lose(side, script),
            8 => self.damage(side, script),
            9 => self.pair.advance(Duration::from_millis(u64::from(script.byte()))),
            10 => self.pair.advance(Duration::from_millis(u64::from(script.byte()) * 50)),
            11 => {
                if let Some(next) = self.pair.next_timeout() {
                    self.pair.advance(next);
                }
            }
            12 => self.reading[side] ^= true,
            13 => self.made_up(side, script),
            14 if self.hostile => self.seal(script),
            14 => self.flush(1 - side),
            _ => self.end(side, script.byte()),
        }
    }

    fn send(&mut self, side: usize, len: usize) {
        let number = self.sent[side].len() as u8;
        if self.sent_bytes + len <= MAX_SENT {
            let frame = Bytes::from(vec![number; len]);
            if self.pair.send(side, frame.clone()) {
                self.sent_bytes += len;
                self.sent[side].push(frame);
            }
        }
    }

    fn flush(&mut self, side: usize) {
        for datagram in self.pair.flush(side) {
            if self.in_flight[1 - side].len() < MAX_IN_FLIGHT {
                self.in_flight[1 - side].push(datagram);
            }
        }
    }

    fn arrive(&mut self, side: usize, script: &mut Script<'_>, last: bool) {
        let count = self.in_flight[side].len();
        if count == 0 {
            return;
        }
        let index = script.below(count);
        let datagram =
            if last { self.in_flight[side].remove(index) } else { self.in_flight[side][index].clone() };
        self.pair.deliver(side, datagram.clone());
        assert!(!self.pair.deliver(side, datagram), "a datagram was taken twice");
    }

    fn all_arrive(&mut self, side: usize) {
        for datagram in std::mem::take(&mut self.in_flight[side]) {
            self.pair.deliver(side, datagram);
        }
    }

    fn lose(&mut self, side: usize, script: &mut Script<'_>) {
        match self.in_flight[side].len() {
            0 => {}
            _ if script.byte() == 255 => self.in_flight[side].clear(),
            count => drop(self.in_flight[side].swap_remove(script.below(count))),
        }
    }

    fn damage(&mut self, side: usize, script: &mut Script<'_>) {
        let count = self.in_flight[side].len();
        if count > 0 {
            let index = script.below(count);
            let damaged = script.damaged(&self.in_flight[side][index]);
            assert!(!self.pair.deliver(side, damaged), "a damaged datagram was taken");
        }
    }

    fn made_up(&mut self, side: usize, script: &mut Script<'_>) {
        let bytes = [&[0x40 | script.byte()][..], &[[0xa0; 8], [0xb1; 8]][side], script.short()].concat();
        assert!(!self.pair.deliver(side, bytes));
    }

    /// End 1 gets a packet of its peer's that the peer's own code would not have sent.
    fn seal(&mut self, script: &mut Script<'_>) {
        let number = u64::from(script.u16());
        let packet = self.pair.seal(1, number, script.short());
        self.pair.deliver(1, packet);
    }

    fn end(&mut self, side: usize, how: u8) {
        match how % 8 {
            0 => {
                self.pair.finish(side);
                self.done = true;
            }
            1 => {
                self.pair.release(side);
                self.done = true;
            }
            _ => self.pair.unreachable(side),
        }
    }

    fn check(&mut self) {
        for side in 0..2 {
            assert!(self.pair.held(side) <= HELD_LIMIT, "{} are held", self.pair.held(side));
            while self.reading[side]
                && let Some(frame) = self.pair.read(side)
            {
                let from = 1 - side;
                if !self.hostile {
                    assert_eq!(
                        Some(&frame),
                        self.sent[from].get(self.read[from]),
                        "frame {}",
                        self.read[from]
                    );
                }
                self.read[from] += 1;
            }
            if let Some((error, protocol)) = self.pair.end(side) {
                assert!(self.hostile || !protocol, "side {side}: {error}");
            }
        }
    }

    /// From here on nothing is lost.
    fn heal(&mut self) {
        self.reading = [true; 2];
        for _ in 0..4000 {
            self.check();
            let ended = self.pair.end(0).is_some() || self.pair.end(1).is_some();
            let arrived = self.read[0] == self.sent[0].len() && self.read[1] == self.sent[1].len();
            if ended || self.hostile || arrived {
                return;
            }
            self.flush_all();
            let quiet = self.in_flight.iter().all(Vec::is_empty);
            self.pair.advance(match self.pair.next_timeout() {
                Some(next) if quiet => next,
                _ => Duration::from_millis(5),
            });
            self.all_arrive(0);
            self.all_arrive(1);
        }
        panic!("{:?} of {:?} frames arrived", self.read, [self.sent[0].len(), self.sent[1].len()]);
    }

    fn flush_all(&mut self) {
        for side in 0..2 {
            let datagrams = self.pair.flush(side);
            self.in_flight[1 - side].extend(datagrams);
        }
    }
}
