//! The data directory sealed at rest: with a passphrase, and without the right one; checked, carried elsewhere, locked in
//! another way; searched and deleted in.

use std::fs;
use std::path::Path;

use chat_tests::files::contents;
use chat_tests::profiles::TCP_X25519;
use chat_tests::world::Finished;
use chat_tests::{Exit, Node, World};
use serde_json::json;

const CANARY: &str = "Wilhelmina-canary";

/// Two people, of whom `alice` has the passphrase in the file, who have said something.
fn talked(world: &World, passphrase: &Path) -> (Node, Node) {
    let bob = world.node(TCP_X25519, "bob", &world.any_port()).start();
    let set = format!("store.passphrase={{ file = '{}' }}", passphrase.display());
    let alice = world.node(TCP_X25519, "alice", &bob.address()).set(&set).guest().start();
    alice.meet(&["bob"]);
    let id = alice.send("bob", &format!("{CANARY} says hello"));
    alice.wait_state(&id, "delivered");
    let id = bob.send("alice", "naïve answer to the canary");
    bob.wait_state(&id, "delivered");
    (alice, bob)
}

fn with_passphrase(world: &World, arguments: &[&str], folder: &Path, passphrase: &Path) -> Finished {
    let set = format!("store.passphrase={{ file = '{}' }}", passphrase.display());
    let common = ["--config", TCP_X25519.name, "--set", &set, "--data-dir", folder.to_str().unwrap()];
    world.chat(&[arguments, &common].concat())
}

fn assert_holds_no_plaintext(folder: &Path, nicks: &[&str]) {
    let mut seen = 0;
    for (path, bytes) in contents(folder) {
        seen += 1;
        for clear in nicks.iter().copied().chain([CANARY, "naïve", "#lobby"]) {
            let found = bytes.windows(clear.len()).any(|window| window == clear.as_bytes());
            assert!(!found, "{clear} lies in {}", path.display());
        }
    }
    assert!(seen > 3, "{seen}");
}

/// B24: nothing of what was said lies in the directory; a wrong passphrase is refused and changes nothing.
#[test]
fn a_passphrase_seals_everything() {
    let world = World::new();
    let passphrase = world.write_private("passphrase", "correct horse\n");
    let (alice, bob) = talked(&world, &passphrase);
    let was = alice.peer_id();
    // Killed, it leaves what it left.
    alice.kill9();
    assert_eq!(bob.leave(), Exit::Code(0));
    assert_holds_no_plaintext(alice.folder(), &["bob"]);
    // Nor with the passphrase that lies elsewhere.
    let before = contents(alice.folder());
    let wrong = world.write_private("wrong", "correct horsf");
    let run = with_passphrase(&world, &["--frontend", "jsonrpc"], alice.folder(), &wrong);
    run.refused(1, &["does not open the data directory", "nothing was changed"]);
    let none = world.chat(&[
        "--config",
        TCP_X25519.name,
        "--frontend",
        "jsonrpc",
        "--data-dir",
        alice.folder().to_str().unwrap(),
    ]);
    none.refused(1, &["sealed under a passphrase", "[store]"]);
    assert_eq!(contents(alice.folder()), before, "nothing was changed");
    let verdict = with_passphrase(&world, &["db", "verify"], alice.folder(), &passphrase);
    assert!(verdict.succeeded().contains("all as they were written"), "{}", verdict.stdout);
    let shown = world.chat(&["identity", "show", "--data-dir", alice.folder().to_str().unwrap()]);
    assert_eq!(shown.succeeded().trim(), was);
}

