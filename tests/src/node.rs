//! A user: the program with the `jsonrpc` frontend.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::process::Said;
use crate::world::Inner;
use crate::{Event, Exit, Process, Profile, RpcError, World, binary};

/// How a node is to be started.
#[derive(Clone)]
pub struct Setup {
    world: Arc<Inner>,
    profile: Profile,
    label: String,
    program: Option<PathBuf>,
    nick: Option<String>,
    folder: Option<PathBuf>,
    relay: String,
    sets: Vec<String>,
}

/// A running or ended node. Its notifications and answers are those of the present run.
pub struct Node {
    setup: Setup,
    process: Arc<Process>,
    heard: Mutex<Heard>,
    requests: AtomicU64,
}

/// What was read from a node's standard output so far.
#[derive(Default)]
struct Heard {
    lines: usize,
    events: Vec<Event>,
    /// Answers that nobody has asked for yet.
    answers: Vec<Value>,
}

impl World {
    /// A node that is to have this nick and a folder of its own, and finds or is the relay at `relay`.
    pub fn node(&self, profile: Profile, nick: &str, relay: &str) -> Setup {
        let folder = Some(self.path(nick));
        Setup { nick: Some(nick.to_owned()), folder, ..self.nameless(profile, relay) }
    }

    /// A node that takes nick and folder as they come.
    pub fn nameless(&self, profile: Profile, relay: &str) -> Setup {
        let (world, relay) = (Arc::clone(self.inner()), relay.to_owned());
        let label = "nameless".into();
        let sets = profile.sets.iter().map(|&set| set.to_owned()).collect();
        Setup { world, profile, label, program: None, nick: None, folder: None, relay, sets }
    }
}

impl Setup {
    /// Changes a value of the profile.
    #[must_use]
    pub fn set(mut self, set: &str) -> Self {
        self.sets.push(set.to_owned());
        self
    }

    /// Another program than `chat`, with its command line.
    #[must_use]
    pub fn program(self, program: &Path) -> Self {
        Self { program: Some(program.to_owned()), ..self }
    }

    /// It never is the relay itself.
    #[must_use]
    pub fn guest(self) -> Self {
        self.set("topology.host=never")
    }

    /// Another data directory; none = the default one of the nick.
    #[must_use]
    pub fn folder(self, folder: Option<PathBuf>) -> Self {
        Self { folder, ..self }
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Node {
        let node = self.launch();
        node.ready();
        node
    }

    /// Starts it, however that ends.
    pub fn launch(self) -> Node {
        let process = self.spawn();
        Node { setup: self, process, heard: Mutex::default(), requests: AtomicU64::new(0) }
    }

    fn spawn(&self) -> Arc<Process> {
        let mut command = self.world.command(self.program.as_deref().unwrap_or_else(|| binary::chat()));
        command.args(["--config", self.profile.name, "--frontend", "jsonrpc"]);
        command.arg("--set").arg(format!("topology.relay={}", self.relay));
        if let Some(nick) = &self.nick {
            command.args(["--nick", nick]);
        }
        if let Some(folder) = &self.folder {
            command.arg("--data-dir").arg(folder);
        }
        for set in &self.sets {
            command.args(["--set", set]);
        }
        self.world.spawn(self.nick.as_deref().unwrap_or(&self.label), command)
    }
}

/// Starting, ending.
impl Node {
    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The data directory it was given.
    pub fn folder(&self) -> &Path {
        self.setup.folder.as_deref().expect("this node was given no folder")
    }

    /// `kill -9`
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// `SIGTERM`; how it ended.
    pub fn leave(&self) -> Exit {
        self.process.terminate();
        self.process.wait_exit()
    }

    /// Ends its standard input; how it ended.
    pub fn end_input(&self) -> Exit {
        self.process.close_stdin();
        self.process.wait_exit()
    }

    /// Starts it again with the same folder and waits until it is ready. What was heard before is forgotten.
    pub fn restart(&mut self) {
        self.restart_at(&self.setup.relay.clone());
    }

