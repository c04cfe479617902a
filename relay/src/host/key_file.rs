//! The file of a node's identity, 32 bytes: read with care, written whole or not at all, never replaced.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chat_core::identity::Identity;
use chat_core::{CryptoError, PeerId};
use zeroize::Zeroizing;

use super::files::{not_a_file, private};

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
    /// It says that it is sealed, but it is cut off, or what it says of itself is no public key.
    Altered,
    /// It is sealed, and this program was given nothing that opens it.
    Sealed,
    /// It is sealed with the key of another store, or was altered.
    Closed,
    /// It is the key of this peer, and the store beside it another's.
    Foreign(PeerId),
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
            KeyProblem::Altered => write!(f, "{path} is a sealed key that was cut off or altered")?,
            KeyProblem::Sealed => {
                write!(f, "{path} is sealed, and [store] names neither a passphrase nor a key file")?
            }
            KeyProblem::Closed => write!(f, "{path} does not open with the key of the store beside it")?,
            KeyProblem::Foreign(peer) => {
                write!(f, "{path} is the key of {peer}, and the store beside it belongs to another")?
            }
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

/// What a sealed key file begins with; the public key follows, then what an [`IdentityLock`] gave.
const MAGIC: &[u8; 16] = b"chat-identity-1\n";
/// Longer than any.
const MAX_BYTES: u64 = 1024;

/// Seals the identity key of a data directory, and opens it.
pub trait IdentityLock {
    /// Whether a key is sealed from now on. Else this opens what was sealed before, which then lies in the clear.
    fn seals(&self) -> bool;
    /// The private key, sealed.
    ///
    /// # Errors
    /// No randomness.
    fn seal(&self, identity: &Identity) -> Result<Vec<u8>, CryptoError>;
    /// Whose the store is that lies beside the key, if there is one and that can be told. Nothing is written.
    fn owner(&self) -> Option<PeerId>;
    /// The private key of this public key.
    fn open(&self, public: &[u8; 32], sealed: &[u8]) -> Option<Zeroizing<[u8; 32]>>;
}

/// What is in a key file.
pub(super) enum Kept {
    /// The key.
    Clear(Identity),
    /// The public key, not checked, and the sealed private one.
    Sealed([u8; 32], Vec<u8>),
}

impl Kept {
    /// Whether it lies there as `lock` wants it.
    pub(super) fn is_as(&self, lock: Option<&dyn IdentityLock>) -> bool {
        lock.is_none_or(|lock| lock.seals() == matches!(self, Self::Sealed(..)))
    }

    /// The identity, if it can be had.
    pub(super) fn identity(&self, lock: Option<&dyn IdentityLock>) -> Result<Identity, KeyProblem> {
        match (self, lock) {
            (Self::Clear(identity), _) => Ok(identity.clone()),
            (Self::Sealed(..), None) => Err(KeyProblem::Sealed),
            (Self::Sealed(public, sealed), Some(lock)) => {
                let seed = lock.open(public, sealed).ok_or(KeyProblem::Closed)?;
                let identity = Identity::from_seed(&seed);
                if identity.public().as_bytes() != public {
                    return Err(KeyProblem::Closed);
                }
                Ok(identity)
            }
        }
    }
}

/// What is in a file; `None` if it is not there. Never waits: what is no file is not opened.
pub(super) fn read(path: &Path) -> Result<Option<Kept>, KeyProblem> {
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
    let mut bytes = Zeroizing::new(Vec::with_capacity(128));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(KeyProblem::Io)?;
    if let Some(rest) = bytes.strip_prefix(MAGIC) {
        let (public, sealed) = rest.split_first_chunk::<32>().ok_or(KeyProblem::Altered)?;
        return Ok(Some(Kept::Sealed(*public, sealed.to_vec())));
    }
    match bytes.as_slice().try_into() {
        Ok(seed) => Ok(Some(Kept::Clear(Identity::from_seed(seed)))),
        Err(_) => Err(KeyProblem::NoKey),
    }
}

/// Whole or not at all, whenever the process is killed: written beside, flushed to the disk, then renamed.
pub(super) fn write(
    identity: &Identity,
    lock: Option<&dyn IdentityLock>,
    dir: &Path,
    path: &Path,
) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let bytes = match lock.filter(|lock| lock.seals()) {
        None => Zeroizing::new(identity.seed().to_vec()),
        Some(lock) => {
            let sealed = lock.seal(identity).map_err(std::io::Error::other)?;
            Zeroizing::new([MAGIC.as_slice(), identity.public().as_bytes(), &sealed].concat())
        }
    };
    let put = || -> std::io::Result<()> {
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    put().inspect_err(|_| {
        if let Err(error) = std::fs::remove_file(&new) {
            tracing::debug!(%error, "a key file that was not finished is left behind, or was never begun");
        }
    })?;
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
