//! What a frontend may ask for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

pub use super::reply::{CommandError, ErrorKind, Reply, Verification};
use crate::ids::{ConversationId, MessageId, PeerId};
use crate::nick::RoomName;
use crate::room::RoomAddress;

/// Longest name of a peer in a command, in bytes of UTF-8: room for a nick, the `·` and the digits that keep two of one
/// name apart.
const MAX_DESTINATION_BYTES: usize = 96;

/// Whom a command is about: a peer id, a name, or `#room`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A peer, by key.
    Peer(PeerId),
    /// A peer, by the name it is shown under; an error if several claim it and none owns it.
    Nick(String),
    /// A room.
    Room(RoomAddress),
    /// A conversation, by id.
    Conversation(ConversationId),
}

impl TryFrom<String> for Destination {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('#') {
            return RoomAddress::try_from(text).map(Self::Room).map_err(|e| e.to_string());
        }
        if let Ok(peer) = text.parse() {
            return Ok(Self::Peer(peer));
        }
        if let Ok(conversation) = text.parse() {
            return Ok(Self::Conversation(conversation));
        }
        // In composed form, as nicks are kept, and no more of it than is looked at.
        let name = text.strip_prefix('@').unwrap_or(&text);
        let composed: String = name.nfc().take(MAX_DESTINATION_BYTES + 1).collect();
        match composed.as_str() {
            "" => Err("expected a peer id, a name or #room".to_owned()),
            nick if nick.len() <= MAX_DESTINATION_BYTES => Ok(Self::Nick(composed)),
            _ => Err(format!("a name has at most {MAX_DESTINATION_BYTES} bytes")),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(id) => id.fmt(f),
            Self::Nick(nick) => f.write_str(nick),
            Self::Room(room) => room.fmt(f),
            Self::Conversation(id) => id.fmt(f),
        }
    }
}

impl Serialize for Destination {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Destination {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Destination".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "a peer id, a name, or #room" })
    }
}

/// Something to do. Parameters are the JSON-RPC parameters of the method in [`super::table`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// `msg.send`
    Send(Send),
    /// `msg.retry`
    Retry(Retry),
    /// `msg.history`
    History(History),
    /// `msg.mark_read`
    MarkRead(MarkRead),
    /// `msg.search`
    Search(Search),
    /// `msg.delete`
    Delete(Delete),
    /// `msg.delete_all`
    DeleteAll(DeleteAll),
    /// `peer.list`
    Peers,
    /// `peer.verify`
    Verify(Verify),
    /// `peer.accept_key`
    AcceptKey(AcceptKey),
    /// `peer.block`
    Block(OfPeer),
    /// `peer.unblock`
    Unblock(OfPeer),
    /// `typing.set`
    SetTyping(SetTyping),
    /// `room.list`
    Rooms,
    /// `room.join`
    Join(InRoom),
    /// `room.leave`
    Leave(InRoom),
    /// `room.members`
    Members(InRoom),
    /// `room.create`
    Create(NewRoom),
    /// `room.admit`
    Admit(MemberOf),
    /// `room.remove`
    Remove(MemberOf),
    /// `stack.get`
    Stack,
    /// `config.get`
    Config,
    /// `system.shutdown`
    Shutdown,
}

/// Parameters of `msg.send`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Send {
    /// To whom.
    pub to: Destination,
    /// What; 1 byte to 1 MiB of UTF-8.
    pub text: String,
    /// A name of the caller's choice, at most 128 bytes: a second call with it sends nothing and answers the first one's id.
    #[serde(default)]
    pub client_id: Option<String>,
}

/// Parameters of `msg.retry`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Retry {
    /// A message that failed.
    pub id: MessageId,
}

/// Parameters of `msg.history`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct History {
    /// With whom, or where.
    #[serde(alias = "to", alias = "conversation")]
    pub with: Destination,
    /// Only what stands before this message.
    #[serde(default)]
    pub before: Option<MessageId>,
    /// How many, at most 1000; 50 if left out.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Parameters of `msg.mark_read`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct MarkRead {
    /// With whom, or where.
    #[serde(alias = "to", alias = "conversation")]
    pub with: Destination,
    /// Up to and with this message; all if left out.
    #[serde(default)]
    pub up_to: Option<MessageId>,
}

