//! What is only of the moment: passed on to whoever is here and knows the sender, and never kept.
//!
//! Nothing of it passes through a mailbox, so no quota bounds it. It goes to peers in a common room, and to those who
//! have written to the sender themselves; to nobody else, for identities cost nothing. A peer is passed on no more than
//! [`crate::RelayConfig::passed_rate`] of it, whoever sends it. Whatever is dropped is dropped in silence.

use std::collections::BTreeMap;

use chat_core::PeerId;
use chat_core::wire::relay::MAX_PASSED_BYTES;
use chat_core::wire::{Envelope, FromRelay, Recipient};
use tokio::time::{Duration, Instant};

use crate::connection::Reader;
use crate::outgoing::Client;

/// How long it is remembered that somebody has not written to the sender.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Most peers of whom a link remembers whether they have; over it all are forgotten.
const MAX_REMEMBERED: usize = 256;

/// Who has written to the peer of a link, as far as it was asked: until when that is believed, if they have not.
#[derive(Default)]
pub(crate) struct Welcome(BTreeMap<PeerId, Option<Instant>>);

impl Welcome {
    fn of(&self, peer: PeerId, now: Instant) -> Option<bool> {
        match self.0.get(&peer) {
            Some(None) => Some(true),
            Some(Some(until)) if now < *until => Some(false),
            _ => None,
        }
    }

    fn remember(&mut self, peer: PeerId, is_welcome: bool, now: Instant) {
        if self.0.len() >= MAX_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(peer, if is_welcome { None } else { Some(now + ASK_AGAIN) });
    }
}

impl Reader<'_> {
    /// Passes an envelope on; else nothing is left of it.
    pub(crate) async fn pass(&mut self, envelope: Envelope, bytes: usize) {
        let may_pass = envelope.from == self.client.peer
            && bytes <= MAX_PASSED_BYTES
            && self.submits.take(Instant::now());
        let (true, Recipient::Peer(to)) = (may_pass, &envelope.to) else { return };
        let Some(recipient) = self.relay.hub.client(*to) else { return };
        if recipient.is_in_any(&self.client.rooms()) || self.has_heard_from(&recipient).await {
            recipient.pass(FromRelay::Passed { envelope }.encode().into());
        }
    }

    /// Whether a peer has written to the one at this link. To ask the mailbox costs as much as any other question.
    async fn has_heard_from(&mut self, other: &Client) -> bool {
        let now = Instant::now();
        if let Some(known) = self.welcome.of(other.peer, now) {
            return known;
        }
        if !self.controls.take(now) {
            return false;
        }
        let asking = self.relay.mailbox.has_written(other.peer, self.client.peer);
        let has_written = self.relay.in_time(asking).await.unwrap_or(false);
        self.welcome.remember(other.peer, has_written, now);
        has_written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_no_is_asked_again_and_a_yes_is_not() {
        let (anna, bob) = (PeerId([1; 32]), PeerId([2; 32]));
        let (mut welcome, now) = (Welcome::default(), Instant::now());
        assert_eq!(welcome.of(anna, now), None);
        welcome.remember(anna, true, now);
        welcome.remember(bob, false, now);
        assert_eq!((welcome.of(anna, now), welcome.of(bob, now)), (Some(true), Some(false)));
        let later = now + ASK_AGAIN;
        assert_eq!((welcome.of(anna, later), welcome.of(bob, later)), (Some(true), None));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_remembered() {
        let (mut welcome, now) = (Welcome::default(), Instant::now());
        for n in 0..1000_u16 {
            let peer = PeerId::from_slice(&[&[7; 30][..], &n.to_be_bytes()].concat()).unwrap();
            welcome.remember(peer, n % 2 == 0, now);
            assert!(welcome.0.len() <= MAX_REMEMBERED && welcome.of(peer, now) == Some(n % 2 == 0));
        }
    }
}
