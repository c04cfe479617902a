//! First messages: what is checked before a session begins, and what is written with it in one commit.

use std::sync::Arc;

use chat_core::api::event::AlarmKind;
use chat_core::error::CryptoError;
use chat_core::ids::{OneTimeKeyId, PeerId, SessionId, Timestamp};
use chat_core::key_exchange::{Context, OwnBundle, PeerBundle};
use chat_core::wire::Envelope;
use chat_core::wire::bundle::{Handshake, SignedBundle, VerifiedBundle, binding};
use zeroize::Zeroizing;

use super::refusal::{
    one_time_key_used_before, refusal_of, refused, unknown_keys, unknown_one_time_key, unknown_session,
};
use super::sessions::Live;
use super::{Engine, Fault};
use crate::store::StoreError;
use crate::watch::Call;

/// How long a first message that was accepted is remembered, beyond any bundle's life.
const HANDSHAKE_MEMORY_MS: u64 = 60 * super::DAY_MS;

/// The initiator of a session that was just accepted.
pub(super) struct Accepted {
    pub(super) verified: VerifiedBundle,
    /// Its bundle as signed.
    pub(super) signed: Vec<u8>,
    /// When one's own keys expire that it was accepted with.
    keys_expire: Timestamp,
    /// What its first message is remembered by, beside the session.
    transcript: SessionId,
    /// The one-time key that it has used up.
    one_time: Option<OneTimeKeyId>,
}

impl Engine {
    /// The handshake of an envelope, and the bundle in it, which is its sender's and of this stack.
    fn first_message(&self, envelope: &Envelope) -> Result<(Handshake, VerifiedBundle), Fault> {
        let from = envelope.from;
        let Some(bytes) = &envelope.handshake else {
            return Err(unknown_session(from, "a frame for a session that is not here"));
        };
        if Handshake::session_id(bytes) != envelope.session {
            return Err(refused(AlarmKind::Tampered, from, "a handshake for another session"));
        }
        if self.store.handshake_is_known(envelope.session)? {
            return Err(unknown_session(from, "a first message that was accepted before"));
        }
        let handshake = Handshake::decode(bytes).map_err(|e| refused(AlarmKind::Tampered, from, e))?;
        let theirs = SignedBundle::verify(&handshake.bundle)
            .map_err(|e| refusal_of(&e, from, "the bundle of a first message"))?;
        if theirs.peer_id != from {
            return Err(refused(
                AlarmKind::Tampered,
                from,
                "a first message with the bundle of somebody else",
            ));
        }
        if theirs.bundle.expires < self.now {
            // It has waited for long, or a clock is wrong: either way it is genuine, and comes again.
            return Err(unknown_session(from, "a first message with an expired bundle"));
        }
        if let Err(mismatch) = self.profile.agree(&theirs.bundle.profile) {
            let known = self.contacts.get(&from).map(|contact| contact.bundle.bundle.created);
            return Err(match known {
                // Sent before: since then this node has changed its stack, and the peer may have.
                Some(known) if theirs.bundle.created <= known => {
                    unknown_session(from, "a first message of another stack, from before")
                }
                _ => refused(AlarmKind::Downgrade, from, mismatch),
            });
        }
        if self.is_pinned_to_another(theirs.bundle.nick.as_str(), from) {
            return Err(refused(
                AlarmKind::Refused,
                from,
                "a first message under a nick pinned to another key",
            ));
        }
        Ok((handshake, theirs))
    }

