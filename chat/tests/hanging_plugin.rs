//! A program with a plugin that never returns: it ends, says what hangs, and has lost nothing.
//!
//! Without a harness: the program under test is this one, started again with `chat`'s command line. It takes the half
//! minute that a plugin has.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test without a harness"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use chat_core::testing::Hanging;
use chat_core::{KeyExchange, Plugin, ProfileError};
use key_exchange_x25519::X25519;
use serde_json::{Value, json};

const PROGRAM: &str = "CHAT_TEST_HANGING_PLUGIN";
/// Longer than anything takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(150);

/// `x25519`, but to begin a session it needs for ever.
struct HangingPlugin;

impl Plugin<dyn KeyExchange> for HangingPlugin {
    const NAME: &'static str = "hanging";
    const SUMMARY: &'static str = "never returns";
    const EXAMPLE: &'static str = "[key_exchange]\nkind = \"hanging\"\n";
    type Options = key_exchange_x25519::Options;

    fn build(options: Self::Options) -> Result<Box<dyn KeyExchange>, ProfileError> {
        Ok(Box::new(Hanging(X25519::build(options)?)))
    }
}

chat_core::register!(dyn KeyExchange, HangingPlugin);

/// One user: the process, its input and the lines it says.
struct User {
    process: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
}

impl User {
    fn start(folder: &Path, nick: &str, relay: &str) -> Self {
        let profile = folder.join("hanging.toml");
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(PROGRAM, "")
            .arg("--config")
            .arg(profile)
            .args(["--nick", nick, "--set", &format!("topology.relay={relay}"), "--data-dir"])
            .arg(folder.join(nick))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        let said = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in said.lines() {
                let heard = line.map(|line| tell.send(line.parse().unwrap()).is_ok());
                if !heard.unwrap_or(false) {
                    return;
                }
            }
        });
        Self { input: process.stdin.take().unwrap(), process, lines }
    }

    fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("it says what it is waited for");
            if wanted(&line) {
                return line;
            }
        }
    }

    fn event(&self, method: &str) -> Value {
        self.wait(|line| line["method"] == method)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Whoever has ended already needs no end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn the_program_ends_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let profile = "schema_version = 1\n[topology]\nkind = \"relay\"\nrooms = [\"#lobby\"]\n\
                   [transport]\nkind = \"tcp\"\n[key_exchange]\nkind = \"hanging\"\n\
                   [cipher]\nkind = \"chacha20-poly1305\"\n[frontend]\nkind = \"jsonrpc\"\n";
    std::fs::write(folder.path().join("hanging.toml"), profile).unwrap();
    let bob = User::start(folder.path(), "bob", "127.0.0.1:0");
    let listen = bob.event("ready")["params"]["listen"][0].as_str().unwrap().to_owned();
    let mut alice = User::start(folder.path(), "alice", listen.strip_prefix("tcp://").unwrap());
    alice.event("peer.seen");
    let send = json!({ "jsonrpc": "2.0", "id": 1, "method": "msg.send", "params": { "to": "bob", "text": "hello" } });
    writeln!(alice.input, "{send}").unwrap();
    let ended = alice.process.wait().unwrap();
    let mut said = String::new();
    alice.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    for piece in ["`hanging`", "`initiate`", "30 s", "nothing that was committed is lost"] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    // Its data directory opens again.
    let alice = User::start(folder.path(), "alice", listen.strip_prefix("tcp://").unwrap());
    alice.event("link.up");
}

fn main() -> ExitCode {
    if std::env::var_os(PROGRAM).is_some() {
        return chat::main();
    }
    the_program_ends_and_says_why();
    println!("test the_program_ends_and_says_why ... ok");
    ExitCode::SUCCESS
}
