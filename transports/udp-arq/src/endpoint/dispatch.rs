//! Whose datagram it is, and what to do with one that is nobody's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chat_core::LinkError;

use super::{Endpoint, Entry, Event, Handle, State};
use crate::connection::Connection;
use crate::handshake::Established;
use crate::network::Route;
use crate::packet::{self, ConnectionId, Datagram, Long, LongKind};

/// UNKNOWN packets a second, over all addresses.
const UNKNOWN_PER_SECOND: u32 = 32;
/// Packets without a connection that wait to be sent before no UNKNOWN joins them.
const MAX_BEFORE_UNKNOWN: usize = 16;

/// How often something may still happen in this second.
#[derive(Debug, Default)]
pub(super) struct Budget {
    since: Option<Instant>,
    used: u32,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let fresh =
            self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1));
        if fresh {
            (self.since, self.used) = (Some(now), 0);
        }
        self.used += 1;
        self.used <= UNKNOWN_PER_SECOND
    }
}

impl Endpoint {
    /// Takes a datagram that came this way, opening what is in it in place. Anything may come here.
    pub(crate) fn handle_datagram(&mut self, now: Instant, from: impl Into<Route>, datagram: &mut [u8]) {
        let from = from.into();
        let understood = match packet::decode(datagram) {
            Some(Datagram::Short(to)) => self.handle_short(now, from, to, datagram),
            Some(Datagram::Long(long, rest)) => {
                let rest_at = datagram.len() - rest.len();
                let understood = self.handle_long(now, from, &long, rest);
                if let (LongKind::Finish, Some(rest)) = (long.kind, datagram.get_mut(rest_at..))
                    && let Some(Datagram::Short(to)) = packet::decode(rest)
                {
                    self.handle_short(now, from, to, rest);
                }
                understood
            }
            None => false,
        };
        if !understood {
            self.discarded.garbage += 1;
            // The 1st, 2nd, 4th, 8th …: a flood of them is one line a doubling.
            if self.discarded.garbage.is_power_of_two() {
                tracing::debug!(discarded = self.discarded.garbage, "datagrams that are not for us");
            }
            if self.listening {
                self.strangers.note(from.remote, datagram);
            }
        }
    }

    /// The network says that the address is not reachable. On a socket connected to one address, which is what
    /// dialing uses. During a handshake it ends it; later it is a hint.
    pub(crate) fn handle_unreachable(&mut self, now: Instant, reason: &str) {
        let handles: Vec<Handle> = self.entries.keys().copied().collect();
        for handle in handles {
            let Some(entry) = self.entries.get_mut(&handle) else { continue };
            match &mut entry.state {
                State::Live(connection) => {
                    connection.handle_unreachable_hint(now);
                    self.touch(handle);
                }
                State::Dialing(_) => {
                    let (address, reason) = (entry.route.remote.to_string(), reason.to_owned());
                    self.fail(handle, LinkError::Unreachable { address, reason });
                }
                State::Waiting { .. } | State::Responding(_) => {}
            }
        }
    }

    fn handle_short(&mut self, now: Instant, from: Route, to: ConnectionId, packet: &mut [u8]) -> bool {
        let Some(&handle) = self.by_id.get(&to) else {
            self.notice(now, from, to, packet.len());
            return false;
        };
        // Moving to another address needs a proof that is not there yet.
        let Some(entry) = self.entries.get_mut(&handle).filter(|entry| entry.route.remote == from.remote)
        else {
            return false;
        };
        let State::Live(connection) = &mut entry.state else { return false };
        let genuine = connection.handle_datagram(now, packet);
        // A forged packet, too, may have ended it at the AEAD's limit.
        self.touch(handle);
        genuine
    }

    /// Says, to an address that is not proved, that there is no such connection; in fewer bytes than came.
    fn notice(&mut self, now: Instant, to: Route, id: ConnectionId, received_bytes: usize) {
        if !self.listening || self.notices.len() >= MAX_BEFORE_UNKNOWN || !self.notice_budget.take(now) {
            return;
        }
        let mut notice = Vec::new();
        Long { kind: LongKind::Unknown, to: id, message: &[] }.encode(&mut notice);
        if notice.len() < received_bytes {
            self.notices.push_back((to, notice));
        }
    }

    fn handle_long(&mut self, now: Instant, from: Route, long: &Long<'_>, rest: &[u8]) -> bool {
        match long.kind {
            LongKind::Hello => self.handle_hello(now, from, long.message, rest),
            LongKind::Reply | LongKind::Finish | LongKind::Retry => {
                let Some(&handle) = self.by_id.get(&long.to) else { return false };
                let from_there =
                    self.entries.get(&handle).is_some_and(|entry| entry.route.remote == from.remote);
                from_there && self.handle_answer(now, handle, long)
            }
            LongKind::Unknown => self.handle_unknown(now, from.remote, long.to),
        }
    }

    fn handle_answer(&mut self, now: Instant, handle: Handle, long: &Long<'_>) -> bool {
        let Some(entry) = self.entries.get_mut(&handle) else { return false };
        let established = match (&mut entry.state, long.kind) {
            (State::Dialing(initiator), LongKind::Reply) => initiator.handle_reply(now, long.message),
            (State::Responding(responder), LongKind::Finish) => responder.handle_finish(now, long.message),
            (State::Dialing(initiator), LongKind::Retry) => {
                if !initiator.handle_retry(now, long.message) {
                    return false;
                }
                Ok(None)
            }
            // Each side sends its last message until it is answered; a connection's probes see to that.
            (State::Live(_), LongKind::Reply | LongKind::Finish | LongKind::Retry) => Ok(None),
            _ => return false,
        };
        match established {
            Ok(None) => self.touch(handle),
            Ok(Some(established)) => self.establish(now, handle, established),
            Err(error) => self.fail(handle, error),
        }
        true
    }

    fn establish(&mut self, now: Instant, handle: Handle, established: Established) {
        let Some(entry) = self.entries.get_mut(&handle) else { return };
        if let Some(standing) = entry.standing.take() {
            self.half_open.leave(entry.route.remote, standing, handle);
        }
        let entropy = (self.entropy)(handle.0);
        let connection = Connection::new(now, self.config.towards(entry.route.remote), established, entropy);
        entry.state = State::Live(Box::new(connection));
        self.events.push_back(Event::Connected(handle));
        self.touch(handle);
    }

    /// Somebody at the peer's address says that it has no such connection: a peer that was started anew. Only
    /// who has seen our packets knows the id, but that includes whoever listens on the path.
    fn handle_unknown(&mut self, now: Instant, from: SocketAddr, id: ConnectionId) -> bool {
        let dialed = |(handle, entry): (&Handle, &mut Entry)| match &mut entry.state {
            State::Live(connection) if entry.origin.is_none() && entry.route.remote == from => {
                (connection.remote_id() == id).then(|| {
                    connection.handle_unreachable_hint(now);
                    *handle
                })
            }
            _ => None,
        };
        // A socket that dials has one connection; one that listens has dialed none.
        let found = if self.listening { None } else { self.entries.iter_mut().find_map(dialed) };
        found.inspect(|&handle| self.touch(handle)).is_some()
    }
}
