//! A screen that is kept up to date by what is told alone, in the form in which JSON-RPC tells it: what a program does
//! that was written from the protocol's description.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::screen::{Conversation, Message, Screen};
use crate::api::{Event, EventId, MessageState, Snapshot};
use crate::ids::{ConversationId, MessageId, PeerId};
use crate::testing::rule::{Must as _, Violation};

#[derive(Deserialize)]
struct WireAuthor {
    peer_id: PeerId,
    nick: String,
}

#[derive(Deserialize)]
struct WireDelivery {
    state: Value,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireMessage {
    id: MessageId,
    conversation_id: ConversationId,
    position: i64,
    from: WireAuthor,
    text: String,
    delivery: Option<WireDelivery>,
    gap_before: bool,
}

#[derive(Deserialize)]
struct WireConversation {
    id: ConversationId,
    name: String,
    peer: Option<PeerId>,
    #[serde(default)]
    members: Vec<PeerId>,
    unread: u32,
    messages: Vec<WireMessage>,
    has_older: bool,
}

#[derive(Deserialize)]
struct WirePeer {
    peer_id: PeerId,
    nick: String,
    online: bool,
}

#[derive(Deserialize)]
struct WireSnapshot {
    event: EventId,
    link: Value,
    conversations: Vec<WireConversation>,
    peers: Vec<WirePeer>,
}

#[derive(Deserialize)]
struct WireStatus {
    id: MessageId,
    conversation: String,
    conversation_id: ConversationId,
    state: Value,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireGap {
    before: MessageId,
    conversation_id: ConversationId,
    filled: bool,
}

#[derive(Deserialize)]
struct WireDeleted {
    conversation_id: ConversationId,
    ids: Vec<MessageId>,
}

#[derive(Deserialize)]
struct WireRoom {
    room: String,
    conversation_id: ConversationId,
    joined: bool,
    members: Vec<PeerId>,
}

#[derive(Deserialize)]
struct WireUnread {
    conversation_id: ConversationId,
    unread: u32,
}

fn read<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, Violation> {
    serde_json::from_value(value.clone()).must(format!("reading {what}"))
}

fn state(name: &Value) -> Result<MessageState, Violation> {
    use MessageState::{Delivered, Failed, Queued, Read, Sent, Stored};
    let found = [Queued, Sent, Stored, Delivered, Read, Failed].into_iter().find(|state| {
        let written = serde_json::to_value(state);
        written.is_ok_and(|written| written == *name)
    });
    found.ok_or_else(|| Violation::new(format!("there is no state {name}")))
}

/// A message of one's own that is told of without its text: whoever wants to show it asks for history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown {
    /// Where it was said.
    pub conversation: ConversationId,
    /// Which.
    pub message: MessageId,
}

/// A screen, and where its messages stand.
#[derive(Debug, Clone)]
pub struct Follower {
    screen: Screen,
    /// Where a message stands, and whose it is.
    stands: HashMap<MessageId, (i64, PeerId)>,
    /// Conversations of which more was said before what is here.
    longer: HashSet<ConversationId>,
    /// With whom a conversation of two is.
    with: HashMap<ConversationId, PeerId>,
    /// What everybody is called.
    names: HashMap<PeerId, String>,
    at: EventId,
}

impl Follower {
    /// Begins with a snapshot as JSON-RPC shows it.
    ///
    /// # Errors
    /// What can't be read.
    pub fn new(snapshot: &Value) -> Result<Self, Violation> {
        let snapshot: WireSnapshot = read("a snapshot", snapshot)?;
        let mut follower = Self {
            screen: Screen::default(),
            stands: HashMap::new(),
            longer: HashSet::new(),
            with: HashMap::new(),
            names: snapshot.peers.iter().map(|peer| (peer.peer_id, peer.nick.clone())).collect(),
            at: snapshot.event,
        };
        follower.screen.link_is_up = snapshot.link.pointer("/state/is").is_some_and(|is| is == "up");
        let online = snapshot.peers.into_iter().filter(|peer| peer.online);
        follower.screen.online = online.map(|peer| (peer.peer_id, peer.nick)).collect();
        for told in snapshot.conversations {
            let members = told.members.into_iter().collect();
            let shown = Conversation { name: told.name, members, unread: told.unread, messages: vec![] };
            follower.screen.conversations.insert(told.id, shown);
            follower.with.extend(told.peer.map(|peer| (told.id, peer)));
            for message in told.messages {
                follower.put(message)?;
            }
            if told.has_older {
                follower.longer.insert(told.id);
            }
        }
        Ok(follower)
    }

