//! `post_quantum = true`: what is claimed, what is required, and who is refused.

use chat_tests::profiles::{POST_QUANTUM, RELAY_RATCHET};
use chat_tests::{Exit, World};
use serde_json::json;

/// Both ends need it: one who has it says nothing to one who has not, and names the option.
#[test]
fn one_without_it_is_refused_by_name() {
    let world = World::new();
    let alice = world.node(POST_QUANTUM, "alice", &world.any_port()).start();
    let bob = world.node(POST_QUANTUM, "bob", &alice.address());
    let bob = bob.set("key_exchange.post_quantum=false").set("policy.require=[\"end-to-end\"]").start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    for (from, to, here, there) in
        [(&alice, "bob", "post_quantum=true", ""), (&bob, "alice", "", "post_quantum=true")]
    {
        let refused = from.call("msg.send", json!({ "to": to, "text": "hello" })).unwrap_err();
        let reason = format!("key_exchange options is `{here}` here and `{there}` there");
        assert!(refused.message.contains(&reason), "{refused:?}");
    }
}

/// Nobody who requires it runs without it, and is told which switch gives it.
#[test]
fn who_requires_it_is_told_how() {
    let world = World::new();
    let shown = world.chat(&["config", "show", RELAY_RATCHET.name]);
    let required = shown.succeeded().replace("\"healing\"", "\"healing\", \"post-quantum\"");
    let lacking = world.write("lacking.toml", &required);
    let given = required.replace("\"x25519-ratchet\"", "\"x25519-ratchet\"\npost_quantum = true");
    let given = world.write("given.toml", given);
    world.chat(&["check", lacking.to_str().unwrap()]).refused(
        2,
        &[
            "requires `post-quantum`",
            "kind = \"x25519\", post_quantum = true or kind = \"x25519-ratchet\", post_quantum = true",
        ],
    );
    assert_eq!(world.chat(&["check", given.to_str().unwrap()]).exit, Exit::Code(0));
    let explained = world.chat(&["explain", given.to_str().unwrap()]);
    for honest in ["ML-KEM-768", "turns of the ratchet are not post-quantum"] {
        assert!(explained.succeeded().replace('\n', " ").contains(honest), "{}", explained.stdout);
    }
    assert!(!world.chat(&["explain", RELAY_RATCHET.name]).succeeded().contains("ML-KEM-768"));
}
