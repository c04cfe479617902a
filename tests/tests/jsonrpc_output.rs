//! What the `jsonrpc` frontend writes: protocol only, as its schema says, and never at the cost of the program.

use chat_tests::profiles::TCP_X25519;
use chat_tests::{Exit, World};
use serde_json::{Value, json};

/// Standard output carries protocol only, whatever is logged; each notification has the parameters that
/// `system.schema` says, no more and no fewer.
#[test]
fn output_is_as_the_schema_says() {
    let world = World::new();
    let trace = |nick: &str, relay: &str| world.node(TCP_X25519, nick, relay).set("log.level=trace").start();
    let alice = trace("alice", &world.any_port());
    let bob = trace("bob", &alice.address());
    alice.meet(&["bob"]);
    for to in ["bob", "#lobby"] {
        alice.wait_state(&alice.send(to, "hello"), "delivered");
    }
    bob.ask("msg.mark_read", json!({ "with": "alice" }));
    bob.wait_event("conversation.read", &[]);
    assert_eq!(bob.leave(), Exit::Code(0));
    alice.wait_event("peer.lost", &[]);
    let schema = alice.ask("system.schema", Value::Null);
    let mut seen = std::collections::BTreeSet::new();
    for event in alice.events().iter().chain(&bob.events()) {
        let shape = &schema["notifications"][&event.method];
        let (known, params) = (shape["properties"].as_object(), event.params.as_object().unwrap());
        let known = known.unwrap_or_else(|| panic!("{} is not in the schema", event.method));
        for name in params.keys() {
            assert!(known.contains_key(name), "`{name}` of {} is not in the schema", event.method);
        }
        for name in shape["required"].as_array().unwrap() {
            assert!(params.contains_key(name.as_str().unwrap()), "{} has no {name}", event.method);
        }
        seen.insert(event.method.clone());
    }
    assert!(seen.len() >= 7, "{seen:?}");
    assert_eq!(alice.end_input(), Exit::Code(0));
    // Every line was protocol, or reading them would have failed; and there is nothing behind the last line feed.
    for node in [&alice, &bob] {
        assert!(node.process().look(|said| said.rest.is_empty()));
        assert_eq!(node.process().stderr(), "");
    }
}

/// A reader that stops reading never holds up the program: others go on, everything is in history, and the reader
/// is told what it missed.
#[test]
fn a_reader_that_does_not_read_gets_lag() {
    // More than the program keeps for a reader (4096), the pipe, and what is on its way there.
    const MESSAGES: usize = 6500;
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let bob = world.node(TCP_X25519, "bob", &alice.address()).start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    bob.process().pause(true);
    let ids = alice.send_all("bob", (0..MESSAGES).map(|n| format!("message {n}")));
    alice.wait_states(&ids, &["delivered"]);
    bob.process().pause(false);
    let lag = bob.wait_event("lag", &[]);
    let dropped = lag.params["dropped"].as_u64().unwrap();
    bob.wait_text(&format!("message {}", MESSAGES - 1));
    let texts = bob.texts();
    assert!(dropped > 0 && dropped < MESSAGES as u64, "{dropped}");
    assert_eq!(texts.len() as u64 + dropped, MESSAGES as u64, "what was not told was counted");
    let history = bob.history("alice");
    let newest: Vec<_> = history.iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!(newest, (MESSAGES - 1000..MESSAGES).map(|n| format!("message {n}")).collect::<Vec<_>>());
}
