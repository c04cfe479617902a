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

use std::time::{Duration, Instant};

use chat_core::transport::{HANDSHAKE_DEADLINE, Role};
use chat_core::{CryptoError, Entropy, Identity, LinkError, PeerId, PeerKey};
use transport_noise::{Handshake, HandshakeError};

use crate::config::Config;
use crate::packet::{ConnectionId, Long, LongKind, MIN_MTU};
use crate::protect::{ReceiveKeys, SendKeys};

/// Bound into the handshake by Noise's prologue.
const TRANSPORT: &str = "udp-arq";
/// First wait before a message is sent again.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// FINISH messages that fail to verify before a responder gives up: each costs it public-key work, and
/// anybody can open a handshake.
const MAX_FORGED: u32 = 64;

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

/// The side that dials.
pub(crate) struct Initiator {
    /// Gone once the handshake has ended.
    noise: Option<Handshake>,
    config: Config,
    pin: Option<PeerId>,
    hello: Vec<u8>,
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
        hello.resize(MIN_MTU, 0);
        let (repeat, deadline) = (Repeat::new(now), now + HANDSHAKE_DEADLINE);
        Ok(Self { noise: Some(noise), config, pin, hello, local, repeat, deadline })
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

/// The side that listens. Until FINISH has come, the address may be forged: it sends no more bytes than came
/// from there (RFC 9000 §8.1), and holds no more than this struct.
pub(crate) struct Responder {
    noise: Option<Handshake>,
    config: Config,
    reply: Vec<u8>,
    local: ConnectionId,
    remote: ConnectionId,
    repeat: Repeat,
    received_bytes: usize,
    sent_bytes: usize,
    forged: u32,
}

impl Responder {
    /// Answers the Noise message of a HELLO datagram of `received_bytes`.
    ///
    /// # Errors
    /// The message is none, or there is no randomness.
    pub(crate) fn new(
        now: Instant,
        config: Config,
        me: &Identity,
        message: &[u8],
        received_bytes: usize,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, LinkError> {
        let mut noise = Handshake::with_entropy(Role::Responder, TRANSPORT, me, entropy)?;
        noise.read_message(message)?;
        let answer = noise.write_message()?;
        let (local, remote) = (ConnectionId::of_message(&answer), ConnectionId::of_message(message));
        let reply = packet(LongKind::Reply, remote, &answer);
        let (noise, repeat) = (Some(noise), Repeat::new(now));
        Ok(Self { noise, config, reply, local, remote, repeat, received_bytes, sent_bytes: 0, forged: 0 })
    }

    pub(crate) fn local(&self) -> ConnectionId {
        self.local
    }

    /// The HELLO came again: its bytes may be answered, and perhaps our reply was lost.
    pub(crate) fn handle_hello_again(&mut self, now: Instant, bytes: usize) {
        self.received_bytes += bytes;
        // Not at once after the last one: it is most likely on its way.
        if now.saturating_duration_since(self.repeat.last) >= FIRST_WAIT / 2 {
            self.repeat.wait = Duration::ZERO;
        }
    }

    fn may_send(&self) -> bool {
        self.sent_bytes + self.reply.len() <= self.received_bytes
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let due = self.repeat.due() <= now && self.may_send();
        if due {
            out.extend_from_slice(&self.reply);
            self.sent_bytes += self.reply.len();
            self.repeat.wait = self.repeat.wait.max(FIRST_WAIT);
            self.repeat.on_sent(now);
        }
        due
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.may_send().then(|| self.repeat.due())
    }

    /// Takes a FINISH. `Ok(None)`: it was forged or damaged, and changed nothing.
    ///
    /// # Errors
    /// The end of the handshake: a whole message whose sender is not who it claims, or too many forged ones.
    pub(crate) fn handle_finish(
        &mut self,
        now: Instant,
        message: &[u8],
    ) -> Result<Option<Established>, LinkError> {
        let Some(noise) = self.noise.as_mut() else { return Ok(None) };
        match noise.read_message(message) {
            Ok(()) => {}
            Err(error @ HandshakeError::Identity(_)) => return Err(error.into()),
            Err(_) => {
                self.forged += 1;
                let few = self.forged < MAX_FORGED;
                return if few { Ok(None) } else { Err(LinkError::NotAuthenticated("too many forgeries")) };
            }
        }
        let Some(noise) = self.noise.take() else { return Ok(None) };
        let mut established = establish(now, noise, Role::Responder, self.remote, &self.config)?;
        established.round_trip = self.repeat.round_trip(now);
        Ok(Some(established))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport_noise::MESSAGE_LENGTHS;

    use crate::tests::{Rng, identity};

    fn begin(now: Instant) -> (Initiator, Responder) {
        let mut rng = Rng::new(6);
        let mut initiator = Initiator::new(now, Config::default(), &identity(1), None, &mut rng).unwrap();
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
        let (mut initiator, mut responder) = begin(now);
        initiator.pin = Some(identity(3).peer_id());
        let mut reply = Vec::new();
        responder.poll_transmit(now, &mut reply);
        let refused = initiator.handle_reply(now, message(&reply)).err();
        assert!(
            matches!(refused, Some(LinkError::WrongPeer { found, .. }) if found == identity(2).peer_id())
        );
    }

    #[test]
    fn before_the_address_is_proved_no_more_is_sent_than_came() {
        let now = Instant::now();
        let (_, mut responder) = begin(now);
        let mut sent = Vec::new();
        for second in 0..60 {
            responder.poll_transmit(now + Duration::from_secs(second), &mut sent);
        }
        assert!(sent.len() <= MIN_MTU && sent.len() > MIN_MTU / 2, "{}", sent.len());
        assert_eq!(responder.poll_timeout(), None);
        responder.handle_hello_again(now + Duration::from_secs(61), MIN_MTU);
        assert!(responder.poll_transmit(now + Duration::from_secs(61), &mut sent));
        assert!(sent.len() <= 2 * MIN_MTU);
    }

    #[test]
    fn a_responder_that_is_fed_forgeries_gives_up() {
        let now = Instant::now();
        let (_, mut responder) = begin(now);
        let results: Vec<_> = (0..MAX_FORGED).map(|_| responder.handle_finish(now, &[7; 160])).collect();
        assert!(results[..MAX_FORGED as usize - 1].iter().all(Result::is_ok));
        assert!(results.last().unwrap().is_err());
    }

    #[test]
    fn a_half_open_handshake_is_small() {
        // `snow` keeps its state in a box; with everything it has there, 4 KiB are not reached.
        assert!(size_of::<Responder>() < 1024, "{}", size_of::<Responder>());
    }
}
