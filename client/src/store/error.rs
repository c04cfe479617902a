//! Why the store can't be used, with what to do about it.

use chat_core::error::CryptoError;
use chat_core::ids::PeerId;
use rusqlite::ErrorCode;

use super::{SCHEMA_VERSION, seal};

/// Why the store can't be used. The transaction it happened in is rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite's words: disk full, file damaged, locked by another process.
    #[error("the store failed: {0}")]
    Sqlite(rusqlite::Error),
    /// There is no randomness to seal with.
    #[error("nothing can be sealed: {0}")]
    Crypto(#[from] CryptoError),
    /// The key is another one than the store was sealed with.
    #[error(
        "the store is sealed with another key than the one given: put the right one back, or name it in [store]; \
         nothing was changed"
    )]
    OtherKey,
    /// The database was written by a later version of the program.
    #[error(
        "the store has schema {found}, this program knows up to {SCHEMA_VERSION}: use the newer program, or another --data-dir"
    )]
    Newer {
        /// Its version.
        found: i64,
    },
    /// SQLite keeps another journal than the write-ahead log, which every promise about a commit rests on.
    #[error("the store's file system gives no write-ahead log, but {0:?}")]
    NoLog(String),
    /// Something in it is not what was written, or can't be read.
    #[error("the store is damaged: {0}; `chat db verify` says what is, `chat db export` saves the rest")]
    Damaged(String),
    /// The file is there, but empty, or too short to be a database. The program never leaves it like that.
    #[error(
        "the store is an empty file, or nearly, so something has cut it off: put a copy of it back, with the data directory it was in, or \
         remove it and client.count to begin with an empty history under the same identity; nothing was changed"
    )]
    Empty,
    /// The file is gone, but its log isn't.
    #[error(
        "the store is not there, but its write-ahead log is: put the store back, or remove the log and client.count too, \
         to begin with an empty history under the same identity; nothing was changed"
    )]
    LogAlone,
    /// The file and its log are gone.
    #[error(
        "the store is not there, but {} says that there was one: put a copy of the data directory back, or remove that file \
         too, to begin with an empty history under the same identity; nothing was changed",
        count.display()
    )]
    Gone {
        /// What counts its commits.
        count: std::path::PathBuf,
    },
    /// The file system's words.
    #[error("the store's file can't be used: {0}")]
    File(std::io::Error),
    /// There is no room for it.
    #[error(
        "the disk is full: make room on it and start again (a store that is brought up to date is copied before); nothing \
         was lost"
    )]
    Full,
    /// It may not be written.
    #[error(
        "the store can't be written: its file or folder is read-only for this user; make them writable, or give another \
         --data-dir; nothing was changed"
    )]
    ReadOnly,
    /// A store in the clear lies where a sealed one was.
    #[error(
        "the store lies in the clear, but the one of this data directory was sealed: something else was put in its place, or an \
         old copy of it. Put the sealed one back; an old copy is taken with all of its data directory, as it was then. \
         Nothing was changed"
    )]
    Unsealed,
    /// Another identity has written the store.
    #[error(
        "the store belongs to the identity {owner}, but the key is the one of {key}: put the old key back, or move the \
         whole data directory away to begin anew; nothing was changed"
    )]
    OtherIdentity {
        /// Whose it is.
        owner: PeerId,
        /// Who wants it.
        key: PeerId,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(_, Some(said)) if said.starts_with(seal::DAMAGED) => {
                Self::Damaged(said.trim_start_matches(seal::DAMAGED).to_owned())
            }
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged(error.to_string()),
                ErrorCode::DiskFull => Self::Full,
                ErrorCode::ReadOnly => Self::ReadOnly,
                _ => Self::Sqlite(error),
            },
            _ => Self::Sqlite(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => Self::ReadOnly,
            _ => Self::File(error),
        }
    }
}
