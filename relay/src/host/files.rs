//! Files that hold secrets: readable by their owner only, and files indeed.

use std::fs::{Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use super::HostError;

/// For files that only their owner may read.
pub(super) fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Whether a file is there. Something else in its place is an error: opening a named pipe would wait for ever.
pub(super) fn is_file(path: &Path) -> Result<bool, HostError> {
    match std::fs::metadata(path) {
        Ok(found) => match not_a_file(&found) {
            None => Ok(true),
            Some(what) => Err(HostError::NotAFile { path: path.to_owned(), what }),
        },
        // A link to nothing: what it stands for may be on a disk that is not there now, and must not be replaced.
        Err(error) if error.kind() == ErrorKind::NotFound && std::fs::symlink_metadata(path).is_ok() => {
            Err(HostError::NotAFile { path: path.to_owned(), what: "a link to a file that is not there" })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(HostError::Io { path: path.to_owned(), source }),
    }
}

/// What it is, for people, if it is no file.
pub(super) fn not_a_file(found: &Metadata) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = found.file_type();
        if kind.is_fifo() {
            return Some("a named pipe");
        } else if kind.is_socket() {
            return Some("a socket");
        } else if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
    }
    match (found.is_file(), found.is_dir()) {
        (true, _) => None,
        (_, true) => Some("a directory"),
        _ => Some("something else than a file"),
    }
}
