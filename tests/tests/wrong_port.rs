//! Whoever speaks something else to a port of the relay: closed, once and cleanly, and the log says by itself what it looked
//! like and where it came. At the level that is the default.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};

use chat_tests::profiles::TCP_X25519;
use chat_tests::relay::Setup;
use chat_tests::{Exit, PATIENCE, Relay, World};

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.9\r\n";
/// A record with the beginning of a ClientHello (RFC 8446 §4.1.2, §5.1).
const TLS: &[u8] = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03................................\x00";
/// The same of DTLS 1.2 (RFC 6347 §4.1).
const DTLS: &[u8] = b"\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x01\x00\x00\x04\x00\x00\x00\x00";
/// The transport `tcp`: its preamble, and the length of the first message of Noise.
const OWN_TCP: &[u8] = b"chattcp\x01\x00\x00\x00\x20................................";

const TRANSPORTS: [&str; 4] = ["tcp", "tls", "udp-arq", "quic"];

/// A relay on every transport, and where each of them is.
fn relay(world: &World) -> (Relay, [String; 4]) {
    let setup = Setup {
        alone: true,
        program: None,
        profile: TCP_X25519.name.to_owned(),
        folder: world.path("relay"),
        listen: TRANSPORTS.map(|kind| format!("{kind}://{}", world.any_port())).to_vec(),
        sets: Vec::new(),
    };
    let relay = Relay::launch(world, setup);
    let addresses: Vec<String> = relay.addresses().map(str::to_owned).collect();
    (relay, addresses.try_into().expect("four of them"))
}

/// Waits for a line of the log with all of this.
#[track_caller]
fn logged(relay: &Relay, pieces: &[&str]) {
    let fits = |line: &str| pieces.iter().all(|piece| line.contains(piece));
    let seen =
        relay.process().wait(|said| String::from_utf8_lossy(&said.stderr).lines().any(fits).then_some(()));
    assert!(seen.is_some(), "no {pieces:?} in\n{}", relay.process().stderr());
}

#[test]
fn other_protocols_are_closed_once_and_named() {
    let world = World::new();
    let (relay, [tcp, tls, udp_arq, quic]) = relay(&world);
    for (address, bytes, name) in [
        (&tcp, HTTP, "looks like HTTP"),
        (&tcp, SSH, "looks like SSH"),
        (&tcp, TLS, "looks like TLS"),
        (&tls, HTTP, "looks like HTTP"),
        (&tls, SSH, "looks like SSH"),
        (&tls, OWN_TCP, "looks like chat over tcp"),
    ] {
        let mut stream = TcpStream::connect(address).expect("the relay accepts");
        let from = stream.local_addr().expect("an address").to_string();
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("it is open");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap_or_else(|error| panic!("{name} at {address}: {error}"));
        assert!(said.len() < 64, "{} bytes in answer to {name}", said.len());
        stream.shutdown(Shutdown::Write).ok();
        logged(&relay, &["INFO", &format!("remote={from}"), &format!("at={address}"), name]);
    }
    for address in [&udp_arq, &quic] {
        for (bytes, name) in [
            (HTTP, "looks like HTTP"),
            (SSH, "looks like SSH"),
            (TLS, "looks like TLS"),
            (DTLS, "looks like DTLS"),
        ] {
            let socket = UdpSocket::bind((world.ip(), 0)).expect("a port");
            let from = socket.local_addr().expect("an address").to_string();
            socket.send_to(bytes, address).expect("it is sent");
            logged(&relay, &["INFO", &format!("from={from}"), name]);
        }
    }
    assert_eq!(relay.leave(), Exit::Code(0));
}

/// Our own clients at each other's ports.
#[test]
fn a_client_at_the_port_of_another_transport_is_named() {
    let world = World::new();
    let (relay, [tcp, tls, udp_arq, quic]) = relay(&world);
    for (kind, address, name) in [
        ("tls", &tcp, "looks like TLS"),
        ("tcp", &tls, "looks like chat over tcp"),
        ("quic", &udp_arq, "looks like QUIC"),
        ("udp-arq", &quic, "looks like chat over udp-arq"),
    ] {
        let lost =
            world.node(TCP_X25519, kind, address).guest().set(&format!("transport.kind={kind}")).launch();
        logged(&relay, &["INFO", name]);
        lost.kill9();
        assert!(lost.events().iter().all(|event| event.method != "link.up"));
    }
    // And one that is right, last of all.
    world.node(TCP_X25519, "alice", &tcp).guest().start().wait_event("link.up", &[]);
    assert_eq!(relay.leave(), Exit::Code(0));
}
