//! How the programs are started: in an environment that says nothing but where the town is, and, if asked, with a
//! system call that fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::binary;

/// A system call that fails, or at which the process is killed.
#[derive(Debug, Clone)]
pub struct Failing {
    /// System calls, with commas.
    pub calls: &'static str,
    /// What happens to them: `error=EIO`, `signal=KILL`.
    pub how: &'static str,
    /// Which of them, from 1. Each thread counts its own.
    pub nth: u32,
    /// All the others behind it as well.
    pub onwards: bool,
    /// Only calls on these files count. Without any, all do.
    pub paths: Vec<PathBuf>,
    /// Where `strace` writes what it saw.
    pub trace: PathBuf,
}

impl Failing {
    /// Whether a call has failed. (A process that is killed at one does not return from it.)
    pub fn happened(&self) -> bool {
        let trace = std::fs::read(&self.trace).unwrap_or_default();
        String::from_utf8_lossy(&trace).contains("(INJECTED)")
    }

    /// The call it happened to, for people.
    pub fn which(&self) -> String {
        let trace = std::fs::read(&self.trace).unwrap_or_default();
        let trace = String::from_utf8_lossy(&trace);
        let line = trace.lines().find(|line| line.contains("(INJECTED)")).or_else(|| trace.lines().last());
        line.unwrap_or_default().chars().take(200).collect()
    }

    /// `strace` in front of a program. `-D`: the process that is started is the program, not `strace`, so that it is
    /// the program that is killed.
    fn strace(&self, program: &Path) -> Command {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "--signal=none", "-o"]).arg(&self.trace);
        // Far fewer stops; but of a call that it passes on by a filter, `strace` 6.1 injects errors and no signals.
        if self.how.starts_with("error=") {
            command.arg("--seccomp-bpf");
        }
        for path in &self.paths {
            command.arg("-P").arg(path);
        }
        let onwards = if self.onwards { "+" } else { "" };
        command.arg("-e").arg(format!("trace={}", self.calls));
        command.arg("-e").arg(format!("inject={}:{}:when={}{onwards}", self.calls, self.how, self.nth));
        command.arg("--").arg(program);
        command
    }
}

/// A program of a town, with nothing in its environment but where the town is.
pub fn command(town: &Path, program: &Path, failing: Option<&Failing>) -> Command {
    let mut command = failing.map_or_else(|| Command::new(program), |failing| failing.strace(program));
    command.env_clear().current_dir(town);
    for name in ["PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, folder) in [
        ("XDG_DATA_HOME", "home/data"),
        ("XDG_CONFIG_HOME", "home/config"),
        ("XDG_STATE_HOME", "home/state"),
        ("XDG_CACHE_HOME", "home/cache"),
        ("XDG_RUNTIME_DIR", "runtime"),
        ("TMPDIR", "tmp"),
        ("HOME", "home"),
    ] {
        command.env(name, town.join(folder));
    }
    command.env("LC_ALL", "C.UTF-8").env("RUST_BACKTRACE", "1");
    command
}

/// The program of a client.
pub fn chat() -> &'static Path {
    binary::chat()
}

/// The program of a relay, and the arguments in front of all others: on its own, or as a part of `chat`.
pub fn relay(alone: bool) -> (&'static Path, &'static [&'static str]) {
    if alone { (binary::chat_relay(), &[]) } else { (binary::chat(), &["relay"]) }
}
