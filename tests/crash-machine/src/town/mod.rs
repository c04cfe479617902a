//! A town: a relay and people in one folder, each with a data directory that outlives the processes. It starts them,
//! kills them, and looks into their histories.

mod ask;
mod end;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_tests::Profile;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{self, Child};
use crate::ledger::{Depth, ROOM, Rule};
use crate::news::{FIRST_QUESTION, News, RelayPresence, State};
use crate::program::{self, Failing};
use crate::talk::Talkers;
use crate::{Fault, Who};

/// What the people are called, and their data directories.
pub const NICKS: [&str; 3] = ["alice", "bob", "carol"];

/// Who is the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosting {
    /// A process of its own: `chat-relay`, or `chat relay`.
    Apart {
        /// It is `chat-relay`.
        alone: bool,
    },
    /// Whoever of the people comes first.
    Auto,
}

/// What a person's program is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The town's relay.
    Town,
    /// An address where nobody is: what it knows, it knows by itself.
    Nowhere,
}

/// A program of a town.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The relay's.
    Relay,
    /// Somebody's.
    Person(Who),
}

impl Part {
    /// Whether it runs, as far as is known.
    pub fn is_alive(self, state: &State) -> bool {
        match self {
            Self::Relay => state.relay.alive,
            Self::Person(who) => state.people[who].alive,
        }
    }
}

/// A relay and people.
pub struct Town {
    /// What is known of them.
    pub news: Arc<News>,
    /// Processes that were killed.
    pub kills: u64,
    /// Those of them that were the relay.
    pub relays_killed: u64,
    /// Processes that were started.
    pub starts: u64,
    profile: Profile,
    hosting: Hosting,
    folder: TempDir,
    folders: Vec<PathBuf>,
    ip: Ipv4Addr,
    address: Option<String>,
    people: Vec<Option<Child>>,
    relay: Option<Child>,
    questions: u64,
    /// Programs may end with an error: a disk is full.
    pub forgiving: bool,
    /// Dropped last: their threads end when the state says so.
    talkers: Option<Talkers>,
}

impl Town {
    /// So many people, nobody started yet, in a temporary folder; on a disk where `fsync` means something, if the
    /// system's one for temporary files is such.
    pub fn new(people: usize, profile: Profile, hosting: Hosting) -> Result<Self, Fault> {
        let folder = tempfile::Builder::new().prefix("chat-crash-").tempdir()?;
        for part in ["home", "tmp", "runtime", "said"] {
            std::fs::create_dir(folder.path().join(part))?;
        }
        let folders = NICKS.iter().take(people).chain(&["relay"]).map(|name| folder.path().join(name));
        Ok(Self {
            news: Arc::new(News::new(people)),
            kills: 0,
            relays_killed: 0,
            starts: 0,
            profile,
            hosting,
            folders: folders.collect(),
            folder,
            ip: chat_tests::world::own_address(),
            address: None,
            people: (0..people).map(|_| None).collect(),
            relay: None,
            questions: FIRST_QUESTION,
            forgiving: false,
            talkers: None,
        })
    }

    /// Everybody writes from now on what they have to say; nobody has more than `open` messages on their way.
    pub fn talk(&mut self, seed: u64, open: usize) {
        self.talkers = Some(Talkers::start(&self.news, seed, open));
    }

    /// How many people there are.
    pub fn people(&self) -> std::ops::Range<Who> {
        0..self.people.len()
    }

    /// Where everything of it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A data directory.
    pub fn data(&self, part: Part) -> &Path {
        &self.folders[self.place(part)]
    }

    /// Moves a data directory elsewhere, before the first start.
    pub fn move_data(&mut self, part: Part, folder: PathBuf) {
        let place = self.place(part);
        self.folders[place] = folder;
    }

    fn place(&self, part: Part) -> usize {
        match part {
            Part::Relay => self.people.len(),
            Part::Person(who) => who,
        }
    }

    /// Whether the relay is a process of its own.
    pub fn has_relay(&self) -> bool {
        self.hosting != Hosting::Auto
    }

    /// Keeps the folder, for whoever looks into what went wrong.
    pub fn keep(mut self) -> PathBuf {
        self.kill_all();
        let empty = TempDir::new().ok();
        match empty {
            Some(empty) => std::mem::replace(&mut self.folder, empty).keep(),
            None => self.folder.path().to_owned(),
        }
    }

    fn stderr(&self, name: &str) -> PathBuf {
        self.folder().join("said").join(format!("{:04}-{name}", self.starts))
    }
}

/// Starting.
impl Town {
    /// Starts the relay's process, without waiting.
    pub fn spawn_relay(&mut self, failing: Option<&Failing>) -> Result<(), Fault> {
        let Hosting::Apart { alone } = self.hosting else { return Ok(()) };
        let (program, first) = program::relay(alone);
        let mut command = program::command(self.folder(), program, failing);
        let address = self.address.clone().unwrap_or_else(|| format!("{}:0", self.ip));
        command.args(first).args(["--config", self.profile.name, "--data-dir"]).arg(self.data(Part::Relay));
        command.arg("--listen").arg(format!("{}://{address}", self.profile.transport));
        let (news, stderr) = (Arc::clone(&self.news), self.stderr("relay"));
        self.news.change(|state| {
            state.relay = RelayPresence {
                alive: true,
                may_end: failing.is_some() || self.forgiving,
                ..Default::default()
            };
        });
        self.starts += 1;
        let said = stderr.clone();
        let (_, input) = child::input();
        let child = Child::spawn(command, stderr, input, move |lines| match lines.first() {
            Some(line) => {
                let line: Value = serde_json::from_slice(line).unwrap_or_default();
                let listen = serde_json::from_value(line["ready"]["listen"].clone()).unwrap_or_default();
                news.change(|state| state.relay.ready = Some(listen));
            }
            None => news.change(|state| {
                state.relay.alive = false;
                if !state.relay.killing && !state.relay.may_end {
                    let what = format!("the relay: {}", child::tail(&said));
                    state.ledger.broken(Rule::Ended, what);
                }
            }),
        })?;
        self.relay = Some(child);
        Ok(())
    }

