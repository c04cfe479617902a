//! Logs hold ids and sizes: no text, no key, no name, at any level.

use std::path::Path;

use chat_tests::files::{contents, find};
use chat_tests::search::{KEY_BYTES, Search, TEXT_BYTES};
use chat_tests::{Exit, Node, Profile, Relay, World, on_main_profiles};
use serde_json::json;

on_main_profiles!(logs_name_nobody_and_repeat_nothing);

const TEXT: &str = "meet me under the old clock tower";
const NICKS: [&str; 2] = ["Persephone", "Bartholomew"];
const ROOM: &str = "#velvet-underground";

/// A39, C10, C19, E17: at the level `trace`, with everything that a user does and some that goes wrong, the logs of
/// both ends and of the relay hold no piece of a text, no name of a person or room, no piece of a key; but they are not empty either.
fn logs_name_nobody_and_repeat_nothing(profile: Profile) {
    let world = World::new();
    let mut relay = Relay::start_with(&world, profile, &["log.level=trace"]);
    let start = |nick| world.node(profile, nick, relay.address()).set("log.level=trace").guest().start();
    let [one, mut two] = NICKS.map(start);
    one.meet(&[NICKS[1]]);
    two.meet(&[NICKS[0]]);
    for node in [&one, &two] {
        node.ask("room.join", json!({ "room": ROOM }));
    }
    one.wait("both in the room", |events| {
        let members = |event: &chat_tests::Event| event.params["members"].as_array().map_or(0, Vec::len);
        events
            .iter()
            .any(|event| event.is("room.changed", &[("room", ROOM)]) && members(event) == 2)
            .then_some(())
    });
    for to in [NICKS[1], "#lobby", ROOM] {
        one.wait_state(&one.send(to, TEXT), "delivered");
    }
    two.ask("msg.mark_read", json!({ "with": NICKS[0] }));
    mistakes(&one);
    assert_eq!(two.leave(), Exit::Code(0));
    one.wait_state(&one.send(NICKS[1], TEXT), "stored");
    // A relay that vanishes and comes back is what errors are logged about.
    relay.kill9();
    let before = relay.process().stderr();
    one.wait_event("link.down", &[]);
    relay.restart();
    two.restart();
    two.wait_text(TEXT);
    for node in [&one, &two] {
        assert_eq!(node.leave(), Exit::Code(0));
    }
    assert_eq!(relay.leave(), Exit::Code(0));

    let of_relay = before + &relay.process().stderr();
    assert!(of_relay.contains(&two.peer_id()[..4]), "it names people by the first digits of their keys");
    let mut logs = vec![("the relay's log".to_owned(), of_relay.into_bytes())];
    for node in [&one, &two] {
        let files = contents(&node.folder().join("logs"));
        logs.extend(files.into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)));
    }
    let is_detailed = |(_, log): &(String, Vec<u8>)| find(log, b"DEBUG").is_some();
    assert!(logs.len() >= 3 && logs.iter().any(is_detailed), "no log is as detailed as it should be");
    assert_silent(&logs, &[one.folder(), two.folder(), relay.folder()]);
}

/// Fails if one of the logs holds something that none may hold: a name, or a piece of a text or of a key that lies in one
/// of the folders.
fn assert_silent(logs: &[(String, Vec<u8>)], folders: &[&Path]) {
    let mut secrets = vec![("the text", TEXT.as_bytes().to_vec(), TEXT_BYTES)];
    secrets.extend([NICKS[0], NICKS[1], ROOM].map(|name| ("a name", name.as_bytes().to_vec(), usize::MAX)));
    for folder in folders {
        secrets.push(("a key", std::fs::read(folder.join("identity.key")).unwrap(), KEY_BYTES));
    }
    let search = Search::new(secrets.iter().map(|(_, bytes, piece)| (&bytes[..], *piece)));
    for (name, log) in logs {
        if let Some((secret, how, at)) = search.look(log).first() {
            let around = String::from_utf8_lossy(&log[at.saturating_sub(200)..(at + 200).min(log.len())]);
            panic!("{} is in {name}, {how}: {around}", secrets[*secret].0);
        }
    }
}

/// What is refused is not repeated in the log either.
fn mistakes(node: &Node) {
    for (method, params) in [
        ("msg.send", json!({ "to": "nobody", "text": TEXT })),
        ("msg.send", json!({ "to": ROOM, "text": 5, "why": TEXT })),
        ("room.join", json!({ "room": TEXT })),
        ("command.run", json!({ "line": format!("/{TEXT}") })),
        (TEXT, json!({})),
    ] {
        node.call(method, params).unwrap_err();
    }
    node.line(TEXT);
    node.take_answer(|answer| answer["id"].is_null());
}
