//! How far a message of one's own has come, as it is shown.

use chat_core::api::event::MessageStatus;
use chat_core::api::snapshot::{Counts, Delivery};
use chat_core::api::{Event, MessageState};
use chat_core::ids::{ConversationId, MessageId};

use super::Engine;
use crate::store::{DeliveryState, MessageRow, Progress, StoreError};

impl Engine {
    /// The state a message shows: what all its recipients have reached.
    pub(super) fn delivery_of(&self, row: &MessageRow) -> Result<Delivery, StoreError> {
        let (state, reason, counts) = self.progress(row)?;
        Ok(Delivery { state: public_state(state), reason, counts })
    }

    fn progress(
        &self,
        row: &MessageRow,
    ) -> Result<(DeliveryState, Option<String>, Option<Counts>), StoreError> {
        let progress = self.store.progress_of(row.id)?;
        let Progress { of, stored, delivered, read, least, failed, reason } = progress;
        let counts = row.in_room.then_some(Counts { stored, delivered, read, of });
        let state = match least {
            _ if failed => DeliveryState::Failed,
            Some(least) => least,
            // Without recipients: not addressed yet, which in a closed room is done at once unless its members are in doubt,
            // given up, or nobody is (or was left) in the room.
            None => match DeliveryState::from_number(row.state) {
                DeliveryState::Queued if self.is_addressed_later(row.conversation) => DeliveryState::Queued,
                other => other.max(DeliveryState::Stored),
            },
        };
        let reason = if least.is_none() { row.reason.clone() } else { reason };
        Ok((state, reason, counts))
    }

    fn is_addressed_later(&self, conversation: ConversationId) -> bool {
        !self.is_closed(conversation) || self.awaits_news(conversation)
    }

    pub(super) fn status_event(&mut self, id: MessageId, conversation: ConversationId, delivery: Delivery) {
        let Delivery { state, reason, counts } = delivery;
        let address = self.address_of(conversation);
        let status = MessageStatus { id, address, conversation, state, reason, counts };
        self.out.events.push(Event::MessageStatus(status));
    }

    /// Says, once at the end of a turn, how far the messages have come that something happened to.
    pub(super) fn tell_states(&mut self) -> Result<(), StoreError> {
        for id in std::mem::take(&mut self.touched) {
            let me = self.config.identity.peer_id();
            if let Some(row) = self.store.message(me, id)? {
                self.tell_state(&row)?;
            }
        }
        Ok(())
    }

    fn tell_state(&mut self, row: &MessageRow) -> Result<(), StoreError> {
        let (state, reason, counts) = self.progress(row)?;
        let moved = row.state != state as u8 || row.reason != reason;
        if moved {
            self.store.set_message_state(row.id, state as u8, reason.as_deref())?;
        }
        let before = DeliveryState::from_number(row.state);
        // Each step is told, also those that one turn has made at once.
        for step in [DeliveryState::Sent, DeliveryState::Stored, DeliveryState::Delivered] {
            if before < step && step < state && state != DeliveryState::Failed {
                let delivery = Delivery { state: public_state(step), reason: None, counts };
                self.status_event(row.id, row.conversation, delivery);
            }
        }
        let delivery = Delivery { state: public_state(state), reason, counts };
        if self.view_status(row.conversation, row.id, &delivery) || moved {
            self.status_event(row.id, row.conversation, delivery);
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
