//! What the engine needs to know to begin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat_core::api::StackView;
use chat_core::identity::Identity;
use chat_core::nick::{Nick, RoomName};
use chat_core::profile::{Pin, Retention};
use chat_core::{Cipher, KeyExchange};

use crate::vault::StoreKey;

/// Where the store lies.
#[derive(Debug, Clone)]
pub enum StorePlace {
    /// A database file, made if it isn't there; its folder must exist.
    File(PathBuf),
    /// A database file in a file system that was registered with SQLite under a name. For simulations, whose disks
    /// fail on purpose.
    Vfs {
        /// Its name.
        vfs: String,
        /// The file in it, made if it isn't there.
        path: PathBuf,
    },
    /// In memory: gone with the process. For tests and simulations.
    Memory,
}

/// Everything the engine is made of.
pub struct ClientConfig {
    /// Who one is.
    pub identity: Identity,
    /// What one is called.
    pub nick: Nick,
    /// Open rooms joined at every start.
    pub rooms: Vec<RoomName>,
    /// Whether open rooms are refused: none is joined, whatever stands in `rooms`.
    pub closed_rooms_only: bool,
    /// The key exchange of the profile.
    pub key_exchange: Arc<dyn KeyExchange>,
    /// Its name.
    pub key_exchange_name: String,
    /// The cipher of the profile.
    pub cipher: Arc<dyn Cipher>,
    /// What frontends show of the stack.
    pub stack: StackView,
    /// What the profile asks for beside the stack.
    pub rules: Rules,
    /// The effective profile, for `config.get`.
    pub config_text: String,
    /// The store.
    pub store: StorePlace,
    /// What it is sealed with.
    pub store_key: StoreKey,
    /// How long messages are kept in it.
    pub history: Retention,
    /// Longest wait between two attempts to reach the relay.
    pub max_backoff: Duration,
}

/// What a profile asks for beside the stack.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Nicks that belong to one key each.
    pub pins: Vec<Pin>,
    /// Nothing is sealed for a peer that is not verified.
    pub verified_peers: bool,
    /// Messages are padded to a few lengths.
    pub padding: bool,
    /// Others are told that their messages were read.
    pub read_receipts: bool,
    /// Others are told that one writes.
    pub typing: bool,
}

/// As of a profile that says nothing about them.
impl Default for Rules {
    fn default() -> Self {
        Self { pins: Vec::new(), verified_peers: false, padding: true, read_receipts: true, typing: true }
    }
}
