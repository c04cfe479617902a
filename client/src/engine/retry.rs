//! What did not arrive in its time has failed, and is sent again if the user wishes it.

use chat_core::api::{CommandError, ErrorKind};
use chat_core::ids::{MessageId, PeerId, Timestamp};

use super::Engine;
use super::answer::Answer;
use crate::store::{DeliveryRow, DeliveryState, MessageRow, StoreError};

impl Engine {
    /// `msg.retry`
    pub(super) fn retry(&mut self, id: MessageId) -> Answer<()> {
        let Some(row) = self.store.message(self.config.identity.peer_id(), id)? else {
            return Err(CommandError::new(ErrorKind::NotFound, "there is no such message of yours").into());
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
            return Err(error.into());
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
            return Err(CommandError::new(ErrorKind::NotAllowed, "that message has not failed").into());
        }
        for delivery in failed {
            self.store.revive_delivery(id, delivery.peer, self.now)?;
            self.seal_waiting(delivery.peer)?;
        }
        self.touched.insert(id);
        Ok(())
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
