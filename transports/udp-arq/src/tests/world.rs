//! Two endpoints, one that dials and one that listens, and a virtual network between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_core::{Entropy, LinkError, PeerId};

use super::net::{Net, Path};
use super::{Rng, identity};
use crate::config::Config;
use crate::connection::Connection;
use crate::endpoint::{Endpoint, Event, Handle};

pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;

pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) ends: [Endpoint; 2],
    pub(crate) incoming: Vec<Handle>,
    /// Whether those who come in are let in.
    pub(crate) accepting: bool,
    pub(crate) connected: [Vec<Handle>; 2],
    pub(crate) failed: [Vec<(Handle, LinkError)>; 2],
    pub(crate) received: [Vec<(Handle, Bytes)>; 2],
    /// What the server sent to others than the client.
    pub(crate) outside: Vec<(SocketAddr, Vec<u8>)>,
}

pub(crate) fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, side as u8 + 1], 4000))
}

fn entropy(seed: u64) -> Box<dyn Entropy> {
    Box::new(Rng::new(seed ^ 0x5eed))
}

fn server_entropy(seed: u64) -> Box<dyn Entropy> {
    Box::new(Rng::new(seed ^ 0x5eed_0002))
}

impl World {
    pub(crate) fn new(seed: u64, path: Path) -> Self {
        let config = Config::default();
        Self {
            net: Net::new(seed, path),
            ends: [
                Endpoint::new(config.clone(), identity(1), false, Arc::new(entropy)),
                Endpoint::new(config, identity(2), true, Arc::new(server_entropy)),
            ],
            incoming: Vec::new(),
            accepting: true,
            connected: Default::default(),
            failed: Default::default(),
            received: Default::default(),
            outside: Vec::new(),
        }
    }

    pub(crate) fn dial(&mut self, pin: Option<PeerId>) -> Handle {
        self.ends[CLIENT].connect(self.net.now, address(SERVER), pin).unwrap()
    }

    /// Dials and waits until both sides are connected.
    pub(crate) fn connect(&mut self) -> (Handle, Handle) {
        let (before, client) = (self.connected[SERVER].len(), self.dial(None));
        let done = self.run_until(Duration::from_secs(10), |world| world.connected[SERVER].len() > before);
        assert!(done, "{:?}", self.failed);
        (client, *self.connected[SERVER].last().unwrap())
    }

    pub(crate) fn connection(&mut self, side: usize, handle: Handle) -> &mut Connection {
        self.ends[side].connection(handle).expect("it is up")
    }

    pub(crate) fn send(&mut self, side: usize, handle: Handle, frame: &'static [u8]) {
        self.connection(side, handle).send(Bytes::from_static(frame)).unwrap();
        self.ends[side].touch(handle);
    }

    pub(crate) fn settle(&mut self) {
        let now = self.net.now;
        for side in [CLIENT, SERVER] {
            while let Some(event) = self.ends[side].poll_event() {
                match event {
                    Event::Incoming(handle, _) => {
                        self.incoming.push(handle);
                        if self.accepting {
                            self.ends[side].accept(now, handle);
                        }
                    }
                    Event::Connected(handle) => self.connected[side].push(handle),
                    Event::Failed(handle, error) => self.failed[side].push((handle, error)),
                }
            }
            while let Some(handle) = self.ends[side].next_dirty() {
                if let Some(connection) = self.ends[side].connection(handle) {
                    let frames: Vec<_> = std::iter::from_fn(|| connection.poll_frame()).collect();
                    self.received[side].extend(frames.into_iter().map(|frame| (handle, frame)));
                }
                loop {
                    let mut datagram = Vec::new();
                    let Some(to) = self.ends[side].poll_transmit(now, handle, &mut datagram) else { break };
                    self.carry(side, to.remote, datagram);
                }
                self.ends[side].settle(handle);
            }
            while let Some((to, notice)) = self.ends[side].poll_notice() {
                self.carry(side, to.remote, notice);
            }
        }
    }

    fn carry(&mut self, from: usize, to: SocketAddr, datagram: Vec<u8>) {
        if to == address(1 - from) {
            self.net.send(from, datagram);
        } else {
            assert_eq!(from, SERVER, "the client knows nobody else");
            self.outside.push((to, datagram));
        }
    }

    /// A datagram comes to the server from somewhere.
    pub(crate) fn strike(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.ends[SERVER].handle_datagram(self.net.now, from, &mut datagram.to_vec());
        self.settle();
    }

    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.net.now + limit;
        for _ in 0..2_000_000 {
            self.settle();
            if done(self) {
                return true;
            }
            let next = [self.ends[0].next_timeout(), self.ends[1].next_timeout(), self.net.next_arrival()];
            let Some(next) = next.into_iter().flatten().min().filter(|&next| next <= until) else {
                self.net.now = until;
                return false;
            };
            self.net.now = self.net.now.max(next);
            let now = self.net.now;
            for (to, mut bytes) in self.net.arrivals() {
                self.ends[to].handle_datagram(now, address(1 - to), &mut bytes);
            }
            self.ends.iter_mut().for_each(|end| end.handle_timeouts(now));
        }
        panic!("something spins");
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }
}
