//! A bad network between processes.

use std::sync::Arc;

use serde_json::Value;

use crate::{Exit, Network, Process, World};

/// `chat impair` on a port that the system chose.
pub struct Impair {
    process: Arc<Process>,
    ready: Value,
}

impl Impair {
    /// Starts it in front of `to`, with these options more, and waits until it serves.
    pub fn start(world: &World, network: Network, to: &str, options: &[&str]) -> Self {
        let kind = match network {
            Network::Tcp => "tcp",
            Network::Udp => "udp",
        };
        Self::start_at(world, &format!("{kind}://{}", world.any_port()), to, options)
    }

    /// As [`Impair::start`], at this `kind://host:port`.
    pub fn start_at(world: &World, listen: &str, to: &str, options: &[&str]) -> Self {
        let mut command = world.command(&["impair", "--listen", listen, "--to", to]);
        command.args(options);
        let process = world.inner().spawn("impair", command);
        let line = process.wait(|said| said.lines.first().cloned()).expect("the proxy gets ready");
        let mut line: Value = serde_json::from_slice(&line).expect("the ready line is JSON");
        Self { process, ready: line["ready"].take() }
    }

    /// What the ready line says.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        let place = self.ready["listen"][0].as_str().expect("an address");
        place.split_once("://").expect("kind://host:port").1
    }

    /// Where it listens, as `kind://host:port`.
    pub fn listen(&self) -> &str {
        self.ready["listen"][0].as_str().expect("an address")
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `SIGTERM`; what it says became of the packets.
    pub fn leave(&self) -> Value {
        self.process.terminate();
        assert_eq!(self.process.wait_exit(), Exit::Code(0));
        let line = self.process.look(|said| said.lines.last().cloned()).expect("a last line");
        let mut line: Value = serde_json::from_slice(&line).expect("the last line is JSON");
        line["figures"].take()
    }
}
