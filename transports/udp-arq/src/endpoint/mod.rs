//! All connections of one socket, sans-IO: whose datagram it is, who wants in, whose timer is next.
//!
//! What costs memory or work before a peer is proved is bounded: [`MAX_HALF_OPEN`] handshakes, each a
//! [`Responder`] of less than a KiB, each ended by its deadline, each sending no more than it got. `admission`
//! says who gets one of them.

mod admission;
mod dispatch;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use chat_core::transport::HANDSHAKE_DEADLINE;
use chat_core::{Identity, LinkError, PeerId};
use transport_noise::Strangers;

use crate::EntropySource;
use crate::config::Config;
use crate::connection::{Connection, End};
use crate::handshake::{Cookies, Initiator, Responder};
use crate::network::Route;
use crate::packet::ConnectionId;
use admission::{HalfOpen, Standing};

pub(crate) use admission::MAX_HALF_OPEN;
#[cfg(test)]
pub(crate) use admission::{MAX_PER_PLACE, MAX_UNVALIDATED, MAX_VALIDATED};

/// Connections of one socket, so that maps keyed by them are bounded.
const MAX_CONNECTIONS: usize = 1 << 16;

/// A connection or handshake of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(u64);

/// What the owner must know.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody wants in; [`Endpoint::accept`] goes on with it.
    Incoming(Handle, SocketAddr),
    /// The handshake is through.
    Connected(Handle),
    /// The handshake failed; the handle is gone.
    Failed(Handle, LinkError),
}

enum State {
    /// A HELLO that nobody has accepted yet.
    Waiting {
        message: Vec<u8>,
        received_bytes: usize,
    },
    Responding(Box<Responder>),
    Dialing(Box<Initiator>),
    Live(Box<Connection>),
}

struct Entry {
    state: State,
    route: Route,
    /// The id of the initiator whose HELLO began it; none if we dialed.
    origin: Option<ConnectionId>,
    /// The pool it is in while others have begun it and not finished.
    standing: Option<Standing>,
    local: Option<ConnectionId>,
    began: Instant,
    /// Where it stands in the list of timers.
    scheduled: Option<Instant>,
    dirty: bool,
}

/// What was thrown away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Discarded {
    /// Datagrams that are no packets, or not for anybody here, or don't open.
    pub(crate) garbage: u64,
    /// HELLOs that were answered with a RETRY.
    pub(crate) asked: u64,
    /// HELLOs for which there was no room.
    pub(crate) hellos: u64,
}

/// All connections of one socket.
pub(crate) struct Endpoint {
    config: Config,
    me: Identity,
    /// Makes the randomness of a connection from its number.
    entropy: EntropySource,
    listening: bool,
    entries: BTreeMap<Handle, Entry>,
    by_id: HashMap<ConnectionId, Handle>,
    by_origin: HashMap<(SocketAddr, ConnectionId), Handle>,
    half_open: HalfOpen,
    cookies: Cookies,
    next_handle: u64,
    timers: BTreeSet<(Instant, Handle)>,
    dirty: VecDeque<Handle>,
    events: VecDeque<Event>,
    notices: VecDeque<(Route, Vec<u8>)>,
    notice_budget: dispatch::Budget,
    discarded: Discarded,
    strangers: Strangers,
}

impl Endpoint {
    /// An endpoint that dials; with `listening`, others may dial it.
    pub(crate) fn new(config: Config, me: Identity, listening: bool, entropy: EntropySource) -> Self {
        let cookies = Cookies::new(entropy(u64::MAX));
        Self {
            config,
            me,
            entropy,
            listening,
            entries: BTreeMap::new(),
            by_id: HashMap::new(),
            by_origin: HashMap::new(),
            half_open: HalfOpen::default(),
            cookies,
            next_handle: 0,
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            events: VecDeque::new(),
            notices: VecDeque::new(),
            notice_budget: dispatch::Budget::default(),
            discarded: Discarded::default(),
            strangers: Strangers::default(),
        }
    }

