//! The file whose lock says whose a data directory is.

#[cfg(unix)]
use std::fs::Metadata;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use super::files::private;

/// The file, and whether it was made by this.
pub(super) fn open(path: &Path) -> std::io::Result<(File, bool)> {
    match private(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(lock) => Ok((lock, true)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let lock = private(OpenOptions::new().write(true).create(true).truncate(false)).open(path)?;
            Ok((lock, false))
        }
        Err(error) => Err(error),
    }
}

/// Whether the open file is still the one at `path`.
#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: &Metadata| (found.dev(), found.ino());
    matches!((file.metadata(), path.metadata()), (Ok(open), Ok(there)) if place(&open) == place(&there))
}

#[cfg(not(unix))]
pub(super) fn is_at(_: &File, _: &Path) -> bool {
    // An open file can't be taken away there.
    true
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Who waits at the door of a folder that is taken away does not own the next one.
    #[test]
    fn a_lock_that_was_taken_away_locks_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("lock");
        let (lock, made) = open(&path).unwrap();
        assert!(made && is_at(&lock, &path));
        std::fs::remove_file(&path).unwrap();
        assert!(!is_at(&lock, &path));
        let (_other, made) = open(&path).unwrap();
        assert!(made && !is_at(&lock, &path));
    }
}
