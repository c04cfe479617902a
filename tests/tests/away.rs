//! Somebody is away: what is written meanwhile waits, whoever is killed.

use std::collections::HashSet;

use chat_tests::{Exit, Node, Profile, Relay, World, on_main_profiles};
use serde_json::Value;

on_main_profiles!(a_hundred_messages_wait, killed_while_receiving, any_text_arrives_as_it_is);

/// alice and bob, who know each other, with a relay of its own process.
fn pair(world: &World, profile: Profile) -> (Relay, Node, Node) {
    let relay = Relay::start(world, profile);
    let [alice, bob] =
        ["alice", "bob"].map(|nick| world.node(profile, nick, relay.address()).guest().start());
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    (relay, alice, bob)
}

/// The texts of a conversation in history, oldest first.
fn texts(history: &[Value]) -> Vec<&str> {
    history.iter().map(|message| message["text"].as_str().expect("a text")).collect()
}

/// A21, C26: bob is away, alice writes 100 messages, relay and alice are killed with `kill -9` and started again, bob
/// comes back: 100, once, in order, and alice sees them delivered.
fn a_hundred_messages_wait(profile: Profile) {
    let world = World::new();
    let (mut relay, mut alice, mut bob) = pair(&world, profile);
    assert_eq!(bob.leave(), Exit::Code(0));
    let written: Vec<String> = (0..100).map(|n| format!("message {n}")).collect();
    // Killed as soon as the last one is answered: answered is committed.
    let ids = alice.send_all("bob", &written);
    alice.kill9();
    relay.kill9();
    relay.restart();
    alice.restart();
    alice.wait_history("bob", &ids, &["stored"]);
    bob.restart();
    bob.wait_text("message 99");
    assert_eq!(bob.texts(), written);
    alice.wait_states(&ids, &["delivered"]);
    alice.wait_history("bob", &ids, &["delivered"]);
    assert_eq!(texts(&alice.history("bob")), written);
    assert_eq!(texts(&bob.history("alice")), written);
    // Once also after everybody has started again.
    for node in [&mut alice, &mut bob] {
        assert_eq!(node.leave(), Exit::Code(0));
        node.restart();
    }
    bob.wait_text(&{
        alice.send("bob", "the last one");
        "the last one".to_owned()
    });
    assert_eq!(bob.texts(), ["the last one"]);
    assert_eq!(bob.history("alice").len(), 101);
}

/// P1, P9, A35: bob is killed with `kill -9` in the middle of receiving, again and again. Whatever alice was told is
/// delivered is in his history; in the end everything is, once and in order.
fn killed_while_receiving(profile: Profile) {
    const ROUNDS: usize = 4;
    const BURST: usize = 60;
    let world = World::new();
    let (_relay, alice, mut bob) = pair(&world, profile);
    let written: Vec<String> = (0..ROUNDS * BURST).map(|n| format!("message {n}")).collect();
    let mut ids = Vec::new();
    for (round, burst) in written.chunks(BURST).enumerate() {
        // Another moment each round: before the first one is there, or after a few.
        let until = if round == 0 { None } else { Some(burst[round * 7].clone()) };
        ids.extend(alice.send_all("bob", burst));
        if let Some(until) = until {
            bob.wait_text(&until);
        }
        bob.kill9();
        let delivered: HashSet<String> = ids
            .iter()
            .zip(&written)
            .filter(|(id, _)| alice.states(id).iter().any(|state| state == "delivered"))
            .map(|(_, text)| text.clone())
            .collect();
        bob.restart();
        let history = bob.history("alice");
        let there: HashSet<String> = texts(&history).into_iter().map(str::to_owned).collect();
        let missing: Vec<_> = delivered.difference(&there).collect();
        assert!(missing.is_empty(), "delivered, but not in his history: {missing:?}");
    }
    alice.wait_states(&ids, &["delivered"]);
    assert_eq!(texts(&bob.history("alice")), written);
    for node in [&alice, &bob] {
        let alarms: Vec<_> = node.events().into_iter().filter(|event| event.method == "alarm").collect();
        assert_eq!(alarms, []);
    }
}

/// A34, B05, E04: texts of 1 byte to 1 MiB, with every kind of character, arrive byte for byte, also one that
/// begins like a file of another program, while the recipient is there and while not. More than 1 MiB and
/// nothing at all are refused, and change nothing.
fn any_text_arrives_as_it_is(profile: Profile) {
    let world = World::new();
    let (_relay, alice, mut bob) = pair(&world, profile);
    let half = texts_of_all_kinds();
    alice.send_all("bob", &half);
    bob.wait_text(half.last().expect("some"));
    assert_eq!(bob.leave(), Exit::Code(0));
    let ids = alice.send_all("bob", &half);
    for (text, kind) in [("x".repeat((1 << 20) + 1), "too_large"), (String::new(), "bad_params")] {
        let refused = alice.call("msg.send", serde_json::json!({ "to": "bob", "text": text })).unwrap_err();
        assert_eq!(refused.kind, kind, "{refused:?}");
    }
    bob.restart();
    alice.wait_states(&ids, &["delivered"]);
    let history = bob.history("alice");
    let (arrived, written) = (texts(&history), [half.clone(), half].concat());
    assert_eq!(arrived.len(), written.len());
    for (arrived, written) in arrived.iter().zip(&written) {
        let begin: String = written.chars().take(40).collect();
        assert!(
            arrived == written,
            "{begin:?}… of {} bytes arrived as {} bytes",
            written.len(),
            arrived.len()
        );
    }
}

fn texts_of_all_kinds() -> Vec<String> {
    let every_char_of_latin_1: String = (0..=255_u8).map(char::from).collect();
    let sizes = [1, 2, 15, 16, 17, 189, 190, 191, 255, 256, 1199, 1200, 3100, 4096, 65_535, 65_536, 1 << 20];
    let letters = |size: usize| (0..size).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let mut all: Vec<String> = sizes.into_iter().map(letters).collect();
    all.extend(
        [
            "FILE",
            "FILE0000no file at all",
            "naïve 日本 👩‍👩‍👧‍👦 \u{202e}gnirts\u{202c}",
            "\0",
            " ",
            "\n",
            "\r\n\t\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{7f}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.shutdown\"}",
            "/exit",
            "\u{feff}\u{fffd}\u{10ffff}\u{e000}",
            &every_char_of_latin_1,
        ]
        .map(str::to_owned),
    );
    all.push("é".repeat(1 << 19));
    all
}
