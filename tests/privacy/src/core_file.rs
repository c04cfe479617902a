//! The memory of a process, as a core file.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes the memory of a process to a file in `folder`, by `gcore` of gdb; the process goes on. `None` if that can't be
/// done here, which is said: but where tests are run for others (`CI` is set) it must be possible.
pub fn core_of(pid: u32, folder: &Path) -> Option<PathBuf> {
    match write(pid, folder) {
        Ok(path) => Some(path),
        Err(why) if std::env::var_os("CI").is_some() => panic!("no core file could be written: {why}"),
        Err(why) => {
            eprintln!("NOT DONE: no core file could be written, so none is searched: {why}");
            None
        }
    }
}

fn write(pid: u32, folder: &Path) -> Result<PathBuf, String> {
    let prefix = folder.join("core");
    let mut gcore = Command::new("gcore");
    // Also what the system would leave out.
    gcore.arg("-a").arg("-o").arg(&prefix).arg(pid.to_string());
    let ended = gcore.output().map_err(|error| format!("gcore of the package gdb does not run: {error}"))?;
    let path = folder.join(format!("core.{pid}"));
    if ended.status.success() && path.is_file() {
        Ok(path)
    } else {
        Err(String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}
