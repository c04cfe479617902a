//! What goes to peers: one commit writes the message, its place in each recipient's chain, and the sealed
//! bytes; only then does anything leave.

use std::collections::BTreeMap;

use chat_core::api::command::Send;
use chat_core::api::snapshot::Held;
use chat_core::api::{CommandError, ErrorKind};
use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId, Timestamp};
use chat_core::nick::MAX_TEXT_BYTES;
use chat_core::wire::body::{MAX_RECEIPT_IDS, ReceiptKind};
use chat_core::wire::{Body, Envelope, Plaintext, Recipient};

use super::Engine;
use super::commands::Target;
use super::rooms::{Kind, Room};
use crate::store::{DeliveryRow, DeliveryState, MessageRow, NewMessage, StoreError};

/// Most copies that may be on their way at once.
const MAX_OPEN_DELIVERIES: u64 = 100_000;
const SENDS_BETWEEN_COUNTS: u32 = 1_000;
/// Longest name a caller may give a message.
const MAX_CLIENT_ID_BYTES: usize = 128;

/// Why a copy is sealed no more.
const NO_MEMBER: &str = "it is no longer a member of the room";

type Answer<T> = Result<Result<T, CommandError>, StoreError>;

impl Engine {
    pub(super) fn new_id(&mut self) -> Result<[u8; 16], CommandError> {
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
        if let Some(error) = self.refusal(&target) {
            return Ok(Err(error));
        }
        let recipients = match self.recipients(&target) {
            Ok(recipients) => recipients,
            Err(error) => return Ok(Err(error)),
        };
        if !self.has_room_in_outbox(&target)? {
            let message =
                format!("{MAX_OPEN_DELIVERIES} messages wait already; wait until some are delivered");
            return Ok(Err(CommandError::new(ErrorKind::TooLarge, message)));
        }
        let id = match self.new_id() {
            Ok(id) => MessageId(id),
            Err(error) => return Ok(Err(error)),
        };
        self.write(id, send, &target, recipients.as_deref())?;
        Ok(Ok(id))
    }

    /// Who gets it; `None` in a room whose roster this link has not told yet: it waits for that.
    fn recipients(&self, target: &Target) -> Result<Option<Vec<PeerId>>, CommandError> {
        match target {
            Target::Peer(peer) => {
                match self.contacts.get(peer).and_then(|contact| contact.row.problem.as_ref()) {
                    Some(problem) => {
                        let message = format!("nothing can be sent to {}: {problem}", self.name_of(*peer));
                        Err(CommandError::new(ErrorKind::NotAllowed, message))
                    }
                    None => Ok(Some(vec![*peer])),
                }
            }
            Target::Room(id) => {
                let Some(room) = self.rooms.get(id).filter(|room| room.joined) else {
                    let name = self.conversation_name(*id);
                    let message = format!("you are not in {name}; /join {name} first");
                    return Err(CommandError::new(ErrorKind::NotFound, message));
                };
                let is_known = self.is_announced(*id, room);
                Ok(is_known.then(|| self.room_recipients(*id)))
            }
        }
    }

    /// Whether it is known who is in a room: by the relay of this link, or, of a closed one, by those who are.
    fn is_announced(&self, id: ConversationId, room: &Room) -> bool {
        room.open().map_or_else(|| !self.awaits_news(id), |open| open.announced)
    }

    /// Why nothing is taken for a peer. What waits for a decision of the user is taken, and waits visibly.
    fn refusal(&mut self, target: &Target) -> Option<CommandError> {
        let Target::Peer(peer) = target else { return None };
        self.tell_of_downgrade(*peer);
        let contact = self.contacts.get(peer)?;
        let held = self.hold(contact)?;
        let kind = match held {
            Held::Unverified => ErrorKind::Unverified,
            Held::Pinned | Held::Blocked => ErrorKind::NotAllowed,
            Held::Downgrade | Held::KeyChanged => return None,
        };
        let message = format!("nothing can be sent to {}: {}", contact.row.name, self.why(contact, held));
        Some(CommandError::new(kind, message))
    }

