//! The thin part that has a clock and a socket: one task a socket owns all its connections, moves datagrams
//! between the socket and the [`Endpoint`], and frames between the endpoint and the links.

pub(crate) mod link;
pub(crate) mod shared;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chat_core::{LinkError, PeerKey};
use tokio::sync::{mpsc, oneshot};

use crate::connection::End;
use crate::endpoint::{Endpoint, Event, Handle};
use crate::network::{MAX_DATAGRAM, Received, Route, Sent, Socket};
use shared::{Shared, Wakeups};

/// Datagrams that are read before those they concern are served.
const RECEIVE_BATCH: usize = 64;
/// Datagrams one connection sends before the next one has its turn.
const SEND_BATCH: usize = 32;
/// Errors of the socket in a row, that tell of no peer, after which it is taken for broken.
const MAX_SOCKET_ERRORS: u32 = 64;

/// The clock of the runtime, which a test or a simulation may have in its hand.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Tells how a handshake ended.
pub(crate) type Answer = oneshot::Sender<Result<PeerKey, LinkError>>;

/// What the task is asked for.
pub(crate) enum Command {
    /// Go on with a handshake.
    Accept { handle: Handle, shared: Arc<Shared>, answer: Answer },
    /// Forget it.
    Refuse(Handle),
}

/// Somebody who wants in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) handle: Handle,
    pub(crate) remote: SocketAddr,
}

struct LinkSide {
    shared: Arc<Shared>,
    /// Who waits for the handshake.
    answer: Option<Answer>,
}

impl Drop for LinkSide {
    fn drop(&mut self) {
        // Only counts if nothing else has ended it before.
        self.shared.end(End::Dropped);
    }
}

/// Why a connection sends no more in its turn.
#[derive(PartialEq)]
enum Turn {
    /// It has nothing more to send.
    Done,
    /// Others have their turn too.
    Over,
    /// The socket has no room.
    Blocked,
}

/// The task of a socket.
pub(crate) struct Driver {
    endpoint: Endpoint,
    socket: Box<dyn Socket>,
    wakeups: Arc<Wakeups>,
    commands: mpsc::Receiver<Command>,
    /// Where those go who want in; none if nobody listens.
    arrivals: Option<mpsc::Sender<Arrival>>,
    links: HashMap<Handle, LinkSide>,
    /// A datagram that the socket had no room for.
    blocked: Option<(Route, Vec<u8>)>,
    buffer: Vec<u8>,
    errors: u32,
}

impl Driver {
    pub(crate) fn new(
        endpoint: Endpoint,
        socket: Box<dyn Socket>,
        wakeups: Arc<Wakeups>,
        commands: mpsc::Receiver<Command>,
        arrivals: Option<mpsc::Sender<Arrival>>,
    ) -> Self {
        Self {
            endpoint,
            socket,
            wakeups,
            commands,
            arrivals,
            links: HashMap::new(),
            blocked: None,
            buffer: vec![0; MAX_DATAGRAM],
            errors: 0,
        }
    }

    /// Ties a handshake of the endpoint to a link.
    pub(crate) fn attach(&mut self, handle: Handle, shared: Arc<Shared>, answer: Answer) {
        self.links.insert(handle, LinkSide { shared, answer: Some(answer) });
    }

    /// Runs until nobody listens and no connection is left.
    pub(crate) async fn run(mut self) {
        while self.turn().await {}
    }

