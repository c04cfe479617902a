//! What frontends and the client engine speak with each other: a frontend sends a [`Command`] and gets a
//! [`Reply`], follows the numbered [`Event`]s, and reads an immutable [`Snapshot`] whenever it likes, also
//! when it has lagged behind. All of it is plain data that serializes the way the JSON-RPC frontend shows it.

pub mod command;
pub mod event;
pub mod handle;
mod line;
mod reply;
pub mod snapshot;
pub mod table;

pub use command::{Command, CommandError, Destination, ErrorKind, Reply};
pub use event::{Event, EventId, Numbered};
pub use handle::{ClientHandle, EngineSide, EventReader, StopReason};
pub use snapshot::{
    ConversationKind, ConversationView, Counts, Delivery, Held, LinkState, LinkView, MessageState,
    MessageView, PeerView, Snapshot, StackView, TransportView, Trust,
};
