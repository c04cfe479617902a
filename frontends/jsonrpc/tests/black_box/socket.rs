//! The same protocol over a Unix socket.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use chat_core::api::{Command, Reply};
use frontend_jsonrpc::{MAX_GUESTS, SocketServer, serve_socket};
use serde_json::Value;
use tempfile::TempDir;

use crate::samples::link_down;
use crate::support::{Engine, lines, next_line};

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/chat.sock");
    Place { _directory: directory, path }
}

fn served() -> (Place, Engine, SocketServer) {
    let place = place();
    let (client, engine) = Engine::new();
    let server = serve_socket(&place.path, client).unwrap();
    (place, engine, server)
}

struct Guest {
    stream: UnixStream,
    lines: Receiver<String>,
}

impl Guest {
    fn new(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        let lines = lines(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    fn ask(&mut self, method: &str) {
        writeln!(self.stream, r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#).unwrap();
    }

    fn line(&self) -> Option<Value> {
        next_line(&self.lines)
    }

    /// Asks something that the connection answers by itself: then it is there, and follows events.
    fn hello(&mut self) {
        self.ask("system.hello");
        assert_eq!(self.line().unwrap()["result"]["nick"], "alice");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn guests_ask_and_are_told_each_for_itself() {
    let (place, mut engine, server) = served();
    assert_eq!((mode(&place.path), mode(place.path.parent().unwrap())), (0o600, 0o700));
    let (mut one, mut two) = (Guest::new(&place.path), Guest::new(&place.path));
    one.hello();
    two.hello();
    one.ask("peer.list");
    assert_eq!(engine.answer(Ok(Reply::Peers { peers: vec![] })), Command::Peers);
    assert!(one.line().unwrap()["result"]["peers"].is_array());
    engine.publish([link_down("x")]);
    for guest in [&one, &two] {
        assert_eq!(guest.line().unwrap()["method"], "link.down");
    }
    drop(server);
    assert!(one.line().is_none() && two.line().is_none());
    assert!(!place.path.exists());
}

#[test]
fn one_too_many_is_told_so_and_there_is_room_again_when_one_leaves() {
    let (place, _engine, _server) = served();
    let mut guests: Vec<Guest> = (0..MAX_GUESTS).map(|_| Guest::new(&place.path)).collect();
    guests.iter_mut().for_each(Guest::hello);
    let surplus = Guest::new(&place.path);
    assert_eq!(surplus.line().unwrap()["error"]["data"]["kind"], "busy");
    assert!(surplus.line().is_none());

    let leaver = guests.pop().unwrap();
    leaver.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(leaver.line().is_none());
    // The connection's thread may take a moment longer than its stream.
    let newcomer = std::iter::repeat_with(|| Guest::new(&place.path)).take(10_000).find_map(|mut guest| {
        let asked = writeln!(guest.stream, r#"{{"jsonrpc":"2.0","id":1,"method":"system.hello"}}"#);
        let welcome = asked.is_ok() && guest.line().is_some_and(|line| line.get("result").is_some());
        welcome.then_some(guest)
    });
    assert!(newcomer.is_some());
}

#[test]
fn guests_are_let_go_when_the_engine_stops() {
    let (place, engine, _server) = served();
    let mut guest = Guest::new(&place.path);
    guest.hello();
    engine.stop();
    assert!(guest.line().is_none());
}

#[test]
fn a_guest_that_neither_reads_nor_writes_holds_nobody_up() {
    let (place, mut engine, server) = served();
    let mut busy = Guest::new(&place.path);
    busy.hello();
    let _idle = UnixStream::connect(&place.path).unwrap();
    for _ in 0..20 {
        engine.publish((0..100).map(|_| link_down("x".repeat(5000))));
    }
    for _ in 0..2000 {
        assert!(matches!(busy.line().unwrap()["method"].as_str(), Some("link.down" | "lag")));
    }
    drop(server);
    assert!(!place.path.exists());
}

#[test]
fn what_a_dead_program_left_is_replaced_what_lives_is_not() {
    let place = place();
    let (client, _engine) = Engine::new();
    fs::create_dir(place.path.parent().unwrap()).unwrap();
    fs::set_permissions(place.path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    drop(UnixListener::bind(&place.path).unwrap());
    assert!(place.path.exists());

    let server = serve_socket(&place.path, client.clone()).unwrap();
    Guest::new(&place.path).hello();
    let error = serve_socket(&place.path, client.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    Guest::new(&place.path).hello();
    drop(server);

    fs::write(&place.path, "precious").unwrap();
    let error = serve_socket(&place.path, client).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    assert_eq!(fs::read_to_string(&place.path).unwrap(), "precious");
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    let place = place();
    let (client, _engine) = Engine::new();
    let directory = place.path.parent().unwrap();
    fs::create_dir(directory).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o750)).unwrap();
    let error = serve_socket(&place.path, client).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("chmod 700"), "{error}");
    assert!(!place.path.exists());
}
