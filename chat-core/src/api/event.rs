//! What happens, numbered. Each event is one JSON-RPC notification: [`Event::method`] is its name, its
//! fields are the parameters.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::command::Destination;
use super::snapshot::{Author, Counts, MessageState, MessageView, TransportView};
use crate::ids::{ConversationId, MessageId, PeerId};
use crate::nick::Nick;
use crate::room::RoomAddress;
use crate::schema::schema_of;

/// The number of an event: an epoch that is new with every start of the engine, and a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Random, one for each run of the engine.
    pub epoch: u32,
    /// From 1 upwards without holes.
    pub n: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{}", self.epoch, self.n)
    }
}

/// A string that is not `epoch:n`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `epoch:n`, eight hex digits and a number")]
pub struct ParseEventIdError;

impl FromStr for EventId {
    type Err = ParseEventIdError;
    fn from_str(text: &str) -> Result<Self, ParseEventIdError> {
        let (epoch, n) = text.split_once(':').ok_or(ParseEventIdError)?;
        let epoch = u32::from_str_radix(epoch, 16).map_err(|_| ParseEventIdError)?;
        Ok(Self { epoch, n: n.parse().map_err(|_| ParseEventIdError)? })
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for EventId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{8}:[0-9]+$" })
    }
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// Its number.
    pub id: EventId,
    /// What happened.
    pub event: Event,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The program is complete: identity, store, and listeners if it hosts.
    Ready(Ready),
    /// A message of somebody else entered history. One's own begins with [`Event::MessageStatus`].
    MessageNew(MessageNew),
    /// A message of one's own was committed, or has come further.
    MessageStatus(MessageStatus),
    /// Something a peer said is missing, or what was missing has come.
    MessageGap(MessageGap),
    /// Messages were deleted here, by the user or by their age.
    MessageDeleted(MessageDeleted),
    /// A peer is there, or is called otherwise now, or its key was verified or no longer is: what it has said and its
    /// conversation have the new name.
    PeerSeen(PeerEvent),
    /// A peer has gone, or is called otherwise now.
    PeerLost(PeerEvent),
    /// A second key claims the name of a known peer.
    PeerKeyChanged(PeerKeyChanged),
    /// A room was joined or left, or somebody joined or left it.
    RoomChanged(RoomChanged),
    /// Messages of others were marked as read here.
    ConversationRead(ConversationRead),
    /// Somebody writes, or no longer does. Never stored, and lost without harm.
    Typing(Typing),
    /// The relay is reached.
    LinkUp(LinkUp),
    /// The relay is lost, or could not be reached.
    LinkDown(LinkDown),
    /// Another transport of the profile's list carries the link now.
    StackChanged(StackChanged),
    /// Something was refused that a user should know about.
    Alarm(Alarm),
}

impl Event {
    /// The name of the notification.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::MessageNew(_) => "msg.new",
            Self::MessageStatus(_) => "msg.status",
            Self::MessageGap(_) => "msg.gap",
            Self::MessageDeleted(_) => "msg.deleted",
            Self::PeerSeen(_) => "peer.seen",
            Self::PeerLost(_) => "peer.lost",
            Self::PeerKeyChanged(_) => "peer.key_changed",
            Self::RoomChanged(_) => "room.changed",
            Self::ConversationRead(_) => "conversation.read",
            Self::Typing(_) => "typing",
            Self::LinkUp(_) => "link.up",
            Self::LinkDown(_) => "link.down",
            Self::StackChanged(_) => "stack.changed",
            Self::Alarm(_) => "alarm",
        }
    }

    /// About how many bytes of what others chose it holds: that is what makes an event large.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::MessageNew(new) => new.message.text.len(),
            Self::MessageDeleted(deleted) => deleted.ids.len() * 16,
            Self::RoomChanged(changed) => changed.members.len() * PeerId::LEN,
            Self::Alarm(alarm) => alarm.detail.len(),
            _ => 0,
        }
    }

    /// The parameters of the notification.
    ///
    /// # Errors
    /// None that data of these types can cause; passed on from `serde_json`.
    pub fn params(&self) -> Result<serde_json::Value, serde_json::Error> {
        match self {
            Self::Ready(it) => serde_json::to_value(it),
            Self::MessageNew(it) => serde_json::to_value(it),
            Self::MessageStatus(it) => serde_json::to_value(it),
            Self::MessageGap(it) => serde_json::to_value(it),
            Self::MessageDeleted(it) => serde_json::to_value(it),
            Self::PeerSeen(it) | Self::PeerLost(it) => serde_json::to_value(it),
            Self::PeerKeyChanged(it) => serde_json::to_value(it),
            Self::RoomChanged(it) => serde_json::to_value(it),
            Self::ConversationRead(it) => serde_json::to_value(it),
            Self::Typing(it) => serde_json::to_value(it),
            Self::LinkUp(it) => serde_json::to_value(it),
            Self::LinkDown(it) => serde_json::to_value(it),
            Self::StackChanged(it) => serde_json::to_value(it),
            Self::Alarm(it) => serde_json::to_value(it),
        }
    }
}

