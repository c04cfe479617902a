//! What a user is told when the store can't be used, and that nothing is lost by it: a directory that is read-only or
//! somebody else's, another process, a full disk in the middle of a migration, a lock that was made cheaper to guess, a store
//! in the clear where a sealed one was.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::files::contents;
use chat_tests::means::{Means, mount_tmpfs};
use chat_tests::profiles::TCP_X25519;
use chat_tests::world::Finished;
use chat_tests::{Exit, World};
use rusqlite::Connection;
use serde_json::json;

const CANARY: &str = "Wilhelmina-canary";
/// The tables of the last program that did not seal its store.
const SCHEMA_2: &str = include_str!("../../client/src/store/tests/schema-2.sql");
/// Messages of an old store, and how long each is: two megabytes and a half.
const OLD_MESSAGES: usize = 2_000;
const OLD_TEXT: usize = 1_000;

/// Starts a user in a folder, with this lock; it must not come far.
fn try_in(world: &World, folder: &Path, lock: Option<&str>) -> Finished {
    let relay = format!("topology.relay={}", world.any_port());
    let mut arguments = vec!["--config", TCP_X25519.name, "--frontend", "jsonrpc", "--nick", "alice"];
    arguments.extend(["--set", &relay, "--data-dir", folder.to_str().unwrap()]);
    arguments.extend(lock.iter().flat_map(|lock| ["--set", lock]));
    let ended = world.chat(&arguments);
    assert_eq!(ended.stdout, "", "it was never ready");
    ended
}

fn passphrase(world: &World, name: &str, text: &str) -> String {
    format!("store.passphrase={{ file = '{}' }}", world.write_private(name, text).display())
}

/// What is in a folder, but for the logs.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = contents(folder);
    found.retain(|(path, _)| !path.components().any(|part| part.as_os_str() == "logs"));
    found.sort();
    found
}

fn is_root(world: &World) -> bool {
    fs::metadata(world.folder()).unwrap().uid() == 0
}

/// A small disk of its own, until dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(world: &World, size: &str) -> Self {
        let at = world.path("disk");
        fs::create_dir(&at).unwrap();
        mount_tmpfs(&format!("{size},mode=700"), &at).unwrap();
        Self(at)
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        let ended = mount.args(["-o", &format!("remount,{how}")]).arg(&self.0).status().unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// Takes all room but this.
    fn leave(&self, room_kib: u64) {
        self.give_back();
        let stat = rustix::fs::statvfs(&self.0).unwrap();
        let ballast = (stat.f_bavail * stat.f_frsize).saturating_sub(room_kib << 10);
        let zeros = vec![0; usize::try_from(ballast).unwrap()];
        File::create(self.ballast()).unwrap().write_all(&zeros).unwrap();
    }

    fn give_back(&self) {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a program of a test that has failed may still be on it.
        let ended = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(std::thread::panicking() || ended.unwrap().success());
    }
}

/// A data directory as the last program left it that did not seal: an identity, and a store in the clear.
fn old_installation(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let key = folder.join("identity.key");
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let old = Connection::open(folder.join("client.db")).unwrap();
    old.execute_batch(&format!("PRAGMA journal_mode = WAL; {SCHEMA_2}; PRAGMA user_version = 2")).unwrap();
    old.execute_batch("BEGIN; INSERT INTO rooms VALUES ('#old', x'02020202020202020202020202020202', 1)")
        .unwrap();
    let sql =
        "INSERT INTO messages (id, conversation, author, mine, in_room, text, sent_at, arrived, position)
               VALUES (?1, x'02020202020202020202020202020202', ?2, 0, 1, ?3, ?4, ?4, ?4)";
    let mut insert = old.prepare(sql).unwrap();
    for n in 0..OLD_MESSAGES {
        let text = format!("{CANARY} {n} {}", "x".repeat(OLD_TEXT));
        let id = u128::try_from(n).unwrap().to_be_bytes();
        insert.execute((id.as_slice(), [9_u8; 32].as_slice(), text, i64::try_from(n).unwrap() + 1)).unwrap();
    }
    drop(insert);
    old.execute_batch("COMMIT").unwrap();
}

