//! A town: a relay and people in one folder, each with a data directory that outlives the processes. It starts them,
//! kills them, and looks into their histories.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use chat_tests::Profile;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::Child;
use crate::ledger::{Depth, ROOM, Rule, To};
use crate::line::Answer;
use crate::news::{FIRST_QUESTION, News};
use crate::program::{self, Failing};
use crate::talk::Talkers;
use crate::{Fault, Who};

/// What the people are called, and their data directories.
pub const NICKS: [&str; 3] = ["alice", "bob", "carol"];
/// Messages of a page of history.
const PAGE: u32 = 1000;

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

/// A relay and people.
pub struct Town {
    /// What is known of them.
    pub news: Arc<News>,
    /// Processes that were killed.
    pub kills: u64,
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

    /// Somebody's data directory.
    pub fn data(&self, who: Who) -> &Path {
        &self.folders[who]
    }

    /// The relay's data directory.
    pub fn relay_data(&self) -> &Path {
        &self.folders[self.people.len()]
    }

    /// Moves a data directory elsewhere, before the first start: of a person, or behind the last one the relay's.
    pub fn move_data(&mut self, whose: usize, folder: PathBuf) {
        self.folders[whose] = folder;
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
        command.args(first).args(["--config", self.profile.name, "--data-dir"]).arg(self.relay_data());
        command.arg("--listen").arg(format!("{}://{address}", self.profile.transport));
        let (news, stderr) = (Arc::clone(&self.news), self.stderr("relay"));
        self.news.change(|state| {
            state.relay =
                crate::news::RelayPresence { alive: true, may_end: failing.is_some(), ..Default::default() };
        });
        self.starts += 1;
        let said = stderr.clone();
        let (child, _) = Child::spawn(command, stderr, move |lines| match lines.first() {
            Some(line) => {
                let line: Value = serde_json::from_slice(line).unwrap_or_default();
                let listen = serde_json::from_value(line["ready"]["listen"].clone()).unwrap_or_default();
                news.change(|state| state.relay.ready = Some(listen));
            }
            None => news.change(|state| {
                state.relay.alive = false;
                if !state.relay.killing && !state.relay.may_end {
                    let what = format!("the relay: {}", crate::child::tail(&said));
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
        command.arg("--data-dir").arg(self.data(who));
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
        let (child, input) = Child::spawn(command, stderr, move |lines| match lines {
            [_, ..] => news.hear(who, lines),
            [] => news.change(|state| {
                let presence = &mut state.people[who];
                presence.alive = false;
                if !presence.killing && !presence.may_end {
                    let what = format!("{}: {}", NICKS[who], crate::child::tail(&said));
                    state.ledger.broken(Rule::Ended, what);
                }
            }),
        })?;
        self.news.change(|state| {
            state.people[who].begin(input, failing.is_some());
        });
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

/// Ending.
impl Town {
    /// `kill -9` to these people, and the relay, at one instant; waits until they are gone.
    pub fn kill(&mut self, people: &[Who], relay: bool) -> Result<(), Fault> {
        self.news.change(|state| {
            people.iter().for_each(|who| state.people[*who].killing = true);
            state.relay.killing |= relay;
        });
        let mut victims: Vec<Child> = people.iter().filter_map(|who| self.people[*who].take()).collect();
        if relay {
            victims.extend(self.relay.take());
        }
        victims.iter_mut().for_each(Child::strike);
        for victim in &mut victims {
            victim.gone()?;
            self.kills += 1;
            self.panicked(&victim.stderr());
        }
        self.news.change(|state| people.iter().for_each(|who| state.ledger.ended(*who)));
        Ok(())
    }

    /// Waits until somebody's program that has ended by itself is gone; how it ended.
    pub fn ended(&mut self, who: Who) -> Result<Option<ExitStatus>, Fault> {
        let Some(mut child) = self.people[who].take() else { return Ok(None) };
        let status = child.gone()?;
        self.panicked(&child.stderr());
        self.news.change(|state| state.ledger.ended(who));
        Ok(Some(status))
    }

    /// As [`Town::ended`], of the relay.
    pub fn relay_ended(&mut self) -> Result<Option<ExitStatus>, Fault> {
        let Some(mut child) = self.relay.take() else { return Ok(None) };
        let status = child.gone()?;
        self.panicked(&child.stderr());
        Ok(Some(status))
    }

    fn panicked(&self, stderr: &str) {
        if stderr.contains("panicked at") {
            self.news.change(|state| state.ledger.broken(Rule::Ended, format!("a panic: {stderr}")));
        }
    }

    /// The end of what somebody's program said on standard error.
    pub fn stderr_of(&self, who: Who) -> String {
        self.people[who].as_ref().map(Child::stderr).unwrap_or_default()
    }

    fn kill_all(&mut self) {
        self.news.change(|state| {
            state.stop = true;
            state.relay.killing = true;
            state.people.iter_mut().for_each(|presence| presence.killing = true);
        });
        self.people.iter_mut().for_each(|child| *child = None);
        self.relay = None;
        self.talkers = None;
    }
}

/// Asking.
impl Town {
    /// Asks somebody's program. A fault if it refuses, or has ended.
    pub fn ask(&mut self, who: Who, method: &str, params: Value) -> Result<Answer, Fault> {
        self.questions += 1;
        let id = self.questions;
        let mut line = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        line.push('\n');
        self.news.change(|state| state.people[who].write(line.into_bytes()))?;
        let answer = self.news.wait(&format!("{} to answer {method}", NICKS[who]), |state| {
            let presence = &mut state.people[who];
            match presence.answers.remove(&id) {
                Some(answer) => Some(Some(answer)),
                None => (!presence.alive).then_some(None),
            }
        })?;
        match answer {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(refusal)) => Err(format!("{} refuses {method}: {}", NICKS[who], refusal.message).into()),
            None => Err(format!("{} has ended", NICKS[who]).into()),
        }
    }

    /// Looks into all of somebody's conversations: as far back as `depth` says.
    pub fn look(&mut self, who: Who, depth: Depth) -> Result<(), Fault> {
        let others = self.people().filter(|other| *other != who).map(To::Person);
        for view in others.chain([To::Room]).collect::<Vec<_>>() {
            let with = match view {
                To::Room => Some(ROOM.to_owned()),
                To::Person(other) => self.news.read().ledger.peer(other).map(str::to_owned),
            };
            if let Some(with) = with {
                self.look_at(who, view, &with, depth)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, who: Who, view: To, with: &str, depth: Depth) -> Result<(), Fault> {
        let mut look = self.news.read().ledger.look(who, view, depth);
        let mut before = Value::Null;
        while !look.is_done() {
            let params = json!({ "with": with, "before": before, "limit": PAGE });
            let page = self.ask(who, "msg.history", params)?;
            before = page.messages.first().map_or(Value::Null, |row| row.id.clone().into());
            self.news.change(|state| state.ledger.page(&mut look, &page.messages));
            if !page.has_older {
                self.news.change(|state| state.ledger.looked(look));
                return Ok(());
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
