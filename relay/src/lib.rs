//! The blind relay: routes and stores sealed envelopes and can open none.
//!
//! It links no session code and depends on no transport: a [`Listener`](chat_core::Listener) brings
//! connections, a [`Secure`] turns them into authenticated links, a [`Mailbox`] is the truth about what is
//! stored. Who is at a link decides what may be sent; what is inside an envelope is never looked at.
//!
//! | room | what is in it |
//! |---|---|
//! | [`Relay`] | serving listeners, draining at the end |
//! | `connection`, `outgoing` | one link: its reader, its writer, the bounded queues between them |
//! | `hub` | who is connected and which rooms they share: routing and presence |
//! | [`mailbox`] | the durable side: trait [`Mailbox`] and [`SqliteMailbox`] |
//! | `testing` | what every mailbox must hold, as a suite (feature `testing`) |
//! | [`host`] | what a program needs around a relay: identity file, data directory, ready line |
//!
//! **Order of things.** An envelope is committed (fsynced), then acknowledged and routed: a delivery never
//! precedes its commit, so what a recipient has seen the relay has too. Live envelopes go from memory to
//! memory; a client that does not keep up is switched to reading its mailbox, and nothing waits for it.
//!
//! **Memory.** Bounded by [`RelayConfig::memory_bytes`] for live envelopes, plus for each client: answers
//! and roster records (256 KiB each), one page of its mailbox (64 KiB or one envelope), what it submitted
//! and is not committed (4 MiB, all clients together [`MailboxLimits::queue_bytes`]), and one frame each way.

mod bucket;
mod config;
mod connection;
mod control;
mod figures;
mod gate;
mod handshakes;
mod hub;
mod mail;
mod memory;
mod one_time;
mod origins;
mod outgoing;
mod passing;
mod queues;
mod records;
mod server;
mod settle;
mod writer;

pub mod host;
pub mod mailbox;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{MailboxLimits, RelayConfig};
pub use figures::Figures;
pub use mailbox::{Mailbox, MailboxError, SqliteMailbox};
pub use server::{Relay, Secure};
