//! A data directory is put back from a copy that was made earlier.

use std::fs;
use std::path::Path;

use chat_tests::files::listing;
use chat_tests::{Event, Exit, Profile, Relay, World, on_main_profiles};

on_main_profiles!(a_copy_that_was_put_back_is_heard);

/// Copies the files of a folder, without sockets.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    let mut files = 0;
    for path in listing(from) {
        let source = from.join(&path);
        let kind = fs::symlink_metadata(&source).unwrap();
        if kind.is_dir() {
            fs::create_dir_all(to.join(&path)).unwrap();
        } else if kind.is_file() {
            fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
            fs::copy(&source, to.join(&path)).unwrap();
            files += 1;
        }
    }
    assert!(files >= 3, "a key, a store, a log");
}

/// P2: alice goes on from a copy of her data directory, with numbers that she has used since. What bob must refuse is
/// sealed anew: everything arrives, once and in order, and bob is told why something was refused.
fn a_copy_that_was_put_back_is_heard(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let [mut alice, bob] =
        ["alice", "bob"].map(|nick| world.node(profile, nick, relay.address()).guest().start());
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let before = alice.send_all("bob", ["before"]);
    bob.send("alice", "an answer");
    alice.wait_text("an answer");
    alice.wait_states(&before, &["delivered"]);
    assert_eq!(alice.leave(), Exit::Code(0));
    let (folder, backup) = (alice.folder().to_owned(), world.path("backup"));
    copy(&folder, &backup);

    alice.restart();
    let forgotten = alice.send_all("bob", (0..10).map(|n| format!("forgotten {n}")));
    alice.wait_states(&forgotten, &["delivered"]);
    assert_eq!(alice.leave(), Exit::Code(0));
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&backup, &folder).unwrap();

    alice.restart();
    let after: Vec<String> = (0..15).map(|n| format!("after {n}")).collect();
    let ids = alice.send_all("bob", &after);
    alice.wait_states(&ids, &["delivered"]);
    let heard = bob.wait_texts(26);
    assert_eq!(heard[11..], after);
    // A ratchet can't tell numbers that were used from forged ones; the others can.
    bob.wait("an alarm that says so", |events| {
        let says_so =
            |event: &Event| event.text("detail").is_some_and(|detail| detail.contains("older copy"));
        events.iter().any(|event| event.is("alarm", &[]) && says_so(event)).then_some(())
    });
    // And the other way.
    let back = bob.send("alice", "all is well");
    bob.wait_state(&back, "delivered");
}
