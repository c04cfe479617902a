//! The contract between the parts of `chat`.
//!
//! A plugin crate depends on this crate alone: it finds here the trait it implements ([`Transport`],
//! [`KeyExchange`], [`Cipher`], [`Frontend`], [`Service`]), the way to register itself ([`register!`]),
//! and the types those traits speak. The crate opens no socket, draws nothing and brings no algorithm
//! that a plugin could bring: only the identity of a node (Ed25519, SHA-256) lives here, because the core,
//! not a plugin, signs bundles and compares profiles.
//!
//! | room | what is in it |
//! |---|---|
//! | [`identity`], [`ids`], [`nick`] | who a node is, and the names of things |
//! | [`safety`] | what two people compare: safety number, content of a QR code |
//! | [`cipher`], [`key_exchange`], [`transport`], [`frontend`], [`service`] | one trait of plugins each |
//! | [`environment`], [`entropy`] | clock, randomness and threads, as values that are handed in |
//! | [`plugin`] | registration, the registry and its guards |
//! | [`profile`] | the TOML profile: parsing, layers, secrets, policy, errors with line and caret |
//! | [`room`] | how rooms are addressed |
//! | [`record`] | records of key exchanges, in the one encoding that each has |
//! | [`wire`] | what is on the wire, byte by byte (see `WIRE.md`) |
//! | `testing` | conformance suites for plugins, behind the feature of that name |
//! | [`api`] | `Command`, `Event`, `Snapshot`, and the one table of commands |

pub mod api;
pub mod cipher;
pub mod entropy;
pub mod environment;
pub mod error;
pub mod frontend;
pub mod identity;
pub mod ids;
pub mod key_exchange;
pub mod nick;
pub mod plugin;
pub mod profile;
pub mod record;
pub mod room;
pub mod safety;
mod schema;
pub mod service;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;
pub mod wire;

pub use api::{Command, Event, Reply, Snapshot};

pub use cipher::{AeadKey, Cipher};
pub use entropy::{Entropy, OsEntropy};
pub use environment::{Environment, System};
pub use error::{CryptoError, FrontendError, LinkError, ProfileError, ServiceError};
pub use frontend::{ClientHandle, Frontend};
pub use identity::{Identity, PeerKey};
pub use ids::{ConversationId, EnvelopeId, MessageId, OneTimeKeyId, PeerId, SessionId, Timestamp};
pub use key_exchange::{Context, KeyExchange, Properties, SavedSession, Session, StateChange, Step};
pub use plugin::{Plugin, Registry};
pub use profile::Profile;
pub use service::Service;
pub use transport::{Address, Dialed, Incoming, Link, Listener, Transport};

/// What the [`register!`] macro needs; nothing here is for direct use.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}

/// The version of this crate, which a plugin was built against.
pub const CORE_VERSION: &str = env!("CARGO_PKG_VERSION");
