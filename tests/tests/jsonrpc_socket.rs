//! The same protocol over a Unix socket beside any frontend.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use chat_tests::profiles::TCP_X25519;
use chat_tests::{Exit, PATIENCE, World};
use serde_json::{Value, json};

/// A program that came to the socket.
struct Guest {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Guest {
    fn connect(folder: &Path) -> Self {
        let stream = UnixStream::connect(folder.join("chat.sock")).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let lines = BufReader::new(stream.try_clone().expect("a second hand"));
        Self { stream, lines }
    }

    fn write(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("it is read");
    }

    /// The next line that fits.
    fn next(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("a line in time");
            assert!(read > 0, "the socket was closed");
            let value = serde_json::from_str(&line).expect("protocol only");
            if fits(&value) {
                return value;
            }
        }
    }

    fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        self.next(|answer| answer["id"] == id)["result"].take()
    }
}

/// Several programs may be guests at a time, for their user alone; they see what happens, may speak, and take nothing
/// down when they go, in whatever way. The socket goes with the program.
#[test]
fn guests_come_and_go() {
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let bob = world.node(TCP_X25519, "bob", &alice.address()).start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let socket = alice.folder().join("chat.sock");
    let metadata = std::fs::symlink_metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    let [mut one, mut two] = [0, 1].map(|_| Guest::connect(alice.folder()));
    for guest in [&mut one, &mut two] {
        assert_eq!(guest.ask(1, "system.hello", json!({}))["peer_id"], alice.peer_id().as_str());
    }
    let id = one.ask(2, "msg.send", json!({ "to": "bob", "text": "from a guest" }))["id"].clone();
    bob.wait_text("from a guest");
    // What one of them does, all see, the frontend too.
    for guest in [&mut one, &mut two] {
        guest.next(|line| line["params"]["id"] == id && line["params"]["state"] == "delivered");
    }
    alice.wait_state(id.as_str().unwrap(), "delivered");
    bob.send("alice", "to all of you");
    for guest in [&mut one, &mut two] {
        guest.next(|line| line["params"]["text"] == "to all of you");
    }
    // One ends its input after a last request, the other sends garbage and vanishes.
    one.write(&json!({ "jsonrpc": "2.0", "id": 3, "method": "peer.list" }).to_string());
    one.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(one.next(|answer| answer["id"] == 3)["result"]["peers"][0]["nick"], "bob");
    two.write("{ garbage");
    assert_eq!(two.next(|answer| answer["id"].is_null())["error"]["data"]["kind"], "parse");
    drop((one, two));
    alice.wait_state(&alice.send("bob", "still here"), "delivered");

    // A program that is killed leaves its socket behind; the next one takes the place.
    alice.kill9();
    let mut alice = alice;
    alice.restart();
    assert_eq!(Guest::connect(alice.folder()).ask(1, "system.hello", json!({}))["nick"], "alice");
    assert_eq!(alice.leave(), Exit::Code(0));
    assert!(!socket.exists(), "the socket goes with the program");
}
