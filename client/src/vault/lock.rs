//! `store.key` of a data directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use chat_core::entropy::Entropy;
use chat_core::error::CryptoError;
use zeroize::Zeroizing;

use super::file::{forget_unfinished, key_file, outside, read, write};
use super::kdf::Cost;
use super::wrapped::{self, Closed, Secret};
use super::{StoreKey, VaultError};
use crate::store::unsealed;

/// The file, in the data directory.
const FILE: &str = "store.key";
const MAGIC: &[u8; 16] = b"chat-store-key-1";
/// Longer than any.
const MAX_BYTES: u64 = 1024;
/// What follows the magic of a key that lies in the clear.
const CLEAR: u8 = 0;
/// What the identity key is bound to, with the identity's public key.
const IDENTITY_LABEL: &[u8] = b"chat/vault/1 identity key";
const NONCE_BYTES: usize = 24;

/// What keeps the key of a store.
#[derive(Clone)]
pub enum Lock {
    /// The permissions of its file.
    Beside,
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// A file of 32 random bytes outside of the data directory; made if it, and the store, are not there.
    KeyFile(PathBuf),
}

impl Lock {
    /// Refuses a file that holds what opens the data directory `folder`, and lies in it.
    ///
    /// # Errors
    /// [`VaultError::Inside`], or [`VaultError::Io`] if there is no such folder.
    pub fn must_lie_outside(folder: &Path, file: &Path) -> Result<(), VaultError> {
        outside(folder, file)
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Beside => "Beside",
            Self::Passphrase(_) => "Passphrase",
            Self::KeyFile(_) => "KeyFile",
        })
    }
}

/// A lock with what opens it.
enum Opener {
    Nothing,
    Passphrase(Zeroizing<String>),
    KeyFile(Zeroizing<[u8; 32]>),
}

impl Opener {
    fn secret(&self) -> Option<Secret<'_>> {
        match self {
            Self::Nothing => None,
            Self::Passphrase(passphrase) => Some(Secret::Passphrase(passphrase)),
            Self::KeyFile(key) => Some(Secret::KeyFile(key)),
        }
    }
}

/// An open data directory's key.
#[derive(Debug, Clone)]
pub struct Vault {
    key: StoreKey,
    is_sealed: bool,
}

impl Vault {
    /// Opens the data directory `folder`, which this process has taken, or gives a new one its key. `store` is the
    /// database in it. A directory that lay open is locked from now on if `lock` says so.
    ///
    /// Blocks: a passphrase takes a fraction of a second, and 64 MiB.
    ///
    /// # Errors
    /// [`VaultError`]; nothing was changed then.
    pub fn open(
        folder: &Path,
        store: &Path,
        lock: &Lock,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, VaultError> {
        let path = folder.join(FILE);
        forget_unfinished(&path)?;
        let is_sealed = !matches!(lock, Lock::Beside);
        let Some(kept) = read(&path, MAX_BYTES)? else {
            if holds_sealed_rows(store) {
                return Err(VaultError::Missing { path });
            }
            let opener = opener(folder, lock, Some(&mut *entropy))?;
            let key = StoreKey::generate(entropy)?;
            if store.exists() {
                // Found in the clear, by whoever makes the first key: it may be sealed, and none after it.
                unsealed::permit(store, &key)?;
            }
            put(&path, &key, &opener, entropy)?;
            return Ok(Self { key, is_sealed });
        };
        let opener = opener(folder, lock, None)?;
        let (key, lay_open) = open_kept(&path, &kept, &opener)?;
        if lay_open && is_sealed {
            put(&path, &key, &opener, entropy)?;
        }
        Ok(Self { key, is_sealed })
    }

    /// As [`Vault::open`] for a directory that has its key, but for looking only: nothing is written, and what lies open
    /// stays so, whatever `lock` says. `None` if it has no key, for a store that lies in the clear.
    ///
    /// # Errors
    /// [`VaultError`]
    pub fn look(folder: &Path, store: &Path, lock: &Lock) -> Result<Option<Self>, VaultError> {
        let path = folder.join(FILE);
        let Some(kept) = read(&path, MAX_BYTES)? else {
            return if holds_sealed_rows(store) { Err(VaultError::Missing { path }) } else { Ok(None) };
        };
        let (key, lay_open) = open_kept(&path, &kept, &opener(folder, lock, None)?)?;
        Ok(Some(Self { key, is_sealed: !lay_open }))
    }

    /// Locks the data directory in another way. What lay under the old lock stays as it is: the key is the same.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn change(
        folder: &Path,
        store: &Path,
        old: &Lock,
        new: &Lock,
        entropy: &mut dyn Entropy,
    ) -> Result<(), VaultError> {
        let path = folder.join(FILE);
        let Self { key, .. } = Self::open(folder, store, old, entropy)?;
        let opener = opener(folder, new, Some(&mut *entropy))?;
        put(&path, &key, &opener, entropy)
    }

