//! What goes to peers: one commit writes the message, its place in each recipient's chain, and the sealed
//! bytes; only then does anything leave.

use std::collections::BTreeMap;

use chat_core::api::command::Send;
use chat_core::api::event::MessageStatus;
use chat_core::api::snapshot::{Counts, Delivery};
use chat_core::api::{CommandError, ErrorKind, Event, MessageState};
use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId, Timestamp};
use chat_core::nick::MAX_TEXT_BYTES;
use chat_core::wire::body::{MAX_RECEIPT_IDS, ReceiptKind};
use chat_core::wire::{Body, Envelope, Plaintext, Recipient};

use super::Engine;
use super::commands::Target;
use crate::store::{DeliveryRow, DeliveryState, MessageRow, NewMessage, StoreError};

/// Most copies that may be on their way at once.
const MAX_OPEN_DELIVERIES: u64 = 100_000;
/// Longest name a caller may give a message.
const MAX_CLIENT_ID_BYTES: usize = 128;

type Answer<T> = Result<Result<T, CommandError>, StoreError>;

impl Engine {
    fn new_id(&mut self) -> Result<[u8; 16], CommandError> {
        let id = self.entropy.bytes::<16>();
        id.map_err(|e| CommandError::new(ErrorKind::NotAllowed, format!("nothing was sent: {e}")))
    }

