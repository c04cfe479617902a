//! The durable side of a relay: the log of envelopes, the directory and the rooms.

mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::nick::{Nick, RoomName};
use chat_core::wire::Recipient;
use chat_core::wire::relay::Refusal;
use chat_core::{EnvelopeId, PeerId, Timestamp};

pub use sqlite::SqliteMailbox;

/// Why the mailbox could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxError {
    /// Another relay has the database open.
    #[error("{0} is in use by another relay")]
    InUse(PathBuf),
    /// Made by a later version of this program.
    #[error("the database has schema version {found}; this program knows versions up to {known}")]
    NewerSchema {
        /// The version in the file.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// It is damaged, or something else than a relay's database. It is left as it is.
    #[error("{path} is damaged or no relay database: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the database failed; nothing of the operation is kept.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed,
}

/// Called once with what became of a [`Write`], after its commit. Runs on the mailbox's thread: it must not block.
/// Should it panic, only it is lost.
pub type Done<T> = Box<dyn FnOnce(Result<T, MailboxError>) + Send>;

/// Says whether a peer is connected now. Must not block.
pub type IsOnline = Arc<dyn Fn(PeerId) -> bool + Send + Sync>;

/// An envelope to be stored.
#[derive(Debug, Clone)]
pub struct NewEnvelope {
    /// As in the envelope.
    pub id: EnvelopeId,
    /// As in the envelope.
    pub to: Recipient,
    /// The whole envelope, as submitted.
    pub bytes: Bytes,
}

/// What became of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored now, under this number.
    Stored(u64),
    /// It was stored before, and nothing was added.
    Known,
    /// It was not taken.
    Refused(Refusal),
}

/// A change to the mailbox.
pub enum Write {
    /// Store envelopes; one outcome each, in their order.
    Store {
        /// The peer at the link.
        from: PeerId,
        /// Whose shares this uses beside the sender's own: a number of the network address it came from, good until
        /// the mailbox is closed; 0 = nobody's, as on this machine.
        payer: u64,
        /// What to store.
        envelopes: Vec<NewEnvelope>,
        /// The wall clock.
        now: Timestamp,
        /// One [`Outcome`] an envelope.
        done: Done<Vec<Outcome>>,
    },
    /// Forget what was delivered up to and with this number. May be committed late: what a crash loses of it is
    /// delivered again.
    Ack {
        /// Whose mailbox.
        peer: PeerId,
        /// The number.
        through: u64,
    },
    /// A peer has connected. Its earlier [`Write::Ack`]s count from now on.
    Attach {
        /// Who.
        peer: PeerId,
        /// The wall clock.
        now: Timestamp,
        /// Its rooms; `None` if no more peers can be remembered.
        done: Done<Option<Attached>>,
    },
    /// A verified bundle for the directory.
    Publish {
        /// Who signed it.
        peer: PeerId,
        /// The name it claims.
        nick: Nick,
        /// Only a newer one replaces what is there, or one that is not dated in the future, as that is.
        created: Timestamp,
        /// The wall clock.
        now: Timestamp,
        /// The bundle as published.
        bundle: Bytes,
        /// What became of it.
        done: Done<Published>,
    },
    /// A peer becomes, or stays, a member of a room. In a full room, members who are not connected and of whom nobody
    /// has had anything give way.
    Join {
        /// Who.
        peer: PeerId,
        /// Where.
        room: RoomName,
        /// Called on the mailbox's thread.
        is_online: IsOnline,
        /// What became of it.
        done: Done<Joined>,
    },
    /// A peer leaves a room; whether it was a member.
    Leave {
        /// Who.
        peer: PeerId,
        /// Where.
        room: RoomName,
        /// Whether it was a member.
        done: Done<bool>,
    },
    /// One-time keys of a peer, to be given out once each. Over the limit, the oldest are forgotten.
    OneTimeKeys {
        /// Whose.
        peer: PeerId,
        /// Each as published, with the time until which it may be given out.
        keys: Vec<(Bytes, Timestamp)>,
        /// Those of before are forgotten first.
        anew: bool,
        /// The wall clock.
        now: Timestamp,
        /// What became of it.
        done: Done<Stocked>,
    },
    /// A one-time key of a peer for somebody who begins a session with it: given out here and nowhere again.
    TakeOneTimeKey {
        /// Whose.
        peer: PeerId,
        /// Who asks.
        asker: PeerId,
        /// The wall clock.
        now: Timestamp,
        /// What became of it.
        done: Done<Taken>,
    },
    /// Forget stored envelopes that turned out to be damaged, so that a resend is stored again.
    Discard {
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// Forget what is too old, a piece of it. Done only once the wall clock is believed: see [`SqliteMailbox`].
    Sweep {
        /// The wall clock.
        now: Timestamp,
        /// Peers connected now; they count as seen.
        online: Vec<PeerId>,
        /// What became of it.
        done: Done<Swept>,
    },
}

/// What became of a [`Write::Sweep`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rooms that lost members.
    pub rooms: Vec<RoomName>,
    /// Whether this was a piece only, and another is to follow at once.
    pub more: bool,
}

/// What became of a [`Write::OneTimeKeys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stocked {
    /// So many are kept now.
    Left(u32),
    /// The directory is full; nothing has changed.
    Full,
}

/// What became of a [`Write::TakeOneTimeKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The oldest that has not expired; none if there is none, or this asker, or all together, have had enough.
    pub key: Option<Bytes>,
    /// How many are left.
    pub left: u32,
}

