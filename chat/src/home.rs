//! The data directory: one for each nick, one process at a time; identity, history, mailbox, logs.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
#[cfg(not(test))]
use std::thread::sleep as wait;
use std::time::Duration;

use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;
use chat_core::profile::{Property, Secret, StoreLock};
use chat_core::{CryptoError, Identity, PeerId, Profile};
use client::{Lock, Vault, VaultError};
use relay::host::{self, DataDir, HostError, IdentityLock};
use zeroize::Zeroizing;

use chat_relay::exit::{Failure, say};
use chat_relay::folder::root;

use crate::secret;
#[cfg(test)]
use tests::wait;

/// The engine's store.
const STORE_FILE: &str = "client.db";
/// The mailbox of a relay that this program is, or was.
const MAILBOX_FILE: &str = "relay.db";
/// The store's write-ahead log.
const STORE_LOG_FILE: &str = "client.db-wal";
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

    /// As [`Home::vault`] of what is there, for whoever looks only: nothing is locked, and nothing made.
    pub(crate) fn vault_as_it_is(&self, lock: &Lock) -> Result<Vault, Failure> {
        let looked = Vault::look(self.path(), &self.path().join(STORE_FILE), lock);
        match looked.map_err(|error| vault_failure(&error))? {
            Some(vault) => Ok(vault),
            // A store of before there were keys.
            None => self.vault(lock),
        }
    }

    /// The node's identity, made at the first start. A key that others can read is refused: it may be known already.
    /// It is sealed if the vault is, and lies in the clear if the vault does.
    pub(crate) fn identity(&self, key_file: Option<&Path>, vault: &Vault) -> Result<Identity, Failure> {
        self.dir.identity_under(key_file, Some(&self.sealing(vault)), &mut OsEntropy).map_err(host_failure)
    }

    fn sealing<'v>(&self, vault: &'v Vault) -> Sealing<'v> {
        Sealing { vault, store: self.path().join(STORE_FILE) }
    }

    /// Whether there is an identity in here.
    pub(crate) fn has_identity(&self) -> bool {
        self.dir.has_identity()
    }

    /// Puts an identity into the folder, which has none.
    pub(crate) fn put_identity(&self, identity: &Identity, vault: &Vault) -> Result<(), Failure> {
        self.dir.put_identity(identity, Some(&self.sealing(vault))).map_err(host_failure)
    }

    /// The path of the engine's store, which nobody else can read.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        let path = self.dir.private_file(STORE_FILE).map_err(host_failure)?;
        self.dir.private_file(STORE_LOG_FILE).map_err(host_failure)?;
        client::remove_unfinished(&path);
        Ok(path)
    }

    /// The path of the engine's store, which is left as it is.
    pub(crate) fn store_as_it_is(&self) -> Result<PathBuf, Failure> {
        self.dir.file(STORE_LOG_FILE).map_err(host_failure)?;
        self.dir.file(STORE_FILE).map_err(host_failure)
    }

    /// The path of the mailbox this program keeps when it hosts.
    pub(crate) fn mailbox(&self) -> Result<PathBuf, Failure> {
        self.dir.mailbox().map_err(host_failure)
    }

    /// Refuses a mailbox of before the policy required that nothing lies in the clear.
    pub(crate) fn has_no_mailbox(&self) -> Result<(), Failure> {
        let path = self.dir.file(MAILBOX_FILE).map_err(host_failure)?;
        if !path.exists() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{} lies in the clear, from when this program was a relay, and the policy requires `sealed-at-rest`: start once \
             more without that, so that what waits in it is fetched, and remove it then; nothing was changed",
            path.display()
        )))
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
struct Sealing<'v> {
    vault: &'v Vault,
    store: PathBuf,
}

impl IdentityLock for Sealing<'_> {
    fn seals(&self) -> bool {
        self.vault.is_sealed()
    }

    fn seal(&self, identity: &Identity) -> Result<Vec<u8>, CryptoError> {
        self.vault.seal_identity(identity.public().as_bytes(), &identity.seed(), &mut OsEntropy)
    }

    fn owner(&self) -> Option<PeerId> {
        client::owner(&self.store, self.vault.key())
    }

    fn open(&self, public: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        self.vault.open_identity(public, sealed)
    }
}

/// What locks the data directory of a profile. Reads the passphrase from where it is, which must not be in there.
pub(crate) fn lock(profile: &Profile, home: &Home) -> Result<Lock, Failure> {
    match &profile.store.lock {
        StoreLock::Beside => Ok(Lock::Beside),
        StoreLock::KeyFile(path) => Ok(Lock::KeyFile(path.clone())),
        StoreLock::Passphrase(secret) => {
            let must_be_private = profile.policy.requires(Property::SealedAtRest);
            passphrase("store.passphrase", secret, home, must_be_private).map(Lock::Passphrase)
        }
        _ => Err(Failure::failed("[store] names a lock that this program does not know")),
    }
}

