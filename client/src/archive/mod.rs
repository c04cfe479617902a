//! A store that nobody runs on: verified, exported, imported.
//!
//! An export holds what was said, with whom, in which rooms, and what must not be taken again. It holds no live session
//! and no key that others use: a copy that comes back would use them twice. Whoever imports it agrees on new ones.

mod chunks;
mod copy;
mod export;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod import;
mod portable;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chat_core::entropy::{Entropy, OsEntropy};
use chat_core::error::CryptoError;
use chat_core::ids::PeerId;

use crate::config::StorePlace;
use crate::store::{Examined, Store, StoreError};
use crate::vault::{StoreKey, holds_sealed_rows};
use copy::Copy;
pub use export::{Exported, export};
pub use import::{Imported, import, remove_unfinished};
pub use portable::{PortableError, open_portable, seal_portable};

/// Tables whose rows go into an export.
const EXPORTED: [&str; 15] = [
    "node",
    "contacts",
    "former_names",
    "rooms",
    "members",
    "messages",
    "deliveries",
    "chains",
    "seen_envelopes",
    "handshakes",
    "deleted",
    "room_operations",
    "room_peers",
    "closed_texts",
    "renewals",
];
/// Tables whose rows stay behind: keys, live sessions, and what they sealed.
#[cfg(test)]
const LEFT_OUT: [&str; 5] = ["bundles", "one_time_keys", "sessions", "session_rows", "controls"];

/// Why an export or import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness, or a cipher that fails.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// What the passphrase seals.
    #[error(transparent)]
    Portable(#[from] PortableError),
    /// It is cut off, or altered.
    #[error("the export is damaged: {0}; nothing was imported")]
    Damaged(&'static str),
    /// It would be overwritten.
    #[error("{0} is there already; nothing was changed")]
    Exists(PathBuf),
    /// There is none.
    #[error("there is no store at {0}")]
    Missing(PathBuf),
    /// The system's words.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

impl From<rusqlite::Error> for ArchiveError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Rows that were looked at.
    pub rows: u64,
    /// Everything that is not as it was written, in words; empty if the store is whole.
    pub problems: Vec<String>,
}

/// Looks at every page, index and row of a store, which no process has open, and compares all of it with the ledger.
///
/// # Errors
/// The store is not there, or can't be looked at at all: another key, another program's file.
pub fn verify(path: &Path, key: &StoreKey, entropy: Box<dyn Entropy>) -> Result<Verdict, ArchiveError> {
    let (Examined { rows, problems, .. }, _copy) = open_as_it_is(path, key, entropy)?;
    Ok(Verdict { rows, problems })
}

/// Has the next start drop every key and session of a store, because the identity `me` came to it from elsewhere: the
/// original may live on.
///
/// # Errors
/// The store can't be opened, or is another's; nothing was changed then.
pub fn renew(path: &Path, key: &StoreKey, me: PeerId, entropy: Box<dyn Entropy>) -> Result<(), ArchiveError> {
    let store = Store::open_sealed(&StorePlace::File(path.to_owned()), key, entropy)?;
    store.begin()?;
    store.belongs_to(me)?;
    store.mark_restored()?;
    store.commit()?;
    Ok(store.close()?)
}

/// Looks at a store although it may be damaged. Its log alone is the rest of one. Where nothing can be written it is a copy
/// that is looked at, and the one that has to outlive it is given too.
fn open_as_it_is(
    path: &Path,
    key: &StoreKey,
    entropy: Box<dyn Entropy>,
) -> Result<(Examined, Option<Copy>), ArchiveError> {
    if !path.exists() && !log_of(path).exists() {
        return Err(ArchiveError::Missing(path.to_owned()));
    }
    let error = match can_be_written(path) {
        true => match Examined::open(path, key, entropy) {
            Ok(examined) => return Ok((examined, None)),
            Err(error) => error,
        },
        false => StoreError::ReadOnly,
    };
    // An older one lies in the clear, and would have to be written.
    if !is_of_writing(&error) || !holds_sealed_rows(path) {
        return Err(error.into());
    }
    let (copy, copied) = Copy::of(path)?;
    Ok((Examined::open(&copied, key, Box::new(OsEntropy))?, Some(copy)))
}

/// What lies on a read-only file system, which SQLite calls a failure of input and output as it calls damage, or belongs to
/// somebody else.
fn can_be_written(path: &Path) -> bool {
    let opened = std::fs::OpenOptions::new().write(true).open(path);
    let kind = opened.err().map(|error| error.kind());
    !matches!(kind, Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied))
}

/// Whether a store failed because SQLite may write neither it nor beside it.
fn is_of_writing(error: &StoreError) -> bool {
    use rusqlite::ErrorCode::CannotOpen;
    match error {
        StoreError::ReadOnly => true,
        StoreError::Sqlite(error) => error.sqlite_error_code() == Some(CannotOpen),
        _ => false,
    }
}

/// Where the log of the store at `path` lies.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests;
