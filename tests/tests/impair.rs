//! `chat impair`: a bad network, over which everything arrives nevertheless.

use std::net::UdpSocket;

use chat_tests::profiles::{QUIC_RATCHET, UDP_RSA};
use chat_tests::{Impair, Network, Node, PATIENCE, Profile, Relay, World, on_main_profiles, on_profile};
use serde_json::json;

on_main_profiles!(all_is_delivered_over_a_bad_network);
on_profile!(udp_at_1280, super::UDP_RSA, texts_of_every_length_pass);
on_profile!(quic_at_1280, super::QUIC_RATCHET, texts_of_every_length_pass);

/// Everything that can be wrong with packets, and with a stream. The seed makes the fate of the first packets of each
/// client the same every time, whatever time they take.
const BAD_UDP: &[&str] = &[
    "--loss",
    "15%",
    "--burst",
    "2",
    "--delay",
    "5ms",
    "--jitter",
    "10ms",
    "--reorder",
    "5%",
    "--duplicate",
    "5%",
    "--corrupt",
    "5%",
    "--rate",
    "10mbit",
    "--blackhole",
    "100ms/2s",
    "--seed",
    "7",
];
const BAD_TCP: &[&str] = &[
    "--loss",
    "20%",
    "--burst",
    "2",
    "--delay",
    "5ms",
    "--jitter",
    "10ms",
    "--rate",
    "10mbit",
    "--blackhole",
    "100ms/2s",
    "--seed",
    "7",
];

fn all_is_delivered_over_a_bad_network(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    let options = match profile.network {
        Network::Udp => BAD_UDP,
        Network::Tcp => BAD_TCP,
    };
    let impair = Impair::start(&world, profile.network, relay.address(), options);
    let alice = world.node(profile, "alice", impair.address()).guest().start();
    let bob = world.node(profile, "bob", impair.address()).guest().start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let texts = |nick: &str| (0..20).map(|n| format!("{nick} says {n}")).collect::<Vec<_>>();
    let ids = |node: &Node, nick: &str, to: &str| node.send_all(to, texts(nick));
    let (of_alice, of_bob) = (ids(&alice, "alice", "bob"), ids(&bob, "bob", "alice"));
    alice.wait_states(&of_alice, &["delivered"]);
    bob.wait_states(&of_bob, &["delivered"]);
    assert_eq!(bob.wait_texts(20), texts("alice"));
    assert_eq!(alice.wait_texts(20), texts("bob"));
    let figures = impair.leave();
    assert!(figures["clients"].as_u64().unwrap() >= 2, "{figures}");
    for way in ["up", "down"] {
        let figure = |name: &str| figures[way][name].as_u64().unwrap();
        assert!(figure("lost") > 0 && figure("delivered") > 0, "{figures}");
        if profile.network == Network::Udp {
            assert!(
                figure("duplicated") > 0 && figure("corrupted") > 0 && figure("reordered") > 0,
                "{figures}"
            );
        }
    }
}

/// Where no packet is longer than IPv6 demands that it may be (RFC 8200 §5), and one in a hundred is lost: whole, and the same
/// to the byte.
fn texts_of_every_length_pass(profile: Profile) {
    let world = World::new();
    let relay = Relay::start(&world, profile);
    // 1280 without the headers of IP and UDP.
    let options = ["--mtu", "1252", "--loss", "1%", "--seed", "3"];
    let impair = Impair::start(&world, profile.network, relay.address(), &options);
    let alice = world.node(profile, "alice", impair.address()).guest().start();
    let bob = world.node(profile, "bob", impair.address()).guest().start();
    alice.meet(&["bob"]);
    bob.meet(&["alice"]);
    let texts: Vec<String> = [1, 1199, 1200, 1253, 65_536, 1 << 20]
        .into_iter()
        .map(|len| (0..len).map(|n| char::from(b'!' + (n * 7 % 89) as u8)).collect())
        .collect();
    let ids = alice.send_all("bob", &texts);
    alice.wait_states(&ids, &["delivered"]);
    assert!(bob.wait_texts(texts.len()) == texts, "a text is another");
    impair.leave();
}

