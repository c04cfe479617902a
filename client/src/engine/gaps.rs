//! Order per sender and conversation. Every message names the one before it; one that comes too early is
//! held for a while, then shown after a visible gap, and a late one takes its place.

use chat_core::api::Event;
use chat_core::api::event::{MessageGap, MessageNew};
use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};

use super::Engine;
use crate::store::{HeldMessage, NewMessage, StoreError};

/// How long a message is held for the one before it.
const HOLD_MS: u64 = 30_000;
/// What a sender's first message in a chain names as the one before it.
const BEGINNING: [u8; 16] = [0; 16];
/// Longest row of held messages that is walked back to its beginning.
const MAX_WALK: usize = 10_000;

impl Engine {
    /// Puts a peer's message where it belongs, or holds it. Either way it is in the store afterwards.
    pub(super) fn place(&mut self, new: &NewMessage<'_>) -> Result<(), StoreError> {
        let (conversation, author) = (new.conversation, new.author);
        let previous = new.previous.unwrap_or(BEGINNING);
        let link = new.link.unwrap_or(BEGINNING);
        let last = self.store.chain(conversation, author, false)?;
        if last == Some(previous) || last.is_none() && previous == BEGINNING {
            let position = self.store.next_position(conversation)?;
            self.store.insert_message(&NewMessage { position: Some(position), ..*new })?;
            self.store.set_chain(conversation, author, false, link)?;
            self.shown(author, new.id, conversation, false)?;
            return self.release_followers(conversation, author, link, None);
        }
        match self.late_place(conversation, author, previous, link)? {
            Some(Late { position, gap }) => {
                self.store.insert_message(&NewMessage { position: Some(position), gap, ..*new })?;
                self.shown(author, new.id, conversation, true)?;
                let mut held = HeldMessage { id: new.id, conversation, author, previous, link };
                self.release_followers(conversation, author, link, Some(position))?;
                // What was held because this one was missing after it belongs in front of it.
                while let Some(before) = self.store.held_with(conversation, author, held.previous)? {
                    let Some(row) = self.store.message(author, held.id)? else { break };
                    let position = self.store.position_before(conversation, row.position)?;
                    self.fill_gap(conversation, author, held.id)?;
                    self.store.show_message(author, before.id, position, true)?;
                    self.shown(author, before.id, conversation, true)?;
                    held = before;
                }
                Ok(())
            }
            // The sender's chain begins anew, or goes on from an older place: it has lost its store, or has an old copy of
            // it back. What it says now is said now.
            None if previous == BEGINNING
                || self.store.shown_with(conversation, author, previous)?.is_some() =>
            {
                let position = self.store.next_position(conversation)?;
                let gap = previous != BEGINNING;
                self.store.insert_message(&NewMessage { position: Some(position), gap, ..*new })?;
                self.store.set_chain(conversation, author, false, link)?;
                self.shown(author, new.id, conversation, false)?;
                self.release_followers(conversation, author, link, None)
            }
            None => self.store.insert_message(new),
        }
    }

    /// The place of a message that comes after ones that were said later, if one of its neighbours is shown.
    fn late_place(
        &mut self,
        conversation: ConversationId,
        author: PeerId,
        previous: [u8; 16],
        link: [u8; 16],
    ) -> Result<Option<Late>, StoreError> {
        let before = self.store.shown_with(conversation, author, previous)?;
        let gap = previous != BEGINNING && before.is_none();
        if let Some(after) = self.store.shown_after_gap(conversation, author, link)? {
            self.fill_gap(conversation, author, after.id)?;
            let position = self.store.position_before(conversation, after.position)?;
            return Ok(Some(Late { position, gap }));
        }
        if self.store.has_successor(conversation, author, previous)? {
            return Ok(None);
        }
        if let Some(before) = before {
            let position = self.store.position_after(conversation, before)?;
            return Ok(Some(Late { position, gap }));
        }
        if previous == BEGINNING
            && let Some(first) = self.store.first_after_gap(conversation, author)?
        {
            let position = self.store.position_before(conversation, first.position)?;
            return Ok(Some(Late { position, gap }));
        }
        Ok(None)
    }

    /// Shows what was held only because of the message with this link: at the end, or after a late message's place.
    fn release_followers(
        &mut self,
        conversation: ConversationId,
        author: PeerId,
        mut link: [u8; 16],
        mut after: Option<i64>,
    ) -> Result<(), StoreError> {
        while let Some(next) = self.store.held_after(conversation, author, link)? {
            link = next.link;
            match &mut after {
                None => self.release(&next, false)?,
                Some(place) => {
                    *place = self.store.position_after(conversation, *place)?;
                    self.store.show_message(author, next.id, *place, false)?;
                    self.shown(author, next.id, conversation, true)?;
                }
            }
        }
        // A late row may reach up to the message that was shown after the gap.
        if after.is_some()
            && let Some(end) = self.store.shown_after_gap(conversation, author, link)?
        {
            self.fill_gap(conversation, author, end.id)?;
            self.refresh_history(conversation)?;
        }
        Ok(())
    }

    /// Shows a held message at the end.
    fn release(&mut self, held: &HeldMessage, gap: bool) -> Result<(), StoreError> {
        let position = self.store.next_position(held.conversation)?;
        self.store.show_message(held.author, held.id, position, gap)?;
        self.store.set_chain(held.conversation, held.author, false, held.link)?;
        if gap {
            self.tell_gap(held.conversation, held.author, held.id, false);
        }
        self.shown(held.author, held.id, held.conversation, false)
    }

    /// Nothing is missing before this message any more.
    fn fill_gap(
        &mut self,
        conversation: ConversationId,
        author: PeerId,
        before: MessageId,
    ) -> Result<(), StoreError> {
        self.store.set_gap(author, before, false)?;
        self.tell_gap(conversation, author, before, true);
        Ok(())
    }

    fn tell_gap(&mut self, conversation: ConversationId, author: PeerId, before: MessageId, filled: bool) {
        let (address, from) = (self.address_of(conversation), self.author(author));
        let gap = MessageGap { address, conversation, from, before, filled };
        self.out.events.push(Event::MessageGap(gap));
    }

    /// Shows what has been held long enough, with its gap.
    pub(super) fn release_overdue(&mut self) -> Result<(), StoreError> {
        let overdue = Timestamp(self.now.0.saturating_sub(HOLD_MS));
        // What is held from the future was held when the clock was ahead.
        let ahead = self.now.plus_ms(HOLD_MS);
        while let Some(mut first) = self.store.oldest_held(overdue, ahead)? {
            for _ in 0..MAX_WALK {
                match self.store.held_with(first.conversation, first.author, first.previous)? {
                    Some(before) => first = before,
                    None => break,
                }
            }
            self.release(&first, true)?;
            self.release_followers(first.conversation, first.author, first.link, None)?;
        }
        Ok(())
    }

    /// A message has entered the visible history.
    fn shown(
        &mut self,
        author: PeerId,
        id: MessageId,
        conversation: ConversationId,
        late: bool,
    ) -> Result<(), StoreError> {
        let Some(row) = self.store.message(author, id)? else { return Ok(()) };
        let message = self.message_view(&row)?;
        self.view_message(message.clone(), late)?;
        let conversation_name = self.conversation_name(conversation);
        self.out.events.push(Event::MessageNew(MessageNew { message, conversation_name, late }));
        Ok(())
    }
}

/// Where a late message goes.
struct Late {
    position: i64,
    /// Something before it is still missing.
    gap: bool,
}
