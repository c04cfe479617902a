//! The data directory: one for each nick, one process at a time; identity, history, mailbox, logs.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;
use chat_core::profile::{StoreLock, StoreSection};
use chat_core::{CryptoError, Identity, PeerId};
use client::{Lock, Vault, VaultError};
use relay::host::{self, DataDir, HostError, IdentityLock};
use zeroize::Zeroizing;

use chat_relay::exit::Failure;
use chat_relay::folder::root;

use crate::secret;

/// The engine's store.
const STORE_FILE: &str = "client.db";
/// What a wrong passphrase costs beside the making of its key.
const AFTER_A_WRONG_PASSPHRASE: Duration = Duration::from_secs(1);
/// Most guests of one nick.
const MAX_GUESTS: u32 = 99;

/// An open data directory; dropping it gives it free.
pub(crate) struct Home {
    dir: DataDir,
    pub(crate) nick: Nick,
    /// The nick was chosen because the usual one is in use.
    pub(crate) guest: Option<Nick>,
}

impl Home {
    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives the folder free as it was found, because the start was refused.
    pub(crate) fn undo(self) {
        self.dir.undo();
    }

    /// The key of everything in here, made at the first start. Whoever tries a wrong passphrase waits: the folder is
    /// this process's alone meanwhile, so tries can't be made side by side.
    pub(crate) fn vault(&self, lock: &Lock) -> Result<Vault, Failure> {
        let opened = Vault::open(self.path(), &self.path().join(STORE_FILE), lock, &mut OsEntropy);
        opened.map_err(|error| vault_failure(&error))
    }

    /// The node's identity, made at the first start. A key that others can read is refused: it may be known already.
    /// It is sealed if the vault is.
    pub(crate) fn identity(&self, key_file: Option<&Path>, vault: &Vault) -> Result<Identity, Failure> {
        let lock = Sealing(vault);
        let lock: Option<&dyn IdentityLock> = vault.is_sealed().then_some(&lock);
        self.dir.identity_under(key_file, lock, &mut OsEntropy).map_err(host_failure)
    }

    /// Whether there is an identity in here.
    pub(crate) fn has_identity(&self) -> bool {
        self.dir.has_identity()
    }

    /// Puts an identity into the folder, which has none.
    pub(crate) fn put_identity(&self, identity: &Identity, vault: &Vault) -> Result<(), Failure> {
        let lock = Sealing(vault);
        let lock: Option<&dyn IdentityLock> = vault.is_sealed().then_some(&lock);
        self.dir.put_identity(identity, lock).map_err(host_failure)
    }

    /// The path of the engine's store, which nobody else can read.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        self.dir.private_file(STORE_FILE).map_err(host_failure)
    }

    /// The path of the mailbox this program keeps when it hosts.
    pub(crate) fn mailbox(&self) -> Result<PathBuf, Failure> {
        self.dir.mailbox().map_err(host_failure)
    }

    /// The folder of the logs.
    pub(crate) fn logs(&self) -> Result<PathBuf, Failure> {
        let path = self.path().join("logs");
        private_folder(&path)
            .map_err(|e| Failure::failed(format!("the folder {} can't be made: {e}", path.display())))?;
        Ok(path)
    }
}

/// The vault's seal on the identity.
struct Sealing<'v>(&'v Vault);

impl IdentityLock for Sealing<'_> {
    fn seal(&self, identity: &Identity) -> Result<Vec<u8>, CryptoError> {
        self.0.seal_identity(identity.public().as_bytes(), &identity.seed(), &mut OsEntropy)
    }

    fn open(&self, public: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        self.0.open_identity(public, sealed)
    }
}

/// What locks the data directory of a profile. Reads the passphrase from where it is.
pub(crate) fn lock(store: &StoreSection) -> Result<Lock, Failure> {
    match &store.lock {
        StoreLock::Beside => Ok(Lock::Beside),
        StoreLock::KeyFile(path) => Ok(Lock::KeyFile(path.clone())),
        StoreLock::Passphrase(secret) => secret::read("store.passphrase", secret).map(Lock::Passphrase),
        _ => Err(Failure::failed("[store] names a lock that this program does not know")),
    }
}

/// Whoever guesses waits.
pub(crate) fn after_a_wrong_passphrase() {
    std::thread::sleep(AFTER_A_WRONG_PASSPHRASE);
}

/// Why there is no key. A wrong one is told after a while.
pub(crate) fn vault_failure(error: &VaultError) -> Failure {
    if matches!(error, VaultError::Wrong) {
        after_a_wrong_passphrase();
    }
    match error {
        VaultError::Io { source, .. } => Failure::failed(format!("{error}{}", remedy(source))),
        _ => Failure::failed(error),
    }
}

fn host_failure(error: HostError) -> Failure {
    match &error {
        HostError::Io { source, .. } => Failure::failed(format!("{error}{}", remedy(source))),
        _ => Failure::failed(error),
    }
}

/// What to do about a file that can't be written.
fn remedy(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded => "; make room on the disk and start again: nothing was lost",
        ReadOnlyFilesystem | PermissionDenied => {
            "; make it writable, or give another --data-dir: nothing was changed"
        }
        _ => "",
    }
}

/// Makes a folder that only its owner can enter, or closes it to others.
fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

