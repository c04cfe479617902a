//! The profiles that come with the program.

use chat_core::profile::{Host, Property};

use crate::stack::load;

/// Their names and texts.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    ("udp-rsa.toml", include_str!("../../../configs/udp-rsa.toml")),
    ("tcp-x25519.toml", include_str!("../../../configs/tcp-x25519.toml")),
];

#[test]
fn every_profile_in_the_folder_is_among_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    there.sort();
    let mut known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(there, known);
}

#[test]
fn they_name_the_stacks_they_are_called_after() {
    let stacks = [
        ["127.0.0.1:12345", "udp-arq", "rsa-hybrid", "aes-256-gcm"],
        ["127.0.0.1:12346", "tcp", "x25519", "chacha20-poly1305"],
    ];
    for ((name, text), stack) in SHIPPED.iter().zip(stacks) {
        let (profile, warnings) = load(*text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
        let found = [
            profile.topology.relay.place.as_str(),
            profile.transports[0].options.kind(),
            profile.key_exchange.kind(),
            profile.cipher.kind(),
        ];
        assert_eq!(found, stack, "{name}");
        assert_eq!(profile.frontend.kind(), "tui");
        assert_eq!(profile.topology.host, Host::Auto);
        assert_eq!(profile.topology.rooms[0].as_str(), "#lobby");
        assert_eq!(profile.policy.require().collect::<Vec<_>>(), [Property::EndToEnd]);
        assert_eq!(profile.relay.listen[0].to_string(), format!("{}://{}", stack[1], stack[0]));
    }
}
