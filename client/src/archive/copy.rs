//! A copy of a store that lies where nothing can be written: SQLite wants to write its log, also to read.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use chat_core::entropy::{Entropy, OsEntropy};
use chat_core::ids::MessageId;

use super::ArchiveError;

/// A folder of its own for the copy, which only its owner can enter. Dropping it takes it away.
pub(super) struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Copies the store at `path`, with its log and its count of commits. What it holds is sealed, and stays so.
    pub(super) fn of(path: &Path) -> Result<(Self, PathBuf), ArchiveError> {
        let entropy: &mut dyn Entropy = &mut OsEntropy;
        let name = format!("chat-{}", MessageId(entropy.bytes()?));
        let folder = std::env::temp_dir().join(name);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ArchiveError::Io { path, source }
        };
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(io(&folder))?;
        let copy = Self { folder };
        let to = copy.folder.join("client.db");
        let mut files = vec![(path.to_owned(), to.clone()), (beside(path, "-wal"), beside(&to, "-wal"))];
        files.push((crate::store::count_of(path), crate::store::count_of(&to)));
        for (from, to) in files {
            match std::fs::read(&from).and_then(|bytes| std::fs::write(&to, bytes)) {
                Err(error) if from != path && error.kind() == std::io::ErrorKind::NotFound => {}
                copied => copied.map_err(io(&to))?,
            }
        }
        Ok((copy, to))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "a copy of the store is left behind in the folder for temporary files");
        }
    }
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
