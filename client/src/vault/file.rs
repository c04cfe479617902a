//! Files that only their owner can read: `store.key`, and a key file elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use chat_core::entropy::Entropy;
use zeroize::Zeroizing;

use super::{StoreKey, VaultError};

/// The 32 bytes of the key file `path`, which must not lie in `folder`; made if it is not there and there is `entropy`.
pub(super) fn key_file(
    folder: &Path,
    path: &Path,
    entropy: Option<&mut dyn Entropy>,
) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real =
        |path: &Path| path.canonicalize().map_err(|source| VaultError::Io { path: path.to_owned(), source });
    if real(parent)?.starts_with(real(folder)?) {
        return Err(VaultError::Inside { path: path.to_owned() });
    }
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
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = || -> std::io::Result<()> {
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        match path.parent() {
            Some(folder) if cfg!(unix) => {
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                File::open(folder)?.sync_all()
            }
            _ => Ok(()),
        }
    };
    written().map_err(io)
}
