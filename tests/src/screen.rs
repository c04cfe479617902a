//! A program on a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pty_process::{Size, blocking};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::{Exit, PATIENCE};

/// Pause between two looks at a process that is about to end or to stop: neither can be waited for with a deadline.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running or ended program and its terminal of 100 × 30 characters; killed when it is dropped.
pub struct Screen {
    /// The user's end: none once it is hung up.
    terminal: Option<File>,
    child: Child,
    /// What was drawn and not yet asked for.
    drawn: Vec<u8>,
    /// The terminal's modes before the program had it.
    modes: String,
}

impl Screen {
    /// Starts a program, whose only terminal this is.
    pub fn start(mut command: Command) -> Self {
        command.env("TERM", "xterm-256color");
        let (pty, program_side) = blocking::open().expect("a terminal");
        pty.resize(Size::new(30, 100)).expect("its size");
        let terminal = File::from(OwnedFd::from(pty));
        let modes = modes(&terminal);
        let child = blocking::Command::from(command).spawn(program_side).expect("the program starts");
        Self { terminal: Some(terminal), child, drawn: Vec::new(), modes }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        let mut terminal = self.terminal.as_ref().expect("it was not hung up");
        terminal.write_all(keys.as_bytes()).expect("the keys are taken");
    }

    /// Waits until this was written to the terminal behind what was waited for last.
    #[track_caller]
    pub fn shows(&mut self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = memchr::memmem::find(&self.drawn, wanted.as_bytes());
            if let Some(at) = found {
                self.drawn.drain(..at + wanted.len());
                return;
            }
            let goes_on = self.read(deadline);
            assert!(goes_on, "no {wanted:?} in {:?}", String::from_utf8_lossy(&self.drawn));
        }
    }

    /// Reads what is drawn next; whether there was anything until the deadline, and before the end.
    fn read(&mut self, deadline: Instant) -> bool {
        let Some(terminal) = &mut self.terminal else { return false };
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().try_into().expect("a short time"), tv_nsec: 0 };
        let mut polled = [PollFd::new(terminal, PollFlags::IN)];
        if poll(&mut polled, Some(&left)).expect("the terminal can be asked") == 0 {
            return false;
        }
        let mut buffer = [0; 16 << 10];
        // A terminal whose program has ended reads as an error.
        let n = terminal.read(&mut buffer).unwrap_or(0);
        self.drawn.extend_from_slice(&buffer[..n]);
        n > 0
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the program can be signalled");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until the program is stopped.
    #[track_caller]
    pub fn wait_stopped(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
            match waitpid(Some(self.pid()), options).expect("the program can be asked for") {
                Some((_, status)) if status.stopped() => return,
                Some((_, status)) => panic!("it has ended: {status:?}"),
                None => assert!(Instant::now() < deadline, "it does not stop"),
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Hangs up, as somebody does who closes the window.
    pub fn hang_up(&mut self) {
        self.terminal = None;
    }

    /// Whether the terminal is as it was before the program had it.
    pub fn is_given_back(&self) -> bool {
        modes(self.terminal.as_ref().expect("it was not hung up")) == self.modes
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> Exit {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the program can be asked for") {
                return status.code().map_or(Exit::Killed, Exit::Code);
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Errors say that it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn modes(terminal: &File) -> String {
    let terminal = terminal.try_clone().expect("another handle of it");
    let said = Command::new("stty").arg("-g").stdin(Stdio::from(terminal)).output().expect("stty runs");
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).expect("text")
}
