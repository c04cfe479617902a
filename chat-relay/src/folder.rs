//! Where things are kept if nothing else is said.

use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// `$XDG_DATA_HOME/chat`, else `~/.local/share/chat`; relative paths are passed over, as the XDG base
/// directory specification demands.
///
/// # Errors
/// There is no home directory.
pub fn root() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|share| share.join("chat"))
        .ok_or_else(|| {
            Failure::failed("there is no home directory; say where to keep things with --data-dir")
        })
}

/// The relay's. No nick has a folder of this name.
pub(crate) fn relay(data_dir: Option<&Path>) -> Result<PathBuf, Failure> {
    data_dir.map_or_else(|| root().map(|root| root.join("@relay")), |path| Ok(path.to_owned()))
}