/// What was said is found again, and what is deleted is gone, also after a restart.
#[test]
fn history_is_searched_and_deleted_in() {
    let world = World::new();
    let passphrase = world.write_private("passphrase", "correct horse\n");
    let (mut alice, bob) = talked(&world, &passphrase);
    let found = |node: &Node, query: &str| {
        let found = node.ask("msg.search", json!({ "query": query }));
        let messages = found["messages"].as_array().unwrap().clone();
        messages
            .into_iter()
            .map(|m| (m["id"].as_str().unwrap().to_owned(), m["text"].to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&alice, "canary").len(), 2);
    assert_eq!(alice.leave(), Exit::Code(0));
    alice.restart();
    assert_eq!(found(&alice, "NAIVE").len(), 1);
    let (id, _) = found(&alice, CANARY).remove(0);
    alice.ask("msg.delete", json!({ "id": id }));
    alice.wait_event("msg.deleted", &[]);
    assert_eq!(found(&alice, CANARY).len(), 0);
    alice.ask("msg.delete_all", json!({ "with": "bob" }));
    assert_eq!(alice.history("bob").len(), 0);
    assert_eq!(found(&bob, CANARY).len(), 1, "it is deleted here only");
    drop(bob);
}

/// History goes to another machine, sessions and keys don't: both sides begin anew, and go on.
#[test]
fn an_export_is_imported_elsewhere() {
    let world = World::new();
    let passphrase = world.write_private("passphrase", "correct horse\n");
    let (alice, bob) = talked(&world, &passphrase);
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    let (history, identity) = (world.path("history.export"), world.path("identity.export"));
    let (history, identity) = (history.to_str().unwrap(), identity.to_str().unwrap());
    let there = world.path("there");
    let ask = |arguments: &[&str], folder: &Path| with_passphrase(&world, arguments, folder, &passphrase);
    ask(&["db", "export", history], alice.folder()).succeeded();
    ask(&["db", "export", history], alice.folder()).refused(1, &["is there already"]);
    ask(&["identity", "export", identity], alice.folder()).succeeded();
    for file in [history, identity] {
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    }
    ask(&["identity", "import", identity], alice.folder()).refused(1, &["there is an identity"]);
    ask(&["db", "import", history], alice.folder()).refused(1, &["is there already"]);
    ask(&["db", "import", history], &there).refused(1, &["`chat identity import` first"]);
    assert!(!there.exists(), "what was made is taken back");
    assert!(ask(&["identity", "import", identity], &there).succeeded().contains(&was));
    ask(&["db", "import", history], &there).succeeded();
    let set = format!("store.passphrase={{ file = '{}' }}", passphrase.display());
    let again = world.node(TCP_X25519, "alice", &bob.address()).set(&set).guest().folder(Some(there)).start();
    assert_eq!(again.peer_id(), was);
    assert_eq!(again.history("bob").len(), 2);
    again.meet(&["bob"]);
    for (from, to, nick) in [(&again, &bob, "bob"), (&bob, &again, "alice")] {
        let id = from.send(nick, &format!("after the move, to {nick}"));
        from.wait_state(&id, "delivered");
        to.wait_text(&format!("after the move, to {nick}"));
    }
}

/// From nothing to a passphrase, to a key file, to nothing; what is said of the profile is what is so.
#[test]
fn the_lock_is_changed() {
    let world = World::new();
    let passphrase = world.write_private("passphrase", "correct horse\n");
    let mut alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let was = alice.peer_id();
    assert_eq!(alice.leave(), Exit::Code(0));
    let folder = alice.folder().to_owned();
    let folder = folder.to_str().unwrap();
    let (new, key) = (passphrase.to_str().unwrap(), world.path("key"));
    let key = key.to_str().unwrap();
    let passwd = ["db", "passwd", "--data-dir", folder];
    world.chat(&[&passwd[..], &["--new-passphrase-file", new]].concat()).succeeded();
    world.chat(&[&passwd[..], &["--none"]].concat()).refused(1, &["sealed under a passphrase"]);
    let to_key = ["db", "passwd", "--new-key-file", key];
    with_passphrase(&world, &to_key, alice.folder(), &passphrase).succeeded();
    with_passphrase(&world, &["db", "verify"], alice.folder(), &passphrase).refused(1, &["key file"]);
    let set = format!("store.key_file={key}");
    let with_key = ["--config", TCP_X25519.name, "--set", &set, "--data-dir", folder];
    world.chat(&[&["db", "verify"][..], &with_key].concat()).succeeded();
    let inside = format!("store.key_file={folder}/key");
    let inside = ["db", "verify", "--config", TCP_X25519.name, "--set", &inside, "--data-dir", folder];
    world.chat(&inside).refused(1, &["lies in the data directory"]);
    let shown = world.chat(&["identity", "show", "--data-dir", folder]);
    assert_eq!(shown.succeeded().trim(), was);
    // To nothing: the identity's key goes along, or the directory could not be used.
    let to_nothing = [&["db", "passwd", "--none"][..], &with_key].concat();
    world.chat(&to_nothing).succeeded();
    world.chat(&["db", "verify", "--data-dir", folder]).succeeded();
    alice.restart();
    assert_eq!(alice.peer_id(), was);
    assert_eq!(alice.leave(), Exit::Code(0));
    // What a profile promises.
    let require = "policy.require=[\"sealed-at-rest\"]";
    let check = ["--config", TCP_X25519.name, "--frontend", "jsonrpc", "--set", require];
    world.chat(&check).refused(2, &["requires `sealed-at-rest`", "[store]"]);
    let check = ["check", TCP_X25519.name, "--set", require, "--set", &set];
    let ok = format!("{}: ok", TCP_X25519.name);
    let never = ["--set", "topology.host=never"];
    assert_eq!(world.chat(&[&check[..], &never].concat()).succeeded().trim(), ok);
    // A relay's mailbox lies in the clear, so who wanted to be one is told that this program won't.
    let told = world.chat(&check);
    assert_eq!((told.exit, told.stdout.trim()), (Exit::Code(0), ok.as_str()));
    assert!(told.stderr.contains("will not be the relay"), "{}", told.stderr);
}
