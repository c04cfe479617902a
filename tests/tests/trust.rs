//! Trust, between programs: what is compared and marked, keys that change, pins, downgrades, and the switches beside.

use std::process::Command;

use chat_tests::profiles::{RELAY_RATCHET, TCP_X25519};
use chat_tests::{Exit, Node, Profile, World, binary, on_main_profiles};
use serde_json::{Value, json};

on_main_profiles!(both_compare_and_verify, typing_comes_and_goes);

fn pair(world: &World, profile: Profile) -> (Node, Node) {
    let alice = world.node(profile, "alice", &world.any_port()).start();
    let bob = world.node(profile, "bob", &alice.address()).guest().start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    (alice, bob)
}

/// What a peer is shown as.
#[track_caller]
fn peer(node: &Node, id: &str) -> Value {
    let peers = node.ask("peer.list", Value::Null);
    let found = peers["peers"].as_array().unwrap().iter().find(|peer| peer["peer_id"] == id).cloned();
    found.unwrap_or_else(|| panic!("{id} is not among {peers}"))
}

/// Waits until a message of a node's own is queued for a reason that has this in it.
#[track_caller]
fn waits_for(node: &Node, id: &str, reason: &str) {
    node.wait(&format!("{id} to wait for {reason}"), |events| {
        let of_it = events.iter().filter(|event| event.is("msg.status", &[("id", id), ("state", "queued")]));
        of_it.filter_map(|event| event.text("reason")).any(|why| why.contains(reason)).then_some(())
    });
    assert_eq!(node.states(id).iter().filter(|state| *state != "queued").count(), 0);
}

