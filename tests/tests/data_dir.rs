//! The data directory: locked, closed to others, damaged, or none at all.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::files::{contents, listing};
use chat_tests::profiles::TCP_X25519;
use chat_tests::world::Finished;
use chat_tests::{Exit, World};
use serde_json::json;

/// Starts a user in a folder; it must not come far.
fn try_in(world: &World, folder: &Path) -> Finished {
    let relay = format!("topology.relay={}", world.any_port());
    let folder = folder.to_str().unwrap();
    let arguments = ["--config", TCP_X25519.name, "--frontend", "jsonrpc", "--nick", "alice"];
    let ended = world.chat(&[&arguments[..], &["--set", &relay, "--data-dir", folder]].concat());
    assert_eq!(ended.stdout, "", "it was never ready");
    ended
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_folder_in_use() {
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    try_in(&world, alice.folder()).refused(1, &["in use by another chat", "--data-dir", "alice"]);
    // A program that was killed holds nothing.
    let was = alice.peer_id();
    alice.kill9();
    let again = world.node(TCP_X25519, "alice", &world.any_port()).start();
    assert_eq!(again.peer_id(), was);
}

/// A key that others could read is refused, with what to do; then it is the same key.
#[test]
fn a_key_that_others_can_read() {
    let world = World::new();
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let (was, key) = (alice.peer_id(), alice.folder().join("identity.key"));
    assert_eq!(alice.leave(), Exit::Code(0));
    for open in [0o644, 0o640, 0o604, 0o620] {
        fs::set_permissions(&key, Permissions::from_mode(open)).unwrap();
        try_in(&world, alice.folder())
            .refused(1, &["chmod 600", key.to_str().unwrap(), &format!("{open:o}"), "must not be removed"]);
        let shown = world.chat(&["identity", "show", "--data-dir", alice.folder().to_str().unwrap()]);
        shown.refused(1, &["chmod 600"]);
        assert_eq!(mode(&key), open, "the program leaves that to its user");
    }
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    alice.restart();
    assert_eq!(alice.peer_id(), was);
}

/// A damaged key or store is named, left as it is, and never replaced by a new one.
#[test]
fn what_is_damaged_is_left_alone() {
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    assert_eq!(alice.leave(), Exit::Code(0));
    let (key, store) = (alice.folder().join("identity.key"), alice.folder().join("client.db"));
    for (path, bytes, piece) in [
        (&key, vec![7; 31], "32 bytes"),
        (&key, vec![7; 33], "32 bytes"),
        (&key, Vec::new(), "32 bytes"),
        (&store, b"no database at all, just text".repeat(100), "--data-dir"),
        (&store, Vec::new(), "put a copy of it back"),
    ] {
        let good = fs::read(path).unwrap();
        fs::write(path, &bytes).unwrap();
        try_in(&world, alice.folder()).refused(1, &[piece, alice.folder().to_str().unwrap()]);
        assert_eq!(fs::read(path).unwrap(), bytes);
        fs::write(path, good).unwrap();
    }
    let mut alice = alice;
    alice.restart();
}

/// What is in a folder, but for the logs.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = contents(folder);
    found.retain(|(path, _)| !path.components().any(|part| part.as_os_str() == "logs"));
    found.sort();
    found
}

/// Identity and history belong together: another key, or none, is an error that says what to do, and the old key makes
/// it good again. Nothing is half begun anew.
#[test]
fn a_history_without_its_key() {
    let world = World::new();
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    alice.wait_event("link.up", &[]);
    alice.send("#lobby", "mine");
    let (was, folder) = (alice.peer_id(), alice.folder().to_owned());
    let key = folder.join("identity.key");
    assert_eq!(alice.leave(), Exit::Code(0));
    let good = fs::read(&key).unwrap();

    fs::remove_file(&key).unwrap();
    let before = files(&folder);
    try_in(&world, &folder)
        .refused(1, &["client.db", "move the whole data directory away", key.to_str().unwrap()]);
    assert_eq!(files(&folder), before, "no new key was made");

    fs::write(&key, [9; 32]).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let before = files(&folder);
    try_in(&world, &folder).refused(1, &[&was, "put the old key back", "move the whole data directory away"]);
    assert_eq!(files(&folder), before);

    fs::write(&key, good).unwrap();
    alice.restart();
    assert_eq!(alice.peer_id(), was);
    let history = alice.ask("msg.history", json!({ "with": "#lobby" }));
    assert!(history.to_string().contains("mine"), "{history}");
}

