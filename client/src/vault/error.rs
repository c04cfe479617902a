//! Why the key of a store can't be had. Nothing was changed then.

use std::path::PathBuf;

use chat_core::error::CryptoError;

/// Why the key of a store can't be had. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The one answer to whatever does not open: who tries learns nothing else.
    #[error("this passphrase, or key file, does not open the data directory; nothing was changed")]
    Wrong,
    /// A passphrase is needed.
    #[error(
        "the data directory is sealed under a passphrase: say in [store] where it is, as in passphrase = {{ env = \"X\" }}"
    )]
    NeedsPassphrase,
    /// A key file is needed.
    #[error("the data directory is sealed under a key file: name it in [store] key_file")]
    NeedsKeyFile,
    /// Somebody has made guessing cheaper, or meant to.
    #[error(
        "{path}: Argon2id with {memory_kib} KiB and {passes} passes is weaker than this program accepts (19456 KiB and 2 \
         passes at least), so the file was altered; put a copy of it back"
    )]
    Weak {
        /// The file.
        path: PathBuf,
        /// Its memory.
        memory_kib: u32,
        /// Its passes.
        passes: u32,
    },
    /// Opening it would take all memory, or for ever.
    #[error(
        "{path}: Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes is more than this program accepts (1048576 KiB, \
         16 passes, 4 lanes at most), so the file was altered; put a copy of it back"
    )]
    TooCostly {
        /// The file.
        path: PathBuf,
        /// Its memory.
        memory_kib: u32,
        /// Its passes.
        passes: u32,
        /// Its lanes.
        lanes: u32,
    },
    /// There is a sealed store, but nothing that opens it.
    #[error("{path} is not there, but the store that is sealed with it is: put it back; nothing was changed")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{path} is no key of a store: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Others may read it.
    #[error(
        "{path} can be read by others (mode {mode:o}); if nobody has read it, chmod 600 it. Else it is no secret any more"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Whoever steals the one has the other.
    #[error(
        "{path} lies in the data directory that it opens: whoever steals the one has the other. Put it elsewhere"
    )]
    Inside {
        /// The key file, or the one of the passphrase.
        path: PathBuf,
    },
    /// The system's words.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// No randomness, or a cipher that fails.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}
