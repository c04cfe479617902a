//! A process of the program: what it says on both outputs, what is said to it, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Pause between two looks at a process that is about to end: the standard library can't wait for that with a
/// deadline.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Most bytes of standard error that are kept.
pub const MAX_STDERR_BYTES: usize = 64 << 20;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Killed,
}

/// A running or ended process; killed when it is dropped.
pub struct Process {
    label: String,
    pid: u32,
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    output: Arc<Output>,
}

/// What came out so far.
#[derive(Default)]
pub struct Said {
    /// Whole lines of standard output, without the line feed.
    pub lines: Vec<Vec<u8>>,
    /// What stands behind the last line feed once the output has ended.
    pub rest: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Outputs that are still open.
    open: u8,
    /// Nothing more is read from standard output for now.
    paused: bool,
}

#[derive(Default)]
struct Output {
    said: Mutex<Said>,
    news: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts `command`, and two threads that read what it says.
    pub fn spawn(label: impl Into<String>, mut command: Command) -> Arc<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the process starts");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output");
        let stderr = child.stderr.take().expect("standard error");
        let output = Arc::new(Output::default());
        lock(&output.said).open = 2;
        let of_lines = Arc::clone(&output);
        std::thread::spawn(move || of_lines.read_lines(BufReader::new(stdout)));
        let of_errors = Arc::clone(&output);
        std::thread::spawn(move || of_errors.read_stderr(stderr));
        let pid = child.id();
        let (child, stdin) = (Mutex::new(child), Mutex::new(stdin));
        Arc::new(Self { label: label.into(), pid, child, stdin, output })
    }

    /// What to call it when a test fails.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Stops reading standard output after the line that is being read, or goes on.
    pub fn pause(&self, paused: bool) {
        lock(&self.output.said).paused = paused;
        self.output.news.notify_all();
    }

    /// Waits until `look` finds what it looks for in what was said. `None` after [`PATIENCE`], or when the process
    /// has ended without having said it.
    pub fn wait<T>(&self, mut look: impl FnMut(&Said) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = lock(&self.output.said);
        loop {
            if let Some(found) = look(&said) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if said.open == 0 {
                return None;
            }
            said = self.output.news.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Looks at what was said so far.
    pub fn look<T>(&self, look: impl FnOnce(&Said) -> T) -> T {
        look(&lock(&self.output.said))
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.look(|said| String::from_utf8_lossy(&said.stderr).into_owned())
    }

    /// Standard output so far; what stands behind the last line feed only once the process has ended.
    pub fn stdout(&self) -> String {
        let bytes = self.look(|said| {
            let mut bytes: Vec<u8> =
                said.lines.iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect();
            bytes.extend_from_slice(&said.rest);
            bytes
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes to standard input. That the process does not read any more is no error: what it does is looked
    /// at elsewhere.
    pub fn write(&self, bytes: &[u8]) {
        if let Some(stdin) = lock(&self.stdin).as_mut() {
            stdin.write_all(bytes).and_then(|()| stdin.flush()).ok();
        }
    }

    /// Ends standard input.
    pub fn close_stdin(&self) {
        *lock(&self.stdin) = None;
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill9(&self) {
        self.kill();
        self.pause(false);
        self.wait_exit();
    }

    /// `kill -9`, without waiting.
    pub fn kill(&self) {
        // An error says that it is gone already.
        lock(&self.child).kill().ok();
    }

    /// `SIGTERM`, without waiting.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// `SIGSTOP`: it does nothing until [`Process::thaw`]. A proxy that is frozen swallows everything.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// `SIGCONT`
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        assert!(self.is_alive(), "{} has ended before it was told to", self.label);
        let kill = format!("kill -s {name} \"$0\"");
        let told = Command::new("sh").args(["-c", &kill, &self.pid.to_string()]).status();
        assert!(told.expect("sh runs").success(), "{} can't be signalled", self.label);
    }

    /// Stops it where it is, as a machine does that falls asleep, or lets it go on.
    #[cfg(unix)]
    pub fn suspend(&self, suspended: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        assert!(self.is_alive(), "{} has ended before it was told to", self.label);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("the number of a process");
        let signal = if suspended { Signal::STOP } else { Signal::CONT };
        kill_process(pid, signal).expect("the process can be signalled");
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        lock(&self.child).try_wait().expect("the process can be asked for").is_none()
    }

    /// Waits until it has ended, and all it said is read.
    pub fn wait_exit(&self) -> Exit {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = lock(&self.child).try_wait().expect("the process can be asked for");
            let said = lock(&self.output.said);
            if let (Some(status), 0) = (ended, said.open) {
                return status.code().map_or(Exit::Killed, Exit::Code);
            }
            assert!(Instant::now() < deadline, "{} does not end", self.label);
            drop(self.output.news.wait_timeout(said, LOOK_EVERY));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Errors say that it is gone already.
        child.kill().ok();
        child.wait().ok();
        self.pause(false);
    }
}

impl Output {
    fn read_lines(&self, mut from: impl BufRead) {
        loop {
            let mut line = Vec::new();
            let whole =
                from.read_until(b'\n', &mut line).is_ok() && line.pop_if(|last| *last == b'\n').is_some();
            let mut said = lock(&self.said);
            if whole {
                said.lines.push(line);
            } else {
                said.rest = line;
                said.open -= 1;
            }
            self.news.notify_all();
            if !whole {
                return;
            }
            while said.paused {
                said = self.news.wait(said).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn read_stderr(&self, mut from: impl Read) {
        let mut buffer = [0; 8192];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            let mut said = lock(&self.said);
            if said.stderr.len() < MAX_STDERR_BYTES {
                said.stderr.extend_from_slice(&buffer[..read]);
            }
            said.open -= u8::from(read == 0);
            self.news.notify_all();
            if read == 0 {
                return;
            }
        }
    }
}
