//! A `chat` process with the `jsonrpc` frontend, driven over its pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Fault;
use crate::process::Running;

/// Lines that may wait for whoever measures.
const WAITING_LINES: usize = 16_384;
/// How long a program may take to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// One line of a program's output, and when it was read.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) value: Value,
}

impl Line {
    /// The parameters, if this is that notification.
    pub(crate) fn notification(&self, method: &str) -> Option<&Value> {
        (self.value["method"] == method).then(|| &self.value["params"])
    }
}

/// What a program says.
pub(crate) struct Lines(Receiver<Line>);

impl Lines {
    /// Reads JSON lines on a thread of its own, until the end.
    pub(crate) fn of(output: impl Read + Send + 'static) -> Result<Self, Fault> {
        let (lines, receiver) = sync_channel(WAITING_LINES);
        thread::Builder::new().spawn(move || {
            for line in BufReader::new(output).lines() {
                let (Ok(line), at) = (line, Instant::now()) else { return };
                let value = serde_json::from_str(&line).unwrap_or(Value::Null);
                if lines.send(Line { at, value }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// The next line.
    pub(crate) fn next(&self, deadline: Instant, wanted: &str) -> Result<Line, Fault> {
        self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("waited in vain for: {wanted}").into(),
            RecvTimeoutError::Disconnected => format!("the program ended; waited for: {wanted}").into(),
        })
    }

    /// What is there already.
    pub(crate) fn try_next(&self) -> Option<Line> {
        self.0.try_recv().ok()
    }

    /// The next line of which `pick` makes something; others are dropped.
    pub(crate) fn find<T>(
        &self,
        deadline: Instant,
        wanted: &str,
        mut pick: impl FnMut(&Line) -> Option<T>,
    ) -> Result<T, Fault> {
        loop {
            if let Some(found) = pick(&self.next(deadline, wanted)?) {
                return Ok(found);
            }
        }
    }
}

/// A running client.
pub(crate) struct Node {
    pub(crate) input: ChildStdin,
    pub(crate) lines: Lines,
    /// When the process was started.
    pub(crate) started: Instant,
    pub(crate) process: Running,
}

impl Node {
    /// Starts a command that ends in `--frontend jsonrpc`.
    pub(crate) fn start(mut command: Command) -> Result<Self, Fault> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let started = Instant::now();
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let process = Running::new(child);
        let (Some(input), Some(output)) = (input, output) else { return Err("no pipes".into()) };
        Ok(Self { input, lines: Lines::of(output)?, started, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Closes its standard input, which tells it to leave, and waits until it has.
    pub(crate) fn leave(self) -> Result<(), Fault> {
        let Self { input, lines, mut process, .. } = self;
        drop(input);
        process.wait(LEAVE)?;
        drop(lines);
        Ok(())
    }
}

/// A request to send a message, as a line.
pub(crate) fn send_request(id: u64, to: &str, text: &str) -> Vec<u8> {
    let params = json!({ "to": to, "text": text });
    let mut line = json!({ "jsonrpc": "2.0", "id": id, "method": "msg.send", "params": params })
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

/// The text of a message that measures: `n` tells which, padded to the length of an ordinary sentence.
pub(crate) fn text(n: usize) -> String {
    format!("{n:08} the quick brown fox jumps over the lazy dog, again and again")
}

/// Which of the measuring messages a `msg.new` is.
pub(crate) fn number(params: &Value) -> Option<usize> {
    params["text"].as_str()?.get(..8)?.parse().ok()
}

/// Writes a request.
pub(crate) fn write(input: &mut ChildStdin, request: &[u8]) -> Result<(), Fault> {
    input.write_all(request)?;
    Ok(input.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_order_and_an_end_is_told() {
        let output: &[u8] =
            b"{\"method\":\"ready\",\"params\":{\"nick\":\"a\"}}\nnot json\n{\"method\":\"msg.new\"}\n";
        let lines = Lines::of(output).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let nick = lines.find(deadline, "ready", |line| Some(line.notification("ready")?["nick"].clone()));
        assert_eq!(nick.unwrap(), "a");
        lines.find(deadline, "a message", |line| line.notification("msg.new").map(|_| ())).unwrap();
        assert!(lines.next(deadline, "more").unwrap_err().to_string().contains("ended"));
    }

    #[test]
    fn a_message_tells_its_number() {
        assert_eq!(number(&json!({ "text": text(4711) })), Some(4711));
        assert_eq!(number(&json!({ "text": "hi" })), None);
    }
}
