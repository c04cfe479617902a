//! The side that listens.

use std::time::{Duration, Instant};

use chat_core::transport::Role;
use chat_core::{CryptoError, Entropy, Identity, LinkError};
use transport_noise::{Handshake, HandshakeError};
use zeroize::Zeroizing;

use super::{Established, FIRST_WAIT, Repeat, TRANSPORT, establish, packet};
use crate::config::Config;
use crate::packet::{ConnectionId, LongKind};

/// FINISH messages that fail to verify before a responder looks at no more: each costs it public-key work, and
/// anybody can open a handshake. It keeps its slot until the deadline, so that its peer is not served the sooner.
const MAX_FORGED: u32 = 8;

/// The randomness of a handshake, to be drawn again.
struct Seed(Zeroizing<[u8; 64]>);

impl Seed {
    fn draw(entropy: &mut dyn Entropy) -> Result<Self, LinkError> {
        let seed = entropy.bytes().map_err(|_| HandshakeError::Entropy)?;
        Ok(Self(Zeroizing::new(seed)))
    }

    /// The same handshake each time, after its second message: the reply comes out the same to the byte.
    fn answer(&self, me: &Identity, message: &[u8]) -> Result<(Handshake, Vec<u8>), LinkError> {
        let mut left = Left(self.0.as_ref());
        let mut noise = Handshake::with_entropy(Role::Responder, TRANSPORT, me, &mut left)?;
        noise.read_message(message)?;
        let reply = noise.write_message()?;
        Ok((noise, reply))
    }
}

struct Left<'a>(&'a [u8]);

impl Entropy for Left<'_> {
    fn fill(&mut self, buf: &mut [u8]) -> Result<(), CryptoError> {
        let (taken, left) = self.0.split_at_checked(buf.len()).ok_or(CryptoError::Entropy)?;
        buf.copy_from_slice(taken);
        self.0 = left;
        Ok(())
    }
}

/// The side that listens. Until FINISH has come, the address may be forged: it sends no more bytes than came
/// from there (RFC 9000 §8.1), and holds no more than this struct. Noise's own state takes 5 KiB, so it is made
/// once for the reply and, if the initiator proves to be there, once more.
pub(crate) struct Responder {
    /// Gone once the handshake has ended.
    seed: Option<Seed>,
    config: Config,
    me: Identity,
    message: Vec<u8>,
    reply: Vec<u8>,
    local: ConnectionId,
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
        let seed = Seed::draw(entropy)?;
        let (_, answer) = seed.answer(me, message)?;
        let mut reply = packet(LongKind::Reply, ConnectionId::of_message(message), &answer);
        reply.shrink_to_fit();
        Ok(Self {
            seed: Some(seed),
            config,
            me: me.clone(),
            message: message.to_vec(),
            reply,
            local: ConnectionId::of_message(&answer),
            repeat: Repeat::new(now),
            received_bytes,
            sent_bytes: 0,
            forged: 0,
        })
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
    /// The end of the handshake: a whole message whose sender is not who it claims.
    pub(crate) fn handle_finish(
        &mut self,
        now: Instant,
        message: &[u8],
    ) -> Result<Option<Established>, LinkError> {
        let Some(seed) = self.seed.as_ref().filter(|_| self.forged < MAX_FORGED) else { return Ok(None) };
        let (mut noise, _) = seed.answer(&self.me, &self.message)?;
        match noise.read_message(message) {
            Ok(()) => {}
            Err(error @ HandshakeError::Identity(_)) => return Err(error.into()),
            Err(_) => {
                self.forged += 1;
                return Ok(None);
            }
        }
        self.seed = None;
        let remote = ConnectionId::of_message(&self.message);
        let mut established = establish(now, noise, Role::Responder, remote, &self.config)?;
        established.round_trip = self.repeat.round_trip(now);
        Ok(Some(established))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::begin;
    use crate::packet::MIN_MTU;

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
    fn a_responder_that_is_fed_forgeries_looks_at_no_more() {
        for forgeries in [MAX_FORGED - 1, MAX_FORGED, 10 * MAX_FORGED] {
            let now = Instant::now();
            let (mut initiator, mut responder) = begin(now);
            let mut reply = Vec::new();
            assert!(responder.poll_transmit(now, &mut reply));
            let finish = initiator.handle_reply(now, &reply[15..]).unwrap().unwrap().finish.unwrap();
            for _ in 0..forgeries {
                assert!(responder.handle_finish(now, &[7; 160]).unwrap().is_none());
            }
            let established = responder.handle_finish(now, &finish[15..]).unwrap().is_some();
            assert_eq!(established, forgeries < MAX_FORGED);
        }
    }

    #[test]
    fn a_half_open_handshake_is_small() {
        let (_, responder) = begin(Instant::now());
        let bytes = size_of::<Responder>() + responder.message.capacity() + responder.reply.capacity();
        // What it shares with others, the identity, is not its own.
        assert!(bytes < 1024, "{bytes}");
    }
}