fn texts_in_the_clear(store: &Path) -> i64 {
    let sql = "SELECT count(*) FROM messages WHERE text LIKE 'Wilhelmina%'";
    Connection::open(store).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Says what a new start finds of an old installation: all of it, and nothing in the clear.
fn assert_migrated(world: &World, folder: &Path) {
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).folder(Some(folder.to_owned())).start();
    let found = alice.ask("msg.search", json!({ "query": CANARY, "limit": 1000 }));
    assert_eq!(found["messages"].as_array().unwrap().len(), 1000);
    assert_eq!(found["has_more"], true);
    let last = alice.ask("msg.search", json!({ "query": format!("{}", OLD_MESSAGES - 1) }));
    assert_eq!(last["messages"].as_array().unwrap().len(), 1);
    assert_eq!(alice.leave(), Exit::Code(0));
    let verdict = world.chat(&["db", "verify", "--data-dir", folder.to_str().unwrap()]);
    assert!(verdict.succeeded().contains("all as they were written"), "{}", verdict.stdout);
    for (path, bytes) in contents(folder) {
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "it lies in the clear in {}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.starts_with("client.db.") && !name.ends_with(".new"), "{name} was left behind");
    }
}

/// However much room there is, an old installation is what it was, or it is migrated; and when there is room, it is
/// migrated whole.
#[test]
fn a_full_disk_in_the_middle_of_a_migration() {
    if !Means::Mount.are_there() {
        return;
    }
    let world = World::new();
    let disk = Disk::new(&world, "size=64m");
    let mut refusals = 0;
    for room_kib in [0, 4, 64, 1_000, 2_700, 4_000, 6_000, 9_000] {
        let folder = disk.0.join(format!("alice-{room_kib}"));
        old_installation(&folder);
        disk.leave(room_kib);
        let relay = format!("topology.relay={}", world.any_port());
        let mut arguments = vec!["--config", TCP_X25519.name, "--frontend", "jsonrpc", "--nick", "alice"];
        arguments.extend(["--set", &relay, "--data-dir", folder.to_str().unwrap()]);
        let ended = world.chat(&arguments);
        if ended.exit == Exit::Code(1) {
            ended.refused(1, &["room on", "start again", "nothing was lost"]);
            refusals += 1;
        } else {
            assert!(refusals > 4, "{room_kib} KiB were enough: {ended:?}");
        }
        disk.give_back();
        if !folder.join("store.key").exists() {
            assert_eq!(texts_in_the_clear(&folder.join("client.db")), i64::try_from(OLD_MESSAGES).unwrap());
        }
        assert_migrated(&world, &folder);
        fs::remove_dir_all(&folder).unwrap();
    }
    assert!(refusals >= 5, "{refusals}");
}

/// Once a directory is sealed, a store in the clear is not taken, whoever has put it there; the sealed one is good as
/// before.
#[test]
fn a_store_in_the_clear_in_place_of_a_sealed_one() {
    let world = World::new();
    let planted = world.path("planted");
    old_installation(&planted);
    for lock in [None, Some(passphrase(&world, "passphrase", "correct horse\n"))] {
        let mut alice = world.node(TCP_X25519, "alice", &world.any_port());
        if let Some(lock) = &lock {
            alice = alice.set(lock);
        }
        let mut alice = alice.start();
        alice.wait_event("link.up", &[]);
        alice.send("#lobby", "mine");
        let (was, folder) = (alice.peer_id(), alice.folder().to_owned());
        assert_eq!(alice.leave(), Exit::Code(0));
        let store = folder.join("client.db");
        let good = fs::read(&store).unwrap();
        fs::copy(planted.join("client.db"), &store).unwrap();
        let before = files(&folder);
        let says = ["lies in the clear", "was sealed", "Put the sealed one back"];
        try_in(&world, &folder, lock.as_deref()).refused(1, &says);
        let mut verify = vec!["db", "verify", "--data-dir", folder.to_str().unwrap()];
        if let Some(lock) = &lock {
            verify.extend(["--config", TCP_X25519.name, "--set", lock]);
        }
        world.chat(&verify).refused(1, &says);
        assert_eq!(files(&folder), before, "nothing was changed");
        fs::write(&store, good).unwrap();
        alice.restart();
        assert_eq!(alice.peer_id(), was);
        assert!(alice.ask("msg.history", json!({ "with": "#lobby" })).to_string().contains("mine"));
        assert_eq!(alice.leave(), Exit::Code(0));
        fs::remove_dir_all(&folder).unwrap();
    }
    // One that was never sealed is.
    assert_migrated(&world, &planted);
}

