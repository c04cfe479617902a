//! Sessions: initiate, accept, seal, open, and which of several seals. Plugins run inside a guard:
//! one that panics loses its session, not the program.

use std::sync::Arc;

use chat_core::api::event::AlarmKind;
use chat_core::error::CryptoError;
use chat_core::ids::{OneTimeKeyId, PeerId, SessionId, Timestamp};
use chat_core::key_exchange::{Context, OwnBundle, PeerBundle, Session, Step};
use chat_core::wire::bundle::{Handshake, SignedBundle, VerifiedBundle, binding};
use chat_core::wire::{Envelope, Plaintext};
use zeroize::Zeroizing;

use super::clock::JUMP_MS;
use super::one_time::PeersKey;
use super::refusal::{
    one_time_key_used_before, refusal_of, refused, unknown_keys, unknown_one_time_key, unknown_session,
};
use super::{Engine, Fault};
use crate::store::{SessionRow, StoreError};
use crate::watch::Call;

/// How the problem of a peer begins whose keys are of no use.
pub(super) const NO_SESSION: &str = "no session could be begun";
/// Most sessions kept with one peer.
const MAX_SESSIONS_A_PEER: usize = 5;
/// Sessions held in memory; the others are read from the store when they are needed.
const MAX_LIVE: usize = 512;
/// How long a first message that was accepted is remembered, beyond any bundle's life.
const HANDSHAKE_MEMORY_MS: u64 = 60 * super::DAY_MS;

/// A session in memory.
pub(crate) struct Live {
    pub(crate) row: SessionRow,
    pub(crate) session: Box<dyn Session>,
}