    /// Accepts the handshake of an envelope, without writing anything.
    pub(super) fn accept(&mut self, envelope: &Envelope) -> Result<(Live, Option<Accepted>), Fault> {
        let from = envelope.from;
        let (handshake, theirs) = self.first_message(envelope)?;
        let Some(own) = self.store.bundle(&handshake.peer_bundle_hash)? else {
            return Err(unknown_keys(from));
        };
        let stranger = !self.contacts.contains_key(&from);
        if stranger && !self.has_room_for_contact()? {
            return Err(refused(
                AlarmKind::Refused,
                from,
                "a first message of a stranger: too many peers are known",
            ));
        }
        if !self.rates.may_accept(from, envelope.session, stranger, self.up) {
            return Err(refused(AlarmKind::Refused, from, "too many first messages within an hour"));
        }
        let own_verified =
            SignedBundle::verify(&own.signed).map_err(|e| refusal_of(&e, from, "one's own stored bundle"))?;
        let binding = binding(&theirs, &own_verified);
        let transcript = handshake.transcript(&binding);
        if self.store.handshake_is_known(transcript)? {
            return Err(refused(AlarmKind::Replayed, from, "a first message that was accepted before"));
        }
        let one_time = handshake.one_time.map(|id| self.own_one_time_key(from, id)).transpose()?;
        let ours = OwnBundle {
            identity: &self.config.identity,
            payload: &own.payload,
            secret: &own.secret,
            one_time: one_time.as_ref().map(|secret| secret.as_slice()),
        };
        let peer = PeerBundle { identity: theirs.key, payload: &theirs.bundle.payload, one_time: None };
        let exchange = Arc::clone(&self.config.key_exchange);
        let cipher = Arc::clone(&self.config.cipher);
        let mut cx = Context { now: self.now, entropy: &mut *self.entropy, cipher, binding };
        let session =
            self.watch.guarded(Call::Accept, || exchange.accept(&ours, &peer, &handshake.first, &mut cx));
        if !matches!(session, Err(CryptoError::Forged | CryptoError::Malformed(_))) {
            self.rates.accepted(from, envelope.session, stranger, self.up);
        }
        let session = session.map_err(|e| refusal_of(&e, from, "a first message was refused"))?;
        let row = self.new_row(envelope.session, from, binding, None);
        Ok((
            Live { row, session },
            Some(Accepted {
                verified: theirs,
                signed: handshake.bundle,
                keys_expire: own.expires,
                transcript,
                one_time: handshake.one_time,
            }),
        ))
    }

    /// The secret of the one-time key that a first message names.
    fn own_one_time_key(&self, from: PeerId, id: OneTimeKeyId) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let key = self.store.one_time_key(id)?.filter(|key| key.exchange == self.exchange_key());
        let Some(key) = key else { return Err(unknown_one_time_key(from)) };
        key.secret.ok_or_else(|| one_time_key_used_before(from))
    }

    /// Writes an opened envelope's session; a new one with everything that belongs to its acceptance.
    pub(super) fn keep_opened(&mut self, live: Live, accepted: Option<Accepted>) -> Result<(), StoreError> {
        let (id, peer) = (live.row.id, live.row.peer);
        let Some(Accepted { verified, signed, keys_expire, transcript, one_time }) = accepted else {
            return self.put_live(live);
        };
        self.store.insert_session(&live.row)?;
        if let Some(id) = one_time {
            self.store.use_one_time_key(id)?;
            self.has_erased_keys = true;
        }
        // However the clock goes: as long as the keys are here that it was accepted with, and longer.
        let from = self.now.max(keys_expire);
        for known_by in [id, transcript] {
            self.store.remember_handshake(known_by, from.plus_ms(HANDSHAKE_MEMORY_MS))?;
        }
        self.put_live(live)?;
        self.learn_bundle(verified, signed)?;
        if !self.own_flight_wins(peer)? {
            self.set_sending(peer, id)?;
        }
        self.drop_surplus(peer)?;
        self.seal_waiting(peer)
    }

    /// Both have begun a session at once: both receive on both, and send on the one whose initiator has the
    /// smaller peer id.
    fn own_flight_wins(&self, peer: PeerId) -> Result<bool, StoreError> {
        let Some(sending) = self.contacts.get(&peer).and_then(|contact| contact.row.sending) else {
            return Ok(false);
        };
        let row = match self.live.get(&sending) {
            Some(live) => Some(live.row.clone()),
            None => self.store.session(sending)?.map(|(row, _)| row),
        };
        let in_flight = row.is_some_and(|row| row.initiator && !row.peer_has_context);
        Ok(in_flight && self.config.identity.peer_id() < peer)
    }
}
