//! Datagrams: what UDP gives a program.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use impair::Line;
use tokio::sync::Notify;
use transport_udp_arq::network::{Network, Received, Route, Sent, Socket};

use super::{Host, State};

/// Datagrams that wait for a socket's owner; more are dropped, as a full socket buffer does.
const QUEUED: usize = 1024;
/// What goes before each datagram on its path: the ports.
const PORTS: usize = 4;

type Item = Result<(SocketAddr, Vec<u8>), io::ErrorKind>;

/// What waits for a socket's owner.
#[derive(Default)]
pub(super) struct Inbox {
    items: Mutex<VecDeque<Item>>,
    news: Notify,
    /// Whether it talks to one address only, and hears that nobody is there.
    peer: Option<SocketAddr>,
}

impl Inbox {
    fn items(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item) {
        let mut items = self.items();
        if items.len() < QUEUED {
            items.push_back(item);
        }
        drop(items);
        self.news.notify_one();
    }

    /// Its process is gone: nothing waits any more.
    pub(super) fn close(&self) {
        self.items().clear();
    }
}

impl State {
    pub(super) fn deliver_datagrams(&mut self, now: Duration) {
        loop {
            let due = |(direction, line): (&super::Direction, &Line)| Some((line.next_at()?, *direction));
            let first = self.lines.iter().filter_map(due).filter(|(at, _)| *at <= now).min();
            let Some((_, direction)) = first else { return };
            let packet = self.lines.get_mut(&direction).and_then(|line| line.pop(now));
            let Some(packet) = packet else { return };
            if let [a, b, c, d, bytes @ ..] = &packet[..] {
                let from = SocketAddr::new(direction.0, u16::from_be_bytes([*a, *b]));
                let to = SocketAddr::new(direction.1, u16::from_be_bytes([*c, *d]));
                self.note(now, from, to, bytes);
                self.deliver_datagram(from, to, bytes);
            }
        }
    }

    fn deliver_datagram(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        match self.inboxes.get(&to) {
            Some(inbox) if inbox.peer.is_none_or(|peer| peer == from) => {
                inbox.push(Ok((from, bytes.to_vec())));
            }
            Some(_) => {}
            // The system of a machine that is on says that nobody is there, and the sender hears it (ICMP).
            None if self.is_up(to.ip()) => {
                let sender = self.inboxes.get(&from).filter(|inbox| inbox.peer == Some(to));
                sender.inspect(|inbox| inbox.push(Err(io::ErrorKind::ConnectionRefused)));
            }
            None => {}
        }
    }
}

/// A socket on a simulated host.
struct SimSocket {
    host: Host,
    local: SocketAddr,
    inbox: Arc<Inbox>,
}

impl Host {
    fn open(&self, local: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Box<dyn Socket>> {
        let inbox = Arc::new(Inbox { peer, ..Inbox::default() });
        let mut state = self.net.state();
        if !state.is_living(self.address, self.process) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.inboxes.contains_key(&local) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.inboxes.insert(local, Arc::clone(&inbox));
        drop(state);
        Ok(Box::new(SimSocket { host: self.clone(), local, inbox }))
    }

    fn local(&self, port: u16) -> SocketAddr {
        let port = if port == 0 { self.net.state().free_port(self.address) } else { port };
        SocketAddr::new(self.address, port)
    }
}

#[async_trait]
impl Network for Host {
    async fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Socket>> {
        self.open(self.local(0), Some(to))
    }

    async fn bind(&self, on: SocketAddr) -> io::Result<Box<dyn Socket>> {
        if on.ip() != self.address {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        self.open(self.local(on.port()), None)
    }
}

#[async_trait]
impl Socket for SimSocket {
    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    async fn ready(&self, writing: bool) -> io::Result<()> {
        loop {
            let news = self.inbox.news.notified();
            // A process that is gone waits for ever.
            if self.host.is_living() && (writing || !self.inbox.items().is_empty()) {
                return Ok(());
            }
            news.await;
        }
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        match self.inbox.items().pop_front() {
            Some(Ok((from, bytes))) => {
                let room = buffer.get_mut(..bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
                room.copy_from_slice(&bytes);
                Ok(Received { len: bytes.len(), stride: bytes.len(), from: from.into() })
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_send(&self, to: Route, datagram: &[u8]) -> Sent {
        let net = &self.host.net;
        let now = net.now();
        let mut state = net.state();
        if !state.is_living(self.host.address, self.host.process) {
            return Sent::Lost(io::ErrorKind::BrokenPipe.into());
        }
        let direction = (self.local.ip(), to.remote.ip());
        let mut packet = Vec::with_capacity(PORTS + datagram.len());
        packet.extend(self.local.port().to_be_bytes());
        packet.extend(to.remote.port().to_be_bytes());
        packet.extend(datagram);
        let State { lines, rng, .. } = &mut *state;
        if !lines.contains_key(&direction) {
            let seed = rng.next_u64();
            let path = state.path(direction);
            state.lines.insert(direction, Line::new(path, seed));
        }
        if let Some(line) = state.lines.get_mut(&direction) {
            line.push(now, packet);
        }
        drop(state);
        net.shared.changed.notify_one();
        Sent::Yes
    }

    fn says_unreachable(&self, error: &io::Error) -> bool {
        self.inbox.peer.is_some() && error.kind() == io::ErrorKind::ConnectionRefused
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut state = self.host.net.state();
        if state.inboxes.get(&self.local).is_some_and(|inbox| Arc::ptr_eq(inbox, &self.inbox)) {
            state.inboxes.remove(&self.local);
        }
    }
}
