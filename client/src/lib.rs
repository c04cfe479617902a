//! The client engine: conversations, outbox, the life of a message, sessions, trust, history.
//!
//! It opens no socket and draws nothing: a [`Connector`] gives it links to a relay, a
//! [`chat_core::ClientHandle`] takes its commands and shows its events. One task owns the state; it works
//! in turns. A turn takes what waits in its bounded queues, does it in one transaction, commits, and only
//! then lets anything leave: bytes, receipts, answers, events. A turn that cannot commit has not happened.
//!
//! | room | what is in it |
//! |---|---|
//! | `engine` | the turns, sans-IO: commands, inbound, outbound, sessions, rooms, peers, gaps, views |
//! | `roster` | who is in a closed room, by the operations of its members: pure |
//! | `store` | the SQLite database, sealed |
//! | `vault` | its key, and what keeps that |
//! | `archive` | a store that nobody runs on: verified, exported, imported |
//! | `search` | what was said, to be looked through |
//! | `driver` | the task around the engine: link, clock, queues |
//! | `watch` | plugins called by the engine: panics contained, calls that never return noticed |

mod archive;
mod config;
mod connect;
mod driver;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod roster;
mod search;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod vault;
mod watch;

pub use archive::{
    ArchiveError, Exported, Imported, PortableError, Verdict, export, import, open_portable,
    remove_unfinished, renew, seal_portable, verify,
};
pub use config::{ClientConfig, Rules, StorePlace};
pub use connect::{Choice, ConnectError, Connected, Connector, News};
pub use driver::{Client, Node, StartError, Unsent};
pub use store::{StoreError, mark_restored, owner};
pub use vault::{Lock, StoreKey, Vault, VaultError};