/// A passphrase of the data directory. One in a file that others can read is warned of, or refused.
pub(crate) fn passphrase(
    key: &str,
    secret: &Secret,
    home: &Home,
    must_be_private: bool,
) -> Result<Zeroizing<String>, Failure> {
    let passphrase = secret::read(key, secret)?;
    if let Secret::File(path) = secret {
        Lock::must_lie_outside(home.path(), path).map_err(|error| vault_failure(&error))?;
        if let Some(mode) = mode_for_others(path) {
            let path = path.display();
            let said = format!("{key}: {path} can be read by others (mode {mode:o}): chmod 600 {path}");
            if must_be_private {
                let why = "the policy requires `sealed-at-rest`; nothing was changed";
                return Err(Failure::failed(format!("{said}; {why}")));
            }
            say(said);
        }
    }
    Ok(passphrase)
}

/// The mode of a file, if it lets others than its owner in.
#[cfg(unix)]
fn mode_for_others(path: &Path) -> Option<u32> {
    let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn mode_for_others(_path: &Path) -> Option<u32> {
    None
}

/// Whoever guesses waits.
pub(crate) fn after_a_wrong_passphrase() {
    wait(AFTER_A_WRONG_PASSPHRASE);
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
    taken(path, DataDir::open)
}

fn taken(path: &Path, take: fn(&Path) -> Result<DataDir, HostError>) -> Result<Option<DataDir>, Failure> {
    is_own(path)?;
    match take(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(HostError::InUse(_)) => Ok(None),
        Err(error) => Err(Failure::failed(format!(
            "the data directory can't be used: {error}; give another --data-dir"
        ))),
    }
}

/// Takes the data directory of a client to look into it, which may be on a medium that can't be written.
pub(crate) fn look_at_client(data_dir: Option<&Path>, nick: &Nick) -> Result<Home, Failure> {
    let path = match data_dir {
        Some(path) => path.to_owned(),
        None => root()?.join(folder_name(nick)),
    };
    let dir = taken(&path, DataDir::look)?;
    let dir = dir.ok_or_else(|| in_use(&path, "end that one, or give another --data-dir"))?;
    Ok(Home { dir, nick: nick.clone(), guest: None })
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

/// The peer id of an identity that exists, without taking its directory: the one of the `key_file`, if there is one.
pub(crate) fn existing_peer(
    data_dir: Option<&Path>,
    nick: Option<Nick>,
    key_file: Option<&Path>,
) -> Result<PeerId, Failure> {
    if let Some(path) = key_file {
        let found = host::peer_of_key_file(path).map_err(Failure::failed)?;
        let missing = || Failure::failed(format!("identity.key_file: {} is not there", path.display()));
        return found.ok_or_else(missing);
    }
    let folder = match data_dir {
        Some(path) => path.to_owned(),
        None => root()?.join(folder_name(&nick.map_or_else(login_nick, Ok)?)),
    };
    let found = host::existing_peer(&folder).map_err(Failure::failed)?;
    found.ok_or_else(|| no_identity(&folder))
}

/// What there is to do where no identity is.
pub(crate) fn no_identity(folder: &Path) -> Failure {
    let has_history = folder.join(STORE_FILE).exists();
    let folder = folder.display();
    Failure::failed(match has_history {
        true => format!(
            "there is no identity in {folder}, although there is a history: if it lies elsewhere, give the --config whose \
             identity.key_file names it"
        ),
        false => format!("there is no identity in {folder} yet; it is made at the first start"),
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
    use std::cell::RefCell;

    use client::{ArchiveError, PortableError};

    use super::*;

    thread_local! {
        static WAITED: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
    }

    /// Counted, in place of waiting.
    pub(super) fn wait(time: Duration) {
        WAITED.with_borrow_mut(|waited| waited.push(time));
    }

    /// How long who asked so had to wait.
    fn waited<T>(ask: impl FnOnce() -> T) -> Duration {
        WAITED.with_borrow_mut(Vec::clear);
        ask();
        WAITED.with_borrow(|waited| waited.iter().sum())
    }

    /// A second for each try, and for nothing else.
    #[test]
    fn whoever_guesses_waits() {
        let folder = tempfile::tempdir().unwrap();
        let home = open_client(Some(folder.path()), None).unwrap();
        let lock = |text: &str| Lock::Passphrase(Zeroizing::new(text.to_owned()));
        home.vault(&lock("hunter2")).unwrap();
        for (guess, seconds) in [("hunter3", 1), ("hunter2", 0), ("x", 1)] {
            let expected = Duration::from_secs(seconds);
            assert_eq!(waited(|| home.vault(&lock(guess))), expected);
            assert_eq!(waited(|| home.vault_as_it_is(&lock(guess))), expected);
        }
        assert_eq!(waited(|| home.vault(&Lock::Beside)), Duration::ZERO, "that is no guess");
        let wrong = ArchiveError::Portable(PortableError::Wrong);
        assert_eq!(waited(|| crate::commands::db::failure(&wrong)), Duration::from_secs(1));
    }

    #[test]
    fn an_identity_is_shown_only_if_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = open_client(Some(folder.path()), None).unwrap();
        assert!(existing_peer(Some(folder.path()), None, None).is_err());
        let vault = home.vault(&Lock::Beside).unwrap();
        let made = home.identity(None, &vault).unwrap();
        assert_eq!(existing_peer(Some(folder.path()), None, None).unwrap(), made.peer_id());
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
        assert_eq!(existing_peer(Some(folder.path()), None, None).unwrap(), made.peer_id());
        assert_eq!(home.identity(None, &home.vault(&lock).unwrap()).unwrap().peer_id(), made.peer_id());
        let plain = relay::host::existing_identity(folder.path()).unwrap_err();
        assert!(plain.to_string().contains("is sealed"), "{plain}");
        // And the other way round; also if the process is killed between the two.
        Vault::change(folder.path(), &home.store().unwrap(), &lock, &Lock::Beside, &mut OsEntropy).unwrap();
        let vault = home.vault(&Lock::Beside).unwrap();
        assert_eq!(home.identity(None, &vault).unwrap().peer_id(), made.peer_id());
        assert_eq!(std::fs::read(folder.path().join("identity.key")).unwrap(), made.seed().as_slice());
    }

    /// Else whoever takes the directory has both.
    #[cfg(unix)]
    #[test]
    fn a_passphrase_is_not_kept_with_what_it_seals() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = open_client(Some(folder.path()), None).unwrap();
        let at = |path: &Path, mode: u32| {
            std::fs::write(path, "hunter2\n").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            Secret::File(path.to_owned())
        };
        let inside = at(&folder.path().join("passphrase"), 0o600);
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("passphrase"), &link).unwrap();
        for secret in [inside, Secret::File(link)] {
            let refused = passphrase("store.passphrase", &secret, &home, false).unwrap_err();
            assert!(refused.message.contains("Put it elsewhere"), "{}", refused.message);
        }
        let private = at(&elsewhere.path().join("private"), 0o600);
        assert_eq!(*passphrase("store.passphrase", &private, &home, true).unwrap(), "hunter2");
        let exposed = at(&elsewhere.path().join("exposed"), 0o644);
        assert_eq!(*passphrase("store.passphrase", &exposed, &home, false).unwrap(), "hunter2");
        let refused = passphrase("store.passphrase", &exposed, &home, true).unwrap_err();
        assert!(refused.message.contains("chmod 600"), "{}", refused.message);
    }

    #[test]
    fn an_identity_that_lies_elsewhere_is_shown_by_its_file() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = open_client(Some(folder.path()), None).unwrap();
        let vault = home.vault(&Lock::Beside).unwrap();
        let made = home.identity(None, &vault).unwrap();
        let key = elsewhere.path().join("key");
        std::fs::rename(folder.path().join("identity.key"), &key).unwrap();
        assert_eq!(existing_peer(Some(folder.path()), None, Some(&key)).unwrap(), made.peer_id());
        std::fs::write(folder.path().join("client.db"), "history").unwrap();
        let said = existing_peer(Some(folder.path()), None, None).unwrap_err().message;
        assert!(said.contains("identity.key_file"), "{said}");
    }

    #[test]
    fn a_mailbox_of_before_is_named_where_nothing_may_lie_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let home = open_client(Some(folder.path()), None).unwrap();
        home.has_no_mailbox().unwrap();
        std::fs::write(home.mailbox().unwrap(), "names").unwrap();
        let said = home.has_no_mailbox().unwrap_err().message;
        assert!(said.contains("relay.db") && said.contains("sealed-at-rest"), "{said}");
    }

    /// On a disk that is not mounted now; a new one in its place would be an empty history.
    #[cfg(unix)]
    #[test]
    fn a_store_that_is_a_link_to_nothing_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let home = open_client(Some(folder.path()), None).unwrap();
        std::os::unix::fs::symlink("/nowhere/client.db", folder.path().join("client.db")).unwrap();
        let said = home.store().unwrap_err().message;
        assert!(said.contains("a link to a file that is not there"), "{said}");
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