    /// Serves what is ready, then waits for something to happen. Whether there is anything left to do.
    async fn turn(&mut self) -> bool {
        // Time, requests and wakeups have their place in each turn, however much comes in over the socket.
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        let now = now();
        self.endpoint.handle_timeouts(now);
        self.serve(now);
        if (self.arrivals.is_none() && self.endpoint.len() == 0) || self.errors > MAX_SOCKET_ERRORS {
            return false;
        }
        let timeout = self.endpoint.next_timeout();
        let sleep = async {
            match timeout {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let abandoned = async {
            match &self.arrivals {
                Some(arrivals) => arrivals.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = self.socket.ready(self.blocked.is_some()) => match ready {
                Ok(()) => self.receive(),
                Err(error) => self.socket_error(&error),
            },
            Some(command) = self.commands.recv() => self.obey(command),
            () = self.wakeups.rung() => {}
            () = sleep => {}
            () = abandoned => {
                self.arrivals = None;
                self.endpoint.stop_listening();
            }
        }
        true
    }

    fn receive(&mut self) {
        let mut datagrams = 0;
        while datagrams < RECEIVE_BATCH {
            match self.socket.try_receive(&mut self.buffer) {
                Ok(Received { len, stride, from }) => {
                    self.errors = 0;
                    datagrams += len.div_ceil(stride.max(1)).max(1);
                    let received = self.buffer.get_mut(..len).unwrap_or_default();
                    for datagram in received.chunks_mut(stride.max(1)) {
                        self.endpoint.handle_datagram(now(), from, datagram);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.socket_error(&error);
                    break;
                }
            }
        }
    }

    fn socket_error(&mut self, error: &io::Error) {
        if self.socket.says_unreachable(error) {
            self.endpoint.handle_unreachable(now(), &error.to_string());
        } else {
            self.errors += 1;
            tracing::debug!(%error, "UDP socket");
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Accept { handle, shared, answer } => {
                self.attach(handle, shared, answer);
                self.endpoint.accept(now(), handle);
                // The deadline may have passed before anybody came for it.
                if !self.endpoint.knows(handle) {
                    self.fail(handle, LinkError::Timeout("the handshake"));
                }
            }
            Command::Refuse(handle) => self.endpoint.release(now(), handle),
        }
    }

    /// Everything that can be done without waiting.
    fn serve(&mut self, now: Instant) {
        for handle in self.wakeups.take() {
            self.endpoint.touch(handle);
        }
        loop {
            self.handle_events();
            if !self.send_blocked() {
                return;
            }
            let Some(handle) = self.endpoint.next_dirty() else { break };
            if !self.serve_one(now, handle) {
                return;
            }
        }
        while let Some((to, notice)) = self.endpoint.poll_notice() {
            // A hint that is lost is no loss.
            drop(self.socket.try_send(to, &notice));
        }
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Incoming(handle, remote) => {
                    let arrival = Arrival { handle, remote };
                    let taken = self.arrivals.as_ref().is_some_and(|to| to.try_send(arrival).is_ok());
                    if !taken {
                        self.endpoint.release(now(), handle);
                    }
                }
                Event::Connected(handle) => {
                    let peer = self.endpoint.connection(handle).map(|connection| connection.peer());
                    let answer = self.links.get_mut(&handle).and_then(|link| link.answer.take());
                    if let (Some(peer), Some(answer)) = (peer, answer) {
                        // If nobody waits any more, the halves are dropped, and that ends it.
                        drop(answer.send(Ok(peer)));
                    }
                }
                Event::Failed(handle, error) => self.fail(handle, error),
            }
        }
    }

    fn fail(&mut self, handle: Handle, error: LinkError) {
        if let Some(mut link) = self.links.remove(&handle)
            && let Some(answer) = link.answer.take()
        {
            drop(answer.send(Err(error)));
        }
    }

    /// Exchanges frames and datagrams with one connection. `false` if the socket has no room.
    fn serve_one(&mut self, now: Instant, handle: Handle) -> bool {
        self.exchange(now, handle);
        let turn = self.transmit(now, handle);
        if let (Some(link), Some(connection)) = (self.links.get(&handle), self.endpoint.connection(handle)) {
            link.shared.note(connection.figures());
        }
        match turn {
            Turn::Done => {
                if let Some(end) = self.endpoint.settle(handle) {
                    self.forget(handle, end);
                }
            }
            Turn::Over | Turn::Blocked => self.endpoint.touch(handle),
        }
        turn != Turn::Blocked
    }

    fn transmit(&mut self, now: Instant, handle: Handle) -> Turn {
        for _ in 0..SEND_BATCH {
            let mut datagram = Vec::with_capacity(2048);
            let Some(to) = self.endpoint.poll_transmit(now, handle, &mut datagram) else { return Turn::Done };
            if !self.send(to, datagram) {
                return Turn::Blocked;
            }
        }
        Turn::Over
    }

    fn exchange(&mut self, now: Instant, handle: Handle) {
        let Some(link) = self.links.get(&handle) else { return };
        match self.endpoint.connection(handle) {
            Some(connection) => link.shared.exchange(now, connection),
            // Nobody waits for the handshake any more.
            None if link.shared.is_released() => {
                self.endpoint.release(now, handle);
                self.links.remove(&handle);
            }
            None => {}
        }
    }

    fn forget(&mut self, handle: Handle, end: End) {
        if let Some(link) = self.links.remove(&handle) {
            link.shared.end(end);
        }
    }

    fn send_blocked(&mut self) -> bool {
        match self.blocked.take() {
            Some((to, datagram)) => self.send(to, datagram),
            None => true,
        }
    }

    /// Sends a datagram, or keeps it until the socket has room. Whether there is room.
    fn send(&mut self, to: Route, datagram: Vec<u8>) -> bool {
        match self.socket.try_send(to, &datagram) {
            Sent::Yes => {}
            Sent::Blocked => {
                self.blocked = Some((to, datagram));
                return false;
            }
            Sent::Unreachable(error) => self.endpoint.handle_unreachable(now(), &error.to_string()),
            Sent::Lost(error) => tracing::debug!(%error, "a datagram could not be sent"),
        }
        true
    }
}
