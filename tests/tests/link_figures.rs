//! What `stack.get` says of a link is measured, and follows what happens to it: by the transport, or by the client's pings
//! where the transport can't tell.

use chat_tests::files::contents;
use chat_tests::profiles::{QUIC_RATCHET, TCP_X25519, TLS_RSA, UDP_RSA};
use chat_tests::{Exit, Impair, Network, Node, Profile, Relay, World, on_profile};
use serde_json::{Value, json};

on_profile!(tcp, super::TCP_X25519, figures_follow_the_link);
on_profile!(tls, super::TLS_RSA, figures_follow_the_link);
on_profile!(udp_arq, super::UDP_RSA, figures_follow_the_link);
on_profile!(quic, super::QUIC_RATCHET, figures_follow_the_link);

/// Messages after which what has not shown will not show.
const TRIES: usize = 200;
const DELAY_MS: u64 = 40;

fn link(node: &Node) -> Value {
    let mut said = node.ask("stack.get", json!({}));
    assert_eq!(said["state"], json!({ "is": "up" }), "{said}");
    said["link"].take()
}

fn figure(link: &Value, name: &str) -> u64 {
    link[name].as_u64().unwrap_or_else(|| panic!("no {name}: {link}"))
}

fn figures_follow_the_link(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let delay = format!("{DELAY_MS}ms");
    let mut options = vec!["--delay", &*delay, "--seed", "7"];
    if profile.network == Network::Udp {
        options.extend(["--loss", "10%"]);
    }
    let impair = Impair::start(&world, profile.network, relay.address(), &options);
    let alice = world.node(profile, "alice", impair.address()).set("log.level=debug").guest().start();
    let bob = world.node(profile, "bob", impair.address()).guest().start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);

    let before = link(&alice);
    let text = "x".repeat(20_000);
    let shows = |link: &Value| {
        let seen = |name: &str| link[name].as_u64();
        let is_slow = seen("srtt_us").is_some_and(|us| us >= 2 * DELAY_MS * 1000);
        let is_lossy = seen("lost_packets") > Some(0) && seen("retransmits") > Some(0);
        is_slow && (is_lossy || profile.network == Network::Tcp)
    };
    let mut sent = 0;
    let after = (0..TRIES).find_map(|_| {
        alice.wait_state(&alice.send("bob", &text), "delivered");
        sent += text.len() as u64;
        Some(link(&alice)).filter(shows)
    });
    let after = after.unwrap_or_else(|| panic!("{TRIES} messages later: {}", link(&alice)));

    assert!(figure(&after, "srtt_us") < 30_000_000, "{after}");
    assert!(figure(&after, "sent_bytes") >= figure(&before, "sent_bytes") + sent, "{before} {after}");
    assert!(figure(&after, "received_bytes") > figure(&before, "received_bytes"), "{before} {after}");
    if profile.network == Network::Udp {
        assert!((1200..=65_535).contains(&figure(&after, "mtu")), "{after}");
        assert!(figure(&after, "cwnd_bytes") > 0, "{after}");
    }

    // The log has them when the link ends, and nobody's name.
    assert_eq!(alice.leave(), Exit::Code(0));
    let logs = contents(&alice.folder().join("logs"));
    let logs: Vec<String> =
        logs.into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
    let line = logs.iter().flat_map(|log| log.lines()).find(|line| line.contains("the link ends"));
    let line = line.unwrap_or_else(|| panic!("{logs:?}"));
    assert!(line.contains("srtt_us=") && line.contains("sent_bytes="), "{line}");
    assert!(!line.contains("bob") && !line.contains("alice"), "{line}");
    impair.leave();
}
