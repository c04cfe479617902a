//! A relay process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::world::Inner;
use crate::{Exit, Process, Profile, World, binary};

/// `chat relay`, or `chat-relay`, on ports that the system chose, which it keeps when it is started again.
pub struct Relay {
    world: Arc<Inner>,
    setup: Setup,
    process: Arc<Process>,
    ready: Value,
}

/// How a relay is to be started.
#[derive(Clone)]
pub struct Setup {
    /// `chat-relay` instead of `chat relay`.
    pub alone: bool,
    /// Another program instead of both, with the command line of `chat`.
    pub program: Option<PathBuf>,
    /// The profile, by name or path.
    pub profile: String,
    /// The data directory.
    pub folder: PathBuf,
    /// Where to listen, as `transport://host:port`.
    pub listen: Vec<String>,
    /// Changes to the profile.
    pub sets: Vec<String>,
}

impl Relay {
    /// Starts a relay and waits until it serves.
    pub fn start(world: &World, profile: Profile) -> Self {
        Self::start_with(world, profile, &[])
    }

    /// As [`Relay::start`], with changes to the profile.
    pub fn start_with(world: &World, profile: Profile, sets: &[&str]) -> Self {
        Self::launch(
            world,
            Setup {
                alone: false,
                program: None,
                profile: profile.name.to_owned(),
                folder: world.path("relay"),
                listen: vec![format!("{}://{}", profile.transport, world.any_port())],
                sets: sets.iter().map(|&set| set.to_owned()).collect(),
            },
        )
    }

    /// Starts any relay and waits until it serves.
    pub fn launch(world: &World, setup: Setup) -> Self {
        let world = Arc::clone(world.inner());
        let process = setup.spawn(&world);
        let mut relay = Self { world, setup, process, ready: Value::Null };
        relay.learn();
        relay
    }

    /// Starts it again at the same address with the same folder.
    pub fn restart(&mut self) {
        assert!(!self.process.is_alive(), "the relay still runs");
        self.process = self.setup.spawn(&self.world);
        self.learn();
    }

    /// Reads the one line that it prints when it serves.
    fn learn(&mut self) {
        let line = self.process.wait(|said| said.lines.first().cloned()).expect("the relay gets ready");
        let line: Value = serde_json::from_slice(&line).expect("the ready line is JSON");
        self.ready = line["ready"].clone();
        let listen = self.ready["listen"].as_array().expect("a list of addresses");
        self.setup.listen =
            listen.iter().map(|place| place.as_str().expect("an address").to_owned()).collect();
    }

    /// What the ready line says.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// The first address, as `host:port`.
    pub fn address(&self) -> &str {
        self.addresses().next().expect("an address")
    }

    /// All addresses, as `host:port`.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.setup.listen.iter().map(|place| place.split_once("://").expect("transport://host:port").1)
    }

    /// Its peer id.
    pub fn fingerprint(&self) -> &str {
        self.ready["fingerprint"].as_str().expect("a fingerprint")
    }

    /// Its data directory.
    pub fn folder(&self) -> &Path {
        &self.setup.folder
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
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
}

impl Setup {
    /// The command that starts it.
    pub fn command(&self, world: &World) -> Command {
        self.command_in(world.inner())
    }

    fn command_in(&self, world: &Inner) -> Command {
        let usual = || if self.alone { binary::chat_relay() } else { binary::chat() };
        let mut command = world.command(self.program.as_deref().unwrap_or_else(usual));
        if !self.alone {
            command.arg("relay");
        }
        command.args(["--config", &self.profile, "--data-dir"]).arg(&self.folder);
        command.args(self.listen.iter().flat_map(|place| ["--listen", place]));
        command.args(self.sets.iter().flat_map(|set| ["--set", set]));
        command
    }

    fn spawn(&self, world: &Inner) -> Arc<Process> {
        world.spawn("relay", self.command_in(world))
    }
}