    /// Begins with a snapshot.
    ///
    /// # Errors
    /// As [`Follower::new`].
    pub fn of(snapshot: &Snapshot) -> Result<Self, Violation> {
        Self::new(&serde_json::to_value(snapshot).must("writing a snapshot")?)
    }

    /// The last event that is in the screen.
    pub fn at(&self) -> EventId {
        self.at
    }

    /// What is shown.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Begins anew with a snapshot, after events were missed. Alarms, of which it knows nothing, stay.
    ///
    /// # Errors
    /// As [`Follower::new`].
    pub fn begin_anew(&mut self, snapshot: &Value) -> Result<(), Violation> {
        let alarms = std::mem::take(&mut self.screen.alarms);
        *self = Self::new(snapshot)?;
        self.screen.alarms = alarms;
        Ok(())
    }

    /// Takes in an event, unless it is in the screen already.
    ///
    /// # Errors
    /// What can't be read.
    pub fn follow(&mut self, id: EventId, event: &Event) -> Result<Option<Unknown>, Violation> {
        self.hear(id, event.method(), &event.params().must("writing an event")?)
    }

    /// Takes in a notification, unless it is in the screen already.
    ///
    /// # Errors
    /// What can't be read.
    pub fn hear(&mut self, id: EventId, method: &str, params: &Value) -> Result<Option<Unknown>, Violation> {
        if id <= self.at {
            return Ok(None);
        }
        self.at = id;
        match method {
            "msg.new" => self.message_new(params)?,
            "msg.status" => {
                self.with.extend(addressed(params)?);
                return self.message_status(&read(method, params)?);
            }
            "msg.gap" => {
                let gap: WireGap = read(method, params)?;
                self.change(gap.conversation_id, gap.before, |message| message.gap_before = !gap.filled);
            }
            "msg.deleted" => {
                let WireDeleted { conversation_id, ids } = read(method, params)?;
                if let Some(shown) = self.screen.conversations.get_mut(&conversation_id) {
                    shown.messages.retain(|message| !ids.contains(&message.id));
                }
            }
            "peer.seen" => {
                let WireAuthor { peer_id, nick } = read(method, params)?;
                self.screen.online.insert(peer_id, nick.clone());
                self.rename(peer_id, nick);
            }
            "peer.lost" => {
                let WireAuthor { peer_id, nick } = read(method, params)?;
                self.screen.online.remove(&peer_id);
                self.rename(peer_id, nick);
            }
            "peer.key_changed" => {
                let WireAuthor { peer_id, nick } = read(method, params)?;
                self.rename(peer_id, nick);
            }
            "room.changed" => self.room_changed(read(method, params)?),
            "conversation.read" => {
                let told: WireUnread = read(method, params)?;
                if let Some(shown) = self.screen.conversations.get_mut(&told.conversation_id) {
                    shown.unread = told.unread;
                }
            }
            "link.up" => self.screen.link_is_up = true,
            "link.down" => self.screen.link_is_up = false,
            "alarm" => {
                let detail = params.get("detail").and_then(Value::as_str).unwrap_or_default();
                self.screen.alarms.push(detail.to_owned());
            }
            // What is not known is not needed.
            _ => {}
        }
        Ok(None)
    }

    /// What a peer is called from now on, also in what it said before.
    fn rename(&mut self, peer: PeerId, nick: String) {
        for (id, shown) in &mut self.screen.conversations {
            if self.with.get(id) == Some(&peer) {
                shown.name.clone_from(&nick);
            }
            for message in &mut shown.messages {
                if self.stands.get(&message.id).is_some_and(|(_, author)| *author == peer) {
                    message.author.clone_from(&nick);
                }
            }
        }
        self.names.insert(peer, nick);
    }

