//! The contract of the `jsonrpc` frontend, from a stranger's side: a program that knows nothing but the pipe.

use std::net::TcpListener;

use chat_tests::profiles::TCP_X25519;
use chat_tests::{Event, Exit, Node, World};
use serde_json::{Value, json};

/// alice and bob, who have met; alice hosts.
fn pair(world: &World) -> (Node, Node) {
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let bob = world.node(TCP_X25519, "bob", &alice.address()).start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    (alice, bob)
}

/// Where nobody is.
fn nobody(world: &World) -> String {
    let listener = TcpListener::bind((world.ip(), 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn hello_says_who_is_there() {
    let world = World::new();
    let (alice, _bob) = pair(&world);
    let hello = alice.ask("system.hello", json!({}));
    assert_eq!(hello["peer_id"], alice.peer_id().as_str());
    assert_eq!(
        (&hello["nick"], &hello["resync"], &hello["protocol"]),
        (&json!("alice"), &json!(false), &json!(1))
    );
    let stack = [("transport", "tcp"), ("key_exchange", "x25519"), ("cipher", "chacha20-poly1305")];
    for (part, name) in stack.into_iter().chain([("frontend", "jsonrpc")]) {
        assert_eq!(hello["stack"][part], name);
    }
    assert_eq!(alice.ask("stack.get", Value::Null)["stack"], hello["stack"]);
}

/// Notifications are numbered without holes, and after `system.hello {since}` those that were missed come again.
#[test]
fn resumed_where_it_was() {
    let world = World::new();
    let (alice, bob) = pair(&world);
    let id = alice.send("bob", "hello");
    alice.wait_state(&id, "delivered");
    let told: Vec<Event> = alice.events();
    let (epoch, _) = told[0].number();
    let numbers: Vec<_> = told.iter().map(|event| event.number()).collect();
    assert_eq!(numbers, (1..=told.len() as u64).map(|n| (epoch, n)).collect::<Vec<_>>());

    let since = 3;
    let hello = alice.ask("system.hello", json!({ "since": format!("{epoch}:{since}") }));
    assert_eq!(hello["resync"], false);
    let again = alice.wait("what it missed", |events| {
        let again = &events[told.len()..];
        (again.len() >= told.len() - since).then(|| again.to_vec())
    });
    assert_eq!(again[..told.len() - since], told[since..]);
    // And goes on behind it.
    bob.send("alice", "and on");
    let new = alice.wait_text("and on");
    assert!(new.number().1 > told.len() as u64);

    for unknown in ["00000000:1", &format!("{epoch}:99999")] {
        assert_eq!(alice.ask("system.hello", json!({ "since": unknown }))["resync"], true, "{unknown}");
    }
    let refused = alice.call("system.hello", json!({ "since": "yesterday" })).unwrap_err();
    assert_eq!(refused.kind, "bad_params");
}

/// A client that does not know whether its message was taken asks again under the same `client_id`, also after
/// both it and the program were killed: there is one message.
#[test]
fn asking_twice_sends_once() {
    let world = World::new();
    let (mut bob, mut alice) = pair(&world);
    let (bob_name, alice_name) = ("alice", "bob");
    let send = |node: &Node, text: &str| {
        let answer = node.ask("msg.send", json!({ "to": bob_name, "text": text, "client_id": "order 66" }));
        answer["id"].as_str().unwrap().to_owned()
    };
    let first = send(&alice, "once");
    assert_eq!(send(&alice, "once"), first);
    alice.kill9();
    alice.restart();
    assert_eq!(send(&alice, "once, whatever else is said"), first);
    // Not seen by the end of this run is not the same as unknown.
    alice.wait_state(&alice.send(bob_name, "the end"), "delivered");
    bob.wait_text("the end");
    assert_eq!(bob.texts(), ["once", "the end"]);
    assert_eq!(bob.history(alice_name).len(), 2);
    bob.kill9();
    bob.restart_at(&world.any_port());
    assert_eq!(bob.history(alice_name).len(), 2);
}

/// What can stand in a line, the code and the kind of the answer.
const BAD_LINES: &[(&str, i64, &str)] = &[
    ("garbage", -32700, "parse"),
    ("", -32700, "parse"),
    ("{", -32700, "parse"),
    ("\u{1b}[2J", -32700, "parse"),
    ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"peer.list\"", -32700, "parse"),
    ("{}", -32600, "invalid_request"),
    ("null", -32600, "invalid_request"),
    ("5", -32600, "invalid_request"),
    ("\"text\"", -32600, "invalid_request"),
    ("[]", -32600, "invalid_request"),
    ("{\"jsonrpc\":\"1.0\",\"id\":null,\"method\":\"peer.list\"}", -32600, "invalid_request"),
    ("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"peer.list\"}", -32600, "invalid_request"),
    ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":5}", -32600, "invalid_request"),
    ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"peer.list\",\"params\":5}", -32600, "invalid_request"),
    ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"nobody.knows\"}", -32601, "unknown_command"),
    (
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"msg.send\",\"params\":[\"bob\",\"x\"]}",
        -32602,
        "bad_params",
    ),
    ("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"msg.send\",\"params\":{\"to\":5}}", -32602, "bad_params"),
    (
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"msg.send\",\"params\":{\"to\":\"bob\"}}",
        -32602,
        "bad_params",
    ),
];