    /// To an open room: members that can't be sealed to, that the user has to decide about first, or whose keys nobody has
    /// shown yet, are shown as that and are no recipients, because a relay may name whom it likes. To a closed one all
    /// members, whom members have named: a copy that can't be sealed yet waits, and is seen to.
    fn room_recipients(&self, id: ConversationId) -> Vec<PeerId> {
        let me = self.config.identity.peer_id();
        let able = |peer: &&PeerId| {
            self.contacts.get(peer).is_some_and(|c| c.row.problem.is_none()) && !self.is_shut_out(**peer)
        };
        match self.rooms.get(&id).map(|room| &room.kind) {
            Some(Kind::Open(open)) => open.members.iter().filter(able).copied().collect(),
            Some(Kind::Closed(closed)) => closed.log.members().filter(|&peer| peer != me).collect(),
            None => Vec::new(),
        }
    }

    fn write(
        &mut self,
        id: MessageId,
        send: &Send,
        to: &Target,
        recipients: Option<&[PeerId]>,
    ) -> Result<(), StoreError> {
        let in_room = matches!(to, Target::Room(_));
        let conversation = self.conversation_of(to);
        let alone = recipients.is_some_and(<[PeerId]>::is_empty);
        let state = if alone { DeliveryState::Stored } else { DeliveryState::Queued };
        let position = Some(self.store.next_position(conversation)?);
        self.store.insert_message(&NewMessage {
            id,
            conversation,
            author: self.config.identity.peer_id(),
            mine: true,
            in_room,
            text: &send.text,
            sent_at: self.wall,
            arrived: self.now,
            position,
            gap: false,
            previous: None,
            link: None,
            client_id: send.client_id.as_deref(),
            state: state as u8,
        })?;
        if let Some(room) = self.rooms.get(&conversation).and_then(|room| room.closed()) {
            self.store.put_closed_text(id, &room.log.roster())?;
            // Who gets it knows before it what its author knows.
            self.tell_members(conversation)?;
        }
        let Some(row) = self.store.message(self.config.identity.peer_id(), id)? else { return Ok(()) };
        self.has_written(conversation);
        self.address_to(&row, recipients.unwrap_or_default())?;
        let message = self.message_view(&row)?;
        let delivery = message.delivery.clone();
        self.view_message(message, false)?;
        if let Some(delivery) = delivery {
            self.status_event(id, conversation, delivery);
        }
        Ok(())
    }

    /// Gives each recipient a copy, and the copy its place in the recipient's chain.
    fn address_to(&mut self, row: &MessageRow, recipients: &[PeerId]) -> Result<(), StoreError> {
        for &peer in recipients {
            let previous = self.store.chain(row.conversation, peer, true)?.unwrap_or_default();
            self.store.insert_delivery(row.id, peer, previous, self.now)?;
            let plaintext = self.plaintext_of(row, peer, previous)?;
            self.store.set_chain(row.conversation, peer, true, plaintext.chain_link())?;
            let (message, state, reason) = (row.id, DeliveryState::Queued, None);
            self.seal_delivery(&DeliveryRow { message, peer, state, reason, previous }, &plaintext)?;
        }
        Ok(())
    }

    /// The roster of a room is known now: what was written before goes to whoever is in it.
    pub(super) fn address_waiting(&mut self, conversation: ConversationId) -> Result<(), StoreError> {
        let recipients = self.room_recipients(conversation);
        for row in self.store.unaddressed(conversation)? {
            if let Some(room) = self.rooms.get(&conversation).and_then(|room| room.closed()) {
                self.store.put_closed_text(row.id, &room.log.roster())?;
            }
            self.address_to(&row, &recipients)?;
            if recipients.is_empty() {
                self.store.set_message_state(row.id, DeliveryState::Stored as u8, None)?;
            }
            self.touched.insert(row.id);
        }
        Ok(())
    }

    /// The outbox is counted now and then only: it may grow past its limit by what is written meanwhile.
    /// Rooms, whose rosters others decide about, leave a part of it to direct messages.
    fn has_room_in_outbox(&mut self, target: &Target) -> Result<bool, StoreError> {
        if self.sends_until_count == 0 {
            self.open_deliveries = self.store.count_open_deliveries()?;
            self.sends_until_count = SENDS_BETWEEN_COUNTS;
        }
        let limit = match target {
            Target::Peer(_) => MAX_OPEN_DELIVERIES,
            Target::Room(_) => MAX_OPEN_DELIVERIES / 10 * 9,
        };
        let has_room = self.open_deliveries < limit;
        self.sends_until_count = if has_room { self.sends_until_count - 1 } else { 0 };
        Ok(has_room)
    }

