//! The file of a node's identity, 32 bytes: read with care, written whole or not at all, never replaced.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chat_core::identity::Identity;
use zeroize::Zeroizing;

use super::folder::{not_a_file, private};

/// Why there is no identity to be had of a key file. It is left as it is.
#[derive(Debug)]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// `identity.key_file` names it; else it is the one of the data directory.
    pub by_setting: bool,
    /// What is wrong with it.
    pub problem: KeyProblem,
}

/// What is wrong with a key file.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyProblem {
    /// It is not there.
    Missing,
    /// It is not there, but this file, which makes sense with its key only, is.
    Orphaned(PathBuf),
    /// A directory, a named pipe and the like; what it is, for people.
    NotAFile(&'static str),
    /// Others than its owner may read or change it; its permissions.
    Exposed(u32),
    /// It has not the length of a key.
    NoKey,
    /// It can't be read or written, in the system's words.
    Io(std::io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.by_setting {
            f.write_str("identity.key_file: ")?;
        }
        match &self.problem {
            KeyProblem::Missing => write!(f, "{path} is not there")?,
            KeyProblem::Orphaned(file) => {
                write!(f, "{path} is not there, but {}, which belongs to it, is", file.display())?;
            }
            KeyProblem::NotAFile(what) => write!(f, "{path} is {what}, and not a key file")?,
            KeyProblem::NoKey => write!(f, "{path} is no key file: it must hold exactly 32 bytes")?,
            KeyProblem::Io(error) => write!(f, "{path}: {error}")?,
            KeyProblem::Exposed(mode) => write!(
                f,
                "{path} can be read by others (mode {mode:o}); if nobody has read it, chmod 600 {path}. Else it is no \
                 secret any more"
            )?,
        }
        if let KeyProblem::Io(error) = &self.problem
            && error.kind() == ErrorKind::PermissionDenied
        {
            f.write_str(". Whoever runs this program must be able to read it")?;
        }
        let exposed = matches!(self.problem, KeyProblem::Exposed(_));
        f.write_str(match (self.by_setting, exposed) {
            (true, false) => ". Put the key there, or name another file; nothing was changed",
            (true, true) => ": name a new key, with another data directory",
            (false, true) => {
                ": move the whole data directory away and begin anew. The key alone must not be removed: history and \
                 sessions belong to it"
            }
            (false, false) => {
                ". Put the key back; or move the whole data directory away to begin anew, for history and sessions \
                 belong to their key. Nothing was changed"
            }
        })
    }
}

impl std::error::Error for KeyError {}

/// The identity in a file; `None` if it is not there. Never waits: what is no file is not opened.
pub(super) fn read(path: &Path) -> Result<Option<Identity>, KeyProblem> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyProblem::Io(error)),
        Ok(_) => {}
    }
    // A link to nothing is an error from here on.
    if let Some(what) = not_a_file(&std::fs::metadata(path).map_err(KeyProblem::Io)?) {
        return Err(KeyProblem::NotAFile(what));
    }
    let file = File::open(path).map_err(KeyProblem::Io)?;
    #[cfg(unix)]
    {
        let permissions = file.metadata().map_err(KeyProblem::Io)?.permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyProblem::Exposed(mode));
        }
    }
    // One byte more than it may have, so that a longer file is noticed.
    let mut seed = Zeroizing::new(Vec::with_capacity(33));
    file.take(33).read_to_end(&mut seed).map_err(KeyProblem::Io)?;
    match seed.as_slice().try_into() {
        Ok(seed) => Ok(Some(Identity::from_seed(seed))),
        Err(_) => Err(KeyProblem::NoKey),
    }
}

/// Whole or not at all, whenever the process is killed: written beside, flushed to the disk, then renamed.
pub(super) fn write(identity: &Identity, dir: &Path, path: &Path) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
    file.write_all(identity.seed().as_ref())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
