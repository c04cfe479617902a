//! History as a whole: searched, deleted, and kept for as long as the profile says.

use chat_core::api::command::{Delete, DeleteAll, Search};
use chat_core::api::event::MessageDeleted;
use chat_core::api::{CommandError, ErrorKind, Event, Reply};
use chat_core::ids::{ConversationId, MessageId, PeerId, Timestamp};
use chat_core::profile::Retention;
use std::collections::BTreeMap;

use super::answer::Answer;
use super::inbound::MEMORY_MS;
use super::{DAY_MS, Engine};
use crate::search::{Found, Query};
use crate::store::StoreError;

/// Messages given by `msg.search` if no number is asked for.
const DEFAULT_FOUND: u32 = 50;
/// And at most.
const MAX_FOUND: u32 = 1_000;
/// Messages read into the index at a tick, so that a search finds it whole.
const INDEXED_AT_ONCE: u32 = 5_000;
/// Messages that age ends at once.
const ENDED_AT_ONCE: u32 = 2_000;

/// Most messages that one event says are gone.
const TOLD_AT_ONCE: usize = 1_000;

fn refuse(kind: ErrorKind, message: &str) -> Answer<Reply> {
    Err(CommandError::new(kind, message).into())
}

impl Engine {
    /// Reads what came into the store since; whether there may be more.
    pub(super) fn read_into_index(&mut self) -> Result<bool, StoreError> {
        let index = &mut self.index;
        let came = self.store.each_said_after(index.up_to, INDEXED_AT_ONCE, |said| {
            let found = Found { author: said.author, id: said.id, conversation: said.conversation };
            index.add(said.row, found, said.text);
        })?;
        Ok(came == INDEXED_AT_ONCE)
    }

    /// `msg.search`
    pub(super) fn search(&mut self, search: &Search) -> Answer<Reply> {
        let Some(query) = Query::new(&search.query) else {
            return refuse(ErrorKind::BadParams, "query: there is no word in it to look for");
        };
        let within = search.with.as_ref().map(|with| self.target(with)).transpose()?;
        let within = within.map(|target| self.conversation_of(&target));
        while self.read_into_index()? {}
        let limit = search.limit.unwrap_or(DEFAULT_FOUND).min(MAX_FOUND) as usize;
        let mut messages = Vec::new();
        for found in self.index.search(&query) {
            if within.is_some_and(|within| within != found.conversation) {
                continue;
            }
            // What is held back is not shown here either.
            let row = self.store.message(found.author, found.id)?;
            let Some(row) = row.filter(|row| row.position != i64::MAX) else { continue };
            if messages.len() == limit {
                return Ok(Reply::Found { messages, has_more: true });
            }
            messages.push(self.message_view(&row)?);
        }
        Ok(Reply::Found { messages, has_more: false })
    }

    /// `msg.delete`
    pub(super) fn delete(&mut self, delete: &Delete) -> Answer<Reply> {
        let shown = self.store.shown_under(delete.id)?;
        if shown.is_empty() {
            return refuse(ErrorKind::NotFound, "there is no such message in history");
        }
        let all = shown.into_iter().map(|(author, conversation)| (author, delete.id, conversation));
        self.erase(all.collect())?;
        Ok(Reply::Done {})
    }

    /// `msg.delete_all`
    pub(super) fn delete_all(&mut self, delete: &DeleteAll) -> Answer<Reply> {
        let conversation = self.conversation_of(&self.target(&delete.with)?);
        let all = self.store.all_in(conversation)?;
        self.erase(all.into_iter().map(|(author, id)| (author, id, conversation)).collect())?;
        Ok(Reply::Done {})
    }

    /// Erases messages, and shows that they are gone.
    fn erase(&mut self, all: Vec<(PeerId, MessageId, ConversationId)>) -> Result<(), StoreError> {
        let mut gone: BTreeMap<ConversationId, Vec<MessageId>> = BTreeMap::new();
        for (author, id, conversation) in all {
            self.store.erase_message(author, id, self.now)?;
            self.touched.remove(&id);
            gone.entry(conversation).or_default().push(id);
        }
        // It holds what they said.
        self.index = crate::search::Index::default();
        for (conversation, ids) in gone {
            self.refresh_history(conversation)?;
            self.conversation_read(conversation)?;
            for ids in ids.chunks(TOLD_AT_ONCE) {
                let (address, ids) = (self.address_of(conversation), ids.to_vec());
                self.out.events.push(Event::MessageDeleted(MessageDeleted { address, conversation, ids }));
            }
        }
        Ok(())
    }

    /// Ends what is older than the profile keeps; whether there may be more.
    pub(super) fn end_history(&mut self) -> Result<bool, StoreError> {
        let then = match self.config.history {
            Retention::Days(days) => self.now.0.saturating_sub(u64::from(days) * DAY_MS),
            // What came in earlier runs, and in one that goes on and on the day before.
            Retention::Off => self.began.0.max(self.now.0.saturating_sub(DAY_MS)),
            _ => return Ok(false),
        };
        let over = self.store.over_before(Timestamp(then), ENDED_AT_ONCE)?;
        let more = over.len() == ENDED_AT_ONCE as usize;
        if !over.is_empty() {
            self.erase(over)?;
        }
        Ok(more)
    }

    /// The run ends in good order: if the profile keeps no history, nothing of it stays that has no way before it. A turn
    /// of its own; nothing else may follow.
    pub(crate) fn end_run(&mut self) {
        if self.config.history != Retention::Off {
            return;
        }
        while match self.erase_run() {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(%error, "what was said in this run is left behind; the next start erases it");
                self.roll_back();
                false
            }
        } {}
    }

    fn erase_run(&mut self) -> Result<bool, StoreError> {
        self.store.begin()?;
        let over = self.store.over_before(Timestamp(u64::MAX), ENDED_AT_ONCE)?;
        for (author, id, _) in &over {
            self.store.erase_message(*author, *id, self.now)?;
        }
        self.store.commit()?;
        Ok(over.len() == ENDED_AT_ONCE as usize)
    }

    /// What was deleted need not be known any more once no peer sends it again.
    pub(super) fn forget_deleted(&mut self) -> Result<(), StoreError> {
        self.store.forget_deleted_before(Timestamp(self.now.0.saturating_sub(MEMORY_MS)))
    }
}