    /// Waits until the relay serves; false if it has ended instead.
    pub fn relay_ready(&mut self) -> Result<bool, Fault> {
        let listen = self.news.wait("the relay to get ready", |state| match &state.relay.ready {
            Some(listen) => Some(Some(listen.clone())),
            None => (!state.relay.alive).then_some(None),
        })?;
        Ok(listen.is_some_and(|listen| self.is_at(&listen)))
    }

    fn is_at(&mut self, listen: &[String]) -> bool {
        let place = listen.first().and_then(|place| place.split_once("://"));
        self.address = place.map(|(_, address)| address.to_owned()).or(self.address.take());
        place.is_some()
    }

    /// Starts somebody's program, without waiting.
    pub fn spawn(&mut self, who: Who, link: Link, failing: Option<&Failing>) -> Result<(), Fault> {
        let mut command = program::command(self.folder(), program::chat(), failing);
        command.args(["--config", self.profile.name, "--frontend", "jsonrpc", "--nick", NICKS[who]]);
        command.arg("--data-dir").arg(self.data(Part::Person(who)));
        // Nobody listens on the first port, `tcpmux`, of an address that is the town's own.
        let nowhere = format!("{}:1", self.ip);
        let relay = match (link, &self.address) {
            (Link::Nowhere, _) => nowhere,
            (Link::Town, Some(address)) => address.clone(),
            (Link::Town, None) => format!("{}:0", self.ip),
        };
        command.args(["--set", &format!("topology.relay={relay}")]);
        if link == Link::Nowhere || self.has_relay() {
            command.args(["--set", "topology.host=never"]);
        }
        let (news, stderr) = (Arc::clone(&self.news), self.stderr(NICKS[who]));
        self.starts += 1;
        let said = stderr.clone();
        let may_end = failing.is_some() || self.forgiving;
        let (lines, input) = child::input();
        self.news.change(|state| state.people[who].begin(lines, may_end));
        let child = Child::spawn(command, stderr, input, move |lines| match lines {
            [_, ..] => news.hear(who, lines),
            [] => news.change(|state| {
                let presence = &mut state.people[who];
                presence.alive = false;
                if !presence.killing && !presence.may_end {
                    let what = format!("{}: {}", NICKS[who], child::tail(&said));
                    state.ledger.broken(Rule::Ended, what);
                }
            }),
        })?;
        self.people[who] = Some(child);
        Ok(())
    }

    /// Waits until somebody's program is ready; false if it has ended instead.
    pub fn ready(&mut self, who: Who) -> Result<bool, Fault> {
        let listen = self.news.wait(&format!("{} to get ready", NICKS[who]), |state| {
            let presence = &state.people[who];
            match &presence.ready {
                Some(listen) => Some(Some(listen.clone())),
                None => (!presence.alive).then_some(None),
            }
        })?;
        let Some(listen) = listen else { return Ok(false) };
        if self.address.is_none() {
            self.is_at(&listen);
        }
        Ok(true)
    }

    /// Starts a program and waits until it is ready; false if it has ended instead.
    pub fn launch(&mut self, part: Part, link: Link, failing: Option<&Failing>) -> Result<bool, Fault> {
        match part {
            Part::Relay => {
                self.spawn_relay(failing)?;
                self.relay_ready()
            }
            Part::Person(who) => {
                self.spawn(who, link, failing)?;
                self.ready(who)
            }
        }
    }

    /// Starts somebody, looks into their history, and lets them write.
    pub fn start(&mut self, who: Who) -> Result<(), Fault> {
        self.spawn(who, Link::Town, None)?;
        if !self.ready(who)? {
            return Err(format!("{} does not start: {}", NICKS[who], self.stderr_of(who)).into());
        }
        self.look(who, Depth::Due)?;
        self.news.change(|state| state.people[who].writing = true);
        Ok(())
    }

    /// Waits until everybody who runs knows everybody, also as a member of the room.
    pub fn meet(&mut self) -> Result<(), Fault> {
        for who in self.people() {
            let others = self.people.len() - 1;
            self.news.wait(&format!("{} to meet all others", NICKS[who]), |state| {
                (state.people[who].seen.len() >= others).then_some(())
            })?;
            loop {
                let changes = self.news.read().people[who].room_changes;
                let members = self.ask(who, "room.members", json!({ "room": ROOM }))?.members.len();
                if members == self.people.len() {
                    break;
                }
                self.news.wait(&format!("{} to know all members", NICKS[who]), |state| {
                    (state.people[who].room_changes != changes).then_some(())
                })?;
            }
        }
        Ok(())
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.kill_all();
    }
}
