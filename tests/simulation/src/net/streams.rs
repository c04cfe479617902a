//! Streams: what TCP gives a program. A connection is two lines of bytes; the first byte of each is the handshake.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use impair::{Impairment, Piece, Probability, StreamLine};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Direction, Ending, Host, Net, State};

/// Number of a connection.
pub(super) type ConnId = u64;

/// Bytes that wait for a reader; more wait on the way.
const RECEIVED: usize = 256 << 10;
/// Connections that wait for a listener.
const BACKLOG: usize = 64;
/// A connection on which nothing moves for so long, or whose other end is gone for so long, is given up, as keepalive
/// and `TCP_USER_TIMEOUT` of the transport have it.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Which end of a connection: 0 dialed, 1 listened.
type Side = usize;

struct End {
    address: SocketAddr,
    received: VecDeque<u8>,
    finished: bool,
    error: Option<io::ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Halves of it that the program has dropped.
    dropped: u8,
    /// Since when it is gone without a word.
    gone: Option<Duration>,
}

impl End {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            received: VecDeque::new(),
            finished: false,
            error: None,
            reader: None,
            writer: None,
            dropped: 0,
            gone: None,
        }
    }

    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }

    fn fail(&mut self, error: io::ErrorKind) {
        self.error.get_or_insert(error);
        self.wake();
    }
}

/// A connection.
pub(super) struct Conn {
    ends: [End; 2],
    /// What the end of the same number sends.
    lines: [StreamLine; 2],
    /// When something last arrived over the line of that number, or it was last empty.
    moved: [Duration; 2],
    /// Who waits for the handshake.
    dialing: Option<oneshot::Sender<io::Result<()>>>,
    accepted: bool,
}

impl Conn {
    fn direction(&self, side: Side) -> Direction {
        (self.ends[side].address.ip(), self.ends[1 - side].address.ip())
    }

    pub(super) fn set(&mut self, direction: Direction, impairment: &Impairment) {
        for side in [0, 1] {
            if self.direction(side) == direction {
                self.lines[side].set(impairment.clone());
            }
        }
    }

    fn reads(&self, side: Side) -> bool {
        self.ends[1 - side].received.len() < RECEIVED
    }

    pub(super) fn next_at(&self) -> Option<Duration> {
        let arrivals = [0, 1].into_iter().filter(|&side| self.reads(side));
        let deaths = [0, 1].into_iter().filter_map(|side| Some(self.ends[side].gone? + DEAD_AFTER));
        let stalls = [0, 1].into_iter().filter(|&side| self.is_waiting(side)).map(|side| self.moved[side]);
        arrivals
            .filter_map(|side| self.lines[side].next_at())
            .chain(deaths)
            .chain(stalls.map(|moved| moved + DEAD_AFTER))
            .min()
    }

    /// Whether something is to be moved over a line, and somebody is there to take it.
    fn is_waiting(&self, side: Side) -> bool {
        let figures = self.lines[side].figures();
        figures.offered_bytes > figures.delivered_bytes && self.reads(side)
    }

    fn fail(&mut self, side: Side, error: io::ErrorKind) {
        if side == 0
            && let Some(dialing) = self.dialing.take()
        {
            // Nobody may wait any more.
            drop(dialing.send(Err(error.into())));
        }
        self.ends[side].fail(error);
    }

    fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.error.is_some() || end.dropped == 2 || end.gone.is_some())
    }
}

/// What somebody listens with.
pub(super) struct Listening {
    accepted: mpsc::Sender<Accepted>,
    address: IpAddr,
    process: u64,
    alive: watch::Receiver<()>,
}

impl Listening {
    fn host(&self, net: &Net) -> Host {
        let Self { address, process, alive, .. } = self;
        Host { net: net.clone(), address: *address, process: *process, alive: alive.clone() }
    }
}

/// A connection that came in.
pub struct Accepted {
    /// Its bytes.
    pub read: ReadHalf,
    /// Where its bytes go.
    pub write: WriteHalf,
    /// Who called.
    pub remote: SocketAddr,
}

/// Takes connections.
pub struct StreamListener {
    host: Host,
    address: SocketAddr,
    accepted: mpsc::Receiver<Accepted>,
}

impl StreamListener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Cancel safe; waits for ever if the process is gone.
    pub async fn next(&mut self) -> Accepted {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }
}

impl Drop for StreamListener {
    fn drop(&mut self) {
        if self.host.is_living() {
            self.host.net.state().listeners.remove(&self.address);
        }
    }
}

