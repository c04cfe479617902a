//! A relay in a process of its own, and clients of it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fault;
use crate::node::{Lines, Node};
use crate::process::Running;
use crate::program::Program;

/// How long anything in here may take that is not measured: making keys, connecting, meeting.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A relay, and the folders of its clients.
pub(crate) struct Lab {
    program: Program,
    pub(crate) profile: String,
    /// Where the relay listens.
    address: String,
    relay: Running,
    folder: TempDir,
}

impl Lab {
    /// Starts a relay with a mailbox of its own.
    pub(crate) fn open(program: &Program, profile: &str) -> Result<Self, Fault> {
        let folder = program.folder()?;
        let mut command = Command::new(&program.path);
        command.args(["relay", "--config", profile, "--set", "topology.relay=127.0.0.1:0", "--data-dir"]);
        command.arg(folder.path().join("relay")).current_dir(folder.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take();
        let relay = Running::new(child);
        let lines = Lines::of(output.ok_or("no pipe")?)?;
        let address = lines.find(Instant::now() + PATIENCE, "the relay", |line| {
            let place = line.value["ready"]["listen"][0].as_str()?;
            Some(place.split_once("://")?.1.to_owned())
        })?;
        Ok(Self { program: program.clone(), profile: profile.to_owned(), address, relay, folder })
    }

    /// Where the relay listens, as `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn relay_pid(&self) -> u32 {
        self.relay.pid()
    }

    /// The command of a client of this relay. The same nick is the same person with the same history.
    pub(crate) fn client(&self, nick: &str, frontend: &str) -> Command {
        let relay = format!("topology.relay={}", self.address);
        let mut command = self.command(nick, frontend);
        command.args(["--set", &relay, "--set", "topology.host=never"]);
        command
    }

    /// The command of somebody who hosts a relay of their own.
    pub(crate) fn host(&self, nick: &str, frontend: &str) -> Command {
        let mut command = self.command(nick, frontend);
        command.args(["--set", "topology.relay=127.0.0.1:0", "--set", "topology.host=auto"]);
        command
    }

    fn command(&self, nick: &str, frontend: &str) -> Command {
        let mut command = Command::new(&self.program.path);
        command.args(["--config", &self.profile, "--nick", nick, "--frontend", frontend]);
        command.arg("--data-dir").arg(self.folder_of(nick)).current_dir(self.folder.path());
        command
    }

    fn folder_of(&self, nick: &str) -> PathBuf {
        self.folder.path().join(nick)
    }

    /// alice and bob, who know each other's keys and have exchanged a first message.
    pub(crate) fn couple(&self) -> Result<(Node, Node), Fault> {
        let mut alice = Node::start(self.client("alice", "jsonrpc"))?;
        let bob = Node::start(self.client("bob", "jsonrpc"))?;
        self.meet(&alice, "bob")?;
        crate::node::write(&mut alice.input, &crate::node::send_request(1, "bob", "hello"))?;
        alice.lines.find(Instant::now() + PATIENCE, "the first receipt", |line| {
            (line.notification("msg.status")?["state"] == "delivered").then_some(())
        })?;
        Ok((alice, bob))
    }

    /// Waits until a node sees somebody.
    pub(crate) fn meet(&self, node: &Node, nick: &str) -> Result<(), Fault> {
        node.lines.find(Instant::now() + PATIENCE, nick, |line| {
            (line.notification("peer.seen")?["nick"] == nick).then_some(())
        })
    }
}

/// The name of a profile as a table shows it.
pub(crate) fn short(profile: &str) -> &str {
    let name = profile.rsplit('/').next().unwrap_or(profile);
    name.strip_suffix(".toml").unwrap_or(name)
}