/// C07, C22: unverified until both have compared sixty digits that are the same at both ends; the mark is durable and
/// shows in every list, event and message.
fn both_compare_and_verify(profile: Profile) {
    let world = World::new();
    let (alice, mut bob) = pair(&world, profile);
    let (a, b) = (alice.peer_id(), bob.peer_id());
    assert_eq!(peer(&alice, &b)["verified"], false);
    bob.send("alice", "who is there?");
    assert_eq!(alice.wait_text("who is there?").params["from"]["verified"], false);
    let theirs = bob.ask("peer.verify", json!({ "peer": "alice" }));
    let number = theirs["safety_number"].as_str().unwrap().to_owned();
    assert!(number.len() == 60 && number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
    let ours = alice.ask("peer.verify", json!({ "peer": b }));
    assert_eq!((&ours["safety_number"], &ours["qr"]), (&theirs["safety_number"], &theirs["qr"]));
    assert_eq!((&ours["verified"], &ours["peer_id"]), (&json!(false), &json!(b)));
    let mut ids = [a.clone(), b.clone()];
    ids.sort();
    assert_eq!(ours["qr"], format!("01{}", ids.concat()));

    let wrong = number.replace('0', "1").replace('7', "0");
    let refused = alice.call("peer.verify", json!({ "peer": "bob", "confirm": wrong })).unwrap_err();
    assert_eq!(refused.kind, "mismatch");
    assert_eq!(peer(&alice, &b)["verified"], false);
    assert_eq!(alice.ask("peer.verify", json!({ "peer": "bob", "confirm": number }))["verified"], true);
    bob.ask("command.run", json!({ "line": "/verify alice yes" }));
    for (node, id) in [(&alice, &b), (&bob, &a)] {
        let shown = peer(node, id);
        assert_eq!((&shown["verified"], &shown["trust"]), (&json!(true), &json!("verified")));
    }
    bob.send("alice", "it is me");
    assert_eq!(alice.wait_text("it is me").params["from"]["verified"], true);
    assert_eq!(bob.leave(), Exit::Code(0));
    bob.restart();
    let seen = bob.wait_event("peer.seen", &[("nick", "alice")]);
    assert_eq!(seen.params["verified"], true, "it is durable");
    assert_eq!(bob.ask("peer.verify", json!({ "peer": "alice", "confirm": false }))["verified"], false);
    assert_eq!(peer(&bob, &a)["verified"], false);
}

/// CRYPTO: a contact who comes back with a new identity is never merged silently. bob's folder is deleted: what is for the
/// old bob waits, and continues or fails as the user says.
fn bob_loses_his_folder(world: &World) -> (Node, Node, String, String, String) {
    let (alice, mut bob) = pair(world, TCP_X25519);
    let old = bob.peer_id();
    let id = alice.send("bob", "before");
    alice.wait_state(&id, "delivered");
    alice.ask("peer.verify", json!({ "peer": "bob", "confirm": true }));
    assert_eq!(bob.leave(), Exit::Code(0));
    alice.wait_event("peer.lost", &[("peer_id", &old)]);
    std::fs::rename(bob.folder(), world.path("lost")).unwrap();
    bob.restart();
    let new = bob.peer_id();
    assert_ne!(old, new);
    let changed = alice.wait_event("peer.key_changed", &[("known", &old), ("peer_id", &new)]);
    assert_eq!((changed.expect("claims"), &changed.params["held"]), ("bob", &json!(true)));
    let name = changed.expect("nick").to_owned();
    alice.wait_event("peer.seen", &[("peer_id", &new)]);
    assert_eq!(peer(&alice, &new)["verified"], false);
    assert_eq!(peer(&alice, &old)["held"], "key_changed");
    let id = alice.send(&old, "for the one I know");
    waits_for(&alice, &id, &format!("/accept {name}"));
    (alice, bob, old, name, id)
}

#[test]
fn the_name_moves_to_a_new_key_by_the_user_alone() {
    let world = World::new();
    let (alice, bob, old, name, id) = bob_loses_his_folder(&world);
    assert_eq!(alice.call("msg.send", json!({ "to": "bob", "text": "x" })).unwrap_err().kind, "ambiguous");
    alice.ask("peer.accept_key", json!({ "peer": name }));
    let failed = alice.wait_state(&id, "failed");
    assert!(failed.expect("reason").contains("another key now"), "{failed:?}");
    let (new, old) = (peer(&alice, &bob.peer_id()), peer(&alice, &old));
    assert_eq!((&new["nick"], &new["verified"], &new["held"]), (&json!("bob"), &json!(false), &Value::Null));
    assert!(old["nick"].as_str().unwrap().starts_with("bob·") && old["verified"] == false, "{old}");
    let id = alice.send(&bob.peer_id(), "hello again");
    alice.wait_state(&id, "delivered");
    assert_eq!(bob.wait_texts(1), ["hello again"]);
}

#[test]
fn the_one_who_had_the_name_keeps_it_and_gets_what_waited() {
    let world = World::new();
    let (alice, newcomer, old, _, id) = bob_loses_his_folder(&world);
    alice.ask("command.run", json!({ "line": "/accept bob" }));
    alice.wait_state(&id, "stored");
    let shown = peer(&alice, &old);
    assert_eq!(
        (&shown["nick"], &shown["verified"], &shown["held"]),
        (&json!("bob"), &json!(true), &Value::Null)
    );
    let bob =
        world.node(TCP_X25519, "bob", &alice.address()).guest().folder(Some(world.path("lost"))).start();
    bob.wait_text("for the one I know");
    alice.wait_state(&id, "delivered");
    assert_eq!(newcomer.texts(), Vec::<String>::new());
}

/// A nick that the profile pins has one key: whoever claims it with another is kept apart and refused, with an alarm.
#[test]
fn a_pinned_nick_has_one_key() {
    let world = World::new();
    let (alice, bob) = pair(&world, TCP_X25519);
    let (address, b) = (alice.address(), bob.peer_id());
    assert_eq!(alice.leave(), Exit::Code(0));
    let pin = format!("pin=[{{ nick = \"bob\", fingerprint = \"{b}\" }}]");
    let alice = world.node(TCP_X25519, "alice", &address).set(&pin).start();
    let seen = alice.wait_event("peer.seen", &[("peer_id", &b)]);
    assert_eq!(seen.params["verified"], true);
    assert_eq!(peer(&alice, &b)["pinned"], true);
    let id = alice.send("bob", "hello");
    alice.wait_state(&id, "delivered");

    let folder = Some(world.path("mallory"));
    let mallory = world.node(TCP_X25519, "bob", &address).guest().folder(folder).start();
    let alarm = alice.wait_event("alarm", &[("kind", "refused"), ("peer_id", &mallory.peer_id())]);
    assert!(alarm.expect("detail").contains("pins the nick bob to another key"), "{alarm:?}");
    mallory.meet(&["alice"]);
    let id = mallory.send("alice", "it's me");
    mallory.wait_state(&id, "stored");
    let name = peer(&alice, &mallory.peer_id())["nick"].as_str().unwrap().to_owned();
    assert!(name.starts_with("bob·"), "{name}");
    let refused = alice.call("msg.send", json!({ "to": name, "text": "x" })).unwrap_err();
    assert_eq!(refused.kind, "not_allowed");
    let id = alice.send(&b, "the true one");
    alice.wait_state(&id, "delivered");
    assert_eq!(bob.wait_texts(2).len(), 2);
    assert_eq!((mallory.texts().len(), alice.texts().len()), (0, 0));
}

/// Both change from the ratchet to static keys: forward secrecy and healing were had and are missing, so nothing is sent
/// or taken until each user agrees.
#[test]
fn a_downgrade_is_refused_until_the_user_agrees() {
    let world = World::new();
    let (alice, bob) = pair(&world, RELAY_RATCHET);
    let address = alice.address();
    let id = alice.send("bob", "before");
    alice.wait_state(&id, "delivered");
    assert_eq!((bob.leave(), alice.leave()), (Exit::Code(0), Exit::Code(0)));
    let worse = |nick: &str| {
        let node = world.node(RELAY_RATCHET, nick, &address).set("key_exchange.kind=x25519");
        node.set("policy.require=[\"end-to-end\"]")
    };
    let alice = worse("alice").start();
    let bob = worse("bob").guest().start();
    alice.wait("the alarm about a downgrade", |events| {
        let alarms = events.iter().filter(|event| event.is("alarm", &[("kind", "downgrade")]));
        let mut details = alarms.filter_map(|alarm| alarm.text("detail"));
        details.any(|detail| detail.contains("forward secrecy, healing was had with bob")).then_some(())
    });
    // The relay has his old keys until he has shown the new ones.
    while !peer(&alice, &bob.peer_id())["problem"].as_str().unwrap_or_default().contains("/accept") {}
    let id = alice.send("bob", "after");
    waits_for(&alice, &id, "/accept bob downgrade");
    bob.wait_event("alarm", &[("kind", "downgrade")]);
    assert_eq!(peer(&alice, &bob.peer_id())["held"], "downgrade");
    assert_eq!(bob.texts(), Vec::<String>::new());
    bob.ask("peer.accept_key", json!({ "peer": "alice", "kind": "downgrade" }));
    alice.ask("peer.accept_key", json!({ "peer": "bob", "kind": "downgrade" }));
    alice.wait_state(&id, "delivered");
    assert_eq!(bob.wait_texts(1), ["after"]);
    let refused = alice.call("peer.accept_key", json!({ "peer": "bob" })).unwrap_err();
    assert_eq!(refused.kind, "not_allowed");
}

/// `policy.require = ["verified-peers"]`: nothing is sealed for whom was not verified, and the refusal says what to do.
#[test]
fn a_policy_of_verified_peers() {
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port());
    let alice = alice.set("policy.require=[\"verified-peers\"]").start();
    let bob = world.node(TCP_X25519, "bob", &alice.address()).guest().start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let refused = alice.call("msg.send", json!({ "to": "bob", "text": "secret" })).unwrap_err();
    assert!(refused.kind == "unverified" && refused.message.contains("/verify bob"), "{refused:?}");
    let theirs = bob.send("alice", "hello?");
    assert_eq!(alice.wait_text("hello?").params["from"]["verified"], false);
    let id = alice.send("#lobby", "to nobody yet");
    alice.wait_state(&id, "stored");
    bob.wait_state(&theirs, "stored");
    assert!(!bob.states(&theirs).contains(&"delivered".to_owned()));
    alice.ask("peer.verify", json!({ "peer": "bob", "confirm": true }));
    bob.wait_state(&theirs, "delivered");
    let id = alice.send("bob", "secret");
    alice.wait_state(&id, "delivered");
    assert_eq!(bob.wait_texts(1), ["secret"]);
}

