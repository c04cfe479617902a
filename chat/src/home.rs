//! The data directory: one for each nick, one process at a time; identity, history, mailbox, logs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chat_core::Identity;
use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;

use crate::exit::Failure;

/// Most guests of one nick.
const MAX_GUESTS: u32 = 99;

/// An open data directory; dropping it gives it free.
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    pub(crate) nick: Nick,
    /// The nick was chosen because the usual one is in use.
    pub(crate) guest: Option<Nick>,
    /// The lock lives as long as the file is open, so also `kill -9` gives the directory free.
    _lock: File,
}

impl Home {
    /// The node's identity, made at the first start. A key that others can read is refused: it may be known already.
    pub(crate) fn identity(&self, key_file: Option<&Path>) -> Result<Identity, Failure> {
        let path = key_file.map_or_else(|| self.path.join("identity.key"), Path::to_owned);
        match OpenOptions::new().read(true).open(&path) {
            Ok(file) => read_identity(file, &path),
            Err(error) if error.kind() == ErrorKind::NotFound && key_file.is_none() => new_identity(&path),
            Err(error) => {
                Err(Failure::failed(format!("the key file {} can't be read: {error}", path.display())))
            }
        }
    }

    /// The path of a database in here, which nobody else can read, whatever the folder's own mode is: SQLite gives
    /// its other files the mode of the first.
    pub(crate) fn database(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        let private = || -> std::io::Result<()> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))
        };
        private().map_err(|e| Failure::failed(format!("{} can't be written: {e}", path.display())))?;
        Ok(path)
    }

    /// The folder of the logs.
    pub(crate) fn logs(&self) -> Result<PathBuf, Failure> {
        let path = self.path.join("logs");
        make_folder(&path)?;
        Ok(path)
    }
}

/// Takes the data directory of a client. Without a nick, one that is in use makes room for a guest.
pub(crate) fn open_client(data_dir: Option<&Path>, nick: Option<&Nick>) -> Result<Home, Failure> {
    let usual = nick.cloned().map_or_else(login_nick, Ok)?;
    if let Some(path) = data_dir {
        return lock(path)?
            .map(|lock| Home { path: path.to_owned(), nick: usual, guest: None, _lock: lock })
            .ok_or_else(|| in_use(path, "give another --data-dir"));
    }
    let root = root()?;
    let path = root.join(folder_name(&usual));
    if let Some(lock) = lock(&path)? {
        return Ok(Home { path, nick: usual, guest: None, _lock: lock });
    }
    if nick.is_some() {
        return Err(in_use(&path, "give another --nick, or --data-dir"));
    }
    for n in 2..=MAX_GUESTS {
        let Ok(guest) = Nick::new(format!("{usual}-{n}")) else { break };
        let path = root.join(folder_name(&guest));
        if let Some(lock) = lock(&path)? {
            return Ok(Home { path, nick: guest.clone(), guest: Some(guest), _lock: lock });
        }
    }
    Err(in_use(&path, "give a --nick"))
}

/// Takes the data directory of a relay.
pub(crate) fn open_relay(data_dir: Option<&Path>) -> Result<Home, Failure> {
    let path = data_dir.map_or_else(|| root().map(|root| root.join("@relay")), |path| Ok(path.to_owned()))?;
    let nick = login_nick()?;
    lock(&path)?
        .map(|lock| Home { path: path.clone(), nick, guest: None, _lock: lock })
        .ok_or_else(|| in_use(&path, "give another --data-dir"))
}

/// The fingerprint of an identity that exists, without taking the directory.
pub(crate) fn existing_identity(data_dir: Option<&Path>, nick: Option<Nick>) -> Result<Identity, Failure> {
    let folder = match data_dir {
        Some(path) => path.to_owned(),
        None => root()?.join(folder_name(&nick.map_or_else(login_nick, Ok)?)),
    };
    let path = folder.join("identity.key");
    match File::open(&path) {
        Ok(file) => read_identity(file, &path),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::failed(format!(
            "there is no identity in {} yet; it is made at the first start",
            folder.display()
        ))),
        Err(error) => Err(Failure::failed(format!("{} can't be read: {error}", path.display()))),
    }
}

fn in_use(path: &Path, what_to_do: &str) -> Failure {
    Failure::failed(format!("{} is in use by another chat; {what_to_do}", path.display()))
}

/// `$XDG_DATA_HOME/chat`, else `~/.local/share/chat`; relative paths are passed over, as the XDG base
/// directory specification demands.
fn root() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|share| share.join("chat"))
        .ok_or_else(|| {
            Failure::failed("there is no home directory; say where to keep things with --data-dir")
        })
}

/// A nick has no separators; a leading dot would hide the folder, or leave it.
fn folder_name(nick: &Nick) -> String {
    match nick.as_str().strip_prefix('.') {
        Some(rest) => format!("%2e{rest}"),
        None => nick.to_string(),
    }
}

/// The login name, as far as it can be a nick.
fn login_nick() -> Result<Nick, Failure> {
    let login = whoami::username().unwrap_or_default();
    let usable: String = login.chars().filter(|&c| Nick::new(c.to_string()).is_ok()).take(32).collect();
    Nick::new(usable).map_err(|_| Failure::failed("your login name is no nick; give one with --nick"))
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Failure::failed(format!("the folder {} can't be made: {e}", path.display())))
}

/// Makes the folder and locks it; `None` if another process has it.
fn lock(folder: &Path) -> Result<Option<File>, Failure> {
    make_folder(folder)?;
    let path = folder.join("lock");
    let failed = |e: std::io::Error| Failure::failed(format!("{} can't be used: {e}", path.display()));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn read_identity(file: File, path: &Path) -> Result<Identity, Failure> {
    let shown = path.display();
    let failed = |e: std::io::Error| Failure::failed(format!("the key file {shown} can't be read: {e}"));
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::failed(format!(
            "the key file {shown} can be read by others (mode {:o}); if nobody has, chmod 600 {shown}, else delete it \
             and begin with a new identity",
            mode & 0o777
        )));
    }
    let mut seed = zeroize::Zeroizing::new(Vec::with_capacity(33));
    file.take(33).read_to_end(&mut seed).map_err(failed)?;
    let seed: &[u8; 32] = seed
        .as_slice()
        .try_into()
        .map_err(|_| Failure::failed(format!("{shown} is no key file: it must hold exactly 32 bytes")))?;
    Ok(Identity::from_seed(seed))
}

/// Makes an identity and has it on disk before anybody hears of it.
fn new_identity(path: &Path) -> Result<Identity, Failure> {
    let identity = Identity::generate(&mut OsEntropy).map_err(Failure::failed)?;
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(identity.seed().as_ref())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|e| Failure::failed(format!("the key file {} can't be written: {e}", path.display())))?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept_to_oneself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let home = open_client(Some(&path), None).unwrap();
        let first = home.identity(None).unwrap();
        assert_eq!(home.identity(None).unwrap().peer_id(), first.peer_id());
        let key = path.join("identity.key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(home.identity(None).unwrap_err().message.contains("chmod 600"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&key, [1; 33]).unwrap();
        assert!(home.identity(None).unwrap_err().message.contains("exactly 32 bytes"));
        assert!(home.identity(Some(Path::new("/nowhere/key"))).is_err());
        let database = home.database("client.db").unwrap();
        assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
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
