//! The side that dials.

use std::time::Instant;

use chat_core::transport::{HANDSHAKE_DEADLINE, Role};
use chat_core::{Entropy, Identity, LinkError, PeerId};
use transport_noise::{Handshake, HandshakeError};

use super::{Cookie, Established, Repeat, TRANSPORT, establish, packet};
use crate::config::Config;
use crate::packet::{ConnectionId, LongKind, MIN_MTU};

/// New cookies that are answered at once. Anybody on the path can make them up, and each answer is forty times
/// as long; a later one goes out with the next repetition.
const MAX_PROMPTED: u32 = 8;

/// The side that dials.
pub(crate) struct Initiator {
    /// Gone once the handshake has ended.
    noise: Option<Handshake>,
    config: Config,
    pin: Option<PeerId>,
    hello: Vec<u8>,
    /// Where the cookie begins in it.
    cookie_at: usize,
    prompted: u32,
    local: ConnectionId,
    repeat: Repeat,
    deadline: Instant,
}

impl Initiator {
    /// Begins; the HELLO is ready to be sent.
    pub(crate) fn new(
        now: Instant,
        config: Config,
        me: &Identity,
        pin: Option<PeerId>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, LinkError> {
        let mut noise = Handshake::with_entropy(Role::Initiator, TRANSPORT, me, entropy)?;
        let message = noise.write_message()?;
        let local = ConnectionId::of_message(&message);
        let mut hello = packet(LongKind::Hello, ConnectionId::NONE, &message);
        let cookie_at = hello.len();
        hello.resize(MIN_MTU, 0);
        let (repeat, deadline) = (Repeat::new(now), now + HANDSHAKE_DEADLINE);
        Ok(Self { noise: Some(noise), config, pin, hello, cookie_at, prompted: 0, local, repeat, deadline })
    }

    pub(crate) fn local(&self) -> ConnectionId {
        self.local
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let due = self.repeat.due() <= now;
        if due {
            out.extend_from_slice(&self.hello);
            self.repeat.on_sent(now);
        }
        due
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.repeat.due().min(self.deadline)
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Takes a RETRY: the HELLO goes out once more, with the cookie, at once. It proves nothing: a forged one
    /// makes the responder send another.
    pub(crate) fn handle_retry(&mut self, now: Instant, cookie: &[u8]) -> bool {
        let Ok(cookie) = cookie.try_into().map(Cookie) else { return false };
        let bytes = cookie.to_bytes();
        let Some(place) = self.hello.get_mut(self.cookie_at..self.cookie_at + bytes.len()) else {
            return false;
        };
        // The network may repeat a RETRY; the HELLO that answers it is on its way.
        if *place != bytes {
            place.copy_from_slice(&bytes);
            if self.prompted < MAX_PROMPTED {
                self.prompted += 1;
                self.repeat = Repeat::new(now);
            }
        }
        true
    }

    /// Takes a REPLY. `Ok(None)`: it was forged or damaged, and changed nothing.
    ///
    /// # Errors
    /// The end of the handshake: a whole reply whose sender is not who it must be.
    pub(crate) fn handle_reply(
        &mut self,
        now: Instant,
        message: &[u8],
    ) -> Result<Option<Established>, LinkError> {
        let Some(noise) = self.noise.as_mut() else { return Ok(None) };
        match noise.read_message(message) {
            Ok(()) => {}
            // The message was made for this handshake; it is its sender who claims what does not hold.
            Err(error @ HandshakeError::Identity(_)) => return Err(error.into()),
            Err(_) => return Ok(None),
        }
        let last = noise.write_message()?;
        let Some(noise) = self.noise.take() else { return Ok(None) };
        let remote = ConnectionId::of_message(message);
        let mut established = establish(now, noise, Role::Initiator, remote, &self.config)?;
        let found = established.peer.peer_id();
        if let Some(expected) = self.pin.filter(|&expected| expected != found) {
            return Err(LinkError::WrongPeer { expected, found });
        }
        established.finish = Some(packet(LongKind::Finish, remote, &last));
        established.round_trip = self.repeat.round_trip(now);
        Ok(Some(established))
    }
}
