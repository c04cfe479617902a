//! A process: what it says is read by a thread of its own, what it is told is written by another, and it never outlives
//! the machine.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::Fault;
use crate::news::PATIENCE;

/// Pieces of input that may wait: far more than messages may be unanswered.
const WAITING_INPUT: usize = 4096;
/// How much of a process's standard error is looked at.
const SHOWN_BYTES: u64 = 64 << 10;
/// Pause between two looks at a process that has closed its outputs and is about to end.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(1);

/// Both ends of a standard input: where lines are put, and where the process gets them from. It ends with the first.
pub fn input() -> (SyncSender<Vec<u8>>, Receiver<Vec<u8>>) {
    sync_channel(WAITING_INPUT)
}

/// A running or ended process.
pub struct Child {
    process: std::process::Child,
    reader: Option<JoinHandle<()>>,
    stderr: PathBuf,
}

impl Child {
    /// Starts `command`. `hear` is given the lines of its standard output, as many as there are at a time, and none
    /// once, at the end.
    pub fn spawn(
        mut command: Command,
        stderr: PathBuf,
        input: Receiver<Vec<u8>>,
        mut hear: impl FnMut(&[Vec<u8>]) + Send + 'static,
    ) -> Result<Self, Fault> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&stderr)?);
        let mut process = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err("no pipes".into()) };
        thread::spawn(move || write(stdin, &input));
        let reader = thread::spawn(move || {
            let mut stdout = BufReader::with_capacity(1 << 16, stdout);
            let (mut lines, mut line) = (Vec::new(), Vec::new());
            // Half a line is what a killed process leaves.
            while stdout.read_until(b'\n', &mut line).is_ok() && line.pop_if(|last| *last == b'\n').is_some()
            {
                lines.push(std::mem::take(&mut line));
                if !stdout.buffer().contains(&b'\n') {
                    hear(&lines);
                    lines.clear();
                }
            }
            hear(&[]);
        });
        Ok(Self { process, reader: Some(reader), stderr })
    }

    /// `kill -9`, without waiting.
    pub fn strike(&mut self) {
        // An error says that it is gone already.
        self.process.kill().ok();
    }

    /// `SIGTERM`, without waiting.
    pub fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // An error says that it is gone already.
            kill_process(pid, Signal::TERM).ok();
        }
    }

    /// Waits until it is gone, and everything it said was heard.
    pub fn gone(&mut self) -> Result<ExitStatus, Fault> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait()? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                self.strike();
                return Err(format!("a process does not end; see {}", self.stderr.display()).into());
            }
            thread::sleep(LOOK_EVERY);
        };
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            return Err("a thread that reads has failed".into());
        }
        Ok(status)
    }

    /// The end of its standard error.
    pub fn stderr(&self) -> String {
        tail(&self.stderr)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.strike();
        // Nothing can be done about a process that can't be waited for.
        self.process.wait().ok();
    }
}

fn write(mut stdin: impl Write, lines: &Receiver<Vec<u8>>) {
    for piece in lines {
        // It does not read any more: it was killed, which is heard of elsewhere.
        if stdin.write_all(&piece).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

/// The end of a text file; nothing if there is none.
pub fn tail(path: &Path) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(len.saturating_sub(SHOWN_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
