//! The relay is blind: what people write, and their keys, exist inside their own programs only.

use std::path::Path;

use chat_tests::files::{contents, find, listing, spellings};
use chat_tests::{Exit, Profile, Recorder, Relay, World, memory, on_every_profile};
use serde_json::json;

on_every_profile!(a_canary_is_seen_nowhere_between);

/// A secret that must be found nowhere.
struct Secret {
    what: &'static str,
    bytes: Vec<u8>,
}

/// Fails if one of the secrets is in `bytes`, however it is written.
fn assert_blind(place: &str, bytes: &[u8], secrets: &[Secret]) {
    for Secret { what, bytes: secret } in secrets {
        for (how, spelling) in spellings(secret) {
            assert!(find(bytes, &spelling).is_none(), "{what} is in {place}, {how}");
        }
    }
}

fn assert_blind_folder(folder: &Path, secrets: &[Secret]) {
    for (path, bytes) in contents(folder) {
        assert_blind(&path.display().to_string(), &bytes, secrets);
    }
}

/// A38, B16, C16, C32, D05, P4: a text written directly and in a room, to somebody who is there and
/// somebody who is away, and both identity keys are not on the wire, not in the relay's memory, files and log, and
/// not in temporary files. The same search finds the text where it belongs, and other things in those places.
fn a_canary_is_seen_nowhere_between(profile: Profile) {
    let world = World::new();
    let mut relay = Relay::start_with(&world, profile, &["log.level=trace"]);
    let wire = Recorder::start(&world, profile.network, relay.address());
    let node = |nick| world.node(profile, nick, wire.address()).guest().start();
    let (alice, mut bob) = (node("alice"), node("bob"));
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let canary = format!("the canary {:08x} sings at night", std::process::id().wrapping_mul(0x9E37_79B9));
    let mut secrets = vec![Secret { what: "the text", bytes: canary.clone().into_bytes() }];
    for (what, node) in [("alice's key", &alice), ("bob's key", &bob)] {
        let bytes = std::fs::read(node.folder().join("identity.key")).unwrap();
        assert_eq!(bytes.len(), 32);
        secrets.push(Secret { what, bytes });
    }

    for to in ["bob", "#lobby"] {
        alice.wait_state(&alice.send(to, &canary), "delivered");
    }
    assert_eq!(bob.leave(), Exit::Code(0));
    let waiting = alice.send_all("bob", (0..20).map(|n| format!("{n}: {canary}")));
    alice.wait_states(&waiting, &["stored"]);
    // Now it lies at the relay, in memory or on the disk.
    scan_relay(&relay, &alice.peer_id(), &secrets);
    bob.restart();
    alice.wait_states(&waiting, &["delivered"]);
    scan_relay(&relay, &alice.peer_id(), &secrets);

    let (up, down) = (wire.to_relay().concat().concat(), wire.from_relay().concat().concat());
    assert!(up.len() > 20 * canary.len() && down.len() > 20 * canary.len(), "the wire was recorded");
    assert_blind("what went to the relay", &up, &secrets);
    assert_blind("what came from the relay", &down, &secrets);
    let temporary = listing(&world.temporary());
    assert!(temporary.is_empty(), "temporary files: {temporary:?}");

    relay.kill9();
    assert_blind_folder(relay.folder(), &secrets);
    assert_blind("the relay's log", relay.process().stderr().as_bytes(), &secrets);
    relay.restart();
    assert_blind_folder(relay.folder(), &secrets);

    // The search is able to find: the text lies in bob's history, open as `chat explain` says, or in his memory.
    let stored = contents(bob.folder()).iter().any(|(_, bytes)| find(bytes, canary.as_bytes()).is_some());
    let in_memory = memory::scan(bob.process().pid(), &[canary.as_bytes()]).is_ok_and(|found| found[0]);
    assert!(stored || in_memory, "bob has the text nowhere");
    let history = bob.ask("msg.history", json!({ "with": "alice" }));
    assert_eq!(history["messages"].as_array().unwrap().len(), 21);
}

/// Memory, files and log of the running relay, which `connected` is connected to.
fn scan_relay(relay: &Relay, connected: &str, secrets: &[Secret]) {
    assert_blind_folder(relay.folder(), secrets);
    let log = relay.process().stderr();
    assert!(log.contains("connected"), "it logs");
    assert_blind("the relay's log", log.as_bytes(), secrets);
    // What a relay can't do without: if this is not found, the scan has not seen its memory.
    let mut needles = vec![("whom it routes to", "as it is", unhex(connected))];
    for secret in secrets {
        needles
            .extend(spellings(&secret.bytes).into_iter().map(|(how, spelling)| (secret.what, how, spelling)));
    }
    let bytes: Vec<&[u8]> = needles.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
    match memory::scan(relay.process().pid(), &bytes) {
        Ok(found) => {
            assert!(found[0], "the scan does not see the relay's memory");
            for ((what, how, _), found) in needles.iter().zip(found).skip(1) {
                assert!(!found, "{what} is in the relay's memory, {how}");
            }
        }
        Err(why) => eprintln!("NOT DONE: the relay's memory can't be read here: {why}"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("hex") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
