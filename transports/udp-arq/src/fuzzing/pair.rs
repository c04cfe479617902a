//! Two connections with known keys and a network between them that is the caller's.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::transport::Role;
use chat_core::{Identity, LinkError, PeerKey};

use super::Seeded;
use crate::config::Config;
use crate::connection::{Connection, End};
use crate::handshake::Established;
use crate::packet::ConnectionId;
use crate::protect::{ReceiveKeys, SendKeys};
use crate::stream::WINDOW;

/// The bound of what one end holds for its reader, by the cost that the protocol counts.
pub const HELD_LIMIT: u64 = WINDOW;

const IDS: [ConnectionId; 2] = [ConnectionId([0xa0; 8]), ConnectionId([0xb1; 8])];
const SPLIT: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const HASH: [u8; 32] = [9; 32];
/// Times that an end may have something due at once before it is said to spin.
const ROUNDS: usize = 64;

/// Who the two are. Made once: a key costs as much as much else that an input does.
fn peers() -> &'static [PeerKey; 2] {
    static PEERS: OnceLock<[PeerKey; 2]> = OnceLock::new();
    PEERS.get_or_init(|| [1, 2].map(|seed| Identity::from_seed(&[seed; 32]).public()))
}

/// How the two are set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Most packets in flight.
    pub window: Option<u32>,
    /// Packets under one key.
    pub update_after: u64,
    /// Number of the first packet of both.
    pub first_number: u64,
}

/// Two connections. Datagrams are handed out when they are sent, and handed in when they arrive.
pub struct Pair {
    now: Instant,
    ends: [Connection; 2],
}

impl Pair {
    /// Both ends after a handshake that never took place.
    pub fn new(setup: Setup) -> Self {
        let now = Instant::now();
        let mut config = Config { window: setup.window, ..Config::default() };
        config.keys.update_after = setup.update_after;
        let end = |side: usize| {
            let established = Established {
                peer: peers()[1 - side],
                role: [Role::Initiator, Role::Responder][side],
                remote: IDS[1 - side],
                send: SendKeys::new(now, &SPLIT[side], &HASH, IDS[1 - side], config.keys.clone()).unwrap(),
                receive: ReceiveKeys::new(&SPLIT[1 - side], &HASH, config.keys.clone()).unwrap(),
                finish: None,
                round_trip: Some(Duration::from_millis(50)),
            };
            let mut end = Connection::new(now, config.clone(), established, Box::new(Seeded(side as u64)));
            end.number_from(setup.first_number);
            end
        };
        Self { now, ends: [end(0), end(1)] }
    }

    /// Whether this side took the frame.
    pub fn send(&mut self, side: usize, frame: Bytes) -> bool {
        self.ends[side].send(frame).is_ok()
    }

    /// The next datagram that this side sends now.
    pub fn transmit(&mut self, side: usize) -> Option<Vec<u8>> {
        let mut datagram = Vec::new();
        let sent = self.ends[side].poll_transmit(self.now, &mut datagram);
        assert_eq!(sent, !datagram.is_empty());
        assert!(datagram.len() <= 1200, "{}", datagram.len());
        sent.then_some(datagram)
    }

    /// A datagram arrives at this side. Whether it was genuine and new.
    pub fn deliver(&mut self, to: usize, mut datagram: Vec<u8>) -> bool {
        // The endpoint looks at the id before anything else.
        datagram.get(1..9) == Some(&IDS[to].0[..]) && self.ends[to].handle_datagram(self.now, &mut datagram)
    }

    /// The next frame for this side's reader.
    pub fn read(&mut self, side: usize) -> Option<Bytes> {
        self.ends[side].poll_frame()
    }

    /// Moves the clock, and does at both sides what is due.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        for end in &mut self.ends {
            if end.poll_timeout().is_some_and(|at| at <= self.now) {
                end.handle_timeout(self.now);
            }
        }
    }

    /// Time until something is due at either side, zero if it is overdue.
    pub fn next_timeout(&self) -> Option<Duration> {
        let next = self.ends.iter().filter_map(Connection::poll_timeout).min()?;
        Some(next.saturating_duration_since(self.now))
    }

    /// All that this side has to send now, timers included. Panics if it always has something due at this
    /// instant: its driver would spin.
    pub fn flush(&mut self, side: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for _ in 0..ROUNDS {
            out.extend(std::iter::from_fn(|| self.transmit(side)));
            let end = &mut self.ends[side];
            if end.poll_timeout().is_none_or(|at| at > self.now) {
                return out;
            }
            end.handle_timeout(self.now);
        }
        panic!("side {side} spins: {:?}", self.ends[side].poll_timeout().map(|at| self.now - at));
    }

    /// A packet that the peer of `to` might seal, had it other code than ours.
    pub fn seal(&self, to: usize, number: u64, inside: &[u8]) -> Vec<u8> {
        let keys = Config::default().keys;
        let mut keys = SendKeys::new(self.now, &SPLIT[1 - to], &HASH, IDS[to], keys).unwrap();
        let mut packet = Vec::new();
        keys.begin(&mut packet, number, 4);
        packet.extend_from_slice(inside);
        keys.seal(&mut packet, 0, number, 4).unwrap();
        packet
    }

    /// A sign without proof that the peer is gone.
    pub fn unreachable(&mut self, side: usize) {
        self.ends[side].handle_unreachable_hint(self.now);
    }

    /// No frame follows from this side.
    pub fn finish(&mut self, side: usize) {
        self.ends[side].finish(self.now);
    }

    /// Nobody uses this side any more.
    pub fn release(&mut self, side: usize) {
        self.ends[side].release(self.now);
    }

    /// How this side ended, as a link reports it, and whether it says that the peer broke the protocol.
    pub fn end(&self, side: usize) -> Option<(LinkError, bool)> {
        self.ends[side].end().map(|end| (end.error(), matches!(end, End::Protocol(_) | End::KeyLimit)))
    }

    /// Cost of what this side holds for its reader.
    pub fn held(&self, side: usize) -> u64 {
        self.ends[side].held()
    }
}