#[test]
fn who_is_blocked_is_not_heard_until_unblocked() {
    let world = World::new();
    let (alice, bob) = pair(&world, TCP_X25519);
    let id = bob.send("alice", "one");
    bob.wait_state(&id, "delivered");
    alice.ask("peer.block", json!({ "peer": "bob" }));
    let two = bob.send("alice", "two");
    bob.wait_state(&two, "stored");
    assert_eq!(alice.call("msg.send", json!({ "to": "bob", "text": "x" })).unwrap_err().kind, "not_allowed");
    alice.ask("command.run", json!({ "line": "/unblock bob" }));
    bob.wait_state(&two, "delivered");
    assert_eq!(alice.wait_texts(2), ["one", "two"]);
}

/// B12: told at once, over by itself, and nothing of it in any mailbox or if it is switched off.
fn typing_comes_and_goes(profile: Profile) {
    let world = World::new();
    let alice = world.node(profile, "alice", &world.any_port()).start();
    let bob = world.node(profile, "bob", &alice.address()).guest().set("privacy.typing=false");
    let bob = bob.set("privacy.read_receipts=false").start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    for (one, other, to) in [(&alice, &bob, "bob"), (&bob, &alice, "alice")] {
        let id = one.send(to, "hello");
        one.wait_state(&id, "delivered");
        other.ask("msg.mark_read", json!({ "with": one.peer_id() }));
    }
    let typing = |event: &chat_tests::Event, typing: bool| {
        event.method == "typing" && event.params["typing"] == typing
    };
    alice.ask("typing.set", json!({ "to": "bob", "typing": true }));
    let told = bob.wait("typing", |events| events.iter().find(|event| typing(event, true)).cloned());
    assert_eq!((told.author().1, told.expect("conversation")), ("alice", alice.peer_id().as_str()));
    bob.wait("its end", |events| events.iter().any(|event| typing(event, false)).then_some(()));
    bob.ask("typing.set", json!({ "to": "alice", "typing": true }));
    let id = bob.send("alice", "a message all the same");
    bob.wait_state(&id, "delivered");
    assert!(!alice.events().iter().any(|event| event.method == "typing"), "bob has switched it off");
    bob.wait_event("msg.status", &[("state", "read")]);
    let read = |node: &Node| node.events().iter().any(|event| event.is("msg.status", &[("state", "read")]));
    assert!(!read(&alice), "bob has switched these off as well");
}