    /// The key.
    pub fn key(&self) -> &StoreKey {
        &self.key
    }

    /// Whether somebody who has the data directory alone can't open it.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    fn identity_cipher(&self) -> Result<XChaCha20Poly1305, CryptoError> {
        Ok(XChaCha20Poly1305::new((&*self.key.derive("chat/store/1 identity")?).into()))
    }

    /// Seals the identity's private key.
    ///
    /// # Errors
    /// No randomness.
    pub fn seal_identity(
        &self,
        public: &[u8; 32],
        seed: &[u8; 32],
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, CryptoError> {
        let nonce: [u8; NONCE_BYTES] = entropy.bytes()?;
        let payload = Payload { msg: seed, aad: &[IDENTITY_LABEL, public].concat() };
        let sealed = self.identity_cipher()?.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| CryptoError::Failed("the identity key can't be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Vault::seal_identity`] gave.
    pub fn open_identity(&self, public: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let (nonce, msg) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg, aad: &[IDENTITY_LABEL, public].concat() };
        let opened = self.identity_cipher().ok()?.decrypt(XNonce::from_slice(nonce), payload);
        let opened = Zeroizing::new(opened.ok()?);
        opened.as_slice().try_into().ok().map(Zeroizing::new)
    }
}

/// Whether the database is there and says that its rows are sealed: SQLite's user version, at offset 60, is 3 or more.
pub(crate) fn holds_sealed_rows(store: &Path) -> bool {
    let mut head = [0; 64];
    let read = File::open(store).and_then(|mut file| file.read_exact(&mut head));
    let version = head.last_chunk::<4>().map(|version| u32::from_be_bytes(*version));
    read.is_ok() && version >= Some(3)
}

/// The key in the bytes of the file, and whether it lay in the clear.
fn open_kept(path: &Path, kept: &[u8], opener: &Opener) -> Result<(StoreKey, bool), VaultError> {
    let path = || path.to_owned();
    let malformed = |what| VaultError::Malformed { path: path(), what };
    let rest = kept.strip_prefix(MAGIC).ok_or_else(|| malformed("it does not begin like one"))?;
    if let Some((&CLEAR, key)) = rest.split_first() {
        let key = key.try_into().map_err(|_| malformed("it has not the length of one"))?;
        return Ok((StoreKey::from_bytes(key), true));
    }
    let Some(secret) = opener.secret() else {
        return Err(match rest.first() {
            Some(1) => VaultError::NeedsPassphrase,
            _ => VaultError::NeedsKeyFile,
        });
    };
    let opened = wrapped::open(MAGIC, secret, kept).map_err(|closed| match closed {
        Closed::Malformed => malformed("it is cut off, or of a later program"),
        Closed::OtherSecret { passphrase: true } => VaultError::NeedsPassphrase,
        Closed::OtherSecret { passphrase: false } => VaultError::NeedsKeyFile,
        Closed::Weak(Cost { memory_kib, passes, .. }) => {
            VaultError::Weak { path: path(), memory_kib, passes }
        }
        Closed::TooCostly(Cost { memory_kib, passes, lanes }) => {
            VaultError::TooCostly { path: path(), memory_kib, passes, lanes }
        }
        Closed::Wrong => VaultError::Wrong,
        Closed::Failed(error) => VaultError::Crypto(error),
    })?;
    let key = opened.as_slice().try_into().map_err(|_| malformed("it has not the length of one"))?;
    Ok((StoreKey::from_bytes(key), false))
}

/// Reads what opens a lock; with `entropy`, a key file that is not there is made.
fn opener(folder: &Path, lock: &Lock, entropy: Option<&mut dyn Entropy>) -> Result<Opener, VaultError> {
    match lock {
        Lock::Beside => Ok(Opener::Nothing),
        Lock::Passphrase(passphrase) => Ok(Opener::Passphrase(passphrase.clone())),
        Lock::KeyFile(path) => key_file(folder, path, entropy).map(Opener::KeyFile),
    }
}

fn put(path: &Path, key: &StoreKey, opener: &Opener, entropy: &mut dyn Entropy) -> Result<(), VaultError> {
    let bytes = match opener.secret() {
        Some(secret) => wrapped::seal(MAGIC, secret, Cost::USUAL, key.bytes(), entropy)?,
        None => [MAGIC.as_slice(), &[CLEAR], key.bytes()].concat(),
    };
    write(path, &Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use chat_core::entropy::OsEntropy;

    use super::*;

    fn open(folder: &Path, lock: &Lock) -> Result<Vault, VaultError> {
        Vault::open(folder, &folder.join("client.db"), lock, &mut OsEntropy)
    }

    fn passphrase(text: &str) -> Lock {
        Lock::Passphrase(Zeroizing::new(text.to_owned()))
    }

    fn key(vault: Vault) -> [u8; 32] {
        *vault.key().bytes()
    }

    #[test]
    fn a_passphrase_opens_and_another_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let made = open(folder.path(), &passphrase("hunter2")).unwrap();
        assert!(made.is_sealed());
        let file = folder.path().join("store.key");
        let before = std::fs::read(&file).unwrap();
        assert!(!before.windows(32).any(|bytes| bytes == made.key().bytes()));
        assert!(matches!(open(folder.path(), &passphrase("hunter3")), Err(VaultError::Wrong)));
        assert!(matches!(open(folder.path(), &Lock::Beside), Err(VaultError::NeedsPassphrase)));
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(key(open(folder.path(), &passphrase("hunter2")).unwrap()), key(made));
    }

    #[test]
    fn a_directory_that_lay_open_is_locked_and_not_opened_again_in_silence() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = open(folder.path(), &Lock::Beside).unwrap();
        assert!(!made.is_sealed());
        let lock = Lock::KeyFile(elsewhere.path().join("key"));
        assert!(
            matches!(open(folder.path(), &lock), Err(VaultError::Missing { .. })),
            "there is something to open"
        );
        std::fs::write(elsewhere.path().join("key"), [5; 32]).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert!(matches!(open(folder.path(), &lock), Err(VaultError::Exposed { .. })));
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(elsewhere.path().join("key"), mode).unwrap();
        }
        assert_eq!(key(open(folder.path(), &lock).unwrap()), key(made.clone()));
        assert!(matches!(open(folder.path(), &Lock::Beside), Err(VaultError::NeedsKeyFile)));
        assert!(matches!(open(folder.path(), &passphrase("x")), Err(VaultError::NeedsKeyFile)));
        assert_eq!(key(open(folder.path(), &lock).unwrap()), key(made));
        std::fs::write(elsewhere.path().join("key"), [6; 32]).unwrap();
        assert!(matches!(open(folder.path(), &lock), Err(VaultError::Wrong)));
        std::fs::write(elsewhere.path().join("key"), [6; 31]).unwrap();
        assert!(matches!(open(folder.path(), &lock), Err(VaultError::Malformed { .. })));
    }

    #[test]
    fn a_new_directory_gets_a_new_key_file_elsewhere_only() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let inside = Lock::KeyFile(folder.path().join("key"));
        assert!(matches!(open(folder.path(), &inside), Err(VaultError::Inside { .. })));
        let lock = Lock::KeyFile(elsewhere.path().join("key"));
        let made = open(folder.path(), &lock).unwrap();
        assert_eq!(std::fs::metadata(elsewhere.path().join("key")).unwrap().len(), 32);
        assert_eq!(key(open(folder.path(), &lock).unwrap()), key(made));
    }

    #[test]
    fn the_passphrase_changes_and_the_key_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (passphrase("old"), passphrase("new"));
        let made = key(open(folder.path(), &old).unwrap());
        let change = |from: &Lock, to: &Lock| {
            Vault::change(folder.path(), &folder.path().join("client.db"), from, to, &mut OsEntropy)
        };
        assert!(matches!(change(&new, &new), Err(VaultError::Wrong)));
        change(&old, &new).unwrap();
        assert!(matches!(open(folder.path(), &old), Err(VaultError::Wrong)));
        assert_eq!(key(open(folder.path(), &new).unwrap()), made);
        change(&new, &Lock::Beside).unwrap();
        assert_eq!(key(open(folder.path(), &Lock::Beside).unwrap()), made);
    }

    #[test]
    fn who_only_looks_locks_nothing_and_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("client.db");
        let look = |lock: &Lock| Vault::look(folder.path(), &store, lock);
        assert!(look(&passphrase("x")).unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let made = key(open(folder.path(), &Lock::Beside).unwrap());
        let before = std::fs::read(folder.path().join("store.key")).unwrap();
        let looked = look(&passphrase("x")).unwrap().unwrap();
        assert!(!looked.is_sealed(), "it lies open");
        assert_eq!(key(looked), made);
        assert_eq!(std::fs::read(folder.path().join("store.key")).unwrap(), before);
        open(folder.path(), &passphrase("x")).unwrap();
        assert!(matches!(look(&passphrase("y")), Err(VaultError::Wrong)));
        assert!(look(&passphrase("x")).unwrap().unwrap().is_sealed());
    }

    /// A process that was killed while it wrote the key has left another one, which may open without a passphrase.
    #[test]
    fn what_was_not_finished_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &passphrase("x")).unwrap();
        let left = folder.path().join("store.key.new");
        std::fs::write(&left, "the key, in the clear").unwrap();
        open(folder.path(), &passphrase("x")).unwrap();
        assert!(!left.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_into_the_directory_is_no_file_outside_of_it() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (inside, link) = (folder.path().join("key"), elsewhere.path().join("key"));
        std::fs::write(&inside, [5; 32]).unwrap();
        std::os::unix::fs::symlink(&inside, &link).unwrap();
        assert!(matches!(open(folder.path(), &Lock::KeyFile(link)), Err(VaultError::Inside { .. })));
        Lock::must_lie_outside(folder.path(), &elsewhere.path().join("passphrase")).unwrap();
    }

    #[test]
    fn a_sealed_store_without_its_key_gets_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut head = [0; 100];
        head[63] = 3;
        std::fs::write(folder.path().join("client.db"), head).unwrap();
        assert!(matches!(open(folder.path(), &Lock::Beside), Err(VaultError::Missing { .. })));
        assert!(!folder.path().join("store.key").exists());
        head[63] = 2;
        std::fs::write(folder.path().join("client.db"), head).unwrap();
        open(folder.path(), &Lock::Beside).unwrap();
    }

    #[test]
    fn the_identity_key_opens_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path(), &Lock::Beside).unwrap();
        let sealed = vault.seal_identity(&[1; 32], &[2; 32], &mut OsEntropy).unwrap();
        assert_eq!(vault.open_identity(&[1; 32], &sealed).as_deref(), Some(&[2; 32]));
        assert!(vault.open_identity(&[3; 32], &sealed).is_none());
        assert!(vault.open_identity(&[1; 32], &sealed[1..]).is_none());
        let other = Vault { key: StoreKey::from_bytes(&[9; 32]), is_sealed: true };
        assert!(other.open_identity(&[1; 32], &sealed).is_none());
        assert_eq!(
            format!("{vault:?} {:?}", passphrase("x")),
            "Vault { key: StoreKey, is_sealed: false } Passphrase"
        );
    }
}
