//! For those who look for secrets where they must not be: what lies sealed in a store.

use std::path::Path;

use chat_core::entropy::OsEntropy;
use rusqlite::Connection;

use crate::config::StorePlace;
use crate::store::{Store, StoreError};
use crate::vault::{Lock, Vault, VaultError};

/// The database of a data directory that lies open, as queries see it.
///
/// # Errors
/// It can't be opened.
pub fn open_store(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join("client.db");
    let vault = Vault::open(folder, &path, &Lock::Beside, &mut OsEntropy);
    let vault = vault.map_err(|error: VaultError| StoreError::Damaged(error.to_string()))?;
    Ok(Store::open_sealed(&StorePlace::File(path), vault.key(), Box::new(OsEntropy))?.db)
}
