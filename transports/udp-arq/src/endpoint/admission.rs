//! Who may begin a handshake. Three pools bound what a HELLO costs:
//!
//! - [`MAX_UNVALIDATED`] handshakes with addresses that may be forged: one round trip, as long as few do it.
//! - Beyond them a HELLO is answered with a cookie and forgotten.
//! - [`MAX_VALIDATED`] handshakes with addresses that brought their cookie back, shared out fairly: nobody is
//!   kept out by an owner of few addresses.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use chat_core::LinkError;
use transport_noise::MESSAGE_LENGTHS;

use super::{Endpoint, Event, Handle, State};
use crate::handshake::Cookie;
use crate::network::Route;
use crate::packet::{ConnectionId, Long, LongKind};

/// Handshakes with addresses that are not proved.
pub(crate) const MAX_UNVALIDATED: usize = 16;
/// Handshakes with addresses that are proved by a cookie.
pub(crate) const MAX_VALIDATED: usize = 128;
/// Those of them that one [`Place`] may have.
pub(crate) const MAX_PER_PLACE: usize = 32;
/// Handshakes of all kinds that others have begun.
pub(crate) const MAX_HALF_OPEN: usize = MAX_UNVALIDATED + MAX_VALIDATED;
/// Packets without a connection that wait to be sent: as many as the driver reads at a time, and a bundle more.
const MAX_NOTICES: usize = 128;
/// Age at which a handshake gives way to another one of equal right. Many an honest peer may share an address,
/// and none of them gets anywhere if each pushes out the one before it.
const GRACE: Duration = Duration::from_secs(2);

/// What one owner has of the address space: an IPv4 address, or an IPv6 /64 (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Ipv6Addr);

impl Place {
    fn of(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)),
        })
    }
}

/// Which pool a handshake is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Unvalidated,
    Validated,
}

/// What becomes of a HELLO.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// There is room.
    Granted,
    /// There is, once this one has gone.
    InPlaceOf(Handle),
    /// It has to come again with a cookie.
    Ask,
    /// It may come again.
    Refused,
}

/// Handshakes that others have begun and not finished.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    unvalidated: usize,
    /// Each the oldest first; none is empty.
    validated: BTreeMap<Place, VecDeque<(Instant, Handle)>>,
}

impl HalfOpen {
    fn admit(&self, now: Instant, from: SocketAddr, standing: Standing) -> Admission {
        match standing {
            Standing::Unvalidated if self.unvalidated < MAX_UNVALIDATED => Admission::Granted,
            Standing::Unvalidated => Admission::Ask,
            Standing::Validated => self.admit_validated(now, from),
        }
    }

    fn admit_validated(&self, now: Instant, from: SocketAddr) -> Admission {
        let own = self.validated.get(&Place::of(from));
        let own_len = own.map_or(0, VecDeque::len);
        let gives_way = |oldest: Option<&(Instant, Handle)>| match oldest {
            Some(&(began, handle)) if now.saturating_duration_since(began) >= GRACE => {
                Admission::InPlaceOf(handle)
            }
            _ => Admission::Refused,
        };
        if own_len >= MAX_PER_PLACE {
            return gives_way(own.and_then(VecDeque::front));
        }
        if self.validated() < MAX_VALIDATED {
            return Admission::Granted;
        }
        let greediest = self.validated.values().max_by_key(|queue| queue.len());
        match greediest.filter(|queue| queue.len() > own_len + 1).and_then(VecDeque::front) {
            Some(&(_, handle)) => Admission::InPlaceOf(handle),
            None => gives_way(self.validated.values().filter_map(VecDeque::front).min()),
        }
    }

    fn enter(&mut self, now: Instant, from: SocketAddr, standing: Standing, handle: Handle) {
        match standing {
            Standing::Unvalidated => self.unvalidated += 1,
            Standing::Validated => {
                self.validated.entry(Place::of(from)).or_default().push_back((now, handle));
            }
        }
    }

    pub(super) fn leave(&mut self, from: SocketAddr, standing: Standing, handle: Handle) {
        match standing {
            Standing::Unvalidated => self.unvalidated -= 1,
            Standing::Validated => {
                let place = Place::of(from);
                let Some(queue) = self.validated.get_mut(&place) else { return };
                queue.retain(|&(_, other)| other != handle);
                if queue.is_empty() {
                    self.validated.remove(&place);
                }
            }
        }
    }

    pub(super) fn validated(&self) -> usize {
        self.validated.values().map(VecDeque::len).sum()
    }

    #[cfg(test)]
    pub(super) fn unvalidated(&self) -> usize {
        self.unvalidated
    }
}

impl Endpoint {
    /// Somebody wants in. `padding` is what follows the message: perhaps a cookie.
    pub(super) fn handle_hello(
        &mut self,
        now: Instant,
        route: Route,
        message: &[u8],
        padding: &[u8],
    ) -> bool {
        if !self.listening || message.len() != MESSAGE_LENGTHS[0] {
            return false;
        }
        let from = route.remote;
        let bytes = Long::HEADER + message.len() + padding.len();
        let origin = ConnectionId::of_message(message);
        if let Some(&handle) = self.by_origin.get(&(from, origin)) {
            self.hello_again(now, handle, bytes);
            return true;
        }
        let proved = |cookie| self.cookies.verify(now, from, message, cookie);
        let validated = Cookie::read(padding).is_some_and(proved);
        let standing = if validated { Standing::Validated } else { Standing::Unvalidated };
        match self.half_open.admit(now, from, standing) {
            Admission::Granted => {}
            Admission::InPlaceOf(oldest) => {
                self.fail(oldest, LinkError::Timeout("the handshake; another one took its place"));
            }
            Admission::Ask => return self.ask_for_cookie(now, route, origin, message),
            Admission::Refused => return self.refuse(),
        }
        let state = State::Waiting { message: message.to_vec(), received_bytes: bytes };
        let Some(handle) = self.insert(now, state, route, Some((origin, standing))) else {
            return self.refuse();
        };
        self.half_open.enter(now, from, standing, handle);
        self.events.push_back(Event::Incoming(handle, from));
        self.touch(handle);
        true
    }

