//! Files that only their owner can read: `store.key`, and a key file elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chat_core::entropy::Entropy;
use zeroize::Zeroizing;

use super::{StoreKey, VaultError};

/// The 32 bytes of the key file `path`, which must not lie in `folder`; made if it is not there and there is `entropy`.
pub(super) fn key_file(
    folder: &Path,
    path: &Path,
    entropy: Option<&mut dyn Entropy>,
) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    outside(folder, path)?;
    let (found, entropy) = match (read(path, 64)?, entropy) {
        (Some(found), _) => (found, None),
        (None, Some(entropy)) => (Zeroizing::new(Vec::new()), Some(entropy)),
        (None, None) => return Err(VaultError::Missing { path: path.to_owned() }),
    };
    if let Some(entropy) = entropy {
        let key = StoreKey::generate(entropy)?;
        write(path, key.bytes())?;
        return Ok(Zeroizing::new(*key.bytes()));
    }
    let what = "it must hold exactly 32 bytes";
    let key =
        found.as_slice().try_into().map_err(|_| VaultError::Malformed { path: path.to_owned(), what })?;
    Ok(Zeroizing::new(key))
}

/// Refuses a file, or a link to one, that lies in `folder`.
pub(super) fn outside(folder: &Path, path: &Path) -> Result<(), VaultError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real =
        |path: &Path| path.canonicalize().map_err(|source| VaultError::Io { path: path.to_owned(), source });
    let folder = real(folder)?;
    // What is not there yet, or has no place, as an open pipe, leads nowhere.
    let leads_inside = path.canonicalize().is_ok_and(|path| path.starts_with(&folder));
    if leads_inside || real(parent)?.starts_with(&folder) {
        return Err(VaultError::Inside { path: path.to_owned() });
    }
    Ok(())
}

/// Where a file is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}

/// Takes away what a process that was killed while it wrote `path` has left: it may open what `path` does not.
pub(super) fn forget_unfinished(path: &Path) -> Result<(), VaultError> {
    let new = beside(path);
    match std::fs::remove_file(&new) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(VaultError::Io { path: new, source }),
        _ => Ok(()),
    }
}

/// A file that only its owner can read; `None` if it is not there. Never waits: what is no file is not opened.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let io = |source| VaultError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
        Ok(_) => {}
    }
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(VaultError::Malformed { path: path.to_owned(), what: "it is no file" });
    }
    let file = File::open(path).map_err(io)?;
    #[cfg(unix)]
    {
        let permissions = file.metadata().map_err(io)?.permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::Exposed { path: path.to_owned(), mode });
        }
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// Whole or not at all, whenever the process is killed: written beside, flushed to the disk, then renamed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let io = |source| VaultError::Io { path: path.to_owned(), source };
    let new = beside(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = || -> std::io::Result<()> {
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    if let Err(error) = written() {
        // What went wrong first is told.
        forget_unfinished(path).unwrap_or_else(|left| tracing::warn!(%left, "half a file is left behind"));
        return Err(io(error));
    }
    match path.parent() {
        Some(folder) if cfg!(unix) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
        }
        _ => Ok(()),
    }
}
