//! What there is to see at one moment. A frontend that lost track takes a new snapshot; nothing else is needed.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::command::Destination;
use super::event::EventId;
use crate::ids::{ConversationId, MessageId, PeerId, Timestamp};
use crate::key_exchange::Properties;
use crate::nick::Nick;
use crate::room::RoomAddress;
use crate::transport::LinkFigures;

/// How many of a conversation's newest messages a snapshot holds; `msg.history` gives the older ones.
pub const RECENT_MESSAGES: usize = 200;

/// The whole visible state. Cloning it is cheap where nothing changed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Snapshot {
    /// The last event it includes.
    pub event: EventId,
    /// Oneself.
    pub peer_id: PeerId,
    /// One's own name.
    pub nick: Nick,
    /// The way to the relay.
    pub link: LinkView,
    /// What protects the conversations.
    pub stack: Arc<StackView>,
    /// Rooms first, then peers, each by name.
    pub conversations: Vec<Arc<ConversationView>>,
    /// Everybody known, by name.
    pub peers: Vec<Arc<PeerView>>,
}

impl Snapshot {
    /// The conversation with this id.
    pub fn conversation(&self, id: ConversationId) -> Option<&Arc<ConversationView>> {
        self.conversations.iter().find(|conversation| conversation.id == id)
    }

    /// The peer with this id.
    pub fn peer(&self, id: PeerId) -> Option<&Arc<PeerView>> {
        self.peers.iter().find(|peer| peer.peer_id == id)
    }
}

/// The link to the relay.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LinkView {
    /// Up, or why not.
    pub state: LinkState,
    /// The relay's address.
    pub relay: String,
    /// The relay's fingerprint while the link is up.
    pub relay_fingerprint: Option<PeerId>,
    /// Whether this program is the relay as well.
    pub hosting: bool,
    /// What the hosting relay listens on.
    pub listen: Vec<String>,
    /// Figures of the path while the link is up.
    pub figures: LinkFigures,
}

/// Whether the relay can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum LinkState {
    /// Being dialed for the first time, or again.
    Connecting,
    /// Authenticated and in use.
    Up,
    /// Waiting before the next attempt.
    Down {
        /// What happened.
        reason: String,
    },
}

/// The plugins in use and what they give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StackView {
    /// The name of the transport in use, or of the first of the list.
    pub transport: String,
    /// Every way to the relay that the profile names, in its order.
    pub transports: Vec<TransportView>,
    /// The key exchange's name.
    pub key_exchange: String,
    /// The cipher's name.
    pub cipher: String,
    /// The frontend's name.
    pub frontend: String,
    /// What the key exchange gives.
    pub properties: Properties,
}

/// A way to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TransportView {
    /// The transport's name.
    pub kind: String,
    /// Where it dials.
    pub address: String,
    /// Whether the link in use, or the last one, is over it.
    pub in_use: bool,
}

impl StackView {
    /// `udp-arq · rsa-hybrid · aes-256-gcm`
    pub fn line(&self) -> String {
        format!("{} · {} · {}", self.transport, self.key_exchange, self.cipher)
    }
}

/// What a conversation is with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Written")]
pub enum ConversationKind {
    /// One peer.
    Direct {
        /// Who.
        peer: PeerId,
    },
    /// A room that admits whom the relay admits: end-to-end encrypted to the members the relay named.
    OpenRoom {
        /// How it is addressed.
        room: RoomAddress,
        /// Everybody in it, oneself too.
        members: Vec<PeerId>,
    },
    /// A room that admits only whom a member admits. No relay knows that there is one.
    ClosedRoom {
        /// How it is addressed.
        room: RoomAddress,
        /// Everybody in it, oneself too.
        members: Vec<PeerId>,
        /// Who made it.
        creator: PeerId,
    },
}

impl ConversationKind {
    /// A room's address and members, whatever kind of room it is.
    pub fn room(&self) -> Option<(&RoomAddress, &[PeerId])> {
        match self {
            Self::Direct { .. } => None,
            Self::OpenRoom { room, members } | Self::ClosedRoom { room, members, .. } => {
                Some((room, members))
            }
        }
    }
}

impl JsonSchema for ConversationKind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConversationKind".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

