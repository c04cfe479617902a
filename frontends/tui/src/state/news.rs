//! What the engine tells: events, then the snapshot that holds what they left behind.

use std::sync::Arc;

use chat_core::api::snapshot::Snapshot;
use chat_core::api::{ConversationKind, Event, Numbered};
use chat_core::{ConversationId, PeerId};

use super::notices::Members;
use super::timeline::{Severity, Timeline, Topic};
use super::{Effect, State, Tab};
use crate::text;

/// What came since the last time.
#[derive(Debug)]
pub(crate) struct News {
    /// In order.
    pub(crate) events: Vec<Arc<Numbered>>,
    /// How many were lost before or among them.
    pub(crate) dropped: u64,
    /// At least as new as the events.
    pub(crate) snapshot: Arc<Snapshot>,
}

impl State {
    /// Takes in news.
    pub(crate) fn news(&mut self, news: News) {
        let mut members = Members::of(&self.snapshot);
        let all = news.dropped == 0
            && !news.events.iter().any(|event| self.is_unseen(&event.event, &news.snapshot));
        for event in &news.events {
            self.take_event(&event.event, all);
        }
        self.take_snapshot(news.snapshot);
        if news.dropped > 0 {
            // Who has ended may be among what was lost.
            self.writers.clear();
            let text = match news.dropped {
                1 => "too much happened at once: 1 notice is not shown".to_owned(),
                dropped => format!("too much happened at once: {dropped} notices are not shown"),
            };
            self.say_globally(Severity::Alarm, Topic::Lag, text);
        }
        for event in &news.events {
            self.notice(&event.event, &mut members);
        }
        self.open();
    }

    /// Whether it speaks of a message of one's own that has left the snapshot before anybody here saw it: events don't
    /// bring those.
    fn is_unseen(&self, event: &Event, snapshot: &Snapshot) -> bool {
        let Event::MessageStatus(status) = event else { return false };
        let tab = self.places.get(&status.conversation).and_then(|tab| self.tabs.get(*tab));
        let is_new = tab.is_some_and(|tab| tab.timeline.message(status.id).is_none());
        let view =
            snapshot.conversations.iter().filter(|_| is_new).find(|view| view.id == status.conversation);
        view.is_some_and(|view| view.messages.iter().all(|message| message.id != status.id))
    }

    /// What an event says about messages. The snapshot is the truth about the newest ones; events know of
    /// those that are no longer in it. But if they are not `all`, what they bring would close over what they don't: then
    /// the snapshot alone says what is new, and history is asked for what is between.
    fn take_event(&mut self, event: &Event, all: bool) {
        if self.settings.bell && self.is_from_others(event) && !self.effects.contains(&Effect::Bell) {
            self.effects.push(Effect::Bell);
        }
        match event {
            Event::MessageNew(new) => {
                if let Some(timeline) = self.timeline_of(new.message.conversation) {
                    timeline.add(&new.message, all);
                }
            }
            Event::MessageStatus(status) => {
                if let Some(timeline) = self.timeline_of(status.conversation) {
                    timeline.set_status(status);
                }
            }
            Event::MessageGap(gap) => {
                if let Some(timeline) = self.timeline_of(gap.conversation) {
                    timeline.set_gap(gap);
                }
            }
            Event::MessageDeleted(deleted) => {
                if let Some(timeline) = self.timeline_of(deleted.conversation) {
                    timeline.delete(&deleted.ids);
                }
            }
            _ => {}
        }
    }

    fn timeline_of(&mut self, id: ConversationId) -> Option<&mut Timeline> {
        let tab = *self.places.get(&id)?;
        self.tabs.get_mut(tab).map(|tab| &mut tab.timeline)
    }

    pub(super) fn take_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let before = std::mem::replace(&mut self.snapshot, Arc::clone(&snapshot));
        self.drop_tabs_of_the_left();
        for view in &snapshot.conversations {
            let tab = *self.places.entry(view.id).or_insert_with(|| {
                self.tabs.push(Tab::new(Some(view.id)));
                self.tabs.len() - 1
            });
            let Some(tab) = self.tabs.get_mut(tab) else { continue };
            let unchanged = tab.view.as_ref().is_some_and(|known| Arc::ptr_eq(known, view));
            if !unchanged || tab.timeline.is_touched() {
                tab.timeline.merge(view);
                tab.view = Some(Arc::clone(view));
            }
        }
        let nothing_typed = self.tabs.first().is_some_and(|status| status.editor.is_empty());
        if self.current == 0 && !self.chosen && nothing_typed && self.tabs.len() > 1 {
            self.show(1);
        }
        self.report_problems(&before);
    }

    /// Conversations that are no longer there.
    fn drop_tabs_of_the_left(&mut self) {
        let there: std::collections::HashSet<ConversationId> =
            self.snapshot.conversations.iter().map(|view| view.id).collect();
        if self.tabs.iter().all(|tab| tab.id.is_none_or(|id| there.contains(&id))) {
            return;
        }
        let shown = self.tab().and_then(|tab| tab.id);
        self.tabs.retain(|tab| tab.id.is_none_or(|id| there.contains(&id)));
        let ids = self.tabs.iter().enumerate().filter_map(|(index, tab)| Some((tab.id?, index)));
        self.places = ids.collect();
        match shown {
            Some(id) => match self.places.get(&id) {
                Some(&index) => self.current = index,
                None => self.show(self.current.min(self.tabs.len() - 1)),
            },
            None => self.current = 0,
        }
    }

    /// Says in a conversation of two why nothing can be sent, when that becomes so.
    fn report_problems(&mut self, before: &Snapshot) {
        let snapshot = Arc::clone(&self.snapshot);
        for peer in &snapshot.peers {
            let Some(problem) = &peer.problem else { continue };
            let known = before.peer(peer.peer_id).and_then(|before| before.problem.as_ref());
            if known != Some(problem)
                && let Some(tab) = self.direct_tab(peer.peer_id)
            {
                let (nick, problem) = (text::name(&peer.nick), text::one_line(problem));
                let text = format!("nothing can be sent to {nick}: {problem}");
                self.say(tab, Severity::Alarm, Topic::None, text);
            }
        }
    }

    /// The tab of the conversation with a peer.
    pub(super) fn direct_tab(&self, peer: PeerId) -> Option<usize> {
        let is_with = |tab: &Tab| {
            tab.view.as_ref().is_some_and(
                |view| matches!(&view.with, ConversationKind::Direct { peer: with } if *with == peer),
            )
        };
        self.tabs.iter().position(is_with)
    }
}