    fn hello_again(&mut self, now: Instant, handle: Handle, bytes: usize) {
        match self.entries.get_mut(&handle).map(|entry| &mut entry.state) {
            Some(State::Waiting { received_bytes, .. }) => *received_bytes += bytes,
            Some(State::Responding(responder)) => responder.handle_hello_again(now, bytes),
            _ => {}
        }
        self.touch(handle);
    }

    /// Answers with a RETRY: 31 bytes for 1200, no state, no public-key work.
    fn ask_for_cookie(&mut self, now: Instant, to: Route, origin: ConnectionId, message: &[u8]) -> bool {
        if self.notices.len() >= MAX_NOTICES {
            return self.refuse();
        }
        let Some(cookie) = self.cookies.bake(now, to.remote, message) else { return self.refuse() };
        let mut retry = Vec::new();
        Long { kind: LongKind::Retry, to: origin, message: &cookie.0 }.encode(&mut retry);
        self.notices.push_back((to, retry));
        self.discarded.asked += 1;
        if self.discarded.asked.is_power_of_two() {
            tracing::debug!(asked = self.discarded.asked, "many handshakes at once; newcomers get a cookie");
        }
        true
    }

    /// The HELLO is dropped; its sender will repeat it.
    fn refuse(&mut self) -> bool {
        self.discarded.hellos += 1;
        if self.discarded.hellos.is_power_of_two() {
            tracing::debug!(refused = self.discarded.hellos, "more handshakes at once than are served");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A HELLO with a good cookie, on its way in.
    fn knock(pool: &mut HalfOpen, now: Instant, from: SocketAddr, number: u64) -> Admission {
        let admission = pool.admit(now, from, Standing::Validated);
        if let Admission::InPlaceOf(gone) = admission {
            let place = pool.validated.iter().find(|(_, queue)| queue.iter().any(|&(_, at)| at == gone));
            let of = SocketAddr::from((place.unwrap().0.0, 0));
            pool.leave(of, Standing::Validated, gone);
        }
        if admission == Admission::Granted || matches!(admission, Admission::InPlaceOf(_)) {
            pool.enter(now, from, Standing::Validated, Handle(number));
        }
        assert!(pool.validated() <= MAX_VALIDATED && pool.validated.values().all(|queue| !queue.is_empty()));
        admission
    }

    fn ip(number: u32) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0a00_0000 + number), 1000))
    }

    #[test]
    fn an_address_has_its_share_and_its_oldest_gives_way_after_the_grace() {
        let (now, mut pool) = (Instant::now(), HalfOpen::default());
        for number in 0..MAX_PER_PLACE as u64 {
            let at = now + Duration::from_millis(number);
            assert_eq!(
                knock(&mut pool, at, SocketAddr::new(ip(1).ip(), number as u16), number),
                Admission::Granted
            );
        }
        assert_eq!(knock(&mut pool, now + GRACE / 2, ip(1), 100), Admission::Refused);
        assert_eq!(knock(&mut pool, now + GRACE, ip(1), 101), Admission::InPlaceOf(Handle(0)));
        assert_eq!(knock(&mut pool, now + GRACE, ip(1), 102), Admission::Refused, "the next is younger");
        assert_eq!(knock(&mut pool, now, ip(2), 103), Admission::Granted, "it is no concern of others");
    }

    #[test]
    fn who_has_most_gives_way_to_who_has_less_at_once() {
        let (now, mut pool) = (Instant::now(), HalfOpen::default());
        for number in 0..MAX_VALIDATED as u64 {
            let from = ip(number as u32 % 5);
            assert_eq!(knock(&mut pool, now, from, number), Admission::Granted);
        }
        for number in 0..20 {
            let admission = knock(&mut pool, now, ip(100 + number), u64::from(1000 + number));
            assert!(matches!(admission, Admission::InPlaceOf(Handle(old)) if old < 1000), "{admission:?}");
        }
        assert_eq!(knock(&mut pool, now, ip(0), 2000), Admission::Refused, "it has its share");
    }

    #[test]
    fn among_equals_the_oldest_gives_way_after_the_grace() {
        let (now, mut pool) = (Instant::now(), HalfOpen::default());
        for number in 0..MAX_VALIDATED as u32 {
            let at = now + Duration::from_millis(u64::from(number));
            assert_eq!(knock(&mut pool, at, ip(number), u64::from(number)), Admission::Granted);
        }
        assert_eq!(knock(&mut pool, now + GRACE / 2, ip(1000), 1000), Admission::Refused);
        assert_eq!(knock(&mut pool, now + GRACE, ip(1000), 1001), Admission::InPlaceOf(Handle(0)));
    }

    #[test]
    fn an_owner_of_an_ipv6_network_is_one_place() {
        let place = |text: &str| Place::of(text.parse().unwrap());
        assert_eq!(place("[2001:db8::1]:1"), place("[2001:db8::ffff:1:2:3]:2"));
        assert_ne!(place("[2001:db8::1]:1"), place("[2001:db8:0:1::1]:1"));
        assert_eq!(place("[::ffff:192.0.2.1]:1"), place("192.0.2.1:2"));
        assert_ne!(place("192.0.2.1:1"), place("192.0.2.2:1"));
    }
}