    /// `msg.send`
    pub(super) fn send(&mut self, send: &Send) -> Answer<MessageId> {
        if let Err(error) = check_text(send) {
            return Ok(Err(error));
        }
        if let Some(client_id) = &send.client_id
            && let Some(id) = self.store.message_by_client_id(client_id)?
        {
            return Ok(Ok(id));
        }
        let target = match self.target(&send.to) {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        let recipients = match self.recipients(&target) {
            Ok(recipients) => recipients,
            Err(error) => return Ok(Err(error)),
        };
        if self.store.count_open_deliveries()? + recipients.len() as u64 > MAX_OPEN_DELIVERIES {
            let message =
                format!("{MAX_OPEN_DELIVERIES} messages wait already; wait until some are delivered");
            return Ok(Err(CommandError::new(ErrorKind::TooLarge, message)));
        }
        let id = match self.new_id() {
            Ok(id) => MessageId(id),
            Err(error) => return Ok(Err(error)),
        };
        self.write(id, send, &target, &recipients)?;
        Ok(Ok(id))
    }

    fn recipients(&self, target: &Target) -> Result<Vec<PeerId>, CommandError> {
        match target {
            Target::Peer(peer) => {
                match self.contacts.get(peer).and_then(|contact| contact.row.problem.as_ref()) {
                    Some(problem) => {
                        let message = format!("nothing can be sent to {}: {problem}", self.name_of(*peer));
                        Err(CommandError::new(ErrorKind::NotAllowed, message))
                    }
                    None => Ok(vec![*peer]),
                }
            }
            Target::Room(name) => {
                let Some(room) = self.rooms.get(name).filter(|room| room.joined) else {
                    let message = format!("you are not in {name}; /join {name} first");
                    return Err(CommandError::new(ErrorKind::NotFound, message));
                };
                // Members that can't be sealed to are shown with their problem and are no recipients.
                let able = |peer: &&PeerId| self.contacts.get(peer).is_none_or(|c| c.row.problem.is_none());
                Ok(room.members.iter().filter(able).copied().collect())
            }
        }
    }

    fn write(
        &mut self,
        id: MessageId,
        send: &Send,
        to: &Target,
        recipients: &[PeerId],
    ) -> Result<(), StoreError> {
        let in_room = matches!(to, Target::Room(_));
        let conversation = self.conversation_of(to);
        let state = if recipients.is_empty() { DeliveryState::Stored } else { DeliveryState::Queued };
        let position = Some(self.store.next_position(conversation)?);
        self.store.insert_message(&NewMessage {
            id,
            conversation,
            author: self.config.identity.peer_id(),
            mine: true,
            in_room,
            text: &send.text,
            sent_at: self.now,
            arrived: self.now,
            position,
            gap: false,
            previous: None,
            link: None,
            client_id: send.client_id.as_deref(),
            state: state as u8,
        })?;
        let Some(row) = self.store.message(id)? else { return Ok(()) };
        for &peer in recipients {
            let previous = self.store.chain(conversation, peer, true)?.unwrap_or_default();
            self.store.insert_delivery(id, peer, previous, self.now)?;
            let plaintext = plaintext_of(&row, previous);
            self.store.set_chain(conversation, peer, true, plaintext.chain_link())?;
            self.seal_delivery(peer, &plaintext)?;
        }
        let message = self.message_view(&row)?;
        let delivery = message.delivery.clone();
        self.view_message(message, false)?;
        if let Some(delivery) = delivery {
            self.status_event(id, conversation, delivery);
        }
        Ok(())
    }

    /// Seals one recipient's copy under a fresh envelope id; without a session it waits unsealed.
    fn seal_delivery(&mut self, peer: PeerId, plaintext: &Plaintext) -> Result<(), StoreError> {
        if let Some((id, envelope)) = self.sealed_envelope(peer, plaintext)? {
            self.store.set_delivery_envelope(plaintext.message, peer, id, &envelope)?;
            self.submission.enqueue(id);
        }
        Ok(())
    }

    fn sealed_envelope(
        &mut self,
        peer: PeerId,
        plaintext: &Plaintext,
    ) -> Result<Option<(EnvelopeId, Vec<u8>)>, StoreError> {
        let Ok(id) = self.new_id() else { return Ok(None) };
        let id = EnvelopeId(id);
        let Some(sealed) = self.seal(peer, plaintext)? else { return Ok(None) };
        let envelope = Envelope {
            id,
            to: Recipient::Peer(peer),
            from: self.config.identity.peer_id(),
            conversation: plaintext.conversation,
            message: plaintext.message,
            session: sealed.session,
            handshake: sealed.handshake,
            frame: sealed.frame,
        };
        Ok(Some((id, envelope.encode())))
    }

    /// Seals what waited for a session with this peer.
    pub(super) fn seal_waiting(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let waiting = self.store.open_deliveries(peer, true)?;
        self.seal_rows(peer, waiting)
    }

    /// The peer lost its session: everything it has not confirmed is sealed under the new one, in order.
    pub(super) fn seal_anew(&mut self, peer: PeerId) -> Result<(), StoreError> {
        let open = self.store.open_deliveries(peer, false)?;
        self.seal_rows(peer, open)
    }

    fn seal_rows(&mut self, peer: PeerId, rows: Vec<DeliveryRow>) -> Result<(), StoreError> {
        for delivery in rows {
            if let Some(row) = self.store.message(delivery.message)? {
                self.seal_delivery(peer, &plaintext_of(&row, delivery.previous))?;
            }
        }
        Ok(())
    }

    pub(super) fn seal_all_waiting(&mut self) -> Result<(), StoreError> {
        for peer in self.store.peers_with_unsealed()? {
            self.seal_waiting(peer)?;
        }
        Ok(())
    }

    /// Seals a control frame and keeps it until the relay has stored it.
    pub(super) fn send_control(
        &mut self,
        peer: PeerId,
        conversation: ConversationId,
        body: Body,
    ) -> Result<(), StoreError> {
        let Ok(message) = self.new_id() else { return Ok(()) };
        let message = MessageId(message);
        let plaintext =
            Plaintext { context: None, conversation, message, sent_at: self.now, previous: [0; 16], body };
        if let Some((id, envelope)) = self.sealed_envelope(peer, &plaintext)? {
            self.store.insert_control(id, peer, &envelope, self.now)?;
            self.submission.enqueue(id);
        }
        Ok(())
    }

    /// The receipts owed by this turn, in the same commit as what they confirm.
    pub(super) fn send_receipts(&mut self) -> Result<(), StoreError> {
        for (peer, messages) in std::mem::take(&mut self.receipts) {
            self.send_receipt(peer, ReceiptKind::Delivered, &messages)?;
        }
        Ok(())
    }

    fn send_receipt(
        &mut self,
        to: PeerId,
        kind: ReceiptKind,
        messages: &[MessageId],
    ) -> Result<(), StoreError> {
        for chunk in messages.chunks(MAX_RECEIPT_IDS) {
            self.send_control(to, self.direct(to), Body::Receipt(kind, chunk.to_vec()))?;
        }
        Ok(())
    }

    /// `msg.mark_read`
    pub(super) fn mark_read(&mut self, conversation: ConversationId, up_to: i64) -> Result<(), StoreError> {
        let mut by_author: BTreeMap<PeerId, Vec<MessageId>> = BTreeMap::new();
        for (author, message) in self.store.mark_seen(conversation, up_to)? {
            by_author.entry(author).or_default().push(message);
        }
        if by_author.is_empty() {
            return Ok(());
        }
        for (author, messages) in by_author {
            self.send_receipt(author, ReceiptKind::Read, &messages)?;
        }
        self.conversation_read(conversation)
    }

    /// `msg.retry`
    pub(super) fn retry(&mut self, id: MessageId) -> Answer<()> {
        let Some(row) = self.store.message(id)?.filter(|row| row.mine) else {
            return Ok(Err(CommandError::new(ErrorKind::NotFound, "there is no such message of yours")));
        };
        let failed: Vec<DeliveryRow> =
            self.store.deliveries_of(id)?.into_iter().filter(|d| d.state == DeliveryState::Failed).collect();
        if failed.is_empty() {
            return Ok(Err(CommandError::new(ErrorKind::NotAllowed, "that message has not failed")));
        }
        for delivery in failed {
            self.store.revive_delivery(id, delivery.peer, self.now)?;
            self.seal_delivery(delivery.peer, &plaintext_of(&row, delivery.previous))?;
        }
        self.refresh_status(id)?;
        Ok(Ok(()))
    }

    /// What has not arrived in its time has failed, visibly.
    pub(super) fn expire(&mut self, then: Timestamp) -> Result<(), StoreError> {
        for delivery in self.store.expired_deliveries(then)? {
            let reason = Some("not delivered within 30 days");
            self.store.set_delivery_state(delivery.message, delivery.peer, DeliveryState::Failed, reason)?;
            self.refresh_status(delivery.message)?;
        }
        Ok(())
    }

    /// The state a message shows: what all its recipients have reached.
    pub(super) fn delivery_of(&self, row: &MessageRow) -> Result<Delivery, StoreError> {
        let copies = self.store.deliveries_of(row.id)?;
        let reached = |state: DeliveryState| {
            let count =
                copies.iter().filter(|c| c.state >= state && c.state != DeliveryState::Failed).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let counts = row.in_room.then(|| Counts {
            stored: reached(DeliveryState::Stored),
            delivered: reached(DeliveryState::Delivered),
            read: reached(DeliveryState::Read),
            of: u32::try_from(copies.len()).unwrap_or(u32::MAX),
        });
        let failed = copies.iter().find(|copy| copy.state == DeliveryState::Failed);
        let least = copies.iter().map(|copy| copy.state).min().unwrap_or(DeliveryState::Stored);
        let state = if failed.is_some() { DeliveryState::Failed } else { least };
        let reason =
            failed.or(copies.iter().find(|copy| copy.reason.is_some())).and_then(|c| c.reason.clone());
        Ok(Delivery { state: public_state(state), reason, counts })
    }

    fn status_event(&mut self, id: MessageId, conversation: ConversationId, delivery: Delivery) {
        let Delivery { state, reason, counts } = delivery;
        let address = self.address_of(conversation);
        let status = MessageStatus { id, address, conversation, state, reason, counts };
        self.out.events.push(Event::MessageStatus(status));
    }

    /// Says how far a message has come, if that is news.
    pub(super) fn refresh_status(&mut self, id: MessageId) -> Result<(), StoreError> {
        let Some(row) = self.store.message(id)? else { return Ok(()) };
        let delivery = self.delivery_of(&row)?;
        let state = delivery.state as u8;
        let moved = row.state != state || row.reason != delivery.reason;
        if moved {
            self.store.set_message_state(id, state, delivery.reason.as_deref())?;
        }
        if self.view_status(row.conversation, id, &delivery) || moved {
            self.status_event(id, row.conversation, delivery);
        }
        Ok(())
    }
}

/// The two enums have one order; this is where the store's becomes the public one.
fn public_state(state: DeliveryState) -> MessageState {
    match state {
        DeliveryState::Queued => MessageState::Queued,
        DeliveryState::Sent => MessageState::Sent,
        DeliveryState::Stored => MessageState::Stored,
        DeliveryState::Delivered => MessageState::Delivered,
        DeliveryState::Read => MessageState::Read,
        DeliveryState::Failed => MessageState::Failed,
    }
}

fn check_text(send: &Send) -> Result<(), CommandError> {
    if send.text.is_empty() {
        return Err(CommandError::new(ErrorKind::BadParams, "text: there is nothing to send"));
    }
    if send.text.len() > MAX_TEXT_BYTES {
        let message = format!("a text has at most {MAX_TEXT_BYTES} bytes, this one has {}", send.text.len());
        return Err(CommandError::new(ErrorKind::TooLarge, message));
    }
    if send.client_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_CLIENT_ID_BYTES) {
        let message = format!("client_id: 1 to {MAX_CLIENT_ID_BYTES} bytes");
        return Err(CommandError::new(ErrorKind::BadParams, message));
    }
    Ok(())
}

/// The plaintext of a message of one's own, the same whenever it is sealed.
fn plaintext_of(row: &MessageRow, previous: [u8; 16]) -> Plaintext {
    let body = if row.in_room { Body::RoomText(row.text.clone()) } else { Body::Text(row.text.clone()) };
    Plaintext {
        context: None,
        conversation: row.conversation,
        message: row.id,
        sent_at: row.sent_at,
        previous,
        body,
    }
}
