//! Following the engine's events: what is told to the other side, and what of one's own is still unsent.

use std::collections::HashSet;
use std::sync::Arc;

use chat_core::MessageId;
use chat_core::api::handle::KEPT_EVENTS;
use chat_core::api::{ClientHandle, Event, EventId, EventReader, MessageState, Numbered, Snapshot};
use chat_core::frontend::Lagged;

use crate::protocol::Lag;

/// How often to look for the oldest known event while new ones push it out.
const ATTEMPTS: usize = 3;

/// What the feed has next.
#[derive(Debug)]
pub(crate) enum News {
    /// An event.
    Event(Arc<Numbered>),
    /// Events are missing before the next one.
    Lag(Lag),
    /// The engine has stopped; there is nothing more.
    Stopped,
}

/// Events in order, with the place reached.
pub(crate) struct Feed {
    reader: EventReader,
    /// The last event that was taken.
    at: EventId,
    /// How many were gone before this feed began.
    missed: u64,
    stopped: bool,
}

impl Feed {
    /// Everything of this run of the engine that is still known, which is all of it unless thousands of
    /// events came before.
    pub(crate) fn from_start(client: &ClientHandle) -> Self {
        for _ in 0..ATTEMPTS {
            let newest = client.snapshot().event;
            let start = EventId { n: newest.n.saturating_sub(KEPT_EVENTS as u64), ..newest };
            if let Some(feed) = Self::after(client, start) {
                return Self { missed: start.n, ..feed };
            }
        }
        Self::from_now(client)
    }

    /// What happens from now on.
    pub(crate) fn from_now(client: &ClientHandle) -> Self {
        let at = client.snapshot().event;
        // Only if thousands of events came in between is the snapshot's already forgotten.
        Self::after(client, at).unwrap_or_else(|| Self {
            reader: client.events(),
            at,
            missed: 0,
            stopped: false,
        })
    }

    /// What came after `since`, or `None` if that is not known any more.
    pub(crate) fn after(client: &ClientHandle, since: EventId) -> Option<Self> {
        let reader = client.events_since(since)?;
        Some(Self { reader, at: since, missed: 0, stopped: false })
    }

    /// Whether nothing more will come.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// What is there now.
    pub(crate) fn try_next(&mut self) -> Option<News> {
        if self.missed > 0 {
            return Some(News::Lag(Lag { dropped: std::mem::take(&mut self.missed), event: self.at }));
        }
        if self.stopped {
            return None;
        }
        let found = self.reader.try_next()?;
        Some(self.took(found))
    }

    /// The next news. Cancel safe.
    pub(crate) async fn next(&mut self) -> News {
        if let Some(news) = self.try_next() {
            return news;
        }
        let found = self.reader.next().await;
        self.took(found)
    }

    fn took(&mut self, found: Result<Arc<Numbered>, Lagged>) -> News {
        match found {
            Ok(event) => {
                self.at = event.id;
                News::Event(event)
            }
            Err(Lagged::Behind { dropped }) => {
                self.at.n += dropped;
                News::Lag(Lag { dropped, event: self.at })
            }
            Err(Lagged::Stopped) => {
                self.stopped = true;
                News::Stopped
            }
        }
    }
}

/// Own messages of this run that nobody but us has yet: in state `queued` or `sent`.
#[derive(Debug, Default)]
pub(crate) struct Unsent(HashSet<MessageId>);

impl Unsent {
    /// What a snapshot shows of it; after events were missed.
    pub(crate) fn from_snapshot(snapshot: &Snapshot) -> Self {
        let messages = snapshot.conversations.iter().flat_map(|conversation| &conversation.messages);
        let unsent = messages.filter(|it| it.delivery.as_ref().is_some_and(|life| is_unsent(life.state)));
        Self(unsent.map(|message| message.id).collect())
    }

    /// Takes an event into account.
    pub(crate) fn follow(&mut self, event: &Event) {
        match event {
            Event::MessageNew(new)
                if new.message.delivery.as_ref().is_some_and(|life| is_unsent(life.state)) =>
            {
                self.0.insert(new.message.id);
            }
            // A retry puts a message back into the queue; what merely goes on from an earlier run is not ours.
            Event::MessageStatus(status) if status.state == MessageState::Queued => {
                self.0.insert(status.id);
            }
            Event::MessageStatus(status) if !is_unsent(status.state) => {
                self.0.remove(&status.id);
            }
            _ => {}
        }
    }

    /// How many there are to wait for.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn is_unsent(state: MessageState) -> bool {
    matches!(state, MessageState::Queued | MessageState::Sent)
}
