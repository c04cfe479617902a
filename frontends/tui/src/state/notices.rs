//! Events as lines of the program.

use std::collections::HashMap;

use chat_core::api::event::{
    Alarm, AlarmKind, LinkUp, MessageStatus, PeerEvent, PeerKeyChanged, RoomChanged, StackChanged, Typing,
};
use chat_core::api::{Event, MessageState, Snapshot};
use chat_core::{ConversationId, PeerId};

use super::State;
use super::timeline::{Severity, Topic};
use crate::text;

/// Most who are remembered to write.
const MAX_WRITERS: usize = 100;
/// What a room is, for whoever comes into it.
const OPEN: &str = "; an open room: encrypted end to end to the members the relay names";
const CLOSED: &str = "; a closed room: its members admit and remove members, and no relay knows of it";

/// What rooms were called and who was in them, to tell who came and went.
pub(super) struct Members(HashMap<ConversationId, (String, Vec<PeerId>)>);

impl Members {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let rooms = snapshot.conversations.iter();
        let rooms = rooms.filter_map(|view| {
            let (room, members) = view.with.room()?;
            Some((view.id, (room.to_string(), members.to_vec())))
        });
        Self(rooms.collect())
    }
}

impl State {
    /// Says what happened, if it is worth a line.
    pub(super) fn notice(&mut self, event: &Event, members: &mut Members) {
        match event {
            Event::Ready(ready) if !ready.listen.is_empty() => {
                let text = format!("hosting the relay on {}", ready.listen.join(", "));
                // The link to this relay says the same again, in place of this.
                self.say(0, Severity::Info, Topic::Link, text);
            }
            Event::MessageStatus(status) => self.message_failed(status),
            Event::PeerSeen(peer) => self.presence(peer, "is here"),
            Event::PeerLost(peer) => self.presence(peer, "has gone"),
            Event::PeerKeyChanged(changed) => self.key_changed(changed),
            Event::RoomChanged(changed) => self.room_changed(changed, members),
            Event::LinkUp(up) => self.link_up(up),
            Event::LinkDown(down) => {
                let (relay, reason) = (text::one_line(&down.relay), text::one_line(&down.reason));
                let text = format!("the link to the relay {relay} is down: {reason}");
                self.say_globally(Severity::Alarm, Topic::Link, text);
            }
            Event::StackChanged(changed) => self.stack_changed(changed),
            Event::Alarm(alarm) => self.alarm(alarm),
            Event::Typing(typing) => self.typing(typing),
            _ => {}
        }
    }

    /// Remembers who writes, for the status line.
    fn typing(&mut self, typing: &Typing) {
        let writer = (typing.conversation, typing.from.peer_id);
        if typing.typing && self.writers.len() < MAX_WRITERS {
            self.writers.insert(writer, typing.from.nick.clone());
        } else {
            self.writers.remove(&writer);
        }
    }

    /// Says it in the status tab and in the one that is shown.
    pub(super) fn say_globally(&mut self, severity: Severity, topic: Topic, text: String) {
        if self.current != 0 {
            self.say(self.current, severity, topic, text.clone());
        }
        self.say(0, severity, topic, text);
    }

    /// A failed message shows its reason; where it is not seen, a line says so.
    fn message_failed(&mut self, status: &MessageStatus) {
        let is_shown = self.tab().is_some_and(|tab| tab.id == Some(status.conversation));
        if status.state != MessageState::Failed || is_shown {
            return;
        }
        let view = self.snapshot.conversation(status.conversation);
        let to = view.map_or_else(|| "somebody".to_owned(), |view| text::name(&view.name));
        let reason = text::one_line(status.reason.as_deref().unwrap_or("no reason given"));
        let text = format!("a message to {to} was not delivered: {reason}");
        self.say_globally(Severity::Alarm, Topic::None, text);
    }

    fn presence(&mut self, peer: &PeerEvent, what: &str) {
        let text = match &peer.was {
            Some(was) => format!("{} is called {} now", text::name(was), text::name(&peer.nick)),
            None => format!("{} {what}", text::name(&peer.nick)),
        };
        let topic = Topic::Presence(peer.peer_id);
        let mut tabs = vec![0];
        tabs.extend(self.direct_tab(peer.peer_id));
        let view = self.tab().and_then(|tab| tab.view.as_ref());
        if view
            .is_some_and(|view| view.with.room().is_some_and(|(_, members)| members.contains(&peer.peer_id)))
        {
            tabs.push(self.current);
        }
        for tab in tabs {
            self.say(tab, Severity::Info, topic, text.clone());
        }
    }

