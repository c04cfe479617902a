//! The data directory: one for each nick, one process at a time; identity, history, mailbox, logs.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use chat_core::Identity;
use chat_core::entropy::OsEntropy;
use chat_core::nick::Nick;
use relay::host::{self, DataDir, HostError};

use chat_relay::exit::Failure;
use chat_relay::folder::root;

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

    /// The node's identity, made at the first start. A key that others can read is refused: it may be known already.
    pub(crate) fn identity(&self, key_file: Option<&Path>) -> Result<Identity, Failure> {
        self.dir.identity(key_file, &mut OsEntropy).map_err(Failure::failed)
    }

    /// The path of the engine's store, which nobody else can read.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        self.dir.private_file("client.db").map_err(Failure::failed)
    }

    /// The path of the mailbox this program keeps when it hosts.
    pub(crate) fn mailbox(&self) -> Result<PathBuf, Failure> {
        self.dir.mailbox().map_err(Failure::failed)
    }

    /// The folder of the logs.
    pub(crate) fn logs(&self) -> Result<PathBuf, Failure> {
        let path = self.path().join("logs");
        private_folder(&path)
            .map_err(|e| Failure::failed(format!("the folder {} can't be made: {e}", path.display())))?;
        Ok(path)
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

/// Takes a folder; `None` if another process has it.
fn take(path: &Path) -> Result<Option<DataDir>, Failure> {
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

/// An identity that exists, without taking its directory.
pub(crate) fn existing_identity(data_dir: Option<&Path>, nick: Option<Nick>) -> Result<Identity, Failure> {
    let folder = match data_dir {
        Some(path) => path.to_owned(),
        None => root()?.join(folder_name(&nick.map_or_else(login_nick, Ok)?)),
    };
    let found = host::existing_identity(&folder).map_err(Failure::failed)?;
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
        assert!(existing_identity(Some(folder.path()), None).is_err());
        let made = home.identity(None).unwrap();
        assert_eq!(existing_identity(Some(folder.path()), None).unwrap().peer_id(), made.peer_id());
        assert!(home.identity(Some(Path::new("/nowhere/key"))).is_err());
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