impl Host {
    /// Listens; port 0 lets the network choose.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn listen(&self, on: SocketAddr) -> io::Result<StreamListener> {
        if on.ip() != self.address {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let (sender, accepted) = mpsc::channel(BACKLOG);
        let mut state = self.net.state();
        let port = if on.port() == 0 { state.free_port(self.address) } else { on.port() };
        let address = SocketAddr::new(self.address, port);
        if state.listeners.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (address_here, process, alive) = (self.address, self.process, self.alive.clone());
        let listening = Listening { accepted: sender, address: address_here, process, alive };
        state.listeners.insert(address, listening);
        Ok(StreamListener { host: self.clone(), address, accepted })
    }

    /// Connects. Cancel safe: dropping it closes what was begun.
    ///
    /// # Errors
    /// As of TCP.
    pub async fn dial(&self, to: SocketAddr) -> io::Result<(ReadHalf, WriteHalf)> {
        let (tell, told) = oneshot::channel();
        let id = {
            let now = self.net.now();
            let mut state = self.net.state();
            if !state.is_living(self.address, self.process) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let from = SocketAddr::new(self.address, state.free_port(self.address));
            let mut line = |from: IpAddr, to: IpAddr| {
                let seed = state.rng.next_u64();
                StreamLine::new(state.path((from, to)), seed)
            };
            let mut lines = [line(from.ip(), to.ip()), line(to.ip(), from.ip())];
            lines[0].write(now, &[0]);
            let ends = [End::new(from), End::new(to)];
            let conn = Conn { ends, lines, moved: [now; 2], dialing: Some(tell), accepted: false };
            state.next_conn += 1;
            let id = state.next_conn;
            state.conns.insert(id, conn);
            id
        };
        self.net.shared.changed.notify_one();
        let halves = self.halves(id, 0);
        match told.await {
            Ok(Ok(())) => Ok(halves),
            Ok(Err(error)) => Err(error),
            // The process is gone.
            Err(_) => std::future::pending().await,
        }
    }

    fn halves(&self, id: ConnId, side: Side) -> (ReadHalf, WriteHalf) {
        let half = || Half { host: self.clone(), id, side };
        (ReadHalf(half()), WriteHalf(half()))
    }
}

impl State {
    /// The process at an address is gone, and with it its ends of all connections.
    pub(super) fn end_conns(&mut self, address: IpAddr, how: Ending, now: Duration) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in ids {
            for side in [0, 1] {
                let Some(conn) = self.conns.get_mut(&id) else { continue };
                if conn.ends[side].address.ip() != address || conn.ends[side].gone.is_some() {
                    continue;
                }
                conn.ends[side].gone = Some(now);
                conn.ends[side].received.clear();
                conn.dialing.take_if(|_| side == 0);
                if how == Ending::Process {
                    self.reset(id, 1 - side);
                }
            }
        }
    }

    /// Tells an end that the other one knows nothing of the connection, if the path lets it through.
    fn reset(&mut self, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let path = conn.lines[1 - side].impairment();
        if path.loss != Probability::ALWAYS && path.blackhole.is_none() {
            let refused = conn.dialing.is_some() && side == 0;
            let error =
                if refused { io::ErrorKind::ConnectionRefused } else { io::ErrorKind::ConnectionReset };
            conn.fail(side, error);
        }
    }

    pub(super) fn deliver_streams(&mut self, net: &Net, now: Duration) {
        loop {
            let due = |(id, conn): (&ConnId, &Conn)| {
                let side = [0, 1].into_iter().filter(|&side| conn.reads(side));
                side.filter_map(|side| Some((conn.lines[side].next_at()?, *id, side))).min()
            };
            let first = self.conns.iter().filter_map(due).filter(|(at, ..)| *at <= now).min();
            let Some((_, id, side)) = first else { break };
            self.deliver_piece(net, now, id, side);
        }
        for conn in self.conns.values_mut() {
            for side in [0, 1] {
                let dead = conn.ends[1 - side].gone.is_some_and(|gone| gone + DEAD_AFTER <= now);
                let stalled = conn.is_waiting(side) && conn.moved[side] + DEAD_AFTER <= now;
                if dead || stalled {
                    conn.fail(side, io::ErrorKind::TimedOut);
                }
            }
        }
        self.conns.retain(|_, conn| !conn.is_over());
    }

    fn deliver_piece(&mut self, net: &Net, now: Duration, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let piece = conn.lines[side].read(now);
        conn.moved[side] = now;
        // There may be room now, whether or not something arrived.
        conn.ends[side].wake();
        let Some(piece) = piece else { return };
        let (from, to) = (conn.ends[side].address, conn.ends[1 - side].address);
        let end = &conn.ends[1 - side];
        let deaf = end.gone.is_some() || end.error.is_some() || end.dropped == 2;
        if let Piece::Bytes(bytes) = &piece {
            self.note(now, from, to, bytes);
        }
        if deaf {
            if matches!(piece, Piece::Bytes(_)) && self.is_up(to.ip()) {
                self.reset(id, side);
            }
            return;
        }
        match piece {
            Piece::Bytes(mut bytes) => {
                if self.shake_hands(net, now, id, side) {
                    bytes.remove(0);
                }
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.ends[1 - side].received.extend(bytes);
                    conn.ends[1 - side].wake();
                }
            }
            Piece::End => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.ends[1 - side].finished = true;
                    conn.ends[1 - side].wake();
                }
            }
        }
    }

    /// Whether the first of the bytes that have arrived is the handshake's.
    fn shake_hands(&mut self, net: &Net, now: Duration, id: ConnId, side: Side) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        if side == 1 {
            return conn.dialing.take().map(|dialing| drop(dialing.send(Ok(())))).is_some();
        }
        if conn.accepted {
            return false;
        }
        conn.accepted = true;
        conn.lines[1].write(now, &[0]);
        conn.moved[1] = now;
        let (remote, to) = (conn.ends[0].address, conn.ends[1].address);
        if let Some(listening) = self.listeners.get(&to) {
            let (read, write) = listening.host(net).halves(id, 1);
            match listening.accepted.try_send(Accepted { read, write, remote }) {
                Ok(()) => return true,
                // Dropping it asks for the state, which is held here.
                Err(TrySendError::Full(accepted) | TrySendError::Closed(accepted)) => {
                    self.refused.push(accepted)
                }
            }
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.ends[1].gone = Some(now);
        }
        self.reset(id, 0);
        true
    }
}

