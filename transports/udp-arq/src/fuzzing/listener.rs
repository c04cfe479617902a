//! A listening endpoint, some that dial it, and a network between them that is the caller's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::{Identity, PeerId};

use super::Seeded;
use crate::EntropySource;
use crate::config::Config;
use crate::endpoint::{Endpoint, Event, Handle};

use crate::endpoint::MAX_HALF_OPEN;

/// A datagram that somebody sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Who sent it; none = the listener.
    pub client: Option<usize>,
    /// The address of the client's end of the path.
    pub address: SocketAddr,
    /// What was sent.
    pub bytes: Vec<u8>,
}

struct Client {
    endpoint: Endpoint,
    connected: bool,
}

/// Bytes between the listener and one address.
#[derive(Debug, Default)]
struct Account {
    received: usize,
    sent: usize,
    proved: bool,
}

/// A listener and its clients.
pub struct World {
    now: Instant,
    listener: Endpoint,
    clients: Vec<Client>,
    waiting: Vec<Handle>,
    live: Vec<Handle>,
    /// Connections that came about, whatever became of them.
    established: usize,
    accounts: HashMap<SocketAddr, Account>,
}

/// An endpoint draws the keys of a handshake by its number, so each endpoint has a source of its own.
fn entropy(endpoint: u64) -> EntropySource {
    Arc::new(move |handshake| Box::new(Seeded(handshake ^ (endpoint << 32))))
}

fn listener_address() -> SocketAddr {
    SocketAddr::from(([10, 9, 9, 9], 4000))
}

/// The listener, and behind it the clients. Made once: a key costs as much as all else that an input does.
fn identities() -> &'static [(Identity, PeerId)] {
    static IDENTITIES: OnceLock<Vec<(Identity, PeerId)>> = OnceLock::new();
    IDENTITIES.get_or_init(|| {
        let seeds = std::iter::once(7).chain((100..).take(World::MAX_CLIENTS));
        let identity = |seed: u8| Identity::from_seed(&[seed; 32]);
        seeds.map(identity).map(|identity| (identity.clone(), identity.peer_id())).collect()
    })
}

impl World {
    /// Most clients.
    pub const MAX_CLIENTS: usize = 4;

    /// A listener that nobody has dialed.
    pub fn new() -> Self {
        let me = identities()[0].0.clone();
        Self {
            now: Instant::now(),
            listener: Endpoint::new(Config::default(), me, true, entropy(0)),
            clients: Vec::new(),
            waiting: Vec::new(),
            live: Vec::new(),
            established: 0,
            accounts: HashMap::new(),
        }
    }