    /// How many connections and handshakes there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is such a connection or handshake.
    pub(crate) fn knows(&self, handle: Handle) -> bool {
        self.entries.contains_key(&handle)
    }

    /// What was thrown away so far.
    #[cfg(test)]
    pub(crate) fn discarded(&self) -> Discarded {
        self.discarded
    }

    /// Handshakes that others have begun: with addresses not proved, and with proved ones.
    #[cfg(test)]
    pub(crate) fn half_open(&self) -> (usize, usize) {
        (self.half_open.unvalidated(), self.half_open.validated())
    }

    /// Nobody new comes in, and those who wait are forgotten.
    pub(crate) fn stop_listening(&mut self) {
        self.listening = false;
        let waits = |(handle, entry): (&Handle, &Entry)| {
            matches!(entry.state, State::Waiting { .. }).then_some(*handle)
        };
        let waiting: Vec<Handle> = self.entries.iter().filter_map(waits).collect();
        waiting.into_iter().for_each(|handle| self.remove(handle));
    }

    /// Begins to dial.
    ///
    /// # Errors
    /// There is no randomness, or too many connections.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        pin: Option<PeerId>,
    ) -> Result<Handle, LinkError> {
        let mut entropy = (self.entropy)(self.next_handle);
        let config = self.config.towards(remote);
        let initiator = Initiator::new(now, config, &self.me, pin, entropy.as_mut())?;
        let local = initiator.local();
        let handle = self
            .insert(now, State::Dialing(Box::new(initiator)), remote.into(), None)
            .ok_or(LinkError::Timeout("too many connections on one socket"))?;
        self.set_local(handle, local);
        self.touch(handle);
        Ok(handle)
    }

    /// Goes on with the handshake of an [`Event::Incoming`]. Failure comes as [`Event::Failed`].
    pub(crate) fn accept(&mut self, now: Instant, handle: Handle) {
        let mut entropy = (self.entropy)(self.next_handle);
        let Some(entry) = self.entries.get(&handle) else { return };
        let State::Waiting { message, received_bytes } = &entry.state else { return };
        let config = self.config.towards(entry.route.remote);
        let responder = Responder::new(now, config, &self.me, message, *received_bytes, entropy.as_mut());
        match responder {
            Ok(responder) => {
                self.set_local(handle, responder.local());
                if let Some(entry) = self.entries.get_mut(&handle) {
                    entry.state = State::Responding(Box::new(responder));
                }
                self.touch(handle);
            }
            Err(error) => self.fail(handle, error),
        }
    }

    /// Ends a connection or handshake that nobody wants any more: one that is up says what it has to say first.
    pub(crate) fn release(&mut self, now: Instant, handle: Handle) {
        match self.entries.get_mut(&handle).map(|entry| &mut entry.state) {
            Some(State::Live(connection)) => {
                connection.release(now);
                self.touch(handle);
            }
            Some(_) => self.remove(handle),
            None => {}
        }
    }

    /// The connection, once it is up. Call [`touch`](Self::touch) after changing anything in it.
    pub(crate) fn connection(&mut self, handle: Handle) -> Option<&mut Connection> {
        match &mut self.entries.get_mut(&handle)?.state {
            State::Live(connection) => Some(connection),
            _ => None,
        }
    }

    /// Puts the handle on the list of those that may have something to do.
    pub(crate) fn touch(&mut self, handle: Handle) {
        if let Some(entry) = self.entries.get_mut(&handle)
            && !std::mem::replace(&mut entry.dirty, true)
        {
            self.dirty.push_back(handle);
        }
    }

    /// The next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next handle that may have something to do: exchange frames with it, call
    /// [`poll_transmit`](Self::poll_transmit) until there is nothing more, then [`settle`](Self::settle).
    pub(crate) fn next_dirty(&mut self) -> Option<Handle> {
        let handle = self.dirty.pop_front()?;
        if let Some(entry) = self.entries.get_mut(&handle) {
            entry.dirty = false;
        }
        Some(handle)
    }

    /// Appends a datagram of this handle to `out`, and says where it goes.
    pub(crate) fn poll_transmit(&mut self, now: Instant, handle: Handle, out: &mut Vec<u8>) -> Option<Route> {
        let entry = self.entries.get_mut(&handle)?;
        let sent = match &mut entry.state {
            State::Waiting { .. } => false,
            State::Responding(responder) => responder.poll_transmit(now, out),
            State::Dialing(initiator) => initiator.poll_transmit(now, out),
            State::Live(connection) => connection.poll_transmit(now, out),
        };
        sent.then_some(entry.route)
    }

    /// The next packet that belongs to no connection: UNKNOWN or RETRY.
    pub(crate) fn poll_notice(&mut self) -> Option<(Route, Vec<u8>)> {
        self.notices.pop_front()
    }

    /// Sets the timer of a handle anew after it was used, and forgets a connection that is over. How it ended,
    /// if so.
    pub(crate) fn settle(&mut self, handle: Handle) -> Option<End> {
        let entry = self.entries.get_mut(&handle)?;
        let deadline = entry.began + HANDSHAKE_DEADLINE;
        let timeout = match &entry.state {
            State::Waiting { .. } => Some(deadline),
            State::Responding(responder) => {
                Some(responder.poll_timeout().map_or(deadline, |at| at.min(deadline)))
            }
            State::Dialing(initiator) => Some(initiator.poll_timeout()),
            State::Live(connection) => {
                if connection.is_drained() {
                    let end = connection.end();
                    self.remove(handle);
                    return end;
                }
                connection.poll_timeout()
            }
        };
        let old = std::mem::replace(&mut entry.scheduled, timeout);
        if old != timeout {
            if let Some(old) = old {
                self.timers.remove(&(old, handle));
            }
            if let Some(at) = timeout {
                self.timers.insert((at, handle));
            }
        }
        None
    }

    /// When [`handle_timeouts`](Self::handle_timeouts) has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Does what is due.
    pub(crate) fn handle_timeouts(&mut self, now: Instant) {
        while let Some(&(at, handle)) = self.timers.first().filter(|&&(at, _)| at <= now) {
            self.timers.remove(&(at, handle));
            let Some(entry) = self.entries.get_mut(&handle) else { continue };
            entry.scheduled = None;
            let overdue = match &mut entry.state {
                State::Live(connection) => {
                    connection.handle_timeout(now);
                    false
                }
                State::Dialing(initiator) => initiator.is_overdue(now),
                State::Waiting { .. } | State::Responding(_) => entry.began + HANDSHAKE_DEADLINE <= now,
            };
            if overdue {
                self.fail(handle, LinkError::Timeout("the handshake"));
            } else {
                self.touch(handle);
            }
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        state: State,
        route: Route,
        begun_there: Option<(ConnectionId, Standing)>,
    ) -> Option<Handle> {
        if self.entries.len() >= MAX_CONNECTIONS {
            return None;
        }
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        let (origin, standing) = begun_there.unzip();
        if let Some(origin) = origin {
            self.by_origin.insert((route.remote, origin), handle);
        }
        let entry =
            Entry { state, route, origin, standing, local: None, began: now, scheduled: None, dirty: false };
        self.entries.insert(handle, entry);
        Some(handle)
    }

    fn set_local(&mut self, handle: Handle, local: ConnectionId) {
        if let Some(entry) = self.entries.get_mut(&handle) {
            entry.local = Some(local);
            self.by_id.insert(local, handle);
        }
    }

    fn fail(&mut self, handle: Handle, error: LinkError) {
        self.remove(handle);
        self.events.push_back(Event::Failed(handle, error));
    }

    fn remove(&mut self, handle: Handle) {
        let Some(entry) = self.entries.remove(&handle) else { return };
        if let Some(local) = entry.local {
            self.by_id.remove(&local);
        }
        if let Some(at) = entry.scheduled {
            self.timers.remove(&(at, handle));
        }
        if let Some(origin) = entry.origin {
            self.by_origin.remove(&(entry.route.remote, origin));
        }
        if let Some(standing) = entry.standing {
            self.half_open.leave(entry.route.remote, standing, handle);
        }
    }
}
