//! What is public nowhere else, for the fuzz targets.

use std::collections::BTreeSet;

use chat_core::ids::{ConversationId, PeerId};
use chat_core::wire::membership::{OperationId, VerifiedOperation};

pub use crate::archive::fuzzing::{import, open_wrapped, records, seal_wrapped, sealed};
use crate::roster::{Earlier, Log};
pub use crate::store::seal::fuzzing::{open_row, seal_row};

/// All known operations of a closed room.
pub struct Room(Log);

impl Room {
    /// A room that begins with this; `None` if it begins none.
    pub fn begin(operation: VerifiedOperation) -> Option<Self> {
        Log::begin(operation).map(Self)
    }

    /// Takes an operation. Whether it was new; nothing if it was refused.
    pub fn insert(&mut self, operation: VerifiedOperation) -> Option<bool> {
        self.0.insert(operation).ok()
    }

    /// The room's id.
    pub fn id(&self) -> ConversationId {
        self.0.room()
    }

    /// The newest operations.
    pub fn parents(&self) -> Vec<OperationId> {
        self.0.parents()
    }

    /// Everybody in it.
    pub fn members(&self) -> BTreeSet<PeerId> {
        self.0.members().collect()
    }

    /// The hashes of the members and of everything known.
    pub fn hashes(&self) -> [[u8; 16]; 2] {
        [self.0.roster(), self.0.hash()]
    }

    /// How many operations are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: it begins with one.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Operations in the order in which they came.
    pub fn operations(&self) -> Vec<VerifiedOperation> {
        self.0.from(0).cloned().collect()
    }

    /// The members that a roster's hash stands for, if it is found; whether it was none for certain.
    pub fn earlier(&self, roster: [u8; 16]) -> (Option<BTreeSet<PeerId>>, bool) {
        match self.0.earlier(roster) {
            Earlier::Were(members) => (Some(members), false),
            Earlier::Never => (None, true),
            Earlier::Unknown => (None, false),
        }
    }

    /// How much a former member may know.
    pub fn until_removed(&self, peer: PeerId) -> usize {
        self.0.until_out(peer).len()
    }
}
