//! The relay as a program of its own: `chat relay`, and `chat-relay`, which has no session code.

use std::net::TcpListener;

use chat_tests::profiles::TCP_X25519;
use chat_tests::relay::Setup;
use chat_tests::{Exit, Node, Relay, World};
use serde_json::json;

/// Each of them has a client.
const TRANSPORTS: [&str; 4] = ["tcp", "udp-arq", "tls", "quic"];
const NICKS: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn setup(world: &World, alone: bool) -> Setup {
    Setup {
        alone,
        program: None,
        profile: TCP_X25519.name.to_owned(),
        folder: world.path("relay"),
        listen: TRANSPORTS.map(|kind| format!("{kind}://{}", world.any_port())).to_vec(),
        sets: Vec::new(),
    }
}

/// C08, B15, D10: either program prints one line when it serves, keeps its key, needs no terminal, and joins
/// users of different transports, who differ in nothing else. It ends with 0 on `SIGTERM`.
#[test]
fn one_relay_for_every_transport() {
    for alone in [false, true] {
        let world = World::new();
        let mut relay = Relay::launch(&world, setup(&world, alone));
        assert_eq!(relay.ready().as_object().unwrap().keys().collect::<Vec<_>>(), ["fingerprint", "listen"]);
        let listen = relay.ready()["listen"].as_array().unwrap();
        let schemes: Vec<_> =
            listen.iter().map(|place| place.as_str().unwrap().split("://").next().unwrap()).collect();
        assert_eq!(schemes, TRANSPORTS);
        let fingerprint = relay.fingerprint().to_owned();
        assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|digit| digit.is_ascii_hexdigit()));

        let addresses: Vec<String> = relay.addresses().map(str::to_owned).collect();
        let people: Vec<Node> = (NICKS.iter().zip(TRANSPORTS).zip(&addresses))
            .map(|((nick, kind), address)| {
                let node = world.node(TCP_X25519, nick, address).guest();
                node.set(&format!("transport.kind={kind}")).start()
            })
            .collect();
        for (n, (node, scheme)) in people.iter().zip(TRANSPORTS).enumerate() {
            let others: Vec<&str> = NICKS.into_iter().filter(|nick| *nick != NICKS[n]).collect();
            node.meet(&others);
            let up = node.wait_event("link.up", &[]);
            assert_eq!(up.expect("fingerprint"), fingerprint);
            assert!(up.expect("relay").starts_with(&format!("{scheme}://")), "{up:?}");
        }
        for (n, node) in people.iter().enumerate() {
            let to = (n + 1) % people.len();
            let text = format!("{} says it over the bridge", NICKS[n]);
            node.wait_state(&node.send(NICKS[to], &text), "delivered");
            people[to].wait_text(&text);
        }
        assert_eq!(relay.leave(), Exit::Code(0));
        assert_eq!(relay.process().stdout().lines().count(), 1, "one line, for scripts");
        relay.restart();
        assert_eq!(relay.fingerprint(), fingerprint);
        assert_eq!(relay.addresses().collect::<Vec<_>>(), addresses);
        for (n, node) in people.iter().enumerate() {
            node.wait_state(&node.send(NICKS[(n + 3) % people.len()], "and back"), "delivered");
        }
    }
}

/// `chat-relay` takes a profile for everything and passes over what it has no plugins for; a mistake in what it
/// needs is a mistake to it as well.
#[test]
fn a_profile_for_everything() {
    let world = World::new();
    let profile = world.write(
        "all.toml",
        "schema_version = 1\n[topology]\nrelay = \"127.0.0.1:1\"\n[transport]\nkind = \"tcp\"\n\
         [key_exchange]\nkind = \"of somebody else\"\n[cipher]\nkind = \"aes-256-gcm\"\n\
         [frontend]\nkind = \"tui\"\n[policy]\nrequire = [\"healing\"]\n",
    );
    let profile = profile.to_str().unwrap().to_owned();
    let relay = Relay::launch(&world, Setup { profile: profile.clone(), ..setup(&world, true) });
    assert_eq!(relay.leave(), Exit::Code(0));
    let wrong = Setup { profile, sets: vec!["relay.max_clients=0".into()], ..setup(&world, true) };
    let refused = world.run(wrong.command(&world), "");
    refused.refused(2, &["out of range", "relay.max_clients=0"]);
}

/// An address in use, a name that is nobody's, a folder in use: one error with what to do, nothing on standard output,
/// and no file that was not there.
#[test]
fn what_keeps_a_relay_from_serving() {
    let world = World::new();
    let taken = TcpListener::bind((world.ip(), 0)).unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    let relay = Relay::launch(&world, setup(&world, false));
    for alone in [false, true] {
        let other = Setup { folder: world.path("other"), ..setup(&world, alone) };
        for (wrong, code, pieces) in [
            (Setup { listen: vec![taken.clone()], ..other.clone() }, 1, vec!["in use", "--listen"]),
            (
                Setup { listen: vec!["tcp://no.such.name.invalid:1".into()], ..other },
                4,
                vec!["does not resolve", "--listen"],
            ),
            (setup(&world, alone), 1, vec!["in use", "data directory"]),
        ] {
            let refused = world.run(wrong.command(&world), "");
            refused.refused(code, &pieces);
            assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
            assert_eq!(refused.stdout, "");
            assert!(!world.path("other").exists(), "nothing is half begun");
        }
    }
    assert!(relay.process().is_alive());
    assert_eq!(json!(relay.fingerprint()), relay.ready()["fingerprint"]);
}

/// `chat relay` has every plugin, so it refuses what `chat check` refuses; `chat-relay` looks at what concerns it.
#[test]
fn a_profile_that_is_wrong_for_a_client_is_no_relays() {
    let world = World::new();
    let right = include_str!("../../configs/tcp-x25519.toml");
    let wrong = right.replace("\"chacha20-poly1305\"", "\"chacha21-poly1305\"");
    assert_ne!(right, wrong);
    let profile = world.write("wrong.toml", wrong);
    let refused = world.chat(&["relay", "--config", profile.to_str().unwrap()]);
    refused.refused(2, &["chacha21-poly1305", "chacha20-poly1305"]);
    assert_eq!(refused.stdout, "");
}

/// A frontend that can't run here is refused before anything is made.
#[test]
fn without_a_terminal_nothing_is_made() {
    let world = World::new();
    let folder = world.path("nobody");
    let folder_name = folder.to_str().unwrap();
    let refused = world.chat(&["--config", "udp-rsa.toml", "--nick", "alice", "--data-dir", folder_name]);
    refused.refused(1, &["is not a terminal"]);
    assert!(!folder.exists());
}
