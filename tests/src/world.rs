//! A temporary home for the processes of one test.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Exit, Process, binary};

/// How long a test may take before its processes are killed, so that nothing can hang for ever.
pub const LIMIT: Duration = Duration::from_secs(150);
/// Most lines of an output that are shown when a test fails, and of each so many characters.
const SHOWN_LINES: usize = 40;
const SHOWN_CHARS: usize = 600;

/// Temporary folders, a loopback address, and all processes that were started here. When the test fails, they
/// are shown; when it doesn't, none of them may have panicked.
pub struct World {
    inner: Arc<Inner>,
}

/// What nodes and relays keep of their world.
pub(crate) struct Inner {
    folder: TempDir,
    ip: Ipv4Addr,
    processes: Mutex<Vec<Arc<Process>>>,
    labels: AtomicU32,
    limit: Duration,
    watch: Watch,
}

#[derive(Default)]
struct Watch {
    state: Mutex<WatchState>,
    ended: Condvar,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum WatchState {
    #[default]
    Running,
    Ended,
    Overtime,
}

/// What a command that ended by itself has said.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl World {
    /// An empty world.
    #[expect(clippy::new_without_default, reason = "a world has effects")]
    pub fn new() -> Self {
        Self::lasting(LIMIT)
    }

    /// One whose processes may take as long as this.
    pub fn lasting(limit: Duration) -> Self {
        binary::chat();
        let folder = tempfile::Builder::new().prefix("chat-test-").tempdir().expect("a temporary folder");
        for part in ["home", "tmp", "runtime"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let inner = Arc::new(Inner {
            folder,
            ip: own_address(),
            processes: Mutex::default(),
            labels: AtomicU32::new(0),
            limit,
            watch: Watch::default(),
        });
        let watched = Arc::clone(&inner);
        std::thread::spawn(move || watched.watch());
        Self { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The folder everything of this world is in.
    pub fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder().join(name)
    }

    /// Where temporary files of its processes would be.
    pub fn temporary(&self) -> PathBuf {
        self.path("tmp")
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the file is written");
        path
    }

    /// A file that only its owner can read, as one of a passphrase must be.
    pub fn write_private(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, content);
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("the file is closed to others");
        path
    }

    /// An address of this world with a port that the system chooses.
    pub fn any_port(&self) -> String {
        format!("{}:0", self.inner.ip)
    }

    /// The loopback address of this world.
    pub fn ip(&self) -> Ipv4Addr {
        self.inner.ip
    }

    /// `chat` with these arguments, in an environment that says nothing but where this world is.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.inner.command(binary::chat());
        command.args(arguments);
        command
    }

    /// Runs `chat` with these arguments and nothing on standard input until it ends.
    pub fn chat(&self, arguments: &[&str]) -> Finished {
        self.run(self.command(arguments), "")
    }

    /// Runs a command until it ends, with something on standard input.
    pub fn run(&self, command: Command, input: impl AsRef<[u8]>) -> Finished {
        let process = self.inner.spawn("chat", command);
        process.write(input.as_ref());
        process.close_stdin();
        let exit = process.wait_exit();
        Finished { exit, stdout: process.stdout(), stderr: process.stderr() }
    }
}

impl Finished {
    /// Fails unless it ended with this code and said all of this on standard error, and nothing that acts on a
    /// terminal.
    #[track_caller]
    pub fn refused(&self, code: i32, pieces: &[&str]) {
        assert_eq!(self.exit, Exit::Code(code), "{self:?}");
        for piece in pieces {
            assert!(self.stderr.contains(piece), "no {piece:?} in:\n{}", self.stderr);
        }
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!self.stderr.contains(acts), "it acts on a terminal: {:?}", self.stderr);
    }

    /// Standard output of a command that must have succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert_eq!((self.exit, self.stderr.as_str()), (Exit::Code(0), ""), "{self:?}");
        &self.stdout
    }
}

impl Inner {
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program in an environment that says nothing but where this world is.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.folder.path());
        for name in ["PATH", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let home = self.path("home");
        command
            .env("XDG_DATA_HOME", home.join("data"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_STATE_HOME", home.join("state"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .env("TMPDIR", self.path("tmp"))
            .env("HOME", home)
            .env("LC_ALL", "C.UTF-8")
            .env("RUST_BACKTRACE", "1");
        command
    }

    pub(crate) fn spawn(&self, label: &str, command: Command) -> Arc<Process> {
        let number = self.labels.fetch_add(1, Ordering::Relaxed);
        let process = Process::spawn(format!("{label} ({number})"), command);
        let mut processes = self.processes();
        processes.push(Arc::clone(&process));
        process
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Arc<Process>>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills everything when the test takes too long: whoever waits for one of the processes then goes on, and fails.
    fn watch(&self) {
        let state = self.watch.state.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |state: &mut WatchState| *state == WatchState::Running;
        let waited = self.watch.ended.wait_timeout_while(state, self.limit, running);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *state == WatchState::Running {
            *state = WatchState::Overtime;
            self.processes().iter().for_each(|process| process.kill());
        }
    }

    fn end_watch(&self) -> WatchState {
        let mut state = self.watch.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *state, WatchState::Ended);
        self.watch.ended.notify_all();
        before
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let overtime = self.inner.end_watch() == WatchState::Overtime;
        let processes = std::mem::take(&mut *self.inner.processes());
        for process in &processes {
            process.kill();
        }
        if std::thread::panicking() {
            processes.iter().for_each(|process| show(process));
            return;
        }
        assert!(!overtime, "the test took more than {:?}", self.inner.limit);
        for process in &processes {
            let panicked = process.look(|said| String::from_utf8_lossy(&said.stderr).contains("panicked at"));
            assert!(!panicked, "{} panicked:\n{}", process.label(), process.stderr());
        }
    }
}

fn show(process: &Process) {
    let tail = |text: String| {
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        let cut = |line: &&str| format!("    {}\n", line.chars().take(SHOWN_CHARS).collect::<String>());
        format!("    … {from} lines before\n{}", lines[from..].iter().map(cut).collect::<String>())
    };
    eprintln!("== {} said:\n{}", process.label(), tail(process.stdout()));
    eprintln!("== {} on standard error:\n{}", process.label(), tail(process.stderr()));
}

/// A loopback address that no other test uses now. A port that a process gave back is then not taken by
/// anybody else before that process is started again.
pub fn own_address() -> Ipv4Addr {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    let n = std::process::id().wrapping_mul(64).wrapping_add(WORLDS.fetch_add(1, Ordering::Relaxed));
    let [_, a, b, c] = n.to_be_bytes();
    Ipv4Addr::new(127, 1 + a % 250, b, 1 + c % 250)
}
