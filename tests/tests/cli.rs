//! The command line: exit codes, messages, and the commands that only tell something.

use std::collections::BTreeSet;

use chat_tests::profiles::{self, TCP_X25519};
use chat_tests::{Exit, World, on_every_profile};
use serde_json::Value;

on_every_profile!(identity_before_and_after, explained_as_it_is);

#[test]
fn help_is_no_mistake_and_nothing_is() {
    let world = World::new();
    for arguments in [&["--help"][..], &["help"], &["help", "relay"], &["relay", "--help"], &["--version"]] {
        assert!(world.chat(arguments).succeeded().len() > 8, "{arguments:?}");
    }
    let mut alone = std::process::Command::new(chat_tests::binary::chat_relay());
    alone.arg("--help");
    let help = world.run(alone, "");
    assert!(help.succeeded().starts_with("Runs a blind relay on a profile"), "{}", help.stdout);
    let help = world.chat(&["--help"]);
    for word in ["--config", "relay", "check", "explain", "config", "plugins", "schema", "identity", "impair"]
    {
        assert!(help.stdout.contains(word), "{word}");
    }
    let nothing = world.chat(&[]);
    nothing.refused(2, &["Usage: chat", "--config"]);
    assert_eq!(nothing.stdout, "");
}

#[test]
fn wrong_usage_says_what_is_right() {
    let world = World::new();
    let name = TCP_X25519.name;
    let cases: &[(&[&str], &[&str])] = &[
        (&["--bogus"], &["--bogus", "--help"]),
        (&["chekc"], &["chekc", "check"]),
        (&["--nick", "alice"], &["--config udp-rsa.toml"]),
        (&["relay"], &["--config <PROFILE>"]),
        (&["check"], &["<PROFILE>"]),
        (&["--config", "nobody.toml"], &["no profile `nobody.toml`", "tcp-x25519", "udp-rsa"]),
        (&["--config", "tpc-x25519.toml"], &["did you mean `tcp-x25519`?"]),
        (&["check", "udp-rs.toml"], &["did you mean `udp-rsa`?"]),
        (
            &["--config", name, "--frontend", "guy"],
            &["there is no frontend `guy`", "jsonrpc, tui", "--frontend"],
        ),
        (&["check", "."], &["`.` is a folder"]),
        (&["--config", name, "--frontend", "egui"], &["`egui` is known, but not built into this program"]),
        (&["--config", name, "--nick", "a b"], &["may not contain ' '", "--nick a b", "^^^"]),
        (&["--config", name, "--nick", "\u{1b}]0;mine\u{7}\u{1b}[2J"], &["may not contain", "--nick"]),
        (&["--config", name, "--nick", "\u{202e}ecila"], &["may not contain"]),
        (&["--config", name, "--nick", "#lobby"], &["may not contain '#'"]),
        (&["--config", name, "--nick", ""], &["must not be empty"]),
        (&["--config", name, "--set", "topology.rely=1:1"], &["unknown key `rely`", "did you mean `relay`?"]),
        (&["--config", name, "--set", "topology"], &["topology"]),
        (&["--config", name, "--set", "topology.relay=\u{1b}[31m"], &["error"]),
        (&["identity", "show", "--nick", "a/b"], &["may not contain '/'"]),
    ];
    for (arguments, pieces) in cases {
        let refused = world.chat(arguments);
        refused.refused(2, pieces);
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
    let started = chat_tests::files::listing(&world.path("home"));
    assert!(started.is_empty(), "nothing was started: {started:?}");
}

/// The golden list: a plugin that is only named in a `Cargo.toml` is silently not there.
#[test]
fn plugins_that_are_built_in() {
    const PLUGINS: [(&str, &str); 14] = [
        ("transport", "memory"),
        ("transport", "quic"),
        ("transport", "tcp"),
        ("transport", "tls"),
        ("transport", "udp-arq"),
        ("key-exchange", "rsa-hybrid"),
        ("key-exchange", "x25519"),
        ("key-exchange", "x25519-ratchet"),
        ("cipher", "aes-128-cbc-hmac-sha256"),
        ("cipher", "aes-256-gcm"),
        ("cipher", "chacha20-poly1305"),
        ("cipher", "xchacha20-poly1305"),
        ("frontend", "jsonrpc"),
        ("frontend", "tui"),
    ];
    let world = World::new();
    let list: Value = serde_json::from_str(world.chat(&["plugins", "--json"]).succeeded()).unwrap();
    let list = list.as_array().unwrap();
    let names: Vec<_> =
        list.iter().map(|it| (it["kind"].as_str().unwrap(), it["name"].as_str().unwrap())).collect();
    assert_eq!(names, PLUGINS);
    let text = world.chat(&["plugins"]);
    let lines: Vec<&str> = text.succeeded().lines().collect();
    assert_eq!(lines.len(), PLUGINS.len());
    for ((line, (kind, name)), plugin) in lines.iter().zip(PLUGINS).zip(list) {
        assert!(line.starts_with(&kind.replace('-', " ")) && line.contains(&format!(" {name} ")), "{line}");
        assert!(line.contains(plugin["summary"].as_str().unwrap()), "{line}");
        assert!(plugin["example"].as_str().unwrap().contains(&format!("kind = \"{name}\"")), "{plugin}");
        assert_eq!(plugin["options"]["additionalProperties"], false, "{name} takes unknown options");
    }
}

/// A profile that is built in and not in the list of these tests would be one that nobody tries.
#[test]
fn every_built_in_profile_is_tested() {
    let world = World::new();
    let refused = world.chat(&["check", "of nobody"]);
    let accepted = refused.stderr.lines().find_map(|line| line.trim().strip_prefix("= accepted: ")).unwrap();
    let built_in: BTreeSet<String> = accepted.split(", ").map(|name| format!("{name}.toml")).collect();
    assert_eq!(built_in, profiles::ALL.iter().map(|profile| profile.name.to_owned()).collect());
    assert!(!built_in.is_empty());
}

#[test]
fn the_schema_is_one() {
    let world = World::new();
    let schema: Value = serde_json::from_str(world.chat(&["schema"]).succeeded()).unwrap();
    for table in
        ["identity", "topology", "transport", "key_exchange", "cipher", "frontend", "policy", "relay", "log"]
    {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
}

/// C06, C07: the fingerprint on the command line is the one that others see, and asking for it makes none.
fn identity_before_and_after(profile: chat_tests::Profile) {
    let world = World::new();
    let folder = world.path("alice");
    let show = ["identity", "show", "--data-dir", folder.to_str().unwrap()];
    world.chat(&show).refused(1, &["no identity", "alice", "first start"]);
    assert!(!folder.exists(), "asking makes nothing");
    let alice = world.node(profile, "alice", &world.any_port()).start();
    let bob = world.node(profile, "bob", &alice.address()).start();
    let fingerprint = world.chat(&show).succeeded().trim().to_owned();
    assert_eq!(fingerprint, alice.peer_id());
    assert_eq!(bob.wait_event("peer.seen", &[("nick", "alice")]).expect("peer_id"), fingerprint);
    assert_eq!(alice.leave(), Exit::Code(0));
    assert_eq!(world.chat(&show).succeeded().trim(), fingerprint);
}

/// P6: what `explain` says a stack gives may be required of it, and what it says it does not give may not.
fn explained_as_it_is(profile: chat_tests::Profile) {
    let world = World::new();
    let explained = world.chat(&["explain", profile.name]);
    let (gives, lacks) = explained.succeeded().split_once("It does not give:").unwrap();
    let words = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(lacks.contains("\nOf ") && lacks.contains("know this:\n- "), "its key exchange has caveats");
    let (gives, lacks) = (words(gives), words(lacks));
    assert!(
        gives.contains(&"end-to-end".to_owned()) && gives.len() + lacks.len() == 9,
        "{gives:?} {lacks:?}"
    );
    for (word, given) in gives.iter().map(|word| (word, true)).chain(lacks.iter().map(|word| (word, false))) {
        let checked = world.chat(&["check", profile.name, "--set", &format!("policy.require=[\"{word}\"]")]);
        match given {
            true => assert!(checked.succeeded().contains("ok"), "{word}"),
            // To require these is to have them, but for the open room that the profile names.
            false if word == "verified-peers" => assert!(checked.succeeded().contains("ok"), "{word}"),
            false if word == "closed-rooms" => checked.refused(2, &["this room is open"]),
            false => checked.refused(2, &[&format!("requires `{word}`")]),
        }
    }
}

/// A profile from standard input: the program reads all of it, then standard input has ended, and it leaves.
#[test]
fn a_profile_from_standard_input() {
    let world = World::new();
    let profile = world.chat(&["config", "show", TCP_X25519.name]).succeeded().to_owned();
    let relay = format!("topology.relay={}", world.any_port());
    let arguments = ["--config", "-", "--frontend", "jsonrpc", "--nick", "alice", "--set", &relay];
    let ended = world.run(world.command(&arguments), &profile);
    let ready: Value = serde_json::from_str(ended.succeeded().lines().next().unwrap()).unwrap();
    assert_eq!((&ready["method"], &ready["params"]["nick"]), (&"ready".into(), &"alice".into()));
    let refused = world.run(world.command(&["--config", "-"]), "schema_version = 1\nnick = \"x\"\n");
    refused.refused(2, &["standard input:2:1", "unknown key `nick`", "[identity]"]);
    let checked = world.run(world.command(&["check", "-"]), &profile);
    assert_eq!(checked.succeeded(), "-: ok\n");
}

/// What acts on a terminal is data in a text: it arrives as it is, and is written as JSON escapes.
#[test]
fn escapes_in_a_text_are_data() {
    let world = World::new();
    let alice = world.node(TCP_X25519, "alice", &world.any_port()).start();
    let bob = world.node(TCP_X25519, "bob", &alice.address()).start();
    alice.meet(&["bob"]);
    let text = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n\0\u{7f}";
    alice.send("bob", text);
    bob.wait_text(text);
    alice.call("msg.send", serde_json::json!({ "to": text, "text": "x" })).unwrap_err();
    alice.call(text, Value::Null).unwrap_err();
    for node in [&alice, &bob] {
        let written = node.process().stdout();
        let acts = written.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(acts, None);
    }
}
