//! Sessions: initiate, seal, open, and which of several seals. Plugins run inside a guard:
//! one that panics loses its session, not the program.

use std::sync::Arc;

use chat_core::api::event::AlarmKind;
use chat_core::error::CryptoError;
use chat_core::ids::{PeerId, SessionId};
use chat_core::key_exchange::{Context, OwnBundle, PeerBundle, Session, Step};
use chat_core::wire::bundle::{Handshake, binding};
use chat_core::wire::{Envelope, Plaintext};

use super::accept::Accepted;
use super::clock::JUMP_MS;
use super::one_time::PeersKey;
use super::refusal::{refusal_of, refused};
use super::{Engine, Fault};
use crate::store::{SessionRow, StoreError};
use crate::watch::Call;

/// How the problem of a peer begins whose keys are of no use.
pub(super) const NO_SESSION: &str = "no session could be begun";
/// Most sessions kept with one peer.
const MAX_SESSIONS_A_PEER: usize = 5;
/// Sessions held in memory; the others are read from the store when they are needed.
const MAX_LIVE: usize = 512;

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
    pub(super) fn put_live(&mut self, mut live: Live) -> Result<(), StoreError> {
        let Ok(change) = self.watch.guarded(Call::Save, || Ok(live.session.save())) else {
            // Its store record stays as it was; the session is read again when it is needed.
            tracing::error!(session = %live.row.id.short(), "a session could not be saved");
            return Ok(());
        };
        self.store.save_session(live.row.id, &change)?;
        self.store.update_session(&live.row)?;
        self.has_moved_sessions = true;
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
        self.backlog.has_begun_session();
        self.store.insert_session(&row)?;
        self.put_live(Live { row, session })?;
        self.set_sending(peer, id)?;
        self.drop_surplus(peer)?;
        Ok(Some(id))
    }

    pub(super) fn new_row(
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
    pub(super) fn drop_surplus(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let mut rows = self.store.sessions_of(peer)?;
        let surplus = rows.len().saturating_sub(MAX_SESSIONS_A_PEER);
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        let newest = rows.last().map(|row| row.id);
        rows.retain(|row| Some(row.id) != sending && Some(row.id) != newest);
        rows.sort_by_key(|row| (is_confirmed(row), row.created));
        for row in rows.iter().take(surplus) {
            self.live.remove(&row.id);
            self.store.erase_session(row.id)?;
            self.has_erased_keys = true;
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
