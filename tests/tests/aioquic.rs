//! A QUIC that shares no line with ours (aioquic, for Python) dials a relay: it is understood, or refused by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::means::{Means, python};
use chat_tests::openssl::certificate;
use chat_tests::profiles::QUIC_RATCHET;
use chat_tests::{Exit, Relay, World};
use serde_json::{Value, json};

const ED25519: &[&str] = &["-newkey", "ed25519"];
/// Alerts of TLS are errors of QUIC from here on (RFC 9001 §4.8); the alerts are those of RFC 8446 §6 and RFC 7301.
const FIRST_ALERT: u64 = 0x100;
const DECRYPT_ERROR: u64 = FIRST_ALERT + 51;
const CERTIFICATE_REQUIRED: u64 = FIRST_ALERT + 116;
const NO_APPLICATION_PROTOCOL: u64 = FIRST_ALERT + 120;
/// `Welcome` as `chat-core/WIRE.md` has it, as far as the relay's clock.
const WELCOME: &str = "820083011b";

/// There is one; it needs openssl for its certificates.
fn is_there() -> bool {
    Means::Aioquic.are_there() && Means::Openssl.are_there()
}

/// What became of one attempt, by the client's own account.
fn dial(world: &World, relay: &Relay, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/quic_client.py");
    let (host, port) = relay.address().rsplit_once(':').expect("host:port");
    let mut command = Command::new(python());
    command.arg(script).args([host, port]).args(arguments).current_dir(world.folder());
    let ended = world.run(command, "");
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("one line of JSON")
}

fn shown([pem, key]: &[PathBuf; 2]) -> [&str; 4] {
    let [pem, key] = [pem, key].map(|path| path.to_str().expect("a path in UTF-8"));
    ["--certificate", pem, "--key", key]
}

#[track_caller]
fn is_welcome(said: &Value) {
    let frame = said["first_frame"].as_str().unwrap_or_default();
    assert!(frame.starts_with(WELCOME), "{said}");
    // Nothing to resume by, so nothing can be said before it has been proved who says it.
    assert_eq!(
        [&said["alpn"], &said["tickets"], &said["early_data"]],
        [&json!("chat-quic/1"), &json!(0), &json!(false)]
    );
}

/// P8: who shows the certificate of an identity and knows the protocol gets in; nobody else does, and each is told why by the
/// alert that is made for it.
#[test]
fn a_client_of_another_library_gets_in_or_is_refused_by_the_right_alert() {
    if !is_there() {
        return;
    }
    let world = World::new();
    let relay = Relay::start_with(&world, QUIC_RATCHET, &["log.level=debug"]);
    let [own, other] = ["own", "other"].map(|name| certificate(&world, name, ED25519, "somebody.example"));
    let rsa = certificate(&world, "rsa", &["-newkey", "rsa:2048"], "somebody.example");
    let borrowed = [own[0].clone(), other[1].clone()];
    let chat = ["--alpn", "chat-quic/1"];
    for (with, alert, words) in [
        (vec!["--alpn", "h3"], NO_APPLICATION_PROTOCOL, "no chat in it"),
        (vec![], NO_APPLICATION_PROTOCOL, "no chat in it"),
        (chat.to_vec(), CERTIFICATE_REQUIRED, "no certificate"),
        // It has no key of a kind that is asked for, and shows none.
        ([&chat[..], &shown(&rsa)].concat(), CERTIFICATE_REQUIRED, "no certificate"),
        ([&chat[..], &shown(&borrowed)].concat(), DECRYPT_ERROR, "does not hold the key of its certificate"),
    ] {
        let said = dial(&world, &relay, &with);
        assert_eq!(said["closed"]["code"], alert, "{with:?}: {said}");
        assert_eq!(said["first_frame"], Value::Null, "{with:?}: {said}");
        let log = |text: &[u8]| String::from_utf8_lossy(text).contains(words).then_some(());
        let logged = relay.process().wait(|said| log(&said.stderr));
        assert!(logged.is_some(), "{with:?}: no {words} in {}", relay.process().stderr());
    }
    assert!(!relay.process().stderr().contains(" connected peer"), "{}", relay.process().stderr());
    is_welcome(&dial(&world, &relay, &[&chat[..], &shown(&own)].concat()));
    // One of several protocols is enough.
    is_welcome(&dial(&world, &relay, &[&["--alpn", "h3"], &chat[..], &shown(&own)].concat()));
    assert!(relay.process().stderr().contains(" connected peer"), "{}", relay.process().stderr());
    assert_eq!(relay.leave(), Exit::Code(0));
}

/// What openssl made proves its name to a client that knows nothing of identities, and no other name.
#[test]
fn a_certificate_made_by_openssl_proves_its_name_to_it() {
    if !is_there() {
        return;
    }
    let world = World::new();
    let own = certificate(&world, "own", ED25519, "somebody.example");
    let kinds = [("rsa", &["-newkey", "rsa:2048"][..]), ("ed25519", ED25519)];
    for (kind, key) in kinds {
        let files = certificate(&world, kind, key, "chat.example");
        let sets = ["certificate", "key"].into_iter().zip(&files);
        let sets: Vec<String> =
            sets.map(|(option, path)| format!("transport.{option}={}", path.display())).collect();
        let relay = Relay::start_with(&world, QUIC_RATCHET, &[&sets[0], &sets[1], "log.level=debug"]);
        let [_, pem, ..] = shown(&files);
        let dial = |name: &str| {
            let demands = ["--alpn", "chat-quic/1", "--ca", pem, "--server-name", name];
            dial(&world, &relay, &[&demands[..], &shown(&own)].concat())
        };
        is_welcome(&dial("chat.example"));
        let said = dial("other.example");
        let reason = said["closed"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("hostname 'other.example' doesn't match"), "{said}");
        let refused = |text: &[u8]| {
            String::from_utf8_lossy(text).contains("refused the certificate of this node").then_some(())
        };
        assert!(relay.process().wait(|said| refused(&said.stderr)).is_some(), "{}", relay.process().stderr());
        assert_eq!(relay.leave(), Exit::Code(0));
    }
}