    /// As [`Node::restart`], with another address of the relay.
    pub fn restart_at(&mut self, relay: &str) {
        assert!(!self.process.is_alive(), "{} still runs", self.process.label());
        self.setup.relay = relay.to_owned();
        self.process = self.setup.spawn();
        self.heard = Mutex::default();
        self.ready();
    }
}

/// Requests.
impl Node {
    /// Writes a line as it is.
    pub fn line(&self, line: &str) {
        self.process.write(format!("{line}\n").as_bytes());
    }

    /// Asks, without waiting; the number of the request.
    pub fn request(&self, method: &str, params: Value) -> u64 {
        let id = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.line(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        id
    }

    /// The answer to a request.
    #[track_caller]
    pub fn answer(&self, id: u64) -> Result<Value, RpcError> {
        let mut answer = self.take_answer(|answer| answer["id"] == id);
        match answer.get("error") {
            None => Ok(answer["result"].take()),
            Some(error) => Err(RpcError::from(error)),
        }
    }

    /// Waits for an answer that fits, and takes it.
    #[track_caller]
    pub fn take_answer(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let found = self.listen(|heard| {
            let at = heard.answers.iter().position(&fits)?;
            Some(heard.answers.swap_remove(at))
        });
        found.unwrap_or_else(|| panic!("{} gave no answer", self.process.label()))
    }

    /// Asks and waits for the answer.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.answer(self.request(method, params))
    }

    /// Asks what must succeed.
    #[track_caller]
    pub fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Sends a text; the message's id.
    #[track_caller]
    pub fn send(&self, to: &str, text: &str) -> String {
        self.send_all(to, [text]).remove(0)
    }

    /// Sends texts, one behind the other, and waits until all are committed.
    #[track_caller]
    pub fn send_all(&self, to: &str, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
        let send = |text: &str| self.request("msg.send", json!({ "to": to, "text": text }));
        let requests: Vec<u64> = texts.into_iter().map(|text| send(text.as_ref())).collect();
        let id = |request| {
            self.answer(request).expect("the text is sent")["id"].as_str().expect("an id").to_owned()
        };
        requests.into_iter().map(id).collect()
    }

    /// The messages of a conversation, oldest first: all, or the last 1000 of them.
    #[track_caller]
    pub fn history(&self, with: &str) -> Vec<Value> {
        let mut history = self.ask("msg.history", json!({ "with": with, "limit": 1000 }));
        serde_json::from_value(history["messages"].take()).expect("a list of messages")
    }

    /// Waits until these messages of its own have come to one of these states, in this run or before. What was reached in
    /// an earlier run is not told again, but history knows.
    #[track_caller]
    pub fn wait_history(&self, with: &str, ids: &[String], states: &[&str]) {
        let reached =
            |message: &&Value| message["delivery"]["state"].as_str().is_some_and(|it| states.contains(&it));
        let history = self.history(with);
        let there: HashSet<_> =
            history.iter().filter(reached).filter_map(|message| message["id"].as_str()).collect();
        let missing: Vec<String> = ids.iter().filter(|id| !there.contains(id.as_str())).cloned().collect();
        // What was not reached when history was asked for is told from here on, or was told before the answer.
        self.wait_states(&missing, states);
    }
}

/// Notifications.
impl Node {
    /// Every notification of this run so far.
    pub fn events(&self) -> Vec<Event> {
        self.process.look(|said| {
            let mut heard = self.heard();
            heard.read(said, self.process.label());
            heard.events.clone()
        })
    }

    /// Waits until `look` finds something among the notifications of this run.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&[Event]) -> Option<T>) -> T {
        let found = self.listen(|heard| look(&heard.events));
        found.unwrap_or_else(|| panic!("{} waited in vain for {what}", self.process.label()))
    }

    /// Waits for a notification with these parameters among others; the first of this run.
    #[track_caller]
    pub fn wait_event(&self, method: &str, params: &[(&str, &str)]) -> Event {
        let mut seen = 0;
        self.wait(&format!("{method} {params:?}"), |events| {
            let found = events[seen..].iter().find(|event| event.is(method, params)).cloned();
            seen = events.len();
            found
        })
    }