/// C33: the fingerprint as a picture and as half blocks.
#[test]
fn the_fingerprint_is_a_qr_code() {
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let run = |args: &[&str]| {
        let folder = alice.folder().to_str().unwrap().to_owned();
        let output = Command::new(binary::chat()).args(args).args(["--data-dir", &folder]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(&["identity", "qr"]);
    let rows: Vec<&str> = shown.lines().collect();
    assert_eq!(rows.last(), Some(&alice.peer_id().as_str()));
    assert!(
        rows.len() > 15 && rows[..rows.len() - 1].iter().all(|row| row.chars().all(|c| "█▀▄ ".contains(c)))
    );
    let file = world.path("q.png");
    assert_eq!(run(&["identity", "qr", "--png", file.to_str().unwrap()]).trim_end(), alice.peer_id());
    assert!(std::fs::read(&file).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
}

/// `check` and `explain` know of policy, pins and padding.
#[test]
fn check_and_explain_say_it() {
    let world = World::new();
    let profile = |more: &str| {
        let text = format!(
            "schema_version = 1\n[topology]\nrelay = \"127.0.0.1:1\"\n[transport]\nkind = \"tcp\"\n\
             [key_exchange]\nkind = \"x25519\"\n[cipher]\nkind = \"aes-256-gcm\"\n[frontend]\nkind = \"jsonrpc\"\n{more}"
        );
        let path = world.path("p.toml");
        std::fs::write(&path, text).unwrap();
        path
    };
    let run = |verb: &str, path: &std::path::Path| {
        Command::new(binary::chat()).arg(verb).arg(path).output().unwrap()
    };
    let pin = format!("[[pin]]\nnick = \"bob\"\nfingerprint = \"{}\"\n", "ab".repeat(32));
    let path = profile(&format!("[policy]\nrequire = [\"verified-peers\", \"padding\"]\n{pin}"));
    assert!(run("check", &path).status.success());
    let said = String::from_utf8(run("explain", &path).stdout).unwrap();
    for piece in ["verified-peers", "Nothing is sealed for a peer that is not verified", "bob is abab"] {
        assert!(said.contains(piece), "no {piece} in {said}");
    }
    let path = profile("[policy]\nrequire = [\"padding\"]\n[padding]\nkind = \"none\"\n");
    let refused = run("check", &path);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("kind = \"buckets\""));
}