/// A31: every bad line is answered with an error of a stable kind, and none ends the program.
#[test]
fn a_bad_line_is_answered() {
    let world = World::new();
    let (alice, bob) = pair(&world);
    assert!(BAD_LINES.len() > 15);
    for (line, code, kind) in BAD_LINES {
        alice.line(line);
        let answer = alice.take_answer(|answer| answer["id"].is_null());
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
            (&json!(code), &json!(kind)),
            "{line}"
        );
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
    }
    alice.process().write(b"\xff\xfe not UTF-8\n");
    assert_eq!(alice.take_answer(|answer| answer["id"].is_null())["error"]["data"]["kind"], "parse");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    alice.line(&deep);
    let answer = alice.take_answer(|answer| answer.is_array() || answer["id"].is_null());
    assert_eq!(answer[0]["error"]["data"]["kind"], "invalid_request", "{answer}");
    // Over 8 MiB: skipped, said, and the next line counts again.
    alice.line(&format!("{{\"pad\":\"{}\"}}", "x".repeat(8 << 20)));
    let answer = alice.take_answer(|answer| answer["id"].is_null());
    assert_eq!(answer["error"]["data"]["kind"], "line_too_long");

    let unknown = alice.call("msg.sned", json!({})).unwrap_err();
    assert_eq!(unknown.kind, "unknown_command");
    assert!(unknown.message.contains("did you mean `msg.send`?"), "{unknown:?}");
    alice.send("bob", "still here");
    bob.wait_text("still here");
}

/// Ids come back as they were; a notification gets no answer; a batch gets one.
#[test]
fn answers_are_told_apart_as_json_rpc_has_it() {
    let world = World::new();
    let (alice, _bob) = pair(&world);
    for id in ["\"a text\"", "-7", "0", "1e3", "\"\"", "null"] {
        alice.line(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"peer.list\",\"unknown\":[1]}}"));
        let id: Value = serde_json::from_str(id).unwrap();
        let answer = alice.take_answer(|answer| answer.get("id") == Some(&id));
        assert_eq!(answer["result"]["peers"][0]["nick"], "bob", "{answer}");
    }
    alice.line("{\"jsonrpc\":\"2.0\",\"method\":\"peer.list\"}");
    alice.line("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"room.list\"},{\"jsonrpc\":\"2.0\",\"method\":\"room.list\"},5]");
    // The next thing that is said is the batch's answer, so the notification had none.
    let batch = alice.take_answer(|_| true);
    let answers = batch.as_array().expect("a batch");
    // In any order, says JSON-RPC.
    let of = |id: Value| answers.iter().find(|answer| answer["id"] == id).expect("an answer");
    assert_eq!(answers.len(), 2, "{batch}");
    assert_eq!(of(json!(1))["result"]["rooms"][0]["name"], "#lobby");
    assert_eq!(of(Value::Null)["error"]["data"]["kind"], "invalid_request");
}

/// E19: a second key for a known nick is another person, `bob·1234`, and says so; `bob` alone is ambiguous then.
#[test]
fn two_of_one_nick_are_kept_apart() {
    let world = World::new();
    let (alice, bob) = pair(&world);
    let other = world.node(TCP_X25519, "bob", &alice.address()).folder(Some(world.path("other"))).start();
    let changed = alice.wait_event("peer.key_changed", &[("claims", "bob")]);
    assert_eq!(changed.expect("known"), bob.peer_id());
    assert_eq!(changed.expect("peer_id"), other.peer_id());
    let name = changed.expect("nick").to_owned();
    let digits = name.strip_prefix("bob·").unwrap();
    assert!(digits.len() >= 4 && other.peer_id().starts_with(digits), "{name}");
    alice.wait_event("peer.seen", &[("nick", &name)]);

    let refused = alice.call("msg.send", json!({ "to": "bob", "text": "which one?" })).unwrap_err();
    assert_eq!(refused.kind, "ambiguous");
    assert!(refused.message.contains(&name), "{refused:?}");
    alice.send(&name, "to the second");
    alice.send(&bob.peer_id(), "to the first");
    assert_eq!(other.wait_text("to the second").author().1, "alice");
    bob.wait_text("to the first");
    assert_eq!((bob.texts(), other.texts()), (vec!["to the first".into()], vec!["to the second".into()]));
    other.send("alice", "it's me, bob");
    assert_eq!(alice.wait_text("it's me, bob").author(), (other.peer_id().as_str(), name.as_str()));
}

