//! What `openssl` makes and says of TLS, and what the program makes of that: certificates and keys in files, and a client
//! that is nobody's.

use chat_tests::means::Means;
use chat_tests::openssl::{certificate, openssl};
use chat_tests::profiles::TLS_RSA;
use chat_tests::{Exit, Relay, World};

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
    let client = |arguments: &[&str], input: &[u8]| {
        let all = [&["s_client", "-connect", relay.address(), "-ign_eof"], arguments].concat();
        openssl(&world, &all, input)
    };
    let logged = |words: &str| {
        let seen =
            relay.process().wait(|said| String::from_utf8_lossy(&said.stderr).contains(words).then_some(()));
        assert!(seen.is_some(), "no {words} in {}", relay.process().stderr());
    };
    let said = client(&["-alpn", "h2"], &[]);
    assert!(said.stderr.contains("no application protocol"), "{}", said.stderr);
    logged("no chat in it");
    let said = client(&["-tls1_2"], &[]);
    assert!(said.stderr.contains("protocol version"), "{}", said.stderr);
    logged("older than 1.3");
    let said = client(&["-alpn", "chat/1"], &[]);
    assert!(
        said.stdout.contains("ALPN protocol: chat/1") && said.stdout.contains("TLSv1.3"),
        "{}",
        said.stdout
    );
    assert!(said.stderr.contains("certificate required"), "{}", said.stderr);
    logged("no certificate");

    let [pem, key] = certificate(&world, "rsa", &["-newkey", "rsa:2048"], "nobody.example");
    let shown = ["-alpn", "chat/1", "-cert", &pem.to_string_lossy(), "-key", &key.to_string_lossy()];
    let said = client(&shown, b"this is no record of the relay's\n");
    assert!(said.stderr.contains("alert"), "{}", said.stderr);
    assert!(!relay.process().stderr().contains(" connected peer"), "{}", relay.process().stderr());

    // An Ed25519 key is an identity, whoever made it: its owner is let in as far as anybody.
    let [pem, key] = certificate(&world, "ed25519", &["-newkey", "ed25519"], "somebody.example");
    let identity = ["-cert", &pem.to_string_lossy(), "-key", &key.to_string_lossy()];
    // But with nothing agreed on that could be spoken: told so by the end, which is one of good order.
    let said = client(&identity, &[]);
    assert!(said.stdout.contains("No ALPN negotiated"), "{}", said.stdout);
    assert!(!said.stderr.contains("unexpected eof"), "{}", said.stderr);
    assert!(!relay.process().stderr().contains(" connected peer"), "{}", relay.process().stderr());
    // `Hello` as chat-core/WIRE.md has it, behind its length; and once more, which ends the link.
    let hello = [0, 0, 0, 4, 0x82, 0, 0x81, 1].repeat(2);
    let said = client(&[&["-quiet", "-alpn", "chat/1"][..], &identity].concat(), &hello);
    logged(" connected peer");
    // What is no UTF-8 has been replaced.
    let (welcome, refused) = ("\u{fffd}\0\u{fffd}\u{1}", "is the first record, and no other");
    assert!(said.stdout.contains(welcome) && said.stdout.contains(refused), "{:?}", said.stdout);
    assert_eq!(relay.leave(), Exit::Code(0));
}

/// Whoever knows no newer TLS than 1.2 gets none, with any cipher.
#[test]
fn older_versions_are_refused_whatever_the_cipher() {
    if !Means::Openssl.are_there() {
        return;
    }
    let world = World::new();
    let relay = Relay::start(&world, TLS_RSA);
    for version in ["-tls1", "-tls1_1", "-tls1_2"] {
        // Without the level, openssl itself refuses what is oldest.
        let arguments = ["s_client", "-connect", relay.address(), version, "-cipher", "ALL:@SECLEVEL=0"];
        let said = openssl(&world, &arguments, &[]);
        assert!(said.stderr.contains(" alert "), "{version}: {}", said.stderr);
        assert!(said.stdout.contains("Cipher is (NONE)"), "{version}: {}", said.stdout);
    }
}