/// The method and parameter schema of every notification, for the generated schema.
pub fn notification_schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("ready", schema_of::<Ready>()),
        ("msg.new", schema_of::<MessageNew>()),
        ("msg.status", schema_of::<MessageStatus>()),
        ("msg.gap", schema_of::<MessageGap>()),
        ("msg.deleted", schema_of::<MessageDeleted>()),
        ("peer.seen", schema_of::<PeerEvent>()),
        ("peer.lost", schema_of::<PeerEvent>()),
        ("peer.key_changed", schema_of::<PeerKeyChanged>()),
        ("room.changed", schema_of::<RoomChanged>()),
        ("conversation.read", schema_of::<ConversationRead>()),
        ("typing", schema_of::<Typing>()),
        ("link.up", schema_of::<LinkUp>()),
        ("link.down", schema_of::<LinkDown>()),
        ("stack.changed", schema_of::<StackChanged>()),
        ("alarm", schema_of::<Alarm>()),
    ]
}

/// [`Event::Ready`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ready {
    /// What this program's own relay listens on; empty if it doesn't host.
    pub listen: Vec<String>,
    /// One's own peer id.
    pub peer_id: PeerId,
    /// The same, under the name people compare it by.
    pub fingerprint: PeerId,
    /// One's own name.
    pub nick: Nick,
}

/// [`Event::MessageNew`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageNew {
    /// The message.
    #[serde(flatten)]
    pub message: MessageView,
    /// Where it was said, by name: `#lobby`, `bob`.
    pub conversation_name: String,
    /// It fills a hole: its place is before messages that were shown already.
    pub late: bool,
}

/// [`Event::MessageStatus`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageStatus {
    /// The message.
    pub id: MessageId,
    /// Its conversation, as it is addressed: `#room`, or a peer id.
    #[serde(rename = "conversation")]
    pub address: Destination,
    /// The id of that conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// How far it has come.
    pub state: MessageState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In a room, how many recipients are how far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

/// [`Event::MessageGap`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageGap {
    /// Whether nothing is missing there any more: it came late.
    pub filled: bool,
    /// Where, as it is addressed: `#room`, or a peer id.
    #[serde(rename = "conversation")]
    pub address: Destination,
    /// The id of that conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// Whose message is missing.
    pub from: Author,
    /// The message before which it is missing.
    pub before: MessageId,
}

/// [`Event::MessageDeleted`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageDeleted {
    /// Where, as it is addressed: `#room`, or a peer id.
    #[serde(rename = "conversation")]
    pub address: Destination,
    /// The id of that conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// The messages.
    pub ids: Vec<MessageId>,
}

/// [`Event::PeerSeen`], [`Event::PeerLost`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeerEvent {
    /// Who, by key.
    pub peer_id: PeerId,
    /// What to call it here.
    pub nick: String,
    /// Whether its key was verified.
    pub verified: bool,
    /// What it was called here until now, if it is called otherwise since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// [`Event::PeerKeyChanged`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeerKeyChanged {
    /// The name both claim.
    pub claims: String,
    /// Who had it.
    pub known: PeerId,
    /// Who claims it now; kept apart.
    pub peer_id: PeerId,
    /// What the newcomer is called here.
    pub nick: String,
    /// Whether the newcomer's key was verified.
    pub verified: bool,
    /// Direct messages to who had the name wait until the user decides (`peer.accept_key`): it is not there now, so the
    /// newcomer may be the same person with a new identity.
    pub held: bool,
}

/// [`Event::RoomChanged`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoomChanged {
    /// What it is called from now on: it may have had its name without digits until now, or have it again.
    pub room: RoomAddress,
    /// The id of its conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// Whether one is in it.
    pub joined: bool,
    /// Whether the relay names the members, to whom an open room is encrypted. Else only members admit members.
    pub open: bool,
    /// Everybody in it, as known here.
    pub members: Vec<PeerId>,
    /// Who has admitted or removed somebody, if that is what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<PeerId>,
}

/// [`Event::ConversationRead`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConversationRead {
    /// Which, as it is addressed: `#room`, or a peer id.
    #[serde(rename = "conversation")]
    pub address: Destination,
    /// The id of that conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// What is still unread in it.
    pub unread: u32,
}

/// [`Event::Typing`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Typing {
    /// Where, as it is addressed: `#room`, or a peer id.
    #[serde(rename = "conversation")]
    pub address: Destination,
    /// The id of that conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// Who.
    pub from: Author,
    /// Whether it writes now. It ends by itself some seconds after the last key, or with the message.
    pub typing: bool,
}

/// [`Event::LinkUp`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LinkUp {
    /// The relay's address.
    pub relay: String,
    /// Its fingerprint.
    pub fingerprint: Option<PeerId>,
    /// Whether it is this program itself.
    pub hosting: bool,
    /// What it listens on, if it is this program.
    pub listen: Vec<String>,
}

/// [`Event::LinkDown`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LinkDown {
    /// The relay's address.
    pub relay: String,
    /// What happened.
    pub reason: String,
}

/// [`Event::StackChanged`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StackChanged {
    /// The name of the transport in use now.
    pub transport: String,
    /// The relay's address over it.
    pub relay: String,
    /// Why this one, in words; none if nothing is known against another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every way to the relay that the profile names, in its order.
    pub transports: Vec<TransportView>,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlarmKind {
    /// A peer or a record was refused.
    Refused,
    /// A frame didn't authenticate, or claims what its envelope doesn't.
    Tampered,
    /// A first message was seen before.
    Replayed,
    /// A peer's stack differs from ours, or a property once had with it is missing now.
    Downgrade,
    /// A backup was put back: keys and sessions are made anew.
    Restored,
    /// A peer knows other members of a closed room than this node, or has said what it has no right to say.
    Roster,
}

/// [`Event::Alarm`]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alarm {
    /// What was refused.
    pub kind: AlarmKind,
    /// Whose it claims to be, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
    /// In words.
    pub detail: String,
}