/// The end of input sends what is queued and leaves with 0; what no relay has taken is exit 4, is kept, and
/// is sent next time.
#[test]
fn the_end_of_input_is_the_end() {
    let world = World::new();
    let (mut alice, bob) = pair(&world);
    bob.request("msg.send", json!({ "to": "alice", "text": "a last word" }));
    assert_eq!(bob.end_input(), Exit::Code(0), "{}", bob.process().stderr());
    alice.wait_text("a last word");
    let address = alice.address();
    assert_eq!(alice.end_input(), Exit::Code(0), "{}", alice.process().stderr());

    let mut bob = world.node(TCP_X25519, "bob", &nobody(&world)).guest().start();
    let id = bob.send("alice", "nobody is there");
    assert_eq!(bob.end_input(), Exit::Code(4));
    assert_eq!(bob.states(&id), ["queued"]);
    let said = bob.process().stderr();
    assert!(said.contains("1 message") && said.contains("kept"), "{said}");
    alice.restart_at(&address);
    bob.restart_at(&address);
    alice.wait_text("nobody is there");
    bob.wait_state(&id, "delivered");
}

/// Who is the relay and leaves takes along what others have not got: exit 4 says so, and starting again brings it. What
/// somebody who is there can have is waited for.
#[test]
fn what_only_ones_own_relay_has_is_not_done() {
    let world = World::new();
    let (mut alice, mut bob) = pair(&world);
    let address = alice.address();
    alice.request("msg.send", json!({ "to": "bob", "text": "a last word" }));
    assert_eq!(alice.end_input(), Exit::Code(0), "{}", alice.process().stderr());
    bob.wait_text("a last word");
    bob.wait("another host", |events| chat_tests::Node::hosts(events)?.then_some(()));

    alice.restart_at(&address);
    alice.meet(&["bob"]);
    bob.kill9();
    alice.wait("to be the host", |events| chat_tests::Node::hosts(events)?.then_some(()));
    let id = alice.send("bob", "for later");
    assert_eq!(alice.end_input(), Exit::Code(4), "{}", alice.process().stderr());
    assert_eq!(alice.states(&id), ["queued", "sent", "stored"]);
    let said = alice.process().stderr();
    assert!(said.contains("1 message is only with the relay this program hosted; start it again"), "{said}");
    alice.restart_at(&address);
    bob.restart_at(&address);
    bob.wait_text("for later");
    alice.wait_history("bob", &[id], &["delivered"]);
}

/// `system.shutdown` is answered, then it is over.
#[test]
fn shut_down_from_the_pipe() {
    let world = World::new();
    let (alice, bob) = pair(&world);
    assert_eq!(alice.ask("system.shutdown", Value::Null), json!({}));
    assert_eq!(alice.process().wait_exit(), Exit::Code(0));
    bob.ask("command.run", json!({ "line": "/exit" }));
    assert_eq!(bob.process().wait_exit(), Exit::Code(0));
}

/// The line that people type, for programs.
#[test]
fn a_line_as_it_would_be_typed() {
    let world = World::new();
    let (alice, bob) = pair(&world);
    let run = |line: &str| alice.call("command.run", json!({ "line": line }));
    let help = run("/help").unwrap();
    let help = help["lines"].as_array().unwrap();
    for word in ["/msg", "/help", "/exit", "/join", "/history"] {
        assert!(help.iter().any(|line| line.as_str().unwrap().starts_with(word)), "no {word} in {help:?}");
    }
    run("/msg bob hello  there").unwrap();
    assert_eq!(bob.wait_text("hello  there").expect("conversation"), alice.peer_id());
    run("just text").unwrap();
    assert_eq!(bob.wait_text("just text").expect("conversation"), "#lobby");
    run("//not a command").unwrap();
    bob.wait_text("/not a command");
    alice.ask("command.run", json!({ "line": "to him alone", "conversation": "bob" }));
    assert_eq!(bob.wait_text("to him alone").expect("conversation"), alice.peer_id());
    run("/join #cats").unwrap();
    alice.wait_event("room.changed", &[("room", "#cats")]);
    for (line, kind, piece) in [
        ("/mgs bob hi", "unknown_command", "did you mean /msg?"),
        ("/msg bob", "bad_params", "usage: /msg"),
        ("/join cats", "bad_params", "#"),
        ("/msg nobody hi", "not_found", "nobody"),
    ] {
        let refused = run(line).unwrap_err();
        assert!(refused.kind == kind && refused.message.contains(piece), "{line}: {refused:?}");
    }
    assert_eq!(run("").unwrap(), json!({}));
}
