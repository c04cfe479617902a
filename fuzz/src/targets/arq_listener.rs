//! A listening endpoint of udp-arq under any schedule of datagrams: HELLO, RETRY, REPLY, FINISH, UNKNOWN and short
//! packets, genuine, damaged, doubled, late, from other addresses, made up, and floods of them.
//!
//! - An address that is not proved gets no more bytes than came from it.
//! - There are never more handshakes than the bound, whoever knocks, and nobody is connected but who holds the key.
//! - After all that, when it is quiet again, one more client gets in.
//!
//! Allocated: 2 MiB (144 half-open handshakes of less than a KiB, four connections on each side).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chat_core::transport::HANDSHAKE_DEADLINE;
use transport_udp_arq::fuzzing::{Sent, World};

use crate::alloc::bounded;
use crate::script::Script;

/// Datagrams on their way.
const MAX_IN_FLIGHT: usize = 64;
/// Strangers' HELLOs of one input.
const MAX_FLOOD: usize = 400;
const VERSION: [u8; 4] = [0x41, 0x52, 0x51, 0x01];

pub fn prepare() {}

pub fn run(data: &[u8]) {
    bounded(2 << 20, || {
        let mut script = Script::new(data);
        let mut play = Play { world: World::new(), in_flight: Vec::new(), retries: Vec::new(), flood: 0 };
        while !script.is_over() {
            play.step(&mut script);
            play.collect();
        }
        play.quiet_again();
    });
}

struct Play {
    world: World,
    in_flight: Vec<Sent>,
    /// RETRYs to strangers, who may come back with the cookie.
    retries: Vec<(SocketAddr, Vec<u8>)>,
    flood: usize,
}

fn stranger(number: usize) -> SocketAddr {
    SocketAddr::from(([192, 168, (number >> 8) as u8, number as u8], 5000))
}

/// A HELLO with a key that nobody else has, and perhaps a cookie.
fn hello(number: usize, cookie: Option<&[u8]>) -> Vec<u8> {
    let mut key = [number as u8; 32];
    (key[0], key[1], key[31]) = (9, (number >> 8) as u8, 1);
    let mut bytes = [&[0xc1], &VERSION[..], &[0; 8], &[0, 32], &key].concat();
    if let Some(cookie) = cookie {
        bytes.push(cookie.len() as u8);
        bytes.extend_from_slice(cookie);
    }
    bytes.resize(1200, 0);
    bytes
}

impl Play {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            // The last client is for the end.
            0 if self.world.clients() + 1 < World::MAX_CLIENTS => drop(self.world.dial()),
            0..=3 => {
                if let Some(sent) = self.pick(script, true) {
                    self.carry(&sent, None);
                }
            }
            4 => {
                if let Some(sent) = self.pick(script, false) {
                    self.carry(&sent, None);
                }
            }
            5 => drop(self.pick(script, true)),
            6 => {
                if let Some(sent) = self.pick(script, false) {
                    let damaged = Sent { bytes: script.damaged(&sent.bytes), ..sent };
                    self.carry(&damaged, None);
                }
            }
            7 => {
                if let Some(sent) = self.pick(script, false) {
                    self.carry(&sent, Some(stranger(script.below(4))));
                }
            }
            8 => self.world.advance(Duration::from_millis(u64::from(script.byte()) * 4)),
            9 => self.world.advance(Duration::from_millis(u64::from(script.byte()) * 200)),
            10 => self.world.accept(script.below(4)),
            11 => self.made_up(script),
            12 => self.knock(usize::from(script.byte())),
            13 => self.come_back(usize::from(script.byte())),
            14 => self.world.release(script.below(8)),
            _ => self.world.send_to_all(&Bytes::from(vec![7; usize::from(script.byte()) * 16])),
        }
    }

    fn pick(&mut self, script: &mut Script<'_>, take: bool) -> Option<Sent> {
        let count = self.in_flight.len();
        let index = if count == 0 { return None } else { script.below(count) };
        if take { Some(self.in_flight.remove(index)) } else { self.in_flight.get(index).cloned() }
    }

    /// A datagram arrives where it was sent to, from where it was sent, or from elsewhere.
    fn carry(&mut self, sent: &Sent, spoofed: Option<SocketAddr>) {
        match sent.client {
            Some(_) => self.world.strike(spoofed.unwrap_or(sent.address), &sent.bytes),
            None => {
                let clients = 0..self.world.clients();
                if let Some(client) = clients.into_iter().find(|&it| World::address(it) == sent.address) {
                    self.world.answer(client, &sent.bytes);
                }
            }
        }
    }

    /// Bytes of nobody, perhaps behind the head of a packet.
    fn made_up(&mut self, script: &mut Script<'_>) {
        let to_client = script.byte();
        let from = if to_client & 2 == 0 { stranger(0) } else { World::address(0) };
        let mut bytes = match script.byte() % 8 {
            0 => Vec::new(),
            kind => {
                let id: [u8; 8] = script.array();
                let message = script.short();
                let len = u16::try_from(message.len()).unwrap().to_be_bytes();
                [&[0xc0 | kind], &VERSION[..], &id, &len, message].concat()
            }
        };
        bytes.extend_from_slice(script.short());
        if script.byte() & 1 == 1 {
            bytes.resize(bytes.len().max(1200), 0);
        }
        if to_client & 1 == 1 && self.world.clients() > 0 {
            self.world.answer(0, &bytes);
        } else {
            self.world.strike(from, &bytes);
        }
    }

    /// Strangers knock, each with a key and an address of its own.
    fn knock(&mut self, count: usize) {
        for _ in 0..count {
            if self.flood < MAX_FLOOD {
                self.world.strike(stranger(self.flood), &hello(self.flood, None));
                self.flood += 1;
            }
        }
    }

    /// Strangers who got a cookie bring it back.
    fn come_back(&mut self, count: usize) {
        for (address, retry) in self.retries.drain(..count.min(self.retries.len())).collect::<Vec<_>>() {
            let number = (0..self.flood).find(|&number| stranger(number) == address);
            if let (Some(number), Some(cookie)) = (number, retry.get(15..)) {
                self.world.strike(address, &hello(number, Some(cookie)));
            }
        }
    }

    fn collect(&mut self) {
        for sent in self.world.flush() {
            let to_client = sent.client.is_some()
                || (0..self.world.clients()).any(|client| World::address(client) == sent.address);
            if to_client && self.in_flight.len() < MAX_IN_FLIGHT {
                self.in_flight.push(sent);
            } else if !to_client && sent.bytes.first() == Some(&0xc5) && self.retries.len() < MAX_FLOOD {
                self.retries.push((sent.address, sent.bytes));
            }
        }
    }

    /// Nobody disturbs any more: another client gets in, within a minute.
    fn quiet_again(&mut self) {
        // Those who were not let in by now are forgotten.
        self.world.advance(HANDSHAKE_DEADLINE);
        self.collect();
        let client = self.world.dial().expect("one was kept free");
        for _ in 0..240 {
            self.world.accept(usize::MAX);
            for sent in self.world.flush() {
                self.carry(&sent, None);
            }
            if self.world.is_connected(client) {
                return;
            }
            self.world.advance(Duration::from_millis(50));
        }
        panic!("the client did not get in");
    }
}
