//! What a command gives, or why it was refused.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::snapshot::{ConversationView, LinkState, MessageView, PeerView, StackView};
use crate::ids::{ConversationId, MessageId, PeerId};
use crate::room::RoomAddress;
use crate::transport::LinkFigures;

/// What a command gives.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Reply {
    /// The message is committed.
    Sent {
        /// Its id.
        id: MessageId,
    },
    /// Messages, oldest first.
    History {
        /// The messages.
        messages: Vec<MessageView>,
        /// Whether there are older ones.
        has_older: bool,
    },
    /// What `msg.search` found, the newest first.
    Found {
        /// The messages.
        messages: Vec<MessageView>,
        /// Whether there are more.
        has_more: bool,
    },
    /// Everybody known.
    Peers {
        /// The peers.
        peers: Vec<Arc<PeerView>>,
    },
    /// What to compare with a peer.
    Verification(Verification),
    /// What was decided.
    Decided {
        /// In words.
        said: String,
    },
    /// The rooms one is in.
    Rooms {
        /// The rooms.
        rooms: Vec<Arc<ConversationView>>,
    },
    /// Who is in a room.
    Members {
        /// The members.
        members: Vec<Arc<PeerView>>,
    },
    /// The stack.
    Stack {
        /// What protects the conversations.
        stack: Arc<StackView>,
        /// Figures of the path to the relay.
        link: LinkFigures,
        /// Whether there is one.
        state: LinkState,
    },
    /// The effective profile with the origin of each value.
    Config {
        /// As TOML.
        toml: String,
    },
    /// A closed room was made.
    Created {
        /// How it is addressed.
        room: RoomAddress,
        /// The id of its conversation.
        conversation_id: ConversationId,
    },
    /// Done; nothing more to say.
    Done {},
}

/// What two people compare, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verification {
    /// Who, by key.
    pub peer_id: PeerId,
    /// What to call it here.
    pub nick: String,
    /// Whether its key is verified now.
    pub verified: bool,
    /// Sixty digits, the same at both ends if nobody is between them.
    pub safety_number: String,
    /// What a QR code for the comparison holds, in hex: a version byte and both peer ids, the smaller one first.
    pub qr: String,
}

/// Stable names of what can go wrong; `data.kind` in JSON-RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such method or slash command.
    UnknownCommand,
    /// Parameters that don't fit.
    BadParams,
    /// Nobody, or nothing, of that name or id.
    NotFound,
    /// Several of that name.
    Ambiguous,
    /// Over a limit of size or number.
    TooLarge,
    /// Not possible now (wrong state).
    NotAllowed,
    /// What was compared is not the same: perhaps somebody is in between.
    Mismatch,
    /// The policy asks for verified peers, and this one is not.
    Unverified,
    /// The queue of commands is full; try again.
    Busy,
    /// The store failed; nothing was changed.
    Store,
    /// The engine is stopping.
    Stopping,
}

/// Why a command was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: what went wrong and what to do.
    pub message: String,
}

impl CommandError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}