    fn key_changed(&mut self, changed: &PeerKeyChanged) {
        let PeerKeyChanged { claims, known, peer_id, nick, held, .. } = changed;
        let (claims, nick) = (text::name(claims), text::name(nick));
        let mut text = format!(
            "another key claims the name {claims}. It is kept apart as {nick}. Trust it only after comparing fingerprints.\n\
             known {claims}: {known}\nnew {nick}: {peer_id}"
        );
        if *held {
            text.push_str(&format!(
                "\n{claims} is not here now, so what you write to {claims} alone waits until you decide:\n\
                 /accept {nick} gives the name to the new key, /accept {claims} keeps it"
            ));
        }
        for tab in [self.direct_tab(*known), self.direct_tab(*peer_id)].into_iter().flatten() {
            if tab != self.current {
                self.say(tab, Severity::Alarm, Topic::None, text.clone());
            }
        }
        self.say_globally(Severity::Alarm, Topic::None, text);
    }

    fn room_changed(&mut self, changed: &RoomChanged, members: &mut Members) {
        let now = (changed.room.to_string(), changed.members.clone());
        let before = members.0.insert(changed.conversation, now);
        let room = text::name(&changed.room.to_string());
        let by = changed.by.filter(|by| *by != self.snapshot.peer_id).map(|by| self.name_of(by));
        let Some(&tab) = self.places.get(&changed.conversation) else {
            if !changed.joined {
                let text = match by {
                    Some(by) => format!("{by} removed you from {room}"),
                    None => format!("you left {room}"),
                };
                self.say_globally(Severity::Info, Topic::None, text);
            }
            return;
        };
        let Some((was, before)) = before.filter(|_| changed.joined) else {
            let text = match (changed.joined, by) {
                (false, _) => format!("you left {room}"),
                (true, Some(by)) => format!("{by} admitted you to {room}{CLOSED}"),
                (true, None) if changed.open => format!("you joined {room}{OPEN}"),
                (true, None) => format!("you made {room}{CLOSED}"),
            };
            return self.say(tab, Severity::Info, Topic::None, text);
        };
        let was = text::name(&was);
        if was != room {
            let text = format!("this room is called {room} from now on: {was} is, or will be, another one");
            self.say(tab, Severity::Alarm, Topic::None, text);
        }
        let came = changed.members.iter().filter(|id| !before.contains(id));
        let left = before.iter().filter(|id| !changed.members.contains(id));
        let moves: Vec<_> = came.map(|id| (*id, true)).chain(left.map(|id| (*id, false))).collect();
        for (id, came) in moves {
            let name = self.name_of(id);
            let text = match (came, changed.by.filter(|by| *by != id).map(|by| self.name_of(by))) {
                (true, Some(by)) => format!("{by} admitted {name} to {room}"),
                (false, Some(by)) => format!("{by} removed {name} from {room}"),
                (true, None) => format!("{name} joined {room}"),
                (false, None) => format!("{name} left {room}"),
            };
            self.say(tab, Severity::Info, Topic::Presence(id), text);
        }
    }

    /// What a peer is called here.
    fn name_of(&self, id: PeerId) -> String {
        if id == self.snapshot.peer_id {
            return "you".to_owned();
        }
        let known = self.snapshot.peer(id).map(|peer| text::name(&peer.nick));
        known.unwrap_or_else(|| format!("somebody·{}", id.short()))
    }

    fn link_up(&mut self, up: &LinkUp) {
        let relay = text::one_line(&up.relay);
        let mut text = if up.hosting {
            format!("hosting the relay on {}", text::one_line(&up.listen.join(", ")))
        } else {
            format!("connected to the relay {relay}")
        };
        if let Some(fingerprint) = up.fingerprint.filter(|_| !up.hosting) {
            text.push_str(&format!(", fingerprint {fingerprint}"));
        }
        self.say_globally(Severity::Info, Topic::Link, text);
    }

    fn stack_changed(&mut self, changed: &StackChanged) {
        let mut text = format!("now over {}", text::one_line(&changed.transport));
        if let Some(reason) = &changed.reason {
            text.push_str(&format!(": {}", text::one_line(reason)));
        }
        self.say_globally(Severity::Info, Topic::Transport, text);
    }

    fn alarm(&mut self, alarm: &Alarm) {
        let (kind, what) = match alarm.kind {
            AlarmKind::Refused => ("refused", "refused"),
            AlarmKind::Tampered => ("tampered", "tampered with, and refused"),
            AlarmKind::Replayed => ("replayed", "a repeat, and refused"),
            AlarmKind::Downgrade => ("downgrade", "a downgrade, and refused"),
            AlarmKind::Restored => ("restored", "put back from a backup"),
            AlarmKind::Roster => ("roster", "the members of a closed room are in doubt"),
            _ => ("other", "refused"),
        };
        let from = alarm.peer_id.map(|id| format!(" from {}", self.name_of(id))).unwrap_or_default();
        let text = format!("alarm: {what}{from}: {}", text::one_line(&alarm.detail));
        self.say_globally(Severity::Alarm, Topic::Alarm(kind, alarm.peer_id), text);
    }
}