/// What a peer finds when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The number up to which it has acknowledged.
    pub cursor: u64,
    /// The rooms it is a member of.
    pub rooms: Vec<RoomName>,
    /// How many of its one-time keys are left.
    pub one_time_keys: u32,
}

/// What became of a [`Write::Publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is the newest now.
    New,
    /// The directory holds the same or a newer one.
    Old,
    /// It is dated more than [`MAX_AHEAD_MS`] in the future.
    Ahead,
    /// The directory is full.
    Full,
}

/// How far ahead of the relay's clock a bundle may be dated: a day. One from further would stay the newest for as long,
/// and its owner, once its clock is right, could publish no other.
pub const MAX_AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// What became of a [`Write::Join`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// A member now.
    New {
        /// Its bundle, if it has published one.
        bundle: Option<Bytes>,
    },
    /// A member before.
    Already,
    /// The peer is a member of too many rooms.
    TooManyRooms,
    /// The room has too many members.
    RoomFull,
}

/// A piece of a peer's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Numbers and envelopes, oldest first.
    pub items: Vec<(u64, Bytes)>,
    /// Whatever waits for the peer up to and with this number, and after the one asked for, is in `items`.
    pub through: u64,
    /// Whether more waits after it.
    pub more: bool,
    /// Numbers of envelopes whose checksum doesn't match; not in `items`.
    pub damaged: Vec<u64>,
}

/// A peer in the directory or in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub peer: PeerId,
    /// Its newest bundle, if it has published one.
    pub bundle: Option<Bytes>,
}

/// A piece of a room's list of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Some members.
    pub entries: Vec<Entry>,
    /// Where the next piece begins; none at the end.
    pub next: Option<u64>,
}

/// Whom [`Mailbox::find`] looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// One peer.
    Peer(PeerId),
    /// All who claim a name, those first who have been known longest.
    Nick(Nick),
}

/// The truth about what is stored.
///
/// Changes happen in the order of the calls to [`Mailbox::write`]; their [`Done`]s are called in the same
/// order, each after its commit is durable, and the numbers of stored envelopes grow from one to the next.
/// Numbers are never used twice. Reads see every change whose `Done` was called.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// Queues a change; waits while the queue is full. `done` is called in any case, also after an error.
    /// Cancel safe: dropped before it returns, the change has not been queued, and `done` is not called.
    async fn write(&self, change: Write);

    /// Whether `peer` has connected before and is remembered.
    ///
    /// # Errors
    /// [`MailboxError::Storage`], [`MailboxError::Closed`].
    async fn knows(&self, peer: PeerId) -> Result<bool, MailboxError>;

    /// Whether `peer` has ever written to `other`, as far as that is remembered.
    ///
    /// # Errors
    /// As [`Mailbox::knows`].
    async fn has_written(&self, peer: PeerId, other: PeerId) -> Result<bool, MailboxError>;

    /// What waits for `peer` after number `after`: its own envelopes and those of its rooms. At most
    /// `max_items`, and `max_bytes` of envelopes, but one if there is one.
    ///
    /// # Errors
    /// [`MailboxError::Storage`], [`MailboxError::Closed`].
    async fn waiting(
        &self,
        peer: PeerId,
        after: u64,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Page, MailboxError>;

    /// The members of a room with their bundles, from `position` on (0 = from the beginning): at most
    /// `max_bytes` of bundles, but one member if there is one.
    ///
    /// # Errors
    /// As [`Mailbox::waiting`].
    async fn roster(&self, room: RoomName, position: u64, max_bytes: usize) -> Result<Roster, MailboxError>;

    /// Who is in the directory; at most `max_bytes` of bundles, but one if there is one.
    ///
    /// # Errors
    /// As [`Mailbox::waiting`].
    async fn find(&self, whom: Query, max_bytes: usize) -> Result<Vec<Entry>, MailboxError>;

    /// Commits what is queued, then closes. Later changes and reads fail with [`MailboxError::Closed`].
    async fn close(&self);

    /// Until it can do nothing any more, closed or failed; a relay over it stops then. Cancel safe.
    async fn ended(&self) {
        std::future::pending().await
    }

    /// Transactions, and the microseconds they took together.
    fn commits(&self) -> (u64, u64) {
        (0, 0)
    }
}

impl Write {
    /// About how many bytes it takes while it is queued.
    pub fn size(&self) -> usize {
        match self {
            Self::Store { envelopes, .. } => envelopes.iter().map(|e| e.bytes.len() + 128).sum(),
            Self::Publish { bundle, .. } => bundle.len(),
            Self::Sweep { online, .. } => online.len() * PeerId::LEN,
            Self::OneTimeKeys { keys, .. } => keys.iter().map(|(key, _)| key.len() + 64).sum::<usize>() + 128,
            Self::Discard { numbers } => numbers.len() * 8,
            Self::Ack { .. }
            | Self::Attach { .. }
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::TakeOneTimeKey { .. } => 128,
        }
    }

    /// Tells whoever waits that it failed.
    pub fn fail(self, error: MailboxError) {
        match self {
            Self::Store { done, .. } => done(Err(error)),
            Self::Attach { done, .. } => done(Err(error)),
            Self::Publish { done, .. } => done(Err(error)),
            Self::Join { done, .. } => done(Err(error)),
            Self::Leave { done, .. } => done(Err(error)),
            Self::Sweep { done, .. } => done(Err(error)),
            Self::OneTimeKeys { done, .. } => done(Err(error)),
            Self::TakeOneTimeKey { done, .. } => done(Err(error)),
            Self::Ack { .. } | Self::Discard { .. } => {}
        }
    }
}