/// Refuses a folder of somebody else: he could put anything in it, and take it out.
#[cfg(unix)]
fn is_own(path: &Path) -> Result<(), Failure> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let (owner, me) = (std::os::unix::fs::MetadataExt::uid(&found), rustix::process::geteuid().as_raw());
    if owner != me {
        let path = path.display();
        return Err(Failure::failed(format!(
            "the data directory {path} belongs to another user ({owner}, and you are {me}): give another --data-dir; \
             nothing was changed"
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn is_own(_path: &Path) -> Result<(), Failure> {
    Ok(())
}

/// Takes a folder; `None` if another process has it.
fn take(path: &Path) -> Result<Option<DataDir>, Failure> {
    is_own(path)?;
    match DataDir::open(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(HostError::InUse(_)) => Ok(None),
        Err(error) => Err(Failure::failed(format!(
            "the data directory can't be used: {error}; give another --data-dir"
        ))),
    }
}

/// Takes the data directory of a client. Without a nick, one that is in use makes room for a guest.
pub(crate) fn open_client(data_dir: Option<&Path>, nick: Option<&Nick>) -> Result<Home, Failure> {
    let usual = nick.cloned().map_or_else(login_nick, Ok)?;
    if let Some(path) = data_dir {
        let dir = take(path)?.ok_or_else(|| in_use(path, "give another --data-dir"))?;
        return Ok(Home { dir, nick: usual, guest: None });
    }
    let root = root()?;
    let path = root.join(folder_name(&usual));
    if let Some(dir) = take(&path)? {
        return Ok(Home { dir, nick: usual, guest: None });
    }
    if nick.is_some() {
        return Err(in_use(&path, "give another --nick, or --data-dir"));
    }
    for n in 2..=MAX_GUESTS {
        let Ok(guest) = Nick::new(format!("{usual}-{n}")) else { break };
        if let Some(dir) = take(&root.join(folder_name(&guest)))? {
            return Ok(Home { dir, nick: guest.clone(), guest: Some(guest) });
        }
    }
    Err(in_use(&path, "give a --nick"))
}

/// The peer id of an identity that exists, without taking its directory.
pub(crate) fn existing_peer(data_dir: Option<&Path>, nick: Option<Nick>) -> Result<PeerId, Failure> {
    let folder = match data_dir {
        Some(path) => path.to_owned(),
        None => root()?.join(folder_name(&nick.map_or_else(login_nick, Ok)?)),
    };
    let found = host::existing_peer(&folder).map_err(Failure::failed)?;
    found.ok_or_else(|| {
        let folder = folder.display();
        Failure::failed(format!("there is no identity in {folder} yet; it is made at the first start"))
    })
}

fn in_use(path: &Path, what_to_do: &str) -> Failure {
    Failure::failed(format!("{} is in use by another chat; {what_to_do}", path.display()))
}

/// A nick has no separators; a leading dot would hide the folder, or leave it.
fn folder_name(nick: &Nick) -> String {
    match nick.as_str().strip_prefix('.') {
        Some(rest) => format!("%2e{rest}"),
        None => nick.to_string(),
    }
}

/// The login name, as far as it can be a nick.
pub(crate) fn login_nick() -> Result<Nick, Failure> {
    let login = whoami::username().unwrap_or_default();
    let usable: String = login.chars().filter(|&c| Nick::new(c.to_string()).is_ok()).take(32).collect();
    Nick::new(usable).map_err(|_| Failure::failed("your login name is no nick; give one with --nick"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_shown_only_if_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = open_client(Some(folder.path()), None).unwrap();
        assert!(existing_peer(Some(folder.path()), None).is_err());
        let vault = home.vault(&Lock::Beside).unwrap();
        let made = home.identity(None, &vault).unwrap();
        assert_eq!(existing_peer(Some(folder.path()), None).unwrap(), made.peer_id());
        assert!(home.identity(Some(Path::new("/nowhere/key")), &vault).is_err());
    }

    /// The key that lay there in the clear is sealed at the first start with a passphrase, and still shown.
    #[test]
    fn an_identity_is_sealed_with_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let home = open_client(Some(folder.path()), None).unwrap();
        let made = home.identity(None, &home.vault(&Lock::Beside).unwrap()).unwrap();
        let lock = Lock::Passphrase(Zeroizing::new("hunter2".to_owned()));
        let vault = home.vault(&lock).unwrap();
        assert_eq!(home.identity(None, &vault).unwrap().peer_id(), made.peer_id());
        let kept = std::fs::read(folder.path().join("identity.key")).unwrap();
        assert!(!kept.windows(32).any(|bytes| bytes == made.seed().as_slice()), "it lies in the clear");
        assert_eq!(existing_peer(Some(folder.path()), None).unwrap(), made.peer_id());
        assert_eq!(home.identity(None, &home.vault(&lock).unwrap()).unwrap().peer_id(), made.peer_id());
        let plain = relay::host::existing_identity(folder.path()).unwrap_err();
        assert!(plain.to_string().contains("is sealed"), "{plain}");
    }

    #[test]
    fn a_directory_belongs_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = open_client(Some(folder.path()), None).unwrap();
        let error = open_client(Some(folder.path()), None).err().unwrap();
        assert_eq!(error.code, 1);
        assert!(
            error.message.contains("in use") && error.message.contains("--data-dir"),
            "{}",
            error.message
        );
        drop(first);
        assert!(open_client(Some(folder.path()), None).is_ok());
    }

    #[test]
    fn a_nick_with_dots_stays_in_its_folder() {
        assert_eq!(folder_name(&Nick::new("..").unwrap()), "%2e.");
        assert_eq!(folder_name(&Nick::new("alice").unwrap()), "alice");
    }
}
