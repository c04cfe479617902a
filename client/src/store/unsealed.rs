//! The permit to seal a store that lies in the clear, once: a file beside it, made with the key of a data directory that
//! had none, and gone when the store is sealed.
//!
//! Without it a store in the clear is refused: in a directory that has its key already, somebody who does not know the
//! key has put it there in place of the sealed one. The permit is a keyed hash, so nobody else can write one. A thief
//! who has kept the one of the first start can bring back no more than what lay in the clear then.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::{beside, sync_folder_of};
use crate::vault::{StoreKey, VaultError, read_private, write_private};

/// What the permit is derived by from the store's key.
pub(super) const LABEL: &str = "chat/store/1 found in the clear";

/// Where the permit for the store at `path` lies.
pub(super) fn permit_of(path: &Path) -> PathBuf {
    beside(path, ".to-be-sealed")
}

/// Permits that the store at `path` is sealed, with the key that was made just now and lies nowhere yet.
pub(crate) fn permit(path: &Path, key: &StoreKey) -> Result<(), VaultError> {
    write_private(&permit_of(path), &*key.derive(LABEL)?)
}

/// Whether the store at `path` may lie in the clear.
pub(super) fn is_permitted(path: &Path, permit: &Zeroizing<[u8; 32]>) -> bool {
    let found = read_private(&permit_of(path), permit.len() as u64 + 1);
    found.is_ok_and(|found| found.is_some_and(|found| *found == permit.as_slice()))
}

/// The store is sealed from now on.
pub(super) fn end(path: &Path) -> std::io::Result<()> {
    let permit = permit_of(path);
    match std::fs::remove_file(&permit) {
        Ok(()) => sync_folder_of(&permit),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
