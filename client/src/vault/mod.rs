//! The key of everything in a data directory, and what keeps it: a passphrase, a key file, or nothing but the
//! permissions of the file beside the store.
//!
//! `store.key` holds it: in the clear, or wrapped. What is wrapped opens with Argon2id of the passphrase, or with the
//! key file; the key itself stays the same when the passphrase changes.

mod error;
mod file;
mod kdf;
mod key;
mod lock;
pub(crate) mod wrapped;

pub use error::VaultError;
pub(crate) use file::{read as read_private, write as write_private};
pub(crate) use kdf::Cost;
pub use key::StoreKey;
pub(crate) use lock::holds_sealed_rows;
pub use lock::{Lock, Vault};

/// What guessing a passphrase costs.
pub(crate) const COST: Cost = Cost::USUAL;