/// Parameters of `msg.search`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Search {
    /// Words, at most 16: a message is found that has all of them, or words that begin so. Case and accents don't matter.
    pub query: String,
    /// Only with whom, or where.
    #[serde(default, alias = "to", alias = "conversation")]
    pub with: Option<Destination>,
    /// How many, at most 1000; 50 if left out.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Parameters of `msg.delete`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Delete {
    /// A message in history, whoever wrote it. It is deleted here only; copies of one's own that are not delivered are
    /// not sent any more.
    pub id: MessageId,
}

/// Parameters of `msg.delete_all`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct DeleteAll {
    /// With whom, or where: everything said there is deleted here.
    #[serde(alias = "to", alias = "conversation")]
    pub with: Destination,
}

/// Parameters of `peer.verify`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Verify {
    /// Whom.
    pub peer: Destination,
    /// What the comparison gave; without it the answer only tells what to compare.
    #[serde(default)]
    pub confirm: Option<Confirm>,
}

/// What a comparison gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Confirm {
    /// True: both numbers were the same, the key is verified. False: it is verified no longer.
    Is(bool),
    /// The 60 digits that the other one reads, or the hex digits of his QR code: verified if they are the same. At the
    /// prompt also `yes` and `no`.
    Said(String),
}

/// Parameters of `peer.accept_key`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct AcceptKey {
    /// Whose key.
    pub peer: Destination,
    /// What to agree to; may be left out if only one of them is open.
    #[serde(default)]
    pub kind: Option<AcceptKind>,
}

/// What can be agreed to about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AcceptKind {
    /// The name that several claim is this key's. It is not verified by that.
    Key,
    /// What this stack no longer gives is not asked for any more.
    Downgrade,
}

/// Parameters of `peer.block`, `peer.unblock`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct OfPeer {
    /// Whom.
    pub peer: Destination,
}

/// Parameters of `typing.set`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct SetTyping {
    /// With whom, or where.
    #[serde(alias = "with", alias = "conversation")]
    pub to: Destination,
    /// Whether one writes now.
    pub typing: bool,
}

/// Parameters of `room.join`, `room.leave`, `room.members`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct InRoom {
    /// The room.
    pub room: RoomAddress,
}

/// Parameters of `room.create`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct NewRoom {
    /// What it is to be called.
    #[serde(alias = "name")]
    pub room: RoomName,
}

/// Parameters of `room.admit`, `room.remove`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct MemberOf {
    /// The room, which must be a closed one.
    pub room: RoomAddress,
    /// Who: a peer id or a name.
    #[serde(
        alias = "peer_id",
        alias = "nick",
        alias = "member",
        alias = "to",
        deserialize_with = "somebody"
    )]
    pub peer: Destination,
}

/// A destination that is a peer.
fn somebody<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Destination, D::Error> {
    match Destination::deserialize(from)? {
        peer @ (Destination::Peer(_) | Destination::Nick(_)) => Ok(peer),
        _ => Err(serde::de::Error::custom("expected a peer id or a name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit is on the name as it is kept: composing makes a text longer (U+0958 becomes
    /// two) or shorter, and what was taken must be taken again.
    #[test]
    fn a_name_is_as_long_as_its_composed_form() {
        let name = |text: String| Destination::try_from(text).map(|name| name.to_string());
        // Composed, three bytes become six.
        assert_eq!(name("\u{958}".repeat(16)).unwrap().len(), 96);
        assert!(name("\u{958}".repeat(17)).is_err());
        // Three bytes become two.
        let composed = name("a\u{308}".repeat(48)).unwrap();
        assert_eq!(composed, "ä".repeat(48));
        assert_eq!(name(composed.clone()), Ok(composed));
        assert!(name("a\u{308}".repeat(49)).is_err() && name("a".repeat(97)).is_err());
    }
}
