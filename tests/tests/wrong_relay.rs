//! Something is at the relay's address, but not the relay; or nothing is.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use chat_tests::{Exit, Network, Node, Profile, Recorder, Relay, World, on_main_profiles};

on_main_profiles!(another_key_than_pinned, something_else_is_there, a_name_that_is_nobodys);

/// A user of whom nothing is expected.
fn user(world: &World, profile: Profile, nick: &str, relay: &str) -> Node {
    world.node(profile, nick, relay).launch()
}

/// How a program ended that had to end by itself, and what it complained about.
fn ended(node: &Node) -> (Exit, String) {
    (node.process().wait_exit(), node.process().stderr())
}

/// C17, A37, B23, P8: a relay with another key than the pinned one is refused with exit 3, and learns nothing: not who
/// calls, nor what was to be sent. With the right pin it is the relay.
fn another_key_than_pinned(profile: Profile) {
    let world = World::new();
    let relay = Relay::start_with(&world, profile, &["log.level=debug"]);
    let wire = Recorder::start(&world, profile.network, relay.address());
    let bob = world.node(profile, "bob", relay.address()).guest().start();
    bob.wait_event("link.up", &[]);
    let pinned = format!("{}@{}", "0123456789abcdef".repeat(4), wire.address());
    let alice = user(&world, profile, "alice", &pinned);
    let (exit, said) = ended(&alice);
    assert_eq!(exit, Exit::Code(3), "{said}");
    for piece in [relay.fingerprint(), "0123456789abcdef", "pins", "topology.relay"] {
        assert!(said.contains(piece), "no {piece} in {said}");
    }
    let called = wire.to_relay().concat().concat().len();
    assert!(called > 0, "she called");
    if profile.transport == "tcp" {
        // Preamble, length and the first message of the handshake: her key is in the third.
        assert_eq!(called, 8 + 4 + 32, "the wrong relay was told more than that somebody calls");
    }
    assert!(bob.events().iter().all(|event| event.method != "peer.seen"), "nobody came");
    let (log, digits) = (relay.process().stderr(), alice.peer_id()[..4].to_owned());
    assert!(
        !log.contains(&format!("peer={digits}")) && !log.contains("no `Hello`"),
        "it knows who called: {log}"
    );

    let right = format!("{}@{}", relay.fingerprint(), wire.address());
    let alice = world.node(profile, "alice", &right).start();
    assert_eq!(alice.wait_event("link.up", &[]).expect("fingerprint"), relay.fingerprint());
    bob.meet(&["alice"]);
}

/// The address is taken by something that is no relay: exit 4, what it looks like if that is to be seen, and what to do.
fn something_else_is_there(profile: Profile) {
    let world = World::new();
    let neighbours: &[(&str, &str)] = match profile.network {
        Network::Tcp => &[("echo", ""), ("silent", ""), ("http", "looks like HTTP")],
        Network::Udp => &[("echo", ""), ("silent", ""), ("http", "")],
    };
    let users: Vec<_> = neighbours
        .iter()
        .map(|(kind, looks)| {
            let address = match profile.network {
                Network::Tcp => tcp_neighbour(world.ip(), kind),
                Network::Udp => udp_neighbour(world.ip(), kind),
            };
            (user(&world, profile, kind, &address), address, looks)
        })
        .collect();
    for (node, address, looks) in &users {
        let (exit, said) = ended(node);
        assert_eq!(exit, Exit::Code(4), "{said}");
        for piece in [address.as_str(), looks, "in use by something", "--set topology.relay="] {
            assert!(said.contains(piece), "no {piece} in {said}");
        }
        assert!(node.events().iter().all(|event| event.method != "link.up"));
    }
}

fn tcp_neighbour(ip: Ipv4Addr, kind: &'static str) -> String {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, kind));
        }
    });
    address.to_string()
}

fn serve(mut stream: TcpStream, kind: &str) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let answer = match kind {
            "echo" => &buffer[..read],
            "http" => &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
            _ => &[],
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn udp_neighbour(ip: Ipv4Addr, kind: &'static str) -> String {
    let socket = UdpSocket::bind((ip, 0)).expect("a port");
    let address = socket.local_addr().expect("its address");
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        loop {
            let Ok((read, from)) = socket.recv_from(&mut buffer) else { continue };
            let answer = match kind {
                "echo" => &buffer[..read],
                "http" => &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
                _ => continue,
            };
            // Whoever asked may have gone meanwhile.
            socket.send_to(answer, from).ok();
        }
    });
    address.to_string()
}

/// A host that does not exist is said at once, with exit 4; an address without a port is a mistake of the profile.
fn a_name_that_is_nobodys(profile: Profile) {
    let world = World::new();
    let (exit, said) = ended(&user(&world, profile, "alice", "no.such.name.invalid:1"));
    assert_eq!(exit, Exit::Code(4), "{said}");
    for piece in ["no.such.name.invalid", "does not resolve", "topology.relay"] {
        assert!(said.contains(piece), "no {piece} in {said}");
    }
    let (exit, said) = ended(&user(&world, profile, "bob", "localhost"));
    assert_eq!(exit, Exit::Code(2), "{said}");
    assert!(!world.path("bob").exists(), "nothing was started");
}
