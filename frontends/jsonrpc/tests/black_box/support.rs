//! A connection on real pipes, and an engine that the test itself plays.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat_core::FrontendError;
use chat_core::api::handle::{EngineSide, Request, channel};
use chat_core::api::{ClientHandle, Command, CommandError, Event, Reply, Snapshot, StopReason};
use frontend_jsonrpc::Connection;
use serde_json::{Value, json};

use crate::samples;

/// A wait longer than this is a failure, not a measurement.
const HANGS: Duration = Duration::from_secs(60);

pub(crate) struct Engine {
    side: EngineSide,
    runtime: tokio::runtime::Runtime,
    pub(crate) now: Snapshot,
}

impl Engine {
    pub(crate) fn new() -> (ClientHandle, Self) {
        let now = samples::snapshot(samples::event_id(0));
        let (client, side) = channel(now.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        (client, Self { side, runtime, now })
    }

    pub(crate) fn publish(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = self.now.clone();
        self.side.publish(events.into_iter().collect(), |event| Snapshot { event, ..now });
    }

    pub(crate) fn stop(&self) {
        self.side.stop(StopReason { exit_code: 0, message: None });
    }

    /// The next command, in the order of the queue.
    pub(crate) fn request(&mut self) -> Request {
        let next = async { tokio::time::timeout(HANGS, self.side.requests.recv()).await };
        self.runtime.block_on(next).expect("no command came").expect("every handle is gone")
    }

    /// Answers the next command, and tells what it was.
    pub(crate) fn answer(&mut self, reply: Result<Reply, CommandError>) -> Command {
        let request = self.request();
        request.reply.send(reply).ok();
        request.command
    }

    pub(crate) fn has_request(&mut self) -> bool {
        !self.side.requests.is_empty()
    }
}

pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) input: Option<PipeWriter>,
    lines: mpsc::Receiver<String>,
    ended: mpsc::Receiver<Result<(), FrontendError>>,
}

/// Starts a connection; the caller keeps the far ends of its pipes.
pub(crate) fn start(
    connection: Connection,
) -> (PipeWriter, PipeReader, mpsc::Receiver<Result<(), FrontendError>>) {
    let (read, input) = std::io::pipe().unwrap();
    let (output, write) = std::io::pipe().unwrap();
    let (end, ended) = mpsc::channel();
    thread::spawn(move || end.send(connection.run(read, write)));
    (input, output, ended)
}

pub(crate) fn wait_end(ended: &mpsc::Receiver<Result<(), FrontendError>>) -> Result<(), FrontendError> {
    ended.recv_timeout(HANGS).expect("the connection did not end")
}

/// Reads lines as they come, so that a test can wait for one with a bound.
pub(crate) fn lines(from: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if to.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

pub(crate) fn next_line(lines: &mpsc::Receiver<String>) -> Option<Value> {
    match lines.recv_timeout(HANGS) {
        Ok(line) => Some(serde_json::from_str(&line).expect("a line is JSON")),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line came"),
    }
}

impl Session {
    pub(crate) fn owner() -> Self {
        let (client, engine) = Engine::new();
        // So long that whatever ends did not end by it.
        Self::of(Connection::owner(client).flush_within(100 * HANGS), engine)
    }

    pub(crate) fn of(connection: Connection, engine: Engine) -> Self {
        let (input, output, ended) = start(connection);
        Self { engine, input: Some(input), lines: lines(output), ended }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends a request.
    pub(crate) fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let id = id.into();
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request.to_string());
    }

    /// The next line, or `None` at the end of the output.
    pub(crate) fn line(&mut self) -> Option<Value> {
        next_line(&self.lines)
    }

    pub(crate) fn expect(&mut self) -> Value {
        self.line().expect("the output ended")
    }

    /// The next line, which is the answer to a request with this id.
    pub(crate) fn result(&mut self, id: impl Into<Value>) -> Value {
        let mut answer = self.expect();
        assert_eq!(answer["id"], id.into(), "{answer}");
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// The next line, which is this error.
    pub(crate) fn error(&mut self, id: impl Into<Value>, code: i64, kind: &str) -> String {
        let answer = self.expect();
        let (error, id) = (&answer["error"], id.into());
        assert_eq!(
            (&answer["id"], &error["code"], &error["data"]["kind"]),
            (&id, &json!(code), &json!(kind)),
            "{answer}"
        );
        error["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits until it has left, and gives what else it had written.
    pub(crate) fn ended(&mut self) -> Vec<Value> {
        wait_end(&self.ended).unwrap();
        std::iter::from_fn(|| self.line()).collect()
    }

    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// At the end of input, before it leaves, a connection asks for the rooms, to see all events there are.
    pub(crate) fn pass_barrier(&mut self) {
        assert_eq!(self.engine.answer(Ok(Reply::Rooms { rooms: vec![] })), Command::Rooms);
    }
}