    /// The address of a client.
    pub fn address(client: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, (client >> 8) as u8, client as u8], 4000))
    }

    /// One more client, which dials. Its number, if there is room for one more.
    pub fn dial(&mut self) -> Option<usize> {
        let client = self.clients.len();
        if client == Self::MAX_CLIENTS {
            return None;
        }
        let me = identities()[1 + client].0.clone();
        let mut endpoint = Endpoint::new(Config::default(), me, false, entropy(client as u64 + 1));
        endpoint.connect(self.now, listener_address(), None).unwrap();
        self.clients.push(Client { endpoint, connected: false });
        Some(client)
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether this client's handshake is through, at its end.
    pub fn is_connected(&self, client: usize) -> bool {
        self.clients[client].connected
    }

    /// The listener lets in those who wait, as many as this.
    pub fn accept(&mut self, most: usize) {
        let count = most.min(self.waiting.len());
        for handle in self.waiting.drain(..count) {
            self.listener.accept(self.now, handle);
        }
    }

    /// The listener lets go of one of its connections.
    pub fn release(&mut self, nth: usize) {
        if !self.live.is_empty() {
            let handle = self.live.swap_remove(nth % self.live.len());
            self.listener.release(self.now, handle);
        }
    }

    /// The listener sends a frame on each of its connections.
    pub fn send_to_all(&mut self, frame: &Bytes) {
        for &handle in &self.live {
            if let Some(connection) = self.listener.connection(handle) {
                // Full or over: nothing to send then.
                connection.send(frame.clone()).ok();
                self.listener.touch(handle);
            }
        }
    }

    /// Moves the clock, and does what is due.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        self.listener.handle_timeouts(self.now);
        self.clients.iter_mut().for_each(|client| client.endpoint.handle_timeouts(self.now));
    }

    /// A datagram arrives at the listener from an address.
    pub fn strike(&mut self, from: SocketAddr, bytes: &[u8]) {
        let account = self.accounts.entry(from).or_default();
        account.received += bytes.len();
        self.listener.handle_datagram(self.now, from, &mut bytes.to_vec());
        assert!(self.listener.len() <= MAX_HALF_OPEN + self.established, "{}", self.listener.len());
    }

    /// A datagram arrives at a client.
    pub fn answer(&mut self, client: usize, bytes: &[u8]) {
        self.clients[client].endpoint.handle_datagram(self.now, listener_address(), &mut bytes.to_vec());
    }

    /// All that is sent now. Panics if the listener sends an address that is not proved more than came from it,
    /// or lets somebody in who is none of the clients.
    pub fn flush(&mut self) -> Vec<Sent> {
        let mut out = self.flush_listener();
        for (number, client) in self.clients.iter_mut().enumerate() {
            while let Some(event) = client.endpoint.poll_event() {
                client.connected |= matches!(event, Event::Connected(_));
            }
            while let Some(handle) = client.endpoint.next_dirty() {
                let sent = datagrams(&mut client.endpoint, self.now, handle).into_iter();
                let address = Self::address(number);
                out.extend(sent.map(|(_, bytes)| Sent { client: Some(number), address, bytes }));
            }
            while client.endpoint.poll_notice().is_some() {}
        }
        out
    }

    fn flush_listener(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        while let Some(event) = self.listener.poll_event() {
            match event {
                Event::Incoming(handle, _) => self.waiting.push(handle),
                Event::Connected(handle) => {
                    self.established += 1;
                    self.live.push(handle);
                }
                Event::Failed(handle, _) => self.waiting.retain(|&other| other != handle),
            }
        }
        self.waiting.retain(|&handle| self.listener.knows(handle));
        self.live.retain(|&handle| self.listener.knows(handle));
        let known = &identities()[1..=self.clients.len()];
        for &handle in &self.live {
            if let Some(connection) = self.listener.connection(handle) {
                let peer = connection.peer().peer_id();
                assert!(known.iter().any(|(_, known)| *known == peer), "a stranger is connected");
            }
        }
        while let Some(handle) = self.listener.next_dirty() {
            let proved = self.listener.connection(handle).is_some();
            for (to, bytes) in datagrams(&mut self.listener, self.now, handle) {
                self.accounts.entry(to).or_default().proved |= proved;
                out.push((to, bytes));
            }
        }
        out.extend(std::iter::from_fn(|| self.listener.poll_notice()).map(|(to, bytes)| (to.remote, bytes)));
        for (to, bytes) in &out {
            let account = self.accounts.entry(*to).or_default();
            account.sent += bytes.len();
            assert!(account.proved || account.sent <= account.received, "an amplifier for {to}: {account:?}");
        }
        out.into_iter().map(|(address, bytes)| Sent { client: None, address, bytes }).collect()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// All that a connection or handshake sends now.
fn datagrams(endpoint: &mut Endpoint, now: Instant, handle: Handle) -> Vec<(SocketAddr, Vec<u8>)> {
    if let Some(connection) = endpoint.connection(handle) {
        while connection.poll_frame().is_some() {}
    }
    let mut out = Vec::new();
    loop {
        let mut datagram = Vec::new();
        let Some(to) = endpoint.poll_transmit(now, handle, &mut datagram) else { break };
        out.push((to.remote, datagram));
    }
    endpoint.settle(handle);
    out
}