/// An opened envelope whose effects are not yet written anywhere.
pub(super) struct Opened {
    pub(super) plaintext: Plaintext,
    /// The session, moved out of the cache while its change is not committed.
    pub(super) live: Live,
    /// The session is new.
    pub(super) accepted: Option<Accepted>,
}

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
    /// The session, from the cache or the store. Taken out: whoever takes it puts it back when its change is stored.
    fn take_live(&mut self, id: SessionId) -> Result<Option<Live>, StoreError> {
        if let Some(live) = self.live.remove(&id) {
            return Ok(Some(live));
        }
        let Some((row, saved)) = self.store.session(id)? else { return Ok(None) };
        if row.exchange != self.profile.key_exchange || row.cipher != self.profile.cipher {
            return Ok(None);
        }
        let exchange = Arc::clone(&self.config.key_exchange);
        let cipher = Arc::clone(&self.config.cipher);
        let entropy = &mut *self.entropy;
        let mut cx = Context { now: self.now, entropy, cipher, binding: [0; 32] };
        match self.watch.guarded(Call::Restore, || exchange.restore(&saved, &mut cx)) {
            Ok(session) => Ok(Some(Live { row, session })),
            Err(error) => {
                tracing::warn!(session = %id.short(), %error, "a stored session can't be restored");
                Ok(None)
            }
        }
    }

    /// Stores what changed in a session and keeps it in memory.
    fn put_live(&mut self, mut live: Live) -> Result<(), StoreError> {
        let Ok(change) = self.watch.guarded(Call::Save, || Ok(live.session.save())) else {
            // Its store record stays as it was; the session is read again when it is needed.
            tracing::error!(session = %live.row.id.short(), "a session could not be saved");
            return Ok(());
        };
        self.store.save_session(live.row.id, &change)?;
        self.store.update_session(&live.row)?;
        if self.live.len() >= MAX_LIVE {
            self.live.clear();
        }
        self.live.insert(live.row.id, live);
        Ok(())
    }

    /// Begins a session with a peer whose bundle is known. `None`: not possible now (no keys of one's own yet,
    /// no usable bundle of the peer, its one-time key asked for); what waits is sealed when it is.
    pub(super) fn initiate(&mut self, peer: PeerId) -> Result<Option<SessionId>, StoreError> {
        let Some(contact) = self.contacts.get(&peer).filter(|_| self.keys.is_some()) else { return Ok(None) };
        if contact.row.problem.is_some() || self.is_shut_out(peer) {
            return Ok(None);
        }
        let other_stack = self.profile.agree(&contact.bundle.bundle.profile).is_err();
        if contact.bundle.bundle.expires < self.now || other_stack {
            self.ask_for(peer);
            return Ok(None);
        }
        let Some(one_time) = self.one_time_key_of(peer) else { return Ok(None) };
        self.initiate_with(peer, one_time)
    }

    fn initiate_with(
        &mut self,
        peer: PeerId,
        one_time: Option<PeersKey>,
    ) -> Result<Option<SessionId>, StoreError> {
        let (Some(keys), Some(contact)) = (&self.keys, self.contacts.get(&peer)) else { return Ok(None) };
        let binding = binding(&keys.verified, &contact.bundle);
        let own = OwnBundle {
            identity: &self.config.identity,
            payload: &keys.stored.payload,
            secret: &keys.stored.secret,
            one_time: None,
        };
        let theirs = PeerBundle {
            identity: contact.bundle.key,
            payload: &contact.bundle.bundle.payload,
            one_time: one_time.as_ref().map(|key| key.public.as_slice()),
        };
        let exchange = Arc::clone(&self.config.key_exchange);
        let cipher = Arc::clone(&self.config.cipher);
        let mut cx = Context { now: self.now, entropy: &mut *self.entropy, cipher, binding };
        let (first, session) =
            match self.watch.guarded(Call::Initiate, || exchange.initiate(&own, &theirs, &mut cx)) {
                Ok(made) => made,
                Err(error) => {
                    tracing::warn!(peer = %peer.short(), %error, "no session could be begun");
                    if one_time.is_some() {
                        // The fault may be that key's.
                        self.go_without_one_time_key(peer);
                        return self.initiate(peer);
                    }
                    if matches!(error, CryptoError::Untrusted(_) | CryptoError::Malformed(_)) {
                        self.set_problem(peer, Some(format!("{NO_SESSION}: {error}")))?;
                    }
                    return Ok(None);
                }
            };
        let handshake = Handshake {
            bundle: keys.stored.signed.clone(),
            peer_bundle_hash: contact.bundle.hash.to_vec(),
            first,
            one_time: one_time.map(|key| key.id),
        };
        let handshake = handshake.encode();
        let row = self.new_row(Handshake::session_id(&handshake), peer, binding, Some(handshake));
        let id = row.id;
        self.store.insert_session(&row)?;
        self.put_live(Live { row, session })?;
        self.set_sending(peer, id)?;
        self.drop_surplus(peer)?;
        Ok(Some(id))
    }

    fn new_row(
        &self,
        id: SessionId,
        peer: PeerId,
        binding: [u8; 32],
        handshake: Option<Vec<u8>>,
    ) -> SessionRow {
        SessionRow {
            id,
            peer,
            initiator: handshake.is_some(),
            binding,
            handshake,
            got_context: false,
            peer_has_context: false,
            exchange: self.profile.key_exchange.clone(),
            cipher: self.profile.cipher.clone(),
            created: self.now,
        }
    }

    /// Keeps a few sessions of a peer: the one that seals, the newest, and rather one that both ends have used than one
    /// that nobody has answered.
    fn drop_surplus(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let mut rows = self.store.sessions_of(peer)?;
        let surplus = rows.len().saturating_sub(MAX_SESSIONS_A_PEER);
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        let newest = rows.last().map(|row| row.id);
        rows.retain(|row| Some(row.id) != sending && Some(row.id) != newest);
        rows.sort_by_key(|row| (is_confirmed(row), row.created));
        for row in rows.iter().take(surplus) {
            self.live.remove(&row.id);
            self.store.erase_session(row.id)?;
        }
        Ok(())
    }

    /// The session that seals for a peer, if both ends are known to have it.
    pub(super) fn confirmed_sending(&mut self, peer: PeerId) -> Result<Option<SessionId>, StoreError> {
        let Some(sending) = self.contacts.get(&peer).and_then(|contact| contact.row.sending) else {
            return Ok(None);
        };
        let Some(live) = self.take_live(sending)? else { return Ok(None) };
        let confirmed = is_confirmed(&live.row);
        self.live.insert(sending, live);
        Ok(confirmed.then_some(sending))
    }

    /// Whether the session that seals for a peer is to be renewed.
    pub(super) fn sending_is_due(&mut self, peer: PeerId) -> Result<bool, StoreError> {
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        let Some(live) = sending.map(|id| self.take_live(id)).transpose()?.flatten() else {
            return Ok(false);
        };
        let is_due = self.is_due(&live);
        self.live.insert(live.row.id, live);
        Ok(is_due)
    }

    /// Seals a plaintext for a peer. `None`: no session can be had now.
    pub(super) fn seal(&mut self, peer: PeerId, plaintext: &Plaintext) -> Result<Option<Sealed>, StoreError> {
        // A session at the end of its life is replaced once; a fresh one that can't seal is a broken plugin.
        for attempt in 0..2 {
            let Some(mut live) = self.sending_session(peer, attempt > 0)? else { return Ok(None) };
            let mut plaintext = plaintext.clone();
            plaintext.context = (!live.row.peer_has_context).then_some(live.row.binding);
            let bytes = match self.config.rules.padding {
                true => plaintext.encode(),
                false => plaintext.encode_unpadded(),
            };
            let now = self.now;
            let entropy = &mut *self.entropy;
            let mut step = Step { now, entropy };
            match self.watch.guarded(Call::Seal, || live.session.seal(&bytes, &mut step)) {
                Ok(frame) => {
                    let (session, handshake) = (live.row.id, live.row.handshake.clone());
                    self.put_live(live)?;
                    return Ok(Some(Sealed { session, handshake, frame }));
                }
                Err(error) => tracing::warn!(peer = %peer.short(), %error, "a session could not seal"),
            }
        }
        Ok(None)
    }

    fn sending_session(&mut self, peer: PeerId, renew: bool) -> Result<Option<Live>, StoreError> {
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        let found = match sending {
            Some(id) if !renew => self.take_live(id)?,
            _ => None,
        };
        match found {
            Some(live) if !self.is_due(&live) => Ok(Some(live)),
            found => match self.initiate(peer)? {
                Some(id) => self.take_live(id),
                // Better an old session than silence.
                None => Ok(found),
            },
        }
    }

    /// Whether a session is to be renewed. One from the future, begun when the clock was ahead, would never be old.
    fn is_due(&self, live: &Live) -> bool {
        live.row.created > self.now.plus_ms(JUMP_MS)
            || self
                .watch
                .guarded(Call::NeedsRenewal, || Ok(live.session.needs_renewal(self.now)))
                .unwrap_or(true)
    }

    /// Opens an envelope without writing anything.
    pub(super) fn open(&mut self, envelope: &Envelope) -> Result<Opened, Fault> {
        let from = envelope.from;
        let (mut live, accepted) = match self.take_live(envelope.session)? {
            Some(live) => (live, None),
            None => self.accept(envelope)?,
        };
        if live.row.peer != from {
            // Not this session's fault: it goes back unchanged.
            self.live.insert(live.row.id, live);
            return Err(refused(AlarmKind::Tampered, from, "an envelope names the session of another peer"));
        }
        let now = self.now;
        let entropy = &mut *self.entropy;
        let mut step = Step { now, entropy };
        let opened = self.watch.guarded(Call::Open, || live.session.open(&envelope.frame, &mut step));
        let plaintext = match opened {
            Ok(plaintext) => plaintext,
            Err(error) => {
                let began = live.row.created;
                // A refused frame leaves a session unchanged; one that panicked is read from the store again.
                if accepted.is_none() && !matches!(error, CryptoError::Failed(_)) {
                    self.live.insert(live.row.id, live);
                }
                return Err(match error {
                    CryptoError::Forged | CryptoError::Duplicate if accepted.is_none() && self.heals() => {
                        self.not_followed(envelope, &error)?
                    }
                    CryptoError::Duplicate => self.number_used(envelope, began, false)?,
                    CryptoError::TooOld => self.number_used(envelope, began, true)?,
                    error => refusal_of(&error, from, "a frame was refused"),
                });
            }
        };
        // From here on the session has moved: a refusal drops it, and the store still has it as it was.
        let plaintext = super::inbound::check(envelope, &plaintext, &mut live.row)?;
        Ok(Opened { plaintext, live, accepted })
    }

    /// Accepts the handshake of an envelope, without writing anything.
    fn accept(&mut self, envelope: &Envelope) -> Result<(Live, Option<Accepted>), Fault> {
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
        self.profile.agree(&theirs.bundle.profile).map_err(|e| refused(AlarmKind::Downgrade, from, e))?;
        if self.is_pinned_to_another(theirs.bundle.nick.as_str(), from) {
            return Err(refused(
                AlarmKind::Refused,
                from,
                "a first message under a nick pinned to another key",
            ));
        }
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
        if !self.rates.may_accept(from, stranger, self.up) {
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
            self.rates.accepted(from, stranger, self.up);
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

/// Both ends have opened a frame of the other.
fn is_confirmed(row: &SessionRow) -> bool {
    row.got_context && row.peer_has_context
}

/// A sealed frame, and what goes with it into an envelope.
pub(super) struct Sealed {
    pub(super) session: SessionId,
    pub(super) handshake: Option<Vec<u8>>,
    pub(super) frame: Vec<u8>,
}
