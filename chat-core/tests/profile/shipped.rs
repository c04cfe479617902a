//! The profiles that come with the program.

use chat_core::profile::{Host, Property};

use crate::stack::load;

/// Their names and texts.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    ("udp-rsa.toml", include_str!("../../../configs/udp-rsa.toml")),
    ("tcp-x25519.toml", include_str!("../../../configs/tcp-x25519.toml")),
    ("relay-ratchet.toml", include_str!("../../../configs/relay-ratchet.toml")),
    ("tls-rsa.toml", include_str!("../../../configs/tls-rsa.toml")),
    ("quic-ratchet.toml", include_str!("../../../configs/quic-ratchet.toml")),
    ("relay.toml", include_str!("../../../configs/relay.toml")),
    ("post-quantum.toml", include_str!("../../../configs/post-quantum.toml")),
    ("legacy-study.toml", include_str!("../../../configs/legacy-study.toml")),
    ("failover.toml", include_str!("../../../configs/failover.toml")),
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
        ["127.0.0.1:12347", "tcp", "x25519-ratchet", "xchacha20-poly1305"],
        ["127.0.0.1:12350", "tls", "rsa-hybrid", "aes-256-gcm"],
        ["127.0.0.1:12351", "quic", "x25519-ratchet", "aes-256-gcm"],
        ["127.0.0.1:12352", "tcp", "x25519-ratchet", "xchacha20-poly1305"],
        ["127.0.0.1:12348", "tcp", "x25519-ratchet", "xchacha20-poly1305"],
        ["127.0.0.1:12349", "udp-arq", "rsa-hybrid", "aes-128-cbc-hmac-sha256"],
        ["127.0.0.1:12354", "udp-arq", "x25519-ratchet", "aes-256-gcm"],
    ];
    assert_eq!(SHIPPED.len(), stacks.len());
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
        let mut requires = vec![Property::EndToEnd];
        if stack[2] == "x25519-ratchet" {
            requires.extend([Property::ForwardSecrecy, Property::Healing]);
        }
        if *name == "post-quantum.toml" {
            requires.push(Property::PostQuantum);
        }
        assert_eq!(profile.policy.require().collect::<Vec<_>>(), requires);
        assert_eq!(profile.relay.listen[0].to_string(), format!("{}://{}", stack[1], stack[0]));
        let (transports, listens) = match *name {
            "relay.toml" => (1, 4),
            "failover.toml" => (3, 3),
            _ => (1, 1),
        };
        assert_eq!((profile.transports.len(), profile.relay.listen.len()), (transports, listens), "{name}");
    }
}

#[test]
fn the_reference_names_every_key_with_its_default_and_every_shipped_profile() {
    let reference = include_str!("../../../configs/README.md");
    let schema = chat_core::profile::schema(&crate::stack::registry());
    let mut seen = 0;
    for (table, schema) in schema["properties"].as_object().unwrap() {
        let Some(keys) = schema["properties"].as_object() else { continue };
        for (key, schema) in keys {
            let row = reference.lines().find(|line| line.starts_with(&format!("| `{table}.{key}` |")));
            let row = row.unwrap_or_else(|| panic!("{table}.{key}"));
            for bound in ["default", "minimum", "maximum", "maxItems"] {
                let Some(value) = schema.get(bound) else { continue };
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                assert!(row.contains(&value), "{bound} {value} of {row}");
            }
            for word in schema["enum"].as_array().into_iter().flatten() {
                assert!(row.contains(word.as_str().unwrap()), "{word} in {row}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
    for (name, _) in SHIPPED {
        assert!(reference.contains(name), "{name}");
    }
}
