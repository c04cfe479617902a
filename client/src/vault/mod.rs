//! The key of everything in a data directory, and what keeps it: a passphrase, a key file, or nothing but the
//! permissions of the file beside the store.

mod key;

pub use key::StoreKey;
