//! The three messages of Noise over a network that loses, repeats and reorders. Sans-IO, one machine a side:
//! each keeps what it sent and sends it again until the other's next message comes.
//!
//! ```text
//! initiator                                  responder
//!   HELLO (Noise 1, 1200 bytes) ──────────▶    one half-open handshake; sends no more bytes than it received
//!                               ◀──────────   REPLY (Noise 2)
//!   established; FINISH (Noise 3) ────────▶    established: the address is proved
//!                               ◀──────────   first sealed packet: FINISH need not be repeated
//! ```
//! A responder that has enough to do with addresses that are not proved answers a HELLO with RETRY instead, and
//! keeps nothing: the initiator repeats its HELLO with the cookie of the RETRY (`cookie`).

mod cookie;
mod initiator;
mod responder;

use std::time::{Duration, Instant};

use chat_core::transport::Role;
use chat_core::{CryptoError, LinkError, PeerKey};
use transport_noise::Handshake;

use crate::config::Config;
use crate::packet::{ConnectionId, Long, LongKind, MIN_MTU};
use crate::protect::{ReceiveKeys, SendKeys};

#[cfg(test)]
pub(crate) use cookie::ROTATE;
pub(crate) use cookie::{Cookie, Cookies};
pub(crate) use initiator::Initiator;
pub(crate) use responder::Responder;

/// Bound into the handshake by Noise's prologue.
const TRANSPORT: &str = "udp-arq";
/// First wait before a message is sent again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// What a finished handshake gives a connection.
pub(crate) struct Established {
    pub(crate) peer: PeerKey,
    pub(crate) role: Role,
    /// The peer's id.
    pub(crate) remote: ConnectionId,
    pub(crate) send: SendKeys,
    pub(crate) receive: ReceiveKeys,
    /// The FINISH packet, to be sent until the responder answers; only at the initiator.
    pub(crate) finish: Option<Vec<u8>>,
    /// A first round-trip time, if one message was answered that was sent only once (Karn).
    pub(crate) round_trip: Option<Duration>,
}

/// When to send again: 1.5 times as long each time, up to a second. Often enough to come through within the
/// deadline where half of all packets are lost.
#[derive(Debug)]
struct Repeat {
    sent: u32,
    last: Instant,
    wait: Duration,
}

impl Repeat {
    fn new(now: Instant) -> Self {
        Self { sent: 0, last: now, wait: FIRST_WAIT }
    }

    fn due(&self) -> Instant {
        if self.sent == 0 { self.last } else { self.last + self.wait }
    }

    fn on_sent(&mut self, now: Instant) {
        if self.sent > 0 {
            self.wait = (self.wait * 3 / 2).min(LONGEST_WAIT);
        }
        self.sent += 1;
        self.last = now;
    }

    fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.sent == 1).then(|| now.saturating_duration_since(self.last))
    }
}

fn packet(kind: LongKind, to: ConnectionId, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MIN_MTU);
    Long { kind, to, message }.encode(&mut bytes);
    bytes
}

/// The keys of both directions, from the finished handshake.
fn establish(
    now: Instant,
    noise: Handshake,
    role: Role,
    remote: ConnectionId,
    config: &Config,
) -> Result<Established, LinkError> {
    let secured = noise.finish()?;
    let hash = &secured.handshake_hash;
    let keys = || {
        let send = SendKeys::new(now, &secured.send_key, hash, remote, config.keys.clone())?;
        Ok((send, ReceiveKeys::new(&secured.receive_key, hash, config.keys.clone())?))
    };
    let (send, receive) = keys().map_err(|_: CryptoError| {
        LinkError::NotAuthenticated("the keys of the handshake cannot be expanded")
    })?;
    let peer = secured.peer;
    Ok(Established { peer, role, remote, send, receive, finish: None, round_trip: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::PeerId;
    use transport_noise::MESSAGE_LENGTHS;

    use crate::tests::{Rng, identity};

    pub(super) fn begin(now: Instant) -> (Initiator, Responder) {
        begin_with(now, None)
    }

    fn begin_with(now: Instant, pin: Option<PeerId>) -> (Initiator, Responder) {
        let mut rng = Rng::new(6);
        let mut initiator = Initiator::new(now, Config::default(), &identity(1), pin, &mut rng).unwrap();
        let mut hello = Vec::new();
        assert!(initiator.poll_transmit(now, &mut hello) && hello.len() == MIN_MTU);
        let responder = Responder::new(
            now,
            Config::default(),
            &identity(2),
            &hello[15..15 + MESSAGE_LENGTHS[0]],
            hello.len(),
            &mut rng,
        );
        (initiator, responder.unwrap())
    }

    fn message(packet: &[u8]) -> &[u8] {
        &packet[15..]
    }

    #[test]
    fn forged_messages_change_nothing_and_the_genuine_ones_pass() {
        let now = Instant::now();
        let (mut initiator, mut responder) = begin(now);
        let mut reply = Vec::new();
        assert!(responder.poll_transmit(now, &mut reply));
        let mut forged = message(&reply).to_vec();
        forged[40] ^= 1;
        assert!(initiator.handle_reply(now, &forged).unwrap().is_none());
        assert!(initiator.handle_reply(now, &forged[1..]).unwrap().is_none());
        let ours = initiator.handle_reply(now, message(&reply)).unwrap().unwrap();
        assert!(initiator.handle_reply(now, message(&reply)).unwrap().is_none());
        let finish = ours.finish.clone().unwrap();
        let mut forged = message(&finish).to_vec();
        forged[3] ^= 0x80;
        assert!(responder.handle_finish(now, &forged).unwrap().is_none());
        let theirs = responder.handle_finish(now, message(&finish)).unwrap().unwrap();
        assert_eq!((ours.peer, theirs.peer), (identity(2).public(), identity(1).public()));
        assert_eq!((ours.remote, theirs.remote), (responder.local(), initiator.local()));
        assert_ne!(ours.remote, theirs.remote);
    }

    #[test]
    fn a_pinned_peer_must_be_the_one_who_answers() {
        let now = Instant::now();
        let (mut initiator, mut responder) = begin_with(now, Some(identity(3).peer_id()));
        let mut reply = Vec::new();
        responder.poll_transmit(now, &mut reply);
        let refused = initiator.handle_reply(now, message(&reply)).err();
        assert!(
            matches!(refused, Some(LinkError::WrongPeer { found, .. }) if found == identity(2).peer_id())
        );
    }
}
