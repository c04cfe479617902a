//! What a frontend shows, without its looks.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::snapshot::RECENT_MESSAGES;
use crate::api::{ConversationView, LinkState, MessageState, MessageView, Snapshot};
use crate::ids::{ConversationId, MessageId, PeerId};
use crate::testing::rule::{Violation, ensure};

/// What there is to see, whatever it looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Screen {
    /// Whether the relay is reached.
    pub link_is_up: bool,
    /// Every conversation.
    pub conversations: BTreeMap<ConversationId, Conversation>,
    /// Who is there, by what it is called.
    pub online: BTreeMap<PeerId, String>,
    /// What alarms said, in order. A frontend that gathers alarms about the same may show the last of them only.
    pub alarms: Vec<String>,
}

/// What is shown of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// What it is called.
    pub name: String,
    /// Who is in it, if it is a room.
    pub members: BTreeSet<PeerId>,
    /// Messages of others not yet read.
    pub unread: u32,
    /// The newest messages in order; older ones, before those of a snapshot, as far as the frontend has them.
    pub messages: Vec<Message>,
}

/// What is shown of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// Whose, as it is called.
    pub author: String,
    /// What was said, as it was written.
    pub text: String,
    /// How far it has come, if it is one's own.
    pub state: Option<MessageState>,
    /// Why it failed.
    pub reason: Option<String>,
    /// Something before it is missing.
    pub gap_before: bool,
}

impl From<&MessageView> for Message {
    fn from(view: &MessageView) -> Self {
        Self {
            id: view.id,
            author: view.from.nick.clone(),
            text: view.text.clone(),
            state: view.delivery.as_ref().map(|delivery| delivery.state),
            reason: view.delivery.as_ref().and_then(|delivery| delivery.reason.clone()),
            gap_before: view.gap_before,
        }
    }
}

impl From<&ConversationView> for Conversation {
    fn from(view: &ConversationView) -> Self {
        let members = view.with.room().map(|(_, members)| members.iter().copied().collect());
        let members: BTreeSet<PeerId> = members.unwrap_or_default();
        let messages = view.messages.iter().map(|message| Message::from(&**message)).collect();
        Self { name: view.name.clone(), members, unread: view.unread, messages }
    }
}

/// What a snapshot shows: it knows of no alarms.
impl From<&Snapshot> for Screen {
    fn from(snapshot: &Snapshot) -> Self {
        let conversations = snapshot.conversations.iter().map(|view| (view.id, Conversation::from(&**view)));
        let online = snapshot.peers.iter().filter(|peer| peer.online);
        Self {
            link_is_up: snapshot.link.state == LinkState::Up,
            conversations: conversations.collect(),
            online: online.map(|peer| (peer.peer_id, peer.nick.clone())).collect(),
            alarms: Vec::new(),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, shown: &T, is: &T) -> Result<(), Violation> {
    ensure!(shown == is, "{what} is {is:?}, and this is shown: {shown:?}");
    Ok(())
}

/// A text that says enough to be found in a report.
fn short(message: &Message) -> String {
    let text: String = message.text.chars().take(40).collect();
    let gap = if message.gap_before { ", behind a gap" } else { "" };
    format!("{text:?} of {}, {:?}{gap}", message.author, message.state)
}

impl Screen {
    /// Whether it shows what there is: `whole` has every message there ever was, and all of those of a snapshot are shown,
    /// older ones perhaps.
    ///
    /// # Errors
    /// What is shown otherwise.
    pub fn must_show(&self, whole: &Self) -> Result<(), Violation> {
        same("the link's state", &self.link_is_up, &whole.link_is_up)?;
        same("who is there", &self.online, &whole.online)?;
        let ids = |screen: &Self| screen.conversations.keys().copied().collect::<Vec<_>>();
        same("the list of conversations", &ids(self), &ids(whole))?;
        for (shown, is) in self.conversations.values().zip(whole.conversations.values()) {
            same("a conversation's name", &shown.name, &is.name)?;
            let of = |what: &str| format!("{what} of {}", is.name);
            same(&of("the list of members"), &shown.members, &is.members)?;
            same(&of("the number of unread messages"), &shown.unread, &is.unread)?;
            shown.must_end_like(is)?;
        }
        Ok(())
    }

    /// Whether what is shown here is what `longer` ends with, which has older messages perhaps; alarms aside.
    ///
    /// # Errors
    /// What is otherwise.
    pub fn must_end(&self, longer: &Self) -> Result<(), Violation> {
        let mut whole = longer.clone();
        for (id, told) in &mut whole.conversations {
            let shown = self.conversations.get(id).map_or(0, |shown| shown.messages.len());
            told.messages.drain(..told.messages.len().saturating_sub(shown));
        }
        self.must_show(&whole)
    }

    /// That these alarms are shown and no others.
    pub(super) fn must_alarm(&self, alarms: &[String]) -> Result<(), Violation> {
        let count = self.alarms.len();
        ensure!(count == alarms.len(), "{count} alarms are shown of {}: {:?}", alarms.len(), self.alarms);
        for (shown, alarm) in self.alarms.iter().zip(alarms) {
            ensure!(shown.contains(alarm.as_str()), "an alarm says {alarm:?}, and this is shown: {shown:?}");
        }
        Ok(())
    }
}

impl Conversation {
    /// The newest messages of all there are, without a hole.
    fn must_end_like(&self, whole: &Self) -> Result<(), Violation> {
        let (count, all) = (self.messages.len(), whole.messages.len());
        let least = all.min(RECENT_MESSAGES);
        ensure!((least..=all).contains(&count), "{count} messages of {} are shown of {all}", whole.name);
        let behind = whole.messages.iter().skip(all - count);
        for (place, (shown, is)) in self.messages.iter().zip(behind).enumerate() {
            ensure!(
                shown == is,
                "in {}, {} messages before the end, is {}, and this is shown: {}",
                whole.name,
                count - place - 1,
                short(is),
                short(shown)
            );
        }
        Ok(())
    }
}
