//! A program on a terminal of its own, and how long its screen takes to show a key.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::{Size, blocking};

use crate::Fault;
use crate::process::Running;

/// Pieces of output that may wait; then the terminal holds the program up, as a slow one would.
const WAITING_PIECES: usize = 4_096;
/// How long a key may take to appear.
const LONGEST_ECHO: Duration = Duration::from_secs(10);

struct Piece {
    at: Instant,
    bytes: Vec<u8>,
}

/// A running program and its terminal of 80 × 24 characters.
pub(crate) struct Screen {
    keyboard: File,
    output: Receiver<Piece>,
    process: Running,
}

impl Screen {
    pub(crate) fn start(mut command: Command) -> Result<Self, Fault> {
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let (pty, program_side) = blocking::open()?;
        pty.resize(Size::new(24, 80))?;
        let process = Running::new(blocking::Command::from(command).spawn(program_side)?);
        let keyboard = File::from(OwnedFd::from(pty));
        let mut display = keyboard.try_clone()?;
        let (pieces, output) = sync_channel(WAITING_PIECES);
        thread::Builder::new().spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // A terminal whose program has ended reads as an error.
            while let Ok(n @ 1..) = display.read(&mut buffer) {
                let bytes = buffer.get(..n).unwrap_or_default().to_vec();
                if pieces.send(Piece { at: Instant::now(), bytes }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { keyboard, output, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> Result<(), Fault> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Presses a key and waits until its character is drawn. It must be on the screen nowhere else.
    pub(crate) fn echo(&mut self, key: char) -> Result<Duration, Fault> {
        let mut wanted = [0; 4];
        let wanted = key.encode_utf8(&mut wanted);
        let began = Instant::now();
        self.press(wanted)?;
        let at = self.shows(wanted, began + LONGEST_ECHO)?;
        Ok(at.saturating_duration_since(began))
    }

    /// Waits until these characters are drawn, one after another, and says when they were.
    pub(crate) fn shows(&self, wanted: &str, deadline: Instant) -> Result<Instant, Fault> {
        let wanted = wanted.as_bytes();
        let mut seen = Vec::new();
        loop {
            let piece = match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => piece,
                Err(RecvTimeoutError::Timeout) => return Err("a key was not drawn".into()),
                Err(RecvTimeoutError::Disconnected) => return Err("the screen has ended".into()),
            };
            seen.extend_from_slice(&piece.bytes);
            if seen.windows(wanted.len()).any(|window| window == wanted) {
                return Ok(piece.at);
            }
            // What may be the beginning of it stays.
            seen.drain(..seen.len().saturating_sub(wanted.len() - 1));
        }
    }

    /// Lets time pass and forgets what is drawn meanwhile; gives how many bytes that were.
    pub(crate) fn watch(&self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        let mut bytes = 0;
        while let Ok(piece) = self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            bytes += piece.bytes.len();
        }
        // A program that has ended draws nothing: the time passes all the same.
        thread::sleep(deadline.saturating_duration_since(Instant::now()));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_terminal_echoes_each_key_once() {
        let mut command = Command::new("sh");
        command.args(["-c", "stty raw -echo; echo begin; exec cat"]);
        let mut screen = Screen::start(command).unwrap();
        screen.shows("begin", Instant::now() + LONGEST_ECHO).unwrap();
        for key in ['ж', 'x', '日'] {
            assert!(screen.echo(key).unwrap() > Duration::ZERO);
        }
        assert!(screen.pid() > 0);
    }
}