    fn message_new(&mut self, params: &Value) -> Result<(), Violation> {
        let name = params.get("conversation_name").and_then(Value::as_str).unwrap_or_default();
        self.with.extend(addressed(params)?);
        let message: WireMessage = read("msg.new", params)?;
        let empty = Conversation { name: name.to_owned(), ..Conversation::default() };
        let shown = self.screen.conversations.entry(message.conversation_id).or_insert(empty);
        shown.unread = shown.unread.saturating_add(u32::from(message.delivery.is_none()));
        self.put(message)
    }

    fn message_status(&mut self, status: &WireStatus) -> Result<Option<Unknown>, Violation> {
        let state = state(&status.state)?;
        // One's own first words to somebody begin a conversation. A room begins by `room.changed`; of one that was left,
        // what is said of its messages is of no interest here.
        if !self.screen.conversations.contains_key(&status.conversation_id) {
            if status.conversation.starts_with('#') {
                return Ok(None);
            }
            let begun = Conversation { name: self.name_of(&status.conversation), ..Conversation::default() };
            self.screen.conversations.insert(status.conversation_id, begun);
        }
        let known = self.change(status.conversation_id, status.id, |message| {
            (message.state, message.reason) = (Some(state), status.reason.clone());
        });
        let unknown = Unknown { conversation: status.conversation_id, message: status.id };
        Ok((!known).then_some(unknown))
    }

    /// What a conversation is called that is addressed so: a room by its name, a peer by what it is called.
    fn name_of(&self, address: &str) -> String {
        let peer = address.parse::<PeerId>().ok();
        peer.and_then(|peer| self.names.get(&peer).cloned()).unwrap_or_else(|| address.to_owned())
    }

    fn room_changed(&mut self, told: WireRoom) {
        if !told.joined {
            self.screen.conversations.remove(&told.conversation_id);
            return;
        }
        let shown = self.screen.conversations.entry(told.conversation_id).or_default();
        shown.name = told.room;
        shown.members = told.members.into_iter().collect();
    }

    /// Takes in a message that history gave.
    ///
    /// # Errors
    /// What can't be read.
    pub fn learn(&mut self, message: &Value) -> Result<(), Violation> {
        self.put(read("a message", message)?)
    }

    fn put(&mut self, message: WireMessage) -> Result<(), Violation> {
        let (state, reason) = match &message.delivery {
            Some(delivery) => (Some(state(&delivery.state)?), delivery.reason.clone()),
            None => (None, None),
        };
        let shown = Message {
            id: message.id,
            author: message.from.nick,
            text: message.text,
            state,
            reason,
            gap_before: message.gap_before,
        };
        let Some(conversation) = self.screen.conversations.get_mut(&message.conversation_id) else {
            return Err(Violation::new("a message of a conversation that nobody has told of"));
        };
        let first = conversation.messages.first().and_then(|first| self.stands.get(&first.id));
        if self.longer.contains(&message.conversation_id)
            && first.is_some_and(|(position, _)| message.position < *position)
        {
            // Between it and what is here stands what is not.
            return Ok(());
        }
        self.stands.insert(message.id, (message.position, message.from.peer_id));
        let stands = &self.stands;
        conversation.messages.retain(|known| known.id != shown.id);
        let place = conversation.messages.partition_point(|known| {
            stands.get(&known.id).is_none_or(|(position, _)| *position < message.position)
        });
        conversation.messages.insert(place, shown);
        Ok(())
    }

    /// Whether there is such a message.
    fn change(&mut self, id: ConversationId, message: MessageId, change: impl FnOnce(&mut Message)) -> bool {
        let shown = self.screen.conversations.get_mut(&id);
        let found = shown.and_then(|shown| shown.messages.iter_mut().find(|known| known.id == message));
        found.map(change).is_some()
    }
}

/// A conversation that is addressed by a peer is one of two.
fn addressed(params: &Value) -> Result<Option<(ConversationId, PeerId)>, Violation> {
    let id = read("a conversation's id", params.get("conversation_id").unwrap_or(&Value::Null))?;
    let address = params.get("conversation").and_then(Value::as_str).unwrap_or_default();
    Ok(address.parse().ok().map(|peer| (id, peer)))
}
