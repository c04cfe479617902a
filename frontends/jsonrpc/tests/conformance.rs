//! What every frontend must hold. In front of this one sits a program: it knows the protocol, and what it makes of what it
//! is told is the screen.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, PipeWriter, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use chat_core::FrontendError;
use chat_core::api::{ClientHandle, EventId};
use chat_core::testing::frontend::{Answered, Follower, Screen, Seat};
use chat_core::testing::{Must as _, Violation};
use frontend_jsonrpc::Connection;
use serde_json::{Value, json};

/// A wait longer than this is a failure, not a measurement.
const HANGS: Duration = Duration::from_secs(60);
/// Ids of what is asked for by itself; lines that were typed have smaller ones.
const OWN: u64 = 1 << 32;

struct Program {
    input: PipeWriter,
    lines: Receiver<String>,
    ended: Receiver<Result<(), FrontendError>>,
    /// Read while something else was awaited.
    backlog: VecDeque<Value>,
    follower: Option<Follower>,
    asked: u64,
    typed: u64,
    answers: VecDeque<Answered>,
}

impl Program {
    fn start(client: ClientHandle) -> Result<Self, Violation> {
        let (read, input) = std::io::pipe().must("a pipe")?;
        let (output, write) = std::io::pipe().must("a pipe")?;
        let ((end, ended), (tell, lines)) = (channel(), channel());
        // What it has not sent when its input ends is nobody's concern here.
        let connection = Connection::owner(client).flush_within(Duration::ZERO);
        thread::spawn(move || end.send(connection.run(read, write)));
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.map(|line| tell.send(line)).take_while(Result::is_ok).count()
        });
        let (asked, typed, answers, backlog) = (OWN, 0, VecDeque::new(), VecDeque::new());
        let mut program = Self { input, lines, ended, backlog, follower: None, asked, typed, answers };
        let snapshot = program.ask("system.snapshot", json!({}))?;
        program.follower = Some(Follower::new(&snapshot)?);
        Ok(program)
    }

    fn send(&mut self, id: u64, method: &str, params: Value) -> Result<(), Violation> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.input.write_all(format!("{request}\n").as_bytes()).must("writing a request")
    }

    /// Asks for something by itself; what is told meanwhile is heard later.
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, Violation> {
        self.asked += 1;
        self.send(self.asked, method, params)?;
        loop {
            let mut line = self.read()?;
            if line["id"] == self.asked {
                return Ok(line["result"].take());
            }
            self.backlog.push_back(line);
        }
    }

    fn read(&mut self) -> Result<Value, Violation> {
        let line = self.lines.recv_timeout(HANGS).must("waiting for a line")?;
        serde_json::from_str(&line).must("reading a line")
    }

    /// The next line that was not heard yet.
    fn line(&mut self) -> Result<Value, Violation> {
        match self.backlog.pop_front() {
            Some(line) => Ok(line),
            None => self.read(),
        }
    }

    fn hear(&mut self, line: Value) -> Result<(), Violation> {
        if let Some(id) = line["id"].as_u64() {
            let refused = line["error"]["message"].as_str().map(str::to_owned);
            self.answers.push_back(Answered { to: id, refused });
            return Ok(());
        }
        let method = line["method"].as_str().unwrap_or_default();
        let Some(follower) = &mut self.follower else { return Ok(()) };
        if method == "lag" {
            let snapshot = self.ask("system.snapshot", json!({}))?;
            return self.follower.as_mut().unwrap().begin_anew(&snapshot);
        }
        let event: EventId =
            line["params"]["event"].as_str().unwrap_or_default().parse().must("an event's number")?;
        if let Some(unknown) = follower.hear(event, method, &line["params"])? {
            let history = json!({ "with": unknown.conversation, "limit": 1000 });
            let mut history = self.ask("msg.history", history)?;
            let messages = history["messages"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let said = messages.iter().find(|message| message["id"] == json!(unknown.message));
            // What was told of long ago may be gone by now, or further back than anybody looks.
            if let Some(said) = said {
                self.follower.as_mut().unwrap().learn(said)?;
            }
        }
        Ok(())
    }

    fn at(&self) -> EventId {
        self.follower.as_ref().unwrap().at()
    }
}

impl Seat for Program {
    fn screen(&mut self, event: EventId) -> Result<Screen, Violation> {
        while self.at() < event {
            let line = self.line()?;
            self.hear(line)?;
        }
        Ok(self.follower.as_ref().unwrap().screen().clone())
    }

    fn drawn(&mut self) -> Result<Option<String>, Violation> {
        Ok(None)
    }

    fn type_line(&mut self, line: &str) -> Result<u64, Violation> {
        self.typed += 1;
        self.send(self.typed, "command.run", json!({ "line": line }))?;
        Ok(self.typed)
    }

    fn answer(&mut self) -> Result<Answered, Violation> {
        loop {
            if let Some(answered) = self.answers.pop_front() {
                return Ok(answered);
            }
            let line = self.line()?;
            self.hear(line)?;
        }
    }

    fn end(self: Box<Self>) -> Result<(), Violation> {
        self.ended.recv_timeout(HANGS).must("waiting for the end")?.must("the frontend")
    }
}

chat_core::frontend_suite!(frontend_jsonrpc::JsonRpc, seat: |client| Ok(Box::new(Program::start(client)?)));