    /// Seals one recipient's copy under a fresh envelope id; without a session, or as long as the user has to decide, it
    /// waits unsealed.
    fn seal_delivery(&mut self, delivery: &DeliveryRow, plaintext: &Plaintext) -> Result<(), StoreError> {
        let peer = delivery.peer;
        match &plaintext.body {
            // Whatever has brought it here: who is no member gets nothing sealed.
            Body::ClosedText(text) if !self.may_read(text.room, peer) => {
                let (failed, reason) = (DeliveryState::Failed, Some(NO_MEMBER));
                self.store.set_delivery_state(delivery.message, peer, failed, reason)?;
                self.store.drop_delivery_envelope(delivery.message, peer)?;
                self.touched.insert(delivery.message);
                return Ok(());
            }
            // It came out of a backup, and who is a member is not known yet: see `rooms/vouched.rs`.
            Body::ClosedText(text) if self.awaits_news(text.room) => return Ok(()),
            // Of a room that is not known here nobody knows whether it was a closed one.
            Body::RoomText(_) if self.room_of(plaintext.conversation).is_none() => return Ok(()),
            _ => {}
        }
        if let Some(held) = self.withheld(peer, &plaintext.body) {
            return self.say_why(delivery, Some(held));
        }
        if let Some((id, session, envelope)) = self.sealed_envelope(peer, plaintext)? {
            self.store.set_delivery_envelope(delivery.message, peer, id, session, &envelope)?;
            self.submission.enqueue(id);
        }
        Ok(())
    }

    fn sealed_envelope(
        &mut self,
        peer: PeerId,
        plaintext: &Plaintext,
    ) -> Result<Option<(EnvelopeId, SessionId, Vec<u8>)>, StoreError> {
        if self.withheld(peer, &plaintext.body).is_some() {
            return Ok(None);
        }
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
        Ok(Some((id, sealed.session, envelope.encode())))
    }

    /// The plaintext of a copy of a message of one's own, the same whenever it is sealed.
    fn plaintext_of(
        &self,
        row: &MessageRow,
        to: PeerId,
        previous: [u8; 16],
    ) -> Result<Plaintext, StoreError> {
        if self.is_closed(row.conversation) {
            return self.closed_plaintext(row, to, previous);
        }
        let text = row.text.clone();
        Ok(Plaintext {
            context: None,
            conversation: row.conversation,
            message: row.id,
            sent_at: row.sent_at,
            previous,
            body: if row.in_room { Body::RoomText(text) } else { Body::Text(text) },
        })
    }

    /// Seals what waited for a session with this peer.
    pub(super) fn seal_waiting(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.tell_rooms(peer)?;
        let waiting = self.store.unsealed_deliveries(peer)?;
        self.seal_rows(waiting)
    }

    /// The peer lost its session: everything it has not confirmed is sealed under the new one, in order.
    pub(super) fn seal_anew(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.retell_rooms(peer)?;
        // Sealing may begin a session, so what the present one has sealed is no longer of use.
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        let open = self.store.open_deliveries_of_others(peer, sending.unwrap_or_default())?;
        self.seal_rows(open)
    }

    fn seal_rows(&mut self, rows: Vec<DeliveryRow>) -> Result<(), StoreError> {
        for delivery in rows {
            if let Some(row) = self.store.message(self.config.identity.peer_id(), delivery.message)? {
                let plaintext = self.plaintext_of(&row, delivery.peer, delivery.previous)?;
                self.seal_delivery(&delivery, &plaintext)?;
            }
        }
        Ok(())
    }

    pub(super) fn seal_all_waiting(&mut self) -> Result<(), StoreError> {
        self.tell_all_rooms()?;
        for peer in self.store.peers_with_unsealed()? {
            self.seal_waiting(peer)?;
        }
        Ok(())
    }

    /// Seals a control frame and keeps it until the relay has stored it. `false`: it can't be sealed now, and is not sent.
    pub(super) fn send_control(
        &mut self,
        peer: PeerId,
        conversation: ConversationId,
        body: Body,
    ) -> Result<bool, StoreError> {
        let Ok(message) = self.new_id() else { return Ok(false) };
        let message = MessageId(message);
        let plaintext =
            Plaintext { context: None, conversation, message, sent_at: self.wall, previous: [0; 16], body };
        let Some((id, _, envelope)) = self.sealed_envelope(peer, &plaintext)? else { return Ok(false) };
        self.store.insert_control(id, peer, &envelope, self.now)?;
        self.submission.enqueue(id);
        Ok(true)
    }