#[test]
fn what_it_says() {
    let world = World::new();
    let target = UdpSocket::bind((world.ip(), 0)).unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = target.local_addr().unwrap().to_string();
    let options =
        ["--loss", "0.25", "--rate", "1000kbit", "--only", "down", "--seed", "18446744073709551615"];
    let impair = Impair::start(&world, Network::Udp, &to, &options);
    let ready = impair.ready();
    assert_eq!((&ready["to"], &ready["seed"]), (&json!(to), &json!(u64::MAX)));
    assert_eq!((&ready["up"], &ready["down"]), (&json!(""), &json!("--loss 25% --rate 1mbit")));
    let client = UdpSocket::bind((world.ip(), 0)).unwrap();
    client.send_to(b"hello", impair.address()).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(target.recv(&mut buffer).unwrap(), 5);
    let occupied = format!("udp://{}", impair.address());
    let refused = world.chat(&["impair", "--listen", &occupied, "--to", &to]);
    refused.refused(1, &["--listen udp://", "in use"]);
    let figures = impair.leave();
    assert_eq!((&figures["clients"], &figures["up"]["delivered_bytes"]), (&json!(1), &json!(5)));
    assert_eq!(impair.process().stderr(), "");

    // Nobody asked for a seed: it is another one each time, and told.
    let seed = || Impair::start(&world, Network::Tcp, &to, &[]).ready()["seed"].as_u64().unwrap();
    assert_ne!(seed(), seed());
}

#[test]
fn wrong_options_are_named() {
    const LISTEN: &str = "--listen=udp://127.0.0.1:0";
    const TO: &str = "--to=127.0.0.1:1";
    let world = World::new();
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--listen", "--to"]),
        (&[LISTEN], &["--to <HOST:PORT>"]),
        (&[TO, "--listen", "127.0.0.1:0"], &["--listen", "accepted: udp://HOST:PORT or tcp://HOST:PORT"]),
        (&[TO, "--listen", "quic://127.0.0.1:0"], &["--listen", "accepted: udp://HOST:PORT"]),
        (&[LISTEN, "--to", "127.0.0.1:0"], &["--to", "accepted: HOST:PORT, the port not 0"]),
        (&[LISTEN, TO, "--loss", "30"], &["'30' for '--loss", "accepted: 0% to 100%, or 0 to 1"]),
        (&[LISTEN, TO, "--loss", "101%"], &["'101%' for '--loss"]),
        (&[LISTEN, TO, "--reorder", "x"], &["--reorder", "accepted: 0% to 100%"]),
        (&[LISTEN, TO, "--duplicate", "-1"], &["-1"]),
        (&[LISTEN, TO, "--corrupt", "1e-3"], &["--corrupt", "accepted: 0% to 100%"]),
        (&[LISTEN, TO, "--loss", "1%", "--burst", "0"], &["--burst", "accepted: a whole number of packets"]),
        (
            &[LISTEN, TO, "--delay", "50"],
            &["--delay", "accepted: a whole number of ns, us, ms or s, such as 50ms"],
        ),
        (&[LISTEN, TO, "--jitter", "1.5s"], &["--jitter", "accepted: a whole number"]),
        (&[LISTEN, TO, "--rate", "1MB"], &["--rate", "accepted: a whole number of bit, kbit, mbit or gbit"]),
        (
            &[LISTEN, TO, "--rate", "1mbit", "--queue", "64k"],
            &["--queue", "accepted: a whole number of B, KiB"],
        ),
        (&[LISTEN, TO, "--mtu", "0"], &["--mtu", "accepted: a whole number of bytes"]),
        (&[LISTEN, TO, "--blackhole", "5s/2s"], &["--blackhole", "such as 2s/5s"]),
        (&[LISTEN, TO, "--seed", "x"], &["--seed"]),
        (&[LISTEN, TO, "--only", "left"], &["--only", "up, down"]),
        (&[LISTEN, TO, "--los", "1%"], &["--los", "--loss"]),
        (&[LISTEN, TO, "--loss", "1%", "--loss", "2%"], &["--loss", "multiple times"]),
        // What fits the option and not the others.
        (&[LISTEN, TO, "--burst", "3"], &["--burst says nothing without --loss"]),
        (&[LISTEN, TO, "--queue", "1KiB"], &["--queue says nothing without --rate"]),
        (&[LISTEN, TO, "--loss", "90%", "--burst", "3"], &["--burst 3", "at least"]),
        (&["--listen=tcp://127.0.0.1:0", TO, "--reorder", "1%"], &["--reorder shows nothing on tcp"]),
    ];
    for (arguments, pieces) in cases {
        let refused = world.chat(&[&["impair"], *arguments].concat());
        refused.refused(2, pieces);
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
}