#[test]
fn a_folder_that_is_read_only() {
    let world = World::new();
    // Root writes where the mode forbids it, so for root the whole disk is closed.
    let disk = match is_root(&world) {
        true if !Means::Mount.are_there() => return,
        true => Some(Disk::new(&world, "size=64m")),
        false => None,
    };
    let folder = disk.as_ref().map_or_else(|| world.path("alice"), |disk| disk.0.join("alice"));
    let close = |closed: bool| match &disk {
        Some(disk) => disk.remount(if closed { "ro" } else { "rw" }),
        None => {
            let mode = if closed { 0o500 } else { 0o700 };
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        }
    };
    let lock = passphrase(&world, "passphrase", "correct horse\n");
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).set(&lock).folder(Some(folder.clone()));
    let mut alice = alice.start();
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    close(true);
    let before = files(&folder);
    try_in(&world, &folder, Some(&lock)).refused(1, &[folder.to_str().unwrap(), "another --data-dir"]);
    assert_eq!(files(&folder), before);
    // Nor is a new one begun where nothing can be written.
    if let Some(disk) = &disk {
        try_in(&world, &disk.0.join("new"), None).refused(1, &["another --data-dir"]);
    }
    close(false);
    alice.restart();
    assert_eq!(alice.peer_id(), was);
}

/// A folder of somebody else could hold anything, and what is put into it could be taken out.
#[test]
fn a_folder_of_somebody_else() {
    let world = World::new();
    if !is_root(&world) {
        try_in(&world, Path::new("/usr"), None)
            .refused(1, &["belongs to another user", "another --data-dir"]);
        return;
    }
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    chown(alice.folder(), Some(4321), None).unwrap();
    let before = files(alice.folder());
    for ended in [
        try_in(&world, alice.folder(), None),
        world.chat(&["db", "verify", "--data-dir", alice.folder().to_str().unwrap()]),
    ] {
        ended.refused(1, &["belongs to another user (4321", "another --data-dir", "nothing was changed"]);
    }
    assert_eq!(files(alice.folder()), before);
    chown(alice.folder(), Some(0), None).unwrap();
    alice.restart();
    assert_eq!(alice.peer_id(), was);
}

/// A sealed store belongs to one process, whatever others know of its passphrase.
#[test]
fn a_second_process_on_a_sealed_store() {
    let world = World::new();
    let lock = passphrase(&world, "passphrase", "correct horse\n");
    let wrong = passphrase(&world, "wrong", "battery staple\n");
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).set(&lock).start();
    alice.wait_event("link.up", &[]);
    let folder = alice.folder().to_str().unwrap();
    for lock in [&lock, &wrong] {
        try_in(&world, alice.folder(), Some(lock))
            .refused(1, &["in use by another chat", "another --data-dir"]);
        let common = ["--config", TCP_X25519.name, "--set", lock, "--data-dir", folder];
        let export = world.path("export");
        for command in
            [&["db", "verify"][..], &["db", "export", export.to_str().unwrap()], &["db", "passwd", "--none"]]
        {
            world.chat(&[command, &common].concat()).refused(1, &["in use by another chat"]);
        }
        assert!(!export.exists());
    }
    let id = alice.send("#lobby", "still here");
    alice.wait_state(&id, "stored");
    assert_eq!(alice.leave(), Exit::Code(0));
}

/// Whoever can write the file could make guessing cheap, or a start costly. Both are named before any key is made.
#[test]
fn a_lock_that_was_tampered_with() {
    let world = World::new();
    let lock = passphrase(&world, "passphrase", "correct horse\n");
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).set(&lock).start();
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    let key = alice.folder().join("store.key");
    let good = fs::read(&key).unwrap();
    // `magic 16 ‖ 1 ‖ memory KiB u32 ‖ passes u32 ‖ lanes u32 ‖ …`
    for (at, value, says) in [
        (17, 8_u32, "weaker than this program accepts"),
        (21, 1, "weaker than this program accepts"),
        (17, u32::MAX, "more than this program accepts"),
        (21, 1 << 20, "more than this program accepts"),
        (25, 255, "more than this program accepts"),
        // Within bounds, it is another key.
        (21, 2, "does not open the data directory"),
    ] {
        let mut altered = good.clone();
        altered[at..at + 4].copy_from_slice(&value.to_be_bytes());
        fs::write(&key, altered).unwrap();
        let before = files(alice.folder());
        try_in(&world, alice.folder(), Some(&lock)).refused(1, &[says]);
        if says.contains("accepts") {
            try_in(&world, alice.folder(), Some(&lock)).refused(1, &["put a copy of it back"]);
        }
        assert_eq!(files(alice.folder()), before, "nothing was changed");
    }
    fs::write(&key, good).unwrap();
    alice.restart();
    assert_eq!(alice.peer_id(), was);
}

