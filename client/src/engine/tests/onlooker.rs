//! Somebody who goes by the events alone, beside each engine of these tests: a frontend written from the protocol's
//! description. After every turn it must know what a snapshot shows.

use chat_core::api::Event;
use chat_core::api::event::EventId;
use chat_core::api::snapshot::RECENT_MESSAGES;
use chat_core::ids::ConversationId;
use chat_core::testing::frontend::{Follower, Screen};

use crate::engine::Engine;

pub(super) struct Onlooker {
    follower: Follower,
    /// Events in this life of the engine.
    told: u64,
}

impl Onlooker {
    pub(super) fn of(engine: &mut Engine) -> Self {
        Self { follower: Follower::of(&engine.snapshot(number(0))).unwrap(), told: 0 }
    }

    /// Hears what a turn told.
    pub(super) fn hear(&mut self, engine: &mut Engine, events: &[Event]) {
        for event in events {
            self.told += 1;
            let comes_back = self.comes_back(event);
            if let Some(unknown) = self.follower.follow(number(self.told), event).unwrap() {
                // One's own message: its text is to be had from history.
                let me = engine.config.identity.peer_id();
                let row = engine.store.message(me, unknown.message).unwrap().unwrap();
                let message = engine.message_view(&row).unwrap();
                self.follower.learn(&serde_json::to_value(message).unwrap()).unwrap();
            }
            // What was said there before one left is to be had from history, too.
            let (rows, _) = comes_back
                .map(|id| engine.store.history(id, None, RECENT_MESSAGES).unwrap())
                .unwrap_or_default();
            for row in rows {
                let message = engine.message_view(&row).unwrap();
                self.follower.learn(&serde_json::to_value(message).unwrap()).unwrap();
            }
        }
        let now = Screen::from(&engine.snapshot(number(self.told)));
        let shown = now.must_end(self.follower.screen());
        assert!(shown.is_ok(), "who follows the events is told otherwise: {shown:?} by {events:?}");
    }

    /// A room that is not shown, and will be.
    fn comes_back(&self, event: &Event) -> Option<ConversationId> {
        match event {
            Event::RoomChanged(it) if it.joined => {
                let shown = &self.follower.screen().conversations;
                (!shown.contains_key(&it.conversation)).then_some(it.conversation)
            }
            _ => None,
        }
    }
}

fn number(n: u64) -> EventId {
    EventId { epoch: 1, n }
}
