//! What peers send: opened, checked, written, and only then receipted and acknowledged.

use chat_core::api::event::AlarmKind;
use chat_core::api::snapshot::Held;
use chat_core::error::CryptoError;
use chat_core::ids::{ConversationId, MessageId, PeerId, SessionId, Timestamp};
use chat_core::wire::body::{ClosedText, ReceiptKind};
use chat_core::wire::relay::Delivery;
use chat_core::wire::{Body, Envelope, Plaintext, Recipient, ToRelay};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::refusal::{quietly, refused};
use super::rooms::Doubt;
use super::sessions::Opened;
use super::{DAY_MS, Engine, Fault, Refused, Renewal};
use crate::store::{DeliveryState, EnvelopeHash, FrameHash, NewMessage, SessionRow, StoreError};

const REPLAYED: &str = "a frame that was opened before";
/// How long envelopes are remembered.
pub(super) const MEMORY_MS: u64 = 30 * DAY_MS;

fn half(digest: [u8; 32]) -> [u8; 16] {
    let [half @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    half
}

pub(super) fn hash_of(frame: &[u8]) -> FrameHash {
    half(Sha256::digest(frame).into())
}

/// Of all that was checked when it was opened, and of the id under which it came.
fn hash_of_envelope(envelope: &Envelope) -> EnvelopeHash {
    let beside = [envelope.id.as_ref(), envelope.conversation.as_ref(), envelope.message.as_ref()];
    let hash = beside.into_iter().fold(Sha256::new(), |hash, part| hash.chain_update(part));
    half(hash.chain_update(&envelope.frame).finalize().into())
}

impl Engine {
    /// Envelopes from the mailbox. Each is finished with in this turn, accepted or refused, so the relay may forget it.
    pub(super) fn deliver(&mut self, items: Vec<Delivery>) -> Result<(), StoreError> {
        let Some(through) = items.iter().map(|item| item.n).max() else { return Ok(()) };
        for item in items {
            match self.envelope(&item.envelope) {
                Ok(()) => {}
                Err(Fault::Store(error)) => return Err(error),
                Err(Fault::Refused(refused)) => self.refused(refused)?,
            }
        }
        self.out.records.push(ToRelay::Ack { through });
        Ok(())
    }

    fn refused(&mut self, refused: Refused) -> Result<(), StoreError> {
        let Refused { kind, peer, detail, renew, quiet, room } = refused;
        tracing::debug!(?kind, peer = %peer.map(|peer| peer.short()).unwrap_or_default(), detail, "refused");
        if let (Some(room), Some(peer)) = (room, peer) {
            return self.doubt(room, peer, |engine| Doubt::new(kind, detail, None, engine.up));
        }
        if !quiet {
            self.alarm(kind, peer, detail);
        }
        match peer {
            Some(peer) => renew.map_or(Ok(()), |how| self.renew(peer, how)),
            None => Ok(()),
        }
    }

    fn envelope(&mut self, envelope: &Envelope) -> Result<(), Fault> {
        let from = envelope.from;
        if envelope.to != Recipient::Peer(self.config.identity.peer_id()) {
            return Err(refused(AlarmKind::Tampered, from, "an envelope for somebody else"));
        }
        match self.held(from) {
            // As if it had not been said: whoever is blocked hears nothing of it.
            Some(Held::Blocked) => return Ok(()),
            Some(held @ (Held::Pinned | Held::Downgrade)) => {
                self.not_heard(from, held);
                return Ok(());
            }
            Some(Held::Unverified | Held::KeyChanged) | None => {}
        }
        let hash = hash_of_envelope(envelope);
        if let Some(text) = self.store.seen_envelope(&hash, from)? {
            return self.answer_again(from, envelope.conversation, text).map_err(Fault::from);
        }
        let opened = self.open(envelope)?;
        self.check_body(from, &opened.plaintext)?;
        let Opened { plaintext, live, accepted } = opened;
        let session = live.row.id;
        self.keep_opened(live, accepted)?;
        self.heard_from(from)?;
        let text = text_of(&plaintext).map(|(_, message)| message);
        self.store.remember_envelope(&hash, from, text, &hash_of(&envelope.frame), self.now)?;
        self.effect(from, session, &plaintext)?;
        Ok(())
    }

    /// What becomes of a frame whose number was used before. The same bytes again are a replay, of which nothing follows.
    /// Other bytes under an old number were sealed by a peer that has an older copy of its data back, or of which two
    /// copies run: all that it seals is refused until both have a new session. So is one that comes `too_late`, behind the
    /// window in which numbers are told apart.
    pub(super) fn number_used(
        &self,
        envelope: &Envelope,
        began: Timestamp,
        too_late: bool,
    ) -> Result<Fault, StoreError> {
        let from = envelope.from;
        // Frames that were opened are remembered for so long. A peer renews a session long before, unless it heals by
        // itself: then an older replay costs a renewal, of which there are few.
        let all_known = self.heals() || self.now.ms_since(began) < MEMORY_MS;
        if !all_known || self.store.frame_is_known(from, &hash_of(&envelope.frame))? {
            return Ok(refused(AlarmKind::Replayed, from, REPLAYED));
        }
        if too_late {
            return Ok(quietly(from, "a frame that comes too late for its session", Renewal::Rewound));
        }
        // Without its name: what is refused is logged, and no log holds names.
        let detail = "this peer goes on from an older copy of its data, or two copies of it run: a message was sealed under \
                      a number that was used before; it is asked for again"
            .to_owned();
        let (kind, renew) = (AlarmKind::Replayed, Some(Renewal::Rewound));
        Ok(Fault::Refused(Refused { kind, peer: Some(from), detail, renew, quiet: false, room: None }))
    }

    /// Whether sessions take fresh secrets with every answer.
    pub(super) fn heals(&self) -> bool {
        self.config.stack.properties.healing
    }

    /// What becomes of a frame that does not verify, in a session that heals, or whose number can't be one: its keys are
    /// gone with their use, so what is said of an old number rests on a header that nothing proves. If these very bytes
    /// were opened before, it is a replay, of which nothing follows. Else it may be forged; or one of both ends has an
    /// older copy of its data back, and the secrets of now are not in it: no frame of either opens at the other until
    /// both have a new session.
    pub(super) fn not_followed(
        &mut self,
        envelope: &Envelope,
        error: &CryptoError,
    ) -> Result<Fault, StoreError> {
        let from = envelope.from;
        if self.store.frame_is_known(from, &hash_of(&envelope.frame))? {
            return Ok(refused(AlarmKind::Replayed, from, REPLAYED));
        }
        let detail = format!(
            "a frame was refused: {error}; or this peer goes on from an older copy of its data: it is asked for again"
        );
        let (kind, renew) = (AlarmKind::Tampered, Some(Renewal::Rewound));
        Ok(Fault::Refused(Refused { kind, peer: Some(from), detail, renew, quiet: false, room: None }))
    }

    /// What a body may not claim, checked before anything is written.
    fn check_body(&self, from: PeerId, plaintext: &Plaintext) -> Result<(), Fault> {
        let tampered = |detail: &str| Err(refused(AlarmKind::Tampered, from, detail));
        match &plaintext.body {
            Body::RoomText(_) | Body::Left | Body::NotTaken(_) => {
                if plaintext.conversation == self.direct(from) {
                    return tampered("a room message in a direct conversation");
                }
                if self.is_closed(plaintext.conversation) {
                    return tampered("an open room's message in a closed room");
                }
            }
            _ if plaintext.conversation != self.direct(from) => {
                return tampered("a direct message in another conversation");
            }
            Body::ClosedText(text) => self.check_closed(from, plaintext, text)?,
            _ => {}
        }
        if let Some((conversation, message)) = text_of(plaintext)
            && let Some(known) = self.store.message(from, message)?
            && known.conversation != conversation
        {
            return tampered("a message under the id of another one");
        }
        Ok(())
    }

    fn effect(&mut self, from: PeerId, session: SessionId, plaintext: &Plaintext) -> Result<(), StoreError> {
        match &plaintext.body {
            Body::Text(text) => self.text(from, plaintext, text),
            Body::RoomText(text) => match self.room_of(plaintext.conversation) {
                Some(room) if room.joined => {
                    self.admit_writer(plaintext.conversation, from)?;
                    self.text(from, plaintext, text)
                }
                // Not in that room, so it can't be in its history: no receipt, but a word to the sender.
                _ => self.not_taken(from, plaintext.conversation, plaintext.message),
            },
            Body::Receipt(kind, messages) => self.receipt(from, *kind, messages),
            Body::Renewed => self.renewed(from, session),
            Body::Left => self.member_left(plaintext.conversation, from),
            // Somebody has stored what is only of the moment; it is late, and says nothing.
            Body::Typing(_) => Ok(()),
            Body::NotTaken(messages) => self.not_taken_by(plaintext.conversation, from, messages),
            Body::ClosedText(closed) => {
                self.text(from, plaintext, &closed.text)?;
                self.compare_roster(from, closed)
            }
            Body::RoomLog(told) => self.room_log(from, told),
            Body::RoomAsk(ask) => self.room_ask(from, ask),
        }
    }

    fn text(&mut self, from: PeerId, plaintext: &Plaintext, text: &str) -> Result<(), StoreError> {
        let Some((conversation, id)) = text_of(plaintext) else { return Ok(()) };
        self.writes(from, conversation, false);
        self.owe_receipt(from, id);
        if self.store.was_taken(from, id)? {
            return Ok(());
        }
        let new = NewMessage {
            id,
            conversation,
            author: from,
            mine: false,
            in_room: !matches!(plaintext.body, Body::Text(_)),
            text,
            sent_at: plaintext.sent_at,
            arrived: self.now,
            position: None,
            gap: false,
            previous: Some(plaintext.previous),
            link: Some(plaintext.chain_link()),
            client_id: None,
            state: 0,
        };
        self.place(&new)
    }

    /// Remembers that a receipt is owed; all of a turn go out together, after what they confirm is written.
    pub(super) fn owe_receipt(&mut self, to: PeerId, message: MessageId) {
        self.receipts.entry(to).or_default().insert(message);
    }

    fn receipt(&mut self, from: PeerId, kind: ReceiptKind, messages: &[MessageId]) -> Result<(), StoreError> {
        let state = match kind {
            ReceiptKind::Delivered => DeliveryState::Delivered,
            ReceiptKind::Read => DeliveryState::Read,
        };
        for &message in messages {
            // A receipt for something this peer never was a recipient of says nothing.
            let Some(delivery) = self.store.delivery(message, from)? else { continue };
            if delivery.state < state || delivery.state == DeliveryState::Failed {
                self.store.set_delivery_state(message, from, state, None)?;
                self.store.drop_delivery_envelope(message, from)?;
                self.touched.insert(message);
            }
        }
        Ok(())
    }

    /// An envelope that was dealt with before: its answer was lost, or is on its way. A text is answered by what became
    /// of it: a receipt only if it is in history.
    fn answer_again(
        &mut self,
        from: PeerId,
        conversation: ConversationId,
        text: Option<MessageId>,
    ) -> Result<(), StoreError> {
        let Some(message) = text else { return Ok(()) };
        // What came as a direct message was taken; if it isn't here, it was removed since.
        if conversation == self.direct(from) || self.store.was_taken(from, message)? {
            self.owe_receipt(from, message);
            return Ok(());
        }
        // Here the envelope's word for the conversation is taken, so it must not say what isn't so.
        match self.room_of(conversation) {
            Some(room) if room.joined => Ok(()),
            _ => self.not_taken(from, conversation, message),
        }
    }

    fn not_taken(
        &mut self,
        from: PeerId,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        self.send_control(from, conversation, Body::NotTaken(vec![message])).map(drop)
    }

    /// Asks the directory for a peer, now and then.
    pub(super) fn ask_for(&mut self, peer: PeerId) {
        if self.welcomed && self.rates.may_ask(peer, self.up) {
            self.out.records.push(ToRelay::Find { peer: Some(peer), nick: None });
        }
    }
}

/// The conversation and the id of a text, wherever it was said.
fn text_of(plaintext: &Plaintext) -> Option<(ConversationId, MessageId)> {
    match &plaintext.body {
        Body::Text(_) | Body::RoomText(_) => Some((plaintext.conversation, plaintext.message)),
        Body::ClosedText(ClosedText { room, message, .. }) => Some((*room, *message)),
        _ => None,
    }
}

/// What the core demands of every frame: the context until it is known, and that it stands in the right envelope.
pub(super) fn check(
    envelope: &Envelope,
    bytes: &Zeroizing<Vec<u8>>,
    row: &mut SessionRow,
) -> Result<Plaintext, Fault> {
    let tampered = |detail: &str| refused(AlarmKind::Tampered, envelope.from, detail);
    let plaintext = Plaintext::decode(bytes).map_err(|e| tampered(&e.to_string()))?;
    match plaintext.context {
        Some(context) if context == row.binding => row.got_context = true,
        Some(_) => return Err(tampered("a frame bound to another context")),
        None if !row.got_context => return Err(tampered("a first frame without its context")),
        // The peer stops sending the context once it knows that we have it, so it has ours.
        None => row.peer_has_context = true,
    }
    if row.initiator {
        row.peer_has_context = true;
    }
    if row.peer_has_context {
        row.handshake = None;
    }
    if plaintext.conversation != envelope.conversation || plaintext.message != envelope.message {
        return Err(tampered("a frame in the envelope of another message or conversation"));
    }
    Ok(plaintext)
}
