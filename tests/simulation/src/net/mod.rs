//! The simulated network: hosts with addresses, a path with an impairment between each two of them in each direction,
//! datagrams and streams on the paths. One task moves what arrives; time is the runtime's paused clock.

mod datagrams;
mod local;
mod shared;
mod streams;
mod transport;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use impair::{Impairment, Line};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::rng::Rng;
use crate::trace::Trace;
use datagrams::Inbox;
use streams::{Conn, ConnId, Listening};

pub use local::Local;
pub use shared::SharedPlace;
pub use streams::{Accepted, ReadHalf, StreamListener, WriteHalf};
pub use transport::Tcp;

/// A direction between two hosts.
type Direction = (IpAddr, IpAddr);

/// Ports that the network gives by itself begin here.
const FIRST_PORT: u16 = 40_000;

/// A network. Clones are handles of the same one.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something was put on a path, or a path has changed.
    changed: Notify,
    origin: Instant,
}

struct State {
    rng: Rng,
    trace: Trace,
    paths: BTreeMap<Direction, Impairment>,
    lines: BTreeMap<Direction, Line>,
    hosts: BTreeMap<IpAddr, HostState>,
    inboxes: BTreeMap<SocketAddr, Arc<Inbox>>,
    listeners: BTreeMap<SocketAddr, Listening>,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    /// Connections that a listener had no room for.
    refused: Vec<Accepted>,
    /// Datagrams and segments that arrived, and bytes of them.
    arrived: (u64, u64),
}

#[derive(Debug, Default)]
struct HostState {
    /// Which of the processes that ran there one after the other is the living one; none = nobody.
    living: Option<u64>,
    processes: u64,
    next_port: u16,
    /// Dropped when the living one ends.
    alive: Option<watch::Sender<()>>,
    /// Whose process this is, if it is another host's that has taken this address too.
    holder: Option<IpAddr>,
}

/// A process on a host, as the network sees it: sockets opened through it end with it.
#[derive(Clone)]
pub struct Host {
    net: Net,
    address: IpAddr,
    process: u64,
    alive: watch::Receiver<()>,
}

