//! Copies are sealed, each for its recipient. A message to many, and whatever else begins many sessions at once, is sealed
//! in slices, one in a turn: what waits is in the store, as copies without envelope, and here is only whose turn it is.
//! What follows a slice is the relay's answer to it, or the next tick.

use std::collections::{BTreeMap, VecDeque};

use chat_core::ids::{ConversationId, EnvelopeId, MessageId, PeerId, SessionId};
use chat_core::wire::{Body, Envelope, Plaintext, Recipient};

use super::Engine;
use crate::store::{DeliveryRow, DeliveryState, StoreError};

/// What may be done in one turn: so many copies, or words about rooms, are sealed. Answers to what others say come on top.
const WORK_A_TURN: usize = 512;
/// To begin a session costs as much as so many copies.
const WORK_OF_A_SESSION: usize = 8;
/// Copies read from the store at a time.
const READ_AT_ONCE: usize = 64;

/// Why a copy is sealed no more.
const NO_MEMBER: &str = "it is no longer a member of the room";

/// Peers for whom something waits to be sealed, in the order in which it is done.
#[derive(Default)]
pub(crate) struct Backlog {
    line: VecDeque<PeerId>,
    /// Of each of them, up to which place in the outbox its copies were looked at.
    places: BTreeMap<PeerId, i64>,
    /// What was done in this turn.
    done: usize,
}

impl Backlog {
    pub(super) fn begin_turn(&mut self) {
        self.done = 0;
    }

    /// Something was sealed that is as much work as so many copies.
    pub(super) fn has_done(&mut self, work: usize) {
        self.done += work;
    }

    /// A session was begun.
    pub(super) fn has_begun_session(&mut self) {
        self.done += WORK_OF_A_SESSION;
    }

    fn is_spent(&self) -> bool {
        self.done >= WORK_A_TURN
    }

    /// A peer stands in line, with its copies behind a place. Whoever stands there keeps his turn.
    fn push(&mut self, peer: PeerId, behind: i64) {
        match self.places.get_mut(&peer) {
            Some(place) => *place = behind.min(*place),
            None => {
                self.places.insert(peer, behind);
                self.line.push_back(peer);
            }
        }
    }

    fn pop(&mut self) -> Option<(PeerId, i64)> {
        let peer = self.line.pop_front()?;
        Some((peer, self.places.remove(&peer).unwrap_or_default()))
    }
}

impl Engine {
    /// A new copy is sealed: now, or when it is the recipient's turn.
    pub(super) fn seal_new(
        &mut self,
        delivery: &DeliveryRow,
        plaintext: &Plaintext,
    ) -> Result<(), StoreError> {
        if self.waits_in_line(delivery.peer) {
            return Ok(());
        }
        if let Body::ClosedText(text) = &plaintext.body {
            // Who gets it knows before it what its author knows.
            self.tell_room(text.room, delivery.peer)?;
        }
        self.backlog.done += 1;
        self.seal_delivery(delivery, plaintext)
    }

    /// Whether a peer has to wait for its turn; it stands in line then.
    pub(super) fn waits_in_line(&mut self, peer: PeerId) -> bool {
        let stands = self.backlog.places.contains_key(&peer);
        let waits = stands || self.backlog.is_spent();
        if waits && !stands {
            self.backlog.push(peer, 0);
        }
        waits
    }

    /// Seals what waited for a session with this peer: what a turn may, the rest in its turn.
    pub(super) fn seal_waiting(&mut self, peer: PeerId) -> Result<(), StoreError> {
        if self.waits_in_line(peer) {
            self.backlog.push(peer, 0);
            return Ok(());
        }
        self.seal_behind(peer, 0)
    }

    pub(super) fn seal_all_waiting(&mut self) -> Result<(), StoreError> {
        self.tell_all_rooms()?;
        for peer in self.store.peers_with_unsealed()? {
            self.seal_waiting(peer)?;
        }
        Ok(())
    }

    /// Everybody for whom a copy waits stands in line again.
    pub(super) fn line_up(&mut self) -> Result<(), StoreError> {
        self.backlog = Backlog::default();
        for peer in self.store.peers_with_unsealed()? {
            self.backlog.push(peer, 0);
        }
        Ok(())
    }

    /// Goes on with those who wait, as far as this turn may.
    pub(super) fn seal_slice(&mut self) -> Result<(), StoreError> {
        while !self.backlog.is_spent()
            && let Some((peer, behind)) = self.backlog.pop()
        {
            self.seal_behind(peer, behind)?;
        }
        Ok(())
    }

    fn seal_behind(&mut self, peer: PeerId, behind: i64) -> Result<(), StoreError> {
        let mut behind = behind;
        self.tell_rooms(peer)?;
        while !self.backlog.is_spent() {
            let waiting = self.store.unsealed_deliveries(peer, behind, READ_AT_ONCE)?;
            if waiting.is_empty() {
                return Ok(());
            }
            for (place, delivery) in waiting {
                if self.backlog.is_spent() {
                    break;
                }
                self.backlog.done += 1;
                self.seal_row(&delivery)?;
                behind = place;
            }
        }
        self.backlog.push(peer, behind);
        Ok(())
    }

    /// The peer lost its session: everything it has not confirmed is sealed under the new one, in order.
    pub(super) fn seal_anew(&mut self, peer: PeerId) -> Result<(), StoreError> {
        self.retell_rooms(peer)?;
        // Sealing may begin a session, so what the present one has sealed is no longer of use.
        let sending = self.contacts.get(&peer).and_then(|contact| contact.row.sending);
        let open = self.store.open_deliveries_of_others(peer, sending.unwrap_or_default())?;
        open.iter().try_for_each(|delivery| self.seal_row(delivery))
    }

    fn seal_row(&mut self, delivery: &DeliveryRow) -> Result<(), StoreError> {
        let Some(row) = self.store.message(self.config.identity.peer_id(), delivery.message)? else {
            return Ok(());
        };
        let plaintext = self.plaintext_of(&row, delivery.peer, delivery.previous)?;
        self.seal_delivery(delivery, &plaintext)
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
}