/// Somebody else's identity, put in the clear into a sealed directory, is not made its own by sealing it, too.
#[test]
fn another_identity_in_the_clear_in_place_of_the_sealed_one() {
    let world = World::new();
    let lock = passphrase(&world, "passphrase", "correct horse\n");
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).set(&lock).start();
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    let key = alice.folder().join("identity.key");
    let good = fs::read(&key).unwrap();
    fs::write(&key, [7; 32]).unwrap();
    let before = files(alice.folder());
    for _ in 0..2 {
        let says =
            ["identity.key is the key of", "belongs to another", "Put the key back", "Nothing was changed"];
        try_in(&world, alice.folder(), Some(&lock)).refused(1, &says);
        assert_eq!(files(alice.folder()), before, "nothing was changed");
    }
    fs::write(&key, good).unwrap();
    alice.restart();
    assert_eq!(alice.peer_id(), was);
}

/// Whoever guesses changes nothing, and the answer tells nothing but that it is wrong. That it takes a second each time,
/// whatever asks, is counted where the waiting is done: see `chat/src/home.rs`.
#[test]
fn whoever_guesses_learns_nothing() {
    let world = World::new();
    let lock = passphrase(&world, "passphrase", "correct horse\n");
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).set(&lock).start();
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    let before = files(alice.folder());
    let mut said = Vec::new();
    for guess in ["correct hors", "correct horse and more", "x"] {
        let wrong = passphrase(&world, "wrong", guess);
        let folder = alice.folder().to_str().unwrap();
        let verify = ["db", "verify", "--config", TCP_X25519.name, "--set", &wrong, "--data-dir", folder];
        said.push(try_in(&world, alice.folder(), Some(&wrong)).stderr);
        said.push(world.chat(&verify).stderr);
    }
    assert!(said[0].contains("does not open the data directory; nothing was changed"), "{said:?}");
    assert!(said.iter().all(|other| *other == said[0]), "{said:?}");
    assert_eq!(files(alice.folder()), before);
    alice.restart();
    assert_eq!(alice.peer_id(), was);
}

/// Damage that no start looks for ends the run that finds it, and says what it is; what is left can be carried away.
#[test]
fn damage_that_is_found_while_the_program_runs() {
    let world = World::new();
    let bob = world.node(TCP_X25519, "bob", &world.any_port()).start();
    let alice = world.node(TCP_X25519, "alice", &bob.address()).guest().start();
    bob.meet(&["alice"]);
    let id = bob.send("alice", "before");
    bob.wait_state(&id, "delivered");
    let folder = alice.folder().to_owned();
    assert_eq!(alice.leave(), Exit::Code(0));
    let db = Connection::open(folder.join("client.db")).unwrap();
    assert!(db.execute("UPDATE sealed_seen_envelopes SET at = at + 1", []).unwrap() > 0);
    drop(db);
    let again = world.node(TCP_X25519, "alice", &bob.address()).guest().launch();
    assert_eq!(again.process().wait_exit(), Exit::Code(1));
    let said = again.process().stderr();
    for piece in ["damaged: seen_envelopes, row ", "`chat db verify`", "`chat db export`"] {
        assert!(said.contains(piece), "{said}");
    }
    let there = ["--data-dir", folder.to_str().unwrap()];
    world.chat(&[&["db", "verify"][..], &there].concat()).refused(1, &["seen_envelopes, row "]);
    let (export, secret) = (world.path("export"), world.write("secret", "correct horse"));
    let arguments = ["db", "export", export.to_str().unwrap(), "--passphrase-file", secret.to_str().unwrap()];
    let exported = world.chat(&[&arguments[..], &there].concat());
    assert!(exported.exit == Exit::Code(0) && exported.stderr.contains("left out"), "{exported:?}");
}

/// Without history nothing of a run stays when it is over, but what has not arrived.
#[test]
fn without_history_a_run_leaves_nothing() {
    let world = World::new();
    let bob = world.node(TCP_X25519, "bob", &world.any_port()).start();
    let alice = |history: &str| {
        let alice = world.node(TCP_X25519, "alice", &bob.address()).guest();
        alice.set(&format!("store.history={history}")).start()
    };
    let off = alice("\"off\"");
    off.meet(&["bob"]);
    let id = off.send("bob", "said");
    off.wait_state(&id, "delivered");
    let id = bob.send("alice", "answered");
    bob.wait_state(&id, "delivered");
    assert_eq!(off.history("bob").len(), 2, "it is there as long as the program runs");
    assert_eq!(off.leave(), Exit::Code(0));
    // One that keeps everything finds nothing to keep.
    let keeps = alice("\"forever\"");
    keeps.meet(&["bob"]);
    assert_eq!(keeps.history("bob").len(), 0);
    let found = keeps.ask("msg.search", json!({ "query": "said" }));
    assert_eq!(found["messages"].as_array().unwrap().len(), 0);
    let id = keeps.send("bob", "kept");
    keeps.wait_state(&id, "delivered");
    assert_eq!(bob.history("alice").len(), 3, "bob keeps what he has");
}