    /// `ready`
    #[track_caller]
    pub fn ready(&self) -> Event {
        self.wait_event("ready", &[])
    }

    /// Its peer id.
    #[track_caller]
    pub fn peer_id(&self) -> String {
        self.ready().expect("peer_id").to_owned()
    }

    /// Where its own relay listens, as `host:port`.
    #[track_caller]
    pub fn address(&self) -> String {
        let ready = self.ready();
        let listen = ready.params["listen"][0].as_str().expect("it hosts");
        listen.split_once("://").expect("transport://host:port").1.to_owned()
    }

    /// Waits until it has seen these peers.
    #[track_caller]
    pub fn meet(&self, nicks: &[&str]) {
        for nick in nicks {
            self.wait_event("peer.seen", &[("nick", nick)]);
        }
    }

    /// Waits for a text of somebody else.
    #[track_caller]
    pub fn wait_text(&self, text: &str) -> Event {
        self.wait_event("msg.new", &[("text", text)])
    }

    /// Waits until it was told of so many texts of others, or more; all of them. That a message is delivered is
    /// known to its sender a moment before its recipient has said so on standard output.
    #[track_caller]
    pub fn wait_texts(&self, count: usize) -> Vec<String> {
        self.wait(&format!("{count} texts"), |events| {
            let texts = events.iter().filter(|event| event.method == "msg.new").count();
            (texts >= count).then_some(())
        });
        self.texts()
    }

    /// The texts of others that it was told of in this run, in that order.
    pub fn texts(&self) -> Vec<String> {
        let events = self.events();
        let new = events.iter().filter(|event| event.method == "msg.new");
        new.map(|event| event.expect("text").to_owned()).collect()
    }

    /// Waits until a message of its own has come so far.
    #[track_caller]
    pub fn wait_state(&self, id: &str, state: &str) -> Event {
        self.wait_event("msg.status", &[("id", id), ("state", state)])
    }

    /// Waits until each of these messages of its own has come to one of these states in this run.
    #[track_caller]
    pub fn wait_states(&self, ids: &[String], states: &[&str]) {
        let (mut seen, mut open) = (0, ids.iter().map(String::as_str).collect::<HashSet<_>>());
        self.wait(&format!("{} messages to be {states:?}", ids.len()), |events| {
            for event in &events[seen..] {
                if event.method == "msg.status" && states.contains(&event.expect("state")) {
                    open.remove(event.expect("id"));
                }
            }
            seen = events.len();
            open.is_empty().then_some(())
        });
    }

    /// The states a message of its own went through in this run.
    pub fn states(&self, id: &str) -> Vec<String> {
        let events = self.events();
        let of_it = events.iter().filter(|event| event.is("msg.status", &[("id", id)]));
        of_it.map(|event| event.expect("state").to_owned()).collect()
    }

    /// Whether the last link it had is to itself; none = it has no link.
    pub fn hosts(events: &[Event]) -> Option<bool> {
        let last = events.iter().rfind(|event| matches!(event.method.as_str(), "link.up" | "link.down"))?;
        last.params["hosting"].as_bool()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen<T>(&self, mut look: impl FnMut(&mut Heard) -> Option<T>) -> Option<T> {
        self.process.wait(|said| {
            let mut heard = self.heard();
            heard.read(said, self.process.label());
            look(&mut heard)
        })
    }
}

impl Heard {
    /// Takes new lines apart. Standard output carries protocol only, so anything else is a failure.
    fn read(&mut self, said: &Said, who: &str) {
        for line in &said.lines[self.lines..] {
            let value: Value = serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{who} wrote {:?}: {error}", String::from_utf8_lossy(line)));
            let first = if value.is_array() { &value[0] } else { &value };
            assert_eq!(first["jsonrpc"], "2.0", "{who} wrote {value}");
            match first["method"].as_str() {
                Some(method) => {
                    self.events.push(Event { method: method.to_owned(), params: first["params"].clone() });
                }
                None => self.answers.push(value),
            }
        }
        self.lines = said.lines.len();
    }
}
