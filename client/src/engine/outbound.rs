//! What one writes: one commit writes the message, and a copy for each recipient with its place in their chain. What is
//! sealed of it is in a commit before it leaves: see `sealing`.

use chat_core::api::command::Send;
use chat_core::api::snapshot::Held;
use chat_core::api::{CommandError, ErrorKind};
use chat_core::ids::{ConversationId, MessageId, PeerId};
use chat_core::nick::MAX_TEXT_BYTES;
use chat_core::room::RoomAddress;
use chat_core::wire::{Body, Plaintext};

use super::Engine;
use super::answer::Answer;
use super::commands::{Target, not_found};
use super::rooms::{Kind, Room};
use crate::store::{DeliveryRow, DeliveryState, MessageRow, NewMessage, StoreError};

/// Most copies that may be on their way at once.
const MAX_OPEN_DELIVERIES: u64 = 100_000;
const SENDS_BETWEEN_COUNTS: u32 = 1_000;
/// Longest name a caller may give a message.
const MAX_CLIENT_ID_BYTES: usize = 128;
/// Most others whom a message in a room goes to: each gets a copy of its own. As many as a closed room can have, four times.
pub(super) const MAX_RECIPIENTS: usize = 1_024;

impl Engine {
    pub(super) fn new_id(&mut self) -> Result<[u8; 16], CommandError> {
        let id = self.entropy.bytes::<16>();
        id.map_err(|e| CommandError::new(ErrorKind::NotAllowed, format!("nothing was sent: {e}")))
    }

    /// `msg.send`
    pub(super) fn send(&mut self, send: &Send) -> Answer<MessageId> {
        check_text(send)?;
        if let Some(client_id) = &send.client_id
            && let Some(id) = self.store.message_by_client_id(client_id)?
        {
            return Ok(id);
        }
        let target = self.target(&send.to)?;
        if let Some(error) = self.refusal(&target) {
            return Err(error.into());
        }
        let recipients = self.recipients(&target)?;
        if !self.has_room_in_outbox(&target)? {
            let message =
                format!("{MAX_OPEN_DELIVERIES} messages wait already; wait until some are delivered");
            return Err(CommandError::new(ErrorKind::TooLarge, message).into());
        }
        let id = MessageId(self.new_id()?);
        self.write(id, send, &target, recipients.as_deref())?;
        Ok(id)
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
                let Some(room) = self.rooms.get(id) else {
                    return Err(not_found("there is no such conversation"));
                };
                if !room.joined {
                    return Err(self.no_room(&room.address));
                }
                if !self.is_announced(*id, room) {
                    return Ok(None);
                }
                let recipients = self.room_recipients(*id);
                match self.too_many(&recipients, &room.address) {
                    Some(message) => Err(CommandError::new(ErrorKind::TooLarge, message)),
                    None => Ok(Some(recipients)),
                }
            }
        }
    }

    /// Why a message does not go to a whole room, if so. To a part of it, nobody could tell to whom.
    fn too_many(&self, recipients: &[PeerId], room: &RoomAddress) -> Option<String> {
        (recipients.len() > MAX_RECIPIENTS).then(|| {
            format!(
                "{room} has {} others in it, as the relay says, and a message goes to {MAX_RECIPIENTS} at most: each gets a \
                 copy of its own. /create makes a room for those whom you mean",
                recipients.len()
            )
        })
    }

    /// Whether it is known who is in a room: by the relay of this link, or, of a closed one, by those who are.
    pub(super) fn is_announced(&self, id: ConversationId, room: &Room) -> bool {
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
            if recipients.is_none() {
                // Who they are is known when they have answered.
                self.tell_members(conversation)?;
            }
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

    /// Gives each recipient a copy, and the copy its place in the recipient's chain: all in one commit, so that it stays who
    /// gets it, though they may be sealed in later ones.
    fn address_to(&mut self, row: &MessageRow, recipients: &[PeerId]) -> Result<(), StoreError> {
        for &peer in recipients {
            let previous = self.store.chain(row.conversation, peer, true)?.unwrap_or_default();
            self.store.insert_delivery(row.id, peer, previous, self.now)?;
            let plaintext = self.plaintext_of(row, peer, previous)?;
            self.store.set_chain(row.conversation, peer, true, plaintext.chain_link())?;
            let (message, state, reason) = (row.id, DeliveryState::Queued, None);
            self.seal_new(&DeliveryRow { message, peer, state, reason, previous }, &plaintext)?;
        }
        let copies = u32::try_from(recipients.len()).unwrap_or(u32::MAX);
        self.sends_until_count = self.sends_until_count.saturating_sub(copies);
        Ok(())
    }

    /// The roster of a room is known now: what was written before goes to whoever is in it.
    pub(super) fn address_waiting(&mut self, conversation: ConversationId) -> Result<(), StoreError> {
        let recipients = self.room_recipients(conversation);
        let address = self.room_of(conversation).map(|room| room.address.clone());
        if let Some(reason) = address.and_then(|address| self.too_many(&recipients, &address)) {
            for row in self.store.unaddressed(conversation)? {
                self.store.set_message_state(row.id, DeliveryState::Failed as u8, Some(&reason))?;
                self.touched.insert(row.id);
            }
            return Ok(());
        }
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

    /// The plaintext of a copy of a message of one's own, the same whenever it is sealed.
    pub(super) fn plaintext_of(
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
