//! A relay process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::world::Inner;
use crate::{Exit, Process, Profile, World};

/// `chat relay` on a port that the system chose, which it keeps when it is started again.
pub struct Relay {
    world: Arc<Inner>,
    profile: Profile,
    folder: PathBuf,
    address: String,
    fingerprint: String,
    sets: Vec<String>,
    process: Arc<Process>,
}

impl Relay {
    /// Starts a relay and waits until it serves.
    pub fn start(world: &World, profile: Profile) -> Self {
        Self::start_with(world, profile, &[])
    }

    /// As [`Relay::start`], with changes to the profile.
    pub fn start_with(world: &World, profile: Profile, sets: &[&str]) -> Self {
        let (inner, address) = (Arc::clone(world.inner()), world.any_port());
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let folder = inner.path(format!("relay-{}", profile.name));
        let process = launch(&inner, profile, &folder, &address, &sets);
        let mut relay = Self { world: inner, profile, folder, address, fingerprint: String::new(), sets, process };
        relay.learn();
        relay
    }

    /// Starts it again at the same address with the same folder.
    pub fn restart(&mut self) {
        assert!(!self.process.is_alive(), "the relay still runs");
        self.process = launch(&self.world, self.profile, &self.folder, &self.address, &self.sets);
        self.learn();
    }

    /// Reads the one line that it prints when it serves.
    fn learn(&mut self) {
        let line = self.process.wait(|said| said.lines.first().cloned()).expect("the relay gets ready");
        let line: Value = serde_json::from_slice(&line).expect("the ready line is JSON");
        let ready = &line["ready"];
        let listen = ready["listen"][0].as_str().expect("where the relay listens");
        let (scheme, address) = listen.split_once("://").expect("transport://host:port");
        assert_eq!(scheme, self.profile.transport);
        self.address = address.to_owned();
        self.fingerprint = ready["fingerprint"].as_str().expect("a fingerprint").to_owned();
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its peer id.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Its data directory.
    pub fn folder(&self) -> &Path {
        &self.folder
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

fn launch(world: &Inner, profile: Profile, folder: &Path, address: &str, sets: &[String]) -> Arc<Process> {
    let mut command = world.command();
    command.args(["relay", "--config", profile.name, "--data-dir"]).arg(folder);
    command.arg("--set").arg(format!("topology.relay={address}"));
    for set in sets {
        command.args(["--set", set]);
    }
    world.spawn("relay", command)
}
