//! What a scanner sees of a relay's TLS, which looks for what has been wrong with TLS over the years.

use std::process::Command;

use chat_tests::means::Means;
use chat_tests::openssl::certificate;
use chat_tests::profiles::TLS_RSA;
use chat_tests::{Exit, Relay, World};

/// The elements of this name, each with its attributes as they stand there.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("<{name} ");
    let lines = xml.lines().map(str::trim);
    lines.filter_map(|line| line.strip_prefix(&start)?.strip_suffix("/>").map(str::trim)).collect()
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let start = format!("{name}=\"");
    let from = element.split_once(&start).map(|(_, rest)| rest).unwrap_or_default();
    from.split('"').next().unwrap_or_default()
}

/// P8: nothing older than TLS 1.3 is spoken, with the three ciphers that every TLS 1.3 has and the groups of rustls, whichever
/// certificate is shown; what was wrong with older versions is not there.
#[test]
fn a_scanner_finds_tls_1_3_and_nothing_else() {
    if !(Means::Sslscan.are_there() && Means::Openssl.are_there()) {
        return;
    }
    for own in [true, false] {
        let world = World::new();
        let mut sets = Vec::new();
        if !own {
            let files = certificate(&world, "rsa", &["-newkey", "rsa:2048"], "chat.example");
            let options = ["certificate", "key"].into_iter().zip(&files);
            sets.extend(options.map(|(option, path)| format!("transport.{option}={}", path.display())));
        }
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let relay = Relay::start_with(&world, TLS_RSA, &sets);
        let mut command = Command::new("sslscan");
        command.args(["--xml=-", "--no-colour", relay.address()]).current_dir(world.folder());
        let found = world.run(command, "");
        assert_eq!(found.exit, Exit::Code(0), "{}", found.stderr);
        let xml = &found.stdout;

        let versions = elements(xml, "protocol");
        let enabled = versions.iter().filter(|version| attribute(version, "enabled") == "1");
        let enabled: Vec<_> = enabled.map(|version| attribute(version, "version")).collect();
        assert!(versions.len() >= 6, "{xml}");
        assert_eq!(enabled, ["1.3"], "{xml}");
        let mut ciphers: Vec<_> =
            elements(xml, "cipher").into_iter().map(|cipher| attribute(cipher, "cipher")).collect();
        ciphers.sort_unstable();
        assert_eq!(
            ciphers,
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
            "{xml}"
        );
        let groups: Vec<_> = elements(xml, "group").into_iter().map(|group| attribute(group, "id")).collect();
        assert_eq!(groups, ["0x0017", "0x0018", "0x001d"], "P-256, P-384, X25519: {xml}");
        for (element, bad) in
            [("renegotiation", "supported"), ("compression", "supported"), ("heartbleed", "vulnerable")]
        {
            assert!(elements(xml, element).iter().all(|found| attribute(found, bad) == "0"), "{xml}");
        }
        assert_eq!(relay.leave(), Exit::Code(0));
    }
}
