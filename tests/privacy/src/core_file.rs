//! The memory of a process, as a core file.

use std::path::{Path, PathBuf};

use chat_tests::means::{Means, write_core};

/// Writes the memory of a process to a file in `folder`; the process goes on. `None` if that can't be done here, which is
/// said: but where everything has to be tested it must be possible.
pub fn core_of(pid: u32, folder: &Path) -> Option<PathBuf> {
    write_core(pid, folder).inspect_err(|why| Means::Core.lacking(why)).ok()
}
