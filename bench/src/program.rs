//! The program that is measured, and the machine that measures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Fault;

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench).to_owned()
}

/// The cargo that runs this, or the one in the path.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).stdin(Stdio::null());
    // What `cargo run` says about this package would make build scripts of others run again.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The built program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
}

impl Program {
    /// One that exists already.
    pub(crate) fn given(path: &Path) -> Result<Self, Fault> {
        let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path })
    }

    /// The release build of this workspace, brought up to date.
    pub(crate) fn build() -> Result<Self, Fault> {
        let built = cargo()
            .args(["build", "--release", "-p", "chat", "--message-format=json-render-diagnostics"])
            .stderr(Stdio::inherit())
            .output()?;
        if !built.status.success() {
            return Err("chat does not build".into());
        }
        let executable = |line: &[u8]| {
            let message: Value = serde_json::from_slice(line).ok()?;
            let is_chat = message["target"]["name"] == "chat";
            message["executable"].as_str().filter(|_| is_chat).map(PathBuf::from)
        };
        let path = built.stdout.split(|byte| *byte == b'\n').find_map(executable);
        path.map(|path| Self { path }).ok_or_else(|| "cargo names no executable for chat".into())
    }

    /// A folder that is removed at the end, on the disk the program itself is on: a folder in memory would make every
    /// `fsync` free.
    pub(crate) fn folder(&self) -> Result<tempfile::TempDir, Fault> {
        let beside = self.path.parent().ok_or("the program is in no folder")?;
        Ok(tempfile::Builder::new().prefix("chat-bench-").tempdir_in(beside)?)
    }
}

/// When, on what machine and on which commit, in one line.
pub(crate) fn machine() -> String {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(workspace()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|it| it.1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(2).collect();
    format!(
        "{}, commit {}, {} × {}, Linux {}, load before {}.",
        said("date", &["+%Y-%m-%d %H:%M"]).unwrap_or_default(),
        said("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|| "unknown".to_owned()),
        cores,
        model.unwrap_or("unknown processor"),
        said("uname", &["-r"]).unwrap_or_default(),
        load.join(" "),
    )
}