struct Half {
    host: Host,
    id: ConnId,
    side: Side,
}

/// The bytes that come.
pub struct ReadHalf(Half);

/// Where bytes go.
pub struct WriteHalf(Half);

impl Half {
    /// Runs something on the connection, unless it, or the process, is gone.
    fn with<T>(&self, run: impl FnOnce(&mut Conn, Duration) -> T) -> Option<T> {
        let net = &self.host.net;
        let now = net.now();
        let mut state = net.state();
        if !state.is_living(self.host.address, self.host.process) {
            return None;
        }
        state.conns.get_mut(&self.id).map(|conn| run(conn, now))
    }

    fn changed(&self) {
        self.host.net.shared.changed.notify_one();
    }

    /// What somebody gets whose connection is not there any more.
    fn is_cut(&self) -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let half = &self.0;
        let read = half.with(|conn, _| {
            let end = &mut conn.ends[half.side];
            if !end.received.is_empty() {
                let count = end.received.len().min(buf.remaining());
                let bytes: Vec<u8> = end.received.drain(..count).collect();
                buf.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            match end.error {
                Some(error) => Poll::Ready(Err(error.into())),
                None if end.finished => Poll::Ready(Ok(())),
                None => {
                    end.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        half.changed();
        read.unwrap_or_else(|| Poll::Ready(Err(half.is_cut())))
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let half = &self.0;
        let written = half.with(|conn, now| {
            if let Some(error) = conn.ends[half.side].error {
                return Poll::Ready(Err(error.into()));
            }
            if !conn.is_waiting(half.side) {
                conn.moved[half.side] = now;
            }
            match conn.lines[half.side].write(now, bytes) {
                0 if !bytes.is_empty() => {
                    conn.ends[half.side].writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                count => Poll::Ready(Ok(count)),
            }
        });
        half.changed();
        written.unwrap_or_else(|| Poll::Ready(Err(half.is_cut())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with(|conn, now| conn.lines[self.0.side].end(now));
        self.0.changed();
        Poll::Ready(Ok(()))
    }
}

impl Drop for ReadHalf {
    fn drop(&mut self) {
        self.0.with(|conn, _| conn.ends[self.0.side].dropped += 1);
        self.0.changed();
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.0.with(|conn, now| {
            conn.lines[self.0.side].end(now);
            conn.ends[self.0.side].dropped += 1;
        });
        self.0.changed();
    }
}