impl Net {
    /// A network in which every path is perfect, and the task that moves what is on it.
    pub fn start(seed: u64, origin: Instant) -> Self {
        let state = State {
            rng: Rng::new(seed),
            trace: Trace::default(),
            paths: BTreeMap::new(),
            lines: BTreeMap::new(),
            hosts: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            listeners: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            refused: Vec::new(),
            arrived: (0, 0),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), origin });
        let net = Self { shared };
        tokio::spawn(net.clone().carry());
        net
    }

    /// The address of the host with this number.
    pub fn address(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
    }

    /// A new process on the host with this address; whatever ran there before is ended.
    pub fn boot(&self, address: IpAddr) -> Host {
        self.end(address, Ending::Process);
        let mut state = self.state();
        let host = state.hosts.entry(address).or_default();
        host.processes += 1;
        host.living = Some(host.processes);
        let (sender, alive) = watch::channel(());
        (host.alive, host.holder) = (Some(sender), None);
        Host { net: self.clone(), address, process: host.processes, alive }
    }

    /// Ends the process on a host: its sockets are closed, and with [`Ending::Power`] nobody is told.
    pub fn end(&self, address: IpAddr, how: Ending) {
        let now = self.now();
        let mut state = self.state();
        let Some(host) = state.hosts.get_mut(&address) else { return };
        (host.living, host.alive) = (None, None);
        let gone: Vec<SocketAddr> = state.inboxes.keys().filter(|at| at.ip() == address).copied().collect();
        for at in gone {
            if let Some(inbox) = state.inboxes.remove(&at) {
                inbox.close();
            }
        }
        state.listeners.retain(|at, _| at.ip() != address);
        state.end_conns(address, how, now);
        let held = |(at, host): (&IpAddr, &HostState)| {
            (host.living.is_some() && host.holder == Some(address)).then_some(*at)
        };
        let held: Vec<IpAddr> = state.hosts.iter().filter_map(held).collect();
        drop(state);
        self.shared.changed.notify_one();
        held.into_iter().for_each(|at| self.end(at, how));
    }

    /// Sets what is wrong with one direction of a path from now on.
    pub fn set(&self, from: IpAddr, to: IpAddr, impairment: &Impairment) {
        let mut state = self.state();
        state.paths.insert((from, to), impairment.clone());
        if let Some(line) = state.lines.get_mut(&(from, to)) {
            line.set(impairment.clone());
        }
        for conn in state.conns.values_mut() {
            conn.set((from, to), impairment);
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// What happened so far, as a number.
    pub fn trace(&self) -> u64 {
        self.state().trace.hash()
    }

    /// How many datagrams and segments arrived, and their bytes.
    pub fn arrived(&self) -> (u64, u64) {
        self.state().arrived
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the beginning.
    fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    /// Moves what arrives, as long as the runtime lives.
    async fn carry(self) {
        loop {
            let changed = self.shared.changed.notified();
            let now = self.now();
            let (next, refused) = {
                let mut state = self.state();
                state.deliver_datagrams(now);
                state.deliver_streams(&self, now);
                (state.next_at(), std::mem::take(&mut state.refused))
            };
            drop(refused);
            let sleep = async {
                match next {
                    // The timer's unit is a millisecond; what is due within one is due at its end.
                    Some(at) => sleep_until(self.shared.origin + at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep => {}
            }
        }
    }
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The system closes its sockets.
    Process,
    /// The machine is off: nobody is told anything.
    Power,
}

impl State {
    fn path(&self, direction: Direction) -> Impairment {
        self.paths.get(&direction).cloned().unwrap_or(Impairment::NONE)
    }

    fn is_living(&self, address: IpAddr, process: u64) -> bool {
        self.hosts.get(&address).is_some_and(|host| host.living == Some(process))
    }

    fn is_up(&self, address: IpAddr) -> bool {
        self.hosts.get(&address).is_some_and(|host| host.living.is_some())
    }

    /// A port that nobody has.
    fn free_port(&mut self, address: IpAddr) -> u16 {
        let host = self.hosts.entry(address).or_default();
        host.next_port = host.next_port.max(FIRST_PORT - 1).wrapping_add(1).max(FIRST_PORT);
        host.next_port
    }

    fn next_at(&self) -> Option<Duration> {
        let lines = self.lines.values().filter_map(Line::next_at);
        lines.chain(self.conns.values().filter_map(Conn::next_at)).min()
    }

    /// Notes that something arrived.
    fn note(&mut self, now: Duration, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.trace.number(u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        for at in [from, to] {
            if let IpAddr::V4(ip) = at.ip() {
                self.trace.add(&ip.octets());
            }
            self.trace.add(&at.port().to_be_bytes());
        }
        self.trace.add(bytes);
        self.arrived.0 += 1;
        self.arrived.1 += bytes.len() as u64;
    }
}

impl Host {
    fn is_living(&self) -> bool {
        self.net.state().is_living(self.address, self.process)
    }

    /// Ends with the process.
    async fn ended(&self) {
        let mut alive = self.alive.clone();
        // Nothing is ever sent; the other end is dropped.
        while alive.changed().await.is_ok() {}
    }

    /// This process takes another address too, unless somebody listens there. It ends with the process; links that
    /// somebody left behind there end now.
    fn take(&self, at: SocketAddr) -> Option<Self> {
        {
            let state = self.net.state();
            if state.listeners.contains_key(&at) || state.inboxes.contains_key(&at) {
                return None;
            }
        }
        let taken = self.net.boot(at.ip());
        self.net.state().hosts.entry(at.ip()).or_default().holder = Some(self.address);
        Some(taken)
    }
}