/// [`ConversationKind`] as it is written: a room also says whether it is open.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Written {
    /// One peer.
    Direct {
        /// Who.
        peer: PeerId,
    },
    /// A room that admits whom the relay admits: end-to-end encrypted to the members the relay named.
    OpenRoom {
        /// How it is addressed.
        room: RoomAddress,
        /// True.
        open: bool,
        /// Everybody in it, oneself too.
        members: Vec<PeerId>,
    },
    /// A room that admits only whom a member admits. No relay knows that there is one.
    ClosedRoom {
        /// How it is addressed.
        room: RoomAddress,
        /// False.
        open: bool,
        /// Everybody in it, oneself too.
        members: Vec<PeerId>,
        /// Who made it.
        creator: PeerId,
    },
}

impl From<ConversationKind> for Written {
    fn from(kind: ConversationKind) -> Self {
        match kind {
            ConversationKind::Direct { peer } => Self::Direct { peer },
            ConversationKind::OpenRoom { room, members } => Self::OpenRoom { room, open: true, members },
            ConversationKind::ClosedRoom { room, members, creator } => {
                Self::ClosedRoom { room, open: false, members, creator }
            }
        }
    }
}

/// A conversation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConversationView {
    /// Its id.
    pub id: ConversationId,
    /// With whom.
    #[serde(flatten)]
    pub with: ConversationKind,
    /// What to call it: `#lobby`, `bob`, `bob·7f3a`.
    pub name: String,
    /// Messages of others not yet marked as read.
    pub unread: u32,
    /// The newest messages, oldest first, at most [`RECENT_MESSAGES`]; fewer if they are large.
    pub messages: Vec<Arc<MessageView>>,
    /// Whether history holds older ones.
    pub has_older: bool,
}

/// How a peer's key is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Nobody has compared fingerprints yet.
    Unverified,
    /// The user has compared safety numbers, or the profile pins the key.
    Verified,
}

/// Why nothing is sealed for a peer until the user decides something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// It claims a nick that the profile pins to another key.
    Pinned,
    /// The user has blocked it.
    Blocked,
    /// A property once had with it is missing now.
    Downgrade,
    /// The policy asks for verified peers, and it is not.
    Unverified,
    /// Another key claims its name: direct messages wait.
    KeyChanged,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeerView {
    /// Who, by key.
    pub peer_id: PeerId,
    /// What to call it here: the name it claims, or that name with `·` and four digits if somebody else has it.
    pub nick: String,
    /// How its key is trusted.
    pub trust: Trust,
    /// The same as yes or no.
    pub verified: bool,
    /// Whether the profile pins its key.
    pub pinned: bool,
    /// Whether and why nothing is sealed for it until the user decides; `problem` says what to do.
    pub held: Option<Held>,
    /// Whether the relay sees it now.
    pub online: bool,
    /// When it was last seen.
    pub last_seen: Option<Timestamp>,
    /// Why nothing can be sent to it, if so (another stack, a refused key).
    pub problem: Option<String>,
}

/// How far a message of one's own has come. The order is the order of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Committed here.
    Queued,
    /// Handed to the link.
    Sent,
    /// On the relay's disk.
    Stored,
    /// In the durable history of every recipient.
    Delivered,
    /// Seen by every recipient.
    Read,
    /// Given up, with a reason; may be retried.
    Failed,
}

/// Recipients who have reached the state, of all there were when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// How many have got it stored.
    pub stored: u32,
    /// How many have got it delivered.
    pub delivered: u32,
    /// How many have read it.
    pub read: u32,
    /// How many recipients there are.
    pub of: u32,
}

/// The life of a message of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Delivery {
    /// The state that every recipient has reached.
    pub state: MessageState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In a room, how many recipients are how far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

/// The author of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Author {
    /// Who, by key.
    pub peer_id: PeerId,
    /// What to call it here.
    pub nick: String,
    /// Whether its key was verified, by comparison or by a pin; of oneself always.
    pub verified: bool,
}

/// A message in history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageView {
    /// Its id, the same for everybody.
    pub id: MessageId,
    /// Where it was said, as it is addressed: `#room`, or a peer id.
    #[serde(rename = "conversation")]
    pub address: Destination,
    /// The id of that conversation.
    #[serde(rename = "conversation_id")]
    pub conversation: ConversationId,
    /// Its place in the conversation; a late message may get one between two others.
    pub position: i64,
    /// Who wrote it.
    pub from: Author,
    /// How far it has come, if it is one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// The text exactly as it was written; a screen shows [`crate::nick::inert`] of it.
    pub text: String,
    /// The sender's clock.
    pub sent_at: Timestamp,
    /// Something its author said before it has not arrived.
    pub gap_before: bool,
}