/// Nobody waits for a key that is no file: it is named at once, with the setting that named it.
#[test]
fn a_key_that_is_no_file() {
    let world = World::new();
    let (folder, pipe) = (world.path("alice"), world.path("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(&folder).unwrap();
    let key = folder.join("identity.key");
    for (place, what) in
        [(pipe.as_path(), "a named pipe"), (Path::new("/dev/zero"), "a device"), (&folder, "a directory")]
    {
        std::os::unix::fs::symlink(place, &key).unwrap();
        try_in(&world, &folder).refused(1, &[what, key.to_str().unwrap()]);
        fs::remove_file(&key).unwrap();
    }
    let missing = world.path("nowhere");
    for (place, why) in [(&pipe, "a named pipe"), (&missing, "not there")] {
        let set = format!("identity.key_file=\"{}\"", place.display());
        let arguments =
            ["--config", TCP_X25519.name, "--frontend", "jsonrpc", "--nick", "alice", "--set", &set];
        let ended = world.chat(&[&arguments[..], &["--data-dir", folder.to_str().unwrap()]].concat());
        ended.refused(1, &["identity.key_file", why, place.to_str().unwrap()]);
        assert_eq!(listing(&folder), [""; 0].map(PathBuf::from), "the start was refused");
        let fresh = world.path("fresh/alice");
        let arguments = [&arguments[..], &["--data-dir", fresh.to_str().unwrap()]].concat();
        world.chat(&arguments).refused(1, &["identity.key_file", why]);
        assert!(!world.path("fresh").exists(), "the start was refused");
    }
    assert_eq!(world.node(TCP_X25519, "alice", &world.any_port()).start().leave(), Exit::Code(0));
    for name in ["relay.db", "client.db"] {
        let file = folder.join(name);
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&pipe, &file).unwrap();
        try_in(&world, &folder).refused(1, &[name, "a named pipe"]);
        fs::remove_file(&file).unwrap();
    }
}

/// A data directory that can't be one is a mistake with a name and what to do.
#[test]
fn no_folder_to_be_had() {
    let world = World::new();
    let file = world.write("file", "just a file");
    for folder in [file.clone(), file.join("below"), Path::new("/proc/nowhere/alice").to_owned()] {
        try_in(&world, &folder).refused(1, &[folder.to_str().unwrap(), "--data-dir"]);
    }
    assert_eq!(fs::read(&file).unwrap(), b"just a file");
    let mut homeless = world.command(&["--config", TCP_X25519.name, "--frontend", "jsonrpc"]);
    homeless.env_remove("HOME").env_remove("XDG_DATA_HOME");
    world.run(homeless, "").refused(1, &["no home directory", "--data-dir"]);
}

/// P4: nothing in a data directory can be read by anybody else, also if the directory was there before and is
/// open to all: each file and folder in it is its owner's alone, whatever is around it.
#[test]
fn nobody_else_can_read_it() {
    let world = World::new();
    for (nick, before) in [("alice", None), ("bob", Some(0o755))] {
        let folder = world.path(nick);
        if let Some(mode) = before {
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        }
        let node = world.node(TCP_X25519, nick, &world.any_port()).start();
        node.wait_event("link.up", &[]);
        node.send("#lobby", "for nobody else's eyes");
        let found = listing(&folder);
        assert!(found.len() >= 4, "{found:?}");
        if before.is_none() {
            assert_eq!(mode(&folder), 0o700);
        }
        // A file that has gone since it was listed has no mode.
        let open = |path: &&PathBuf| {
            let found = fs::symlink_metadata(folder.join(path));
            found.is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        };
        let open: Vec<_> = found.iter().filter(open).collect();
        assert!(open.is_empty(), "others can read {open:?} of {nick}");
        assert_eq!(node.leave(), Exit::Code(0));
    }
}