    /// The receipts owed by this turn, in the same commit as what they confirm.
    pub(super) fn send_receipts(&mut self) -> Result<(), StoreError> {
        for (peer, messages) in std::mem::take(&mut self.receipts) {
            self.send_receipt(peer, ReceiptKind::Delivered, &Vec::from_iter(messages))?;
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
        let told = by_author.into_iter().filter(|_| self.config.rules.read_receipts);
        for (author, messages) in told.collect::<Vec<_>>() {
            self.send_receipt(author, ReceiptKind::Read, &messages)?;
        }
        self.conversation_read(conversation)
    }

    /// `msg.retry`
    pub(super) fn retry(&mut self, id: MessageId) -> Answer<()> {
        let Some(row) = self.store.message(self.config.identity.peer_id(), id)? else {
            return Ok(Err(CommandError::new(ErrorKind::NotFound, "there is no such message of yours")));
        };
        let mut failed = self.store.deliveries_of(id)?;
        failed.retain(|delivery| delivery.state == DeliveryState::Failed);
        let unaddressed = failed.is_empty() && row.state == DeliveryState::Failed as u8;
        let (failed, gone): (Vec<DeliveryRow>, Vec<DeliveryRow>) =
            failed.into_iter().partition(|copy| self.may_still_get(&row, copy.peer));
        if row.in_room
            && (unaddressed || !(failed.is_empty() && gone.is_empty()))
            && let Some(error) = self.no_retry(&row, failed.is_empty() && !gone.is_empty())
        {
            return Ok(Err(error));
        }
        for copy in gone {
            self.store.remove_delivery(id, copy.peer)?;
        }
        if unaddressed {
            self.store.set_message_state(id, DeliveryState::Queued as u8, None)?;
            let room = self.room_of(row.conversation);
            if room.is_some_and(|room| self.is_announced(row.conversation, room)) {
                self.address_waiting(row.conversation)?;
            }
        } else if failed.is_empty() {
            return Ok(Err(CommandError::new(ErrorKind::NotAllowed, "that message has not failed")));
        }
        for delivery in failed {
            self.store.revive_delivery(id, delivery.peer, self.now)?;
            let revived = DeliveryRow { state: DeliveryState::Queued, reason: None, ..delivery };
            let plaintext = self.plaintext_of(&row, revived.peer, revived.previous)?;
            self.seal_delivery(&revived, &plaintext)?;
        }
        self.touched.insert(id);
        Ok(Ok(()))
    }

    /// Who is no longer a member of a closed room gets nothing any more, also of what it was meant to get.
    fn may_still_get(&self, row: &MessageRow, peer: PeerId) -> bool {
        !self.is_closed(row.conversation) || self.may_read(row.conversation, peer)
    }

    fn no_retry(&self, row: &MessageRow, all_gone: bool) -> Option<CommandError> {
        let name = self.conversation_name(row.conversation);
        let is_in = self.room_of(row.conversation).is_some_and(|room| room.joined);
        let message = match (is_in, all_gone) {
            (false, _) => format!("you are not in {name}"),
            (true, true) => format!("whom it did not reach is no longer in {name}"),
            (true, false) => return None,
        };
        Some(CommandError::new(ErrorKind::NotAllowed, message))
    }

    /// What has not arrived in its time has failed, visibly.
    pub(super) fn expire(&mut self, then: Timestamp) -> Result<(), StoreError> {
        for delivery in self.store.expired_deliveries(then)? {
            let reason = Some("not delivered within 30 days");
            self.store.set_delivery_state(delivery.message, delivery.peer, DeliveryState::Failed, reason)?;
            self.touched.insert(delivery.message);
        }
        for message in self.store.unaddressed_since(then)? {
            let row = self.store.message(self.config.identity.peer_id(), message)?;
            let reason = match row.is_some_and(|row| self.is_closed(row.conversation)) {
                true => "nobody in the room was heard from within 30 days",
                false => "no relay within 30 days",
            };
            self.store.set_message_state(message, DeliveryState::Failed as u8, Some(reason))?;
            self.touched.insert(message);
        }
        Ok(())
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
