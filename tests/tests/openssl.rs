//! What `openssl` makes and says of TLS, and what the program makes of that: certificates and keys in files, and a client
//! that is nobody's.

use std::path::PathBuf;
use std::process::Command;

use chat_tests::means::Means;
use chat_tests::profiles::TLS_RSA;
use chat_tests::world::Finished;
use chat_tests::{Exit, Relay, World};

/// Runs it; what it says, whatever it makes of it.
fn openssl(world: &World, arguments: &[&str], input: &str) -> Finished {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(world.folder());
    world.run(command, input)
}

/// A certificate by itself for a name, with a key of a kind, as the profile tells one to make it.
fn certificate(world: &World, name: &str, key: &[&str], host: &str) -> [PathBuf; 2] {
    let paths = ["pem", "key"].map(|end| world.path(format!("{name}.{end}")));
    let [pem, key_file] = paths.each_ref().map(|path| path.to_str().expect("a path in UTF-8"));
    let (subject, names) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
    let made = ["-keyout", key_file, "-out", pem, "-days", "2", "-subj", &subject, "-addext", &names];
    let ended = openssl(world, &[&["req", "-x509", "-nodes"], key, &made].concat(), "");
    // It says on standard error how it gets on.
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    paths
}

/// A relay shows a certificate that openssl made, whatever kind of key it is of; who trusts the file and expects the name
/// comes in, and who expects anything else is told what is wrong and ends with 3.
#[test]
fn a_certificate_made_by_openssl_serves() {
    if !Means::Openssl.are_there() {
        return;
    }
    for (name, key) in [
        ("rsa", &["-newkey", "rsa:3072"][..]),
        ("p256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("ed25519", &["-newkey", "ed25519"]),
    ] {
        let world = World::new();
        let [pem, key] = certificate(&world, name, key, "chat.example");
        let [shown, with] = [("certificate", &pem), ("key", &key)]
            .map(|(option, path)| format!("transport.{option}={}", path.display()));
        let relay = Relay::start_with(&world, TLS_RSA, &[&shown, &with]);
        let ca = format!("transport.ca={}", pem.display());
        let node = |nick: &str| world.node(TLS_RSA, nick, relay.address()).guest().set(&ca);
        let alice = node("alice").set("transport.server_name=chat.example").start();
        let bob = node("bob").set("transport.server_name=chat.example").start();
        alice.meet(&["bob"]);
        bob.wait_text(&{
            alice.wait_state(&alice.send("bob", name), "delivered");
            name.to_owned()
        });
        let carol = node("carol").set("transport.server_name=other.example").launch();
        assert_eq!(carol.process().wait_exit(), Exit::Code(3), "{}", carol.process().stderr());
        let said = carol.process().stderr();
        assert!(said.contains("for another name"), "{said}");
    }
}

/// A key that is too short is refused where it would be used.
#[test]
fn a_short_key_is_refused() {
    if !Means::Openssl.are_there() {
        return;
    }
    let world = World::new();
    let [pem, key] = certificate(&world, "short", &["-newkey", "rsa:1024"], "chat.example");
    let sets = [("certificate", &pem), ("key", &key)]
        .map(|(option, path)| format!("transport.{option}={}", path.display()));
    let listen = format!("tls://{}", world.any_port());
    let folder = world.path("relay");
    let arguments =
        ["relay", "--config", TLS_RSA.name, "--listen", &listen, "--set", &sets[0], "--set", &sets[1]];
    let refused =
        world.chat(&[&arguments[..], &["--data-dir", folder.to_str().expect("a path in UTF-8")]].concat());
    assert_ne!(refused.exit, Exit::Code(0));
    assert!(refused.stderr.contains("RSA from 2048 bits"), "{}", refused.stderr);
}

/// P8: a client that is openssl's gets the protocol and the version that there are, or none; and nobody in without a
/// certificate of an identity.
#[test]
fn a_client_of_openssl_is_understood_and_refused_by_name() {
    if !Means::Openssl.are_there() {
        return;
    }
    let world = World::new();
    let relay = Relay::start_with(&world, TLS_RSA, &["log.level=debug"]);
    let client = |arguments: &[&str], input: &str| {
        let all = [&["s_client", "-connect", relay.address(), "-ign_eof"], arguments].concat();
        openssl(&world, &all, input)
    };
    let logged = |words: &str| {
        let seen =
            relay.process().wait(|said| String::from_utf8_lossy(&said.stderr).contains(words).then_some(()));
        assert!(seen.is_some(), "no {words} in {}", relay.process().stderr());
    };
    let said = client(&["-alpn", "h2"], "");
    assert!(said.stderr.contains("no application protocol"), "{}", said.stderr);
    logged("no chat in it");
    let said = client(&["-tls1_2"], "");
    assert!(said.stderr.contains("protocol version"), "{}", said.stderr);
    logged("older than 1.3");
    let said = client(&["-alpn", "chat/1"], "");
    assert!(
        said.stdout.contains("ALPN protocol: chat/1") && said.stdout.contains("TLSv1.3"),
        "{}",
        said.stdout
    );
    assert!(said.stderr.contains("certificate required"), "{}", said.stderr);
    logged("no certificate");

    let [pem, key] = certificate(&world, "rsa", &["-newkey", "rsa:2048"], "nobody.example");
    let with = |pem: &PathBuf, key: &PathBuf| {
        let [pem, key] = [pem, key].map(|path| path.to_str().expect("a path in UTF-8"));
        client(&["-alpn", "chat/1", "-cert", pem, "-key", key], "this is no record of the relay's\n")
    };
    let said = with(&pem, &key);
    assert!(said.stderr.contains("alert"), "{}", said.stderr);
    // An Ed25519 key is an identity, whoever made it: its owner is let in as far as anybody, and says nothing that is known.
    let [pem, key] = certificate(&world, "ed25519", &["-newkey", "ed25519"], "somebody.example");
    let said = with(&pem, &key);
    assert!(!said.stderr.contains("alert"), "{}", said.stderr);
    let log = relay.process().stderr();
    assert!(!log.contains(" connected peer"), "{log}");
    assert_eq!(relay.leave(), Exit::Code(0));
}
