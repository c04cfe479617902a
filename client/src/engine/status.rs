//! How far a message of one's own has come, as it is shown.

use chat_core::api::event::MessageStatus;
use chat_core::api::snapshot::{Counts, Delivery};
use chat_core::api::{Event, MessageState};
use chat_core::ids::{ConversationId, MessageId};

use super::Engine;
use crate::store::{DeliveryState, MessageRow, StoreError};

impl Engine {
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
        // Without recipients: not addressed yet, or nobody is (or was left) in the room, which the row tells.
        let least = copies.iter().map(|copy| copy.state).min().unwrap_or_else(|| match row.state {
            0 => DeliveryState::Queued,
            other => DeliveryState::from_number(other).max(DeliveryState::Stored),
        });
        let state = if failed.is_some() { DeliveryState::Failed } else { least };
        let reason =
            failed.or(copies.iter().find(|copy| copy.reason.is_some())).and_then(|c| c.reason.clone());
        Ok(Delivery { state: public_state(state), reason, counts })
    }

    pub(super) fn status_event(&mut self, id: MessageId, conversation: ConversationId, delivery: Delivery) {
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
