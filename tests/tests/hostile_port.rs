//! Whoever can reach the relay's port can send anything to it. Everybody else goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};

use chat_tests::profiles::{QUIC_RATCHET, TCP_X25519, TLS_RSA, UDP_RSA};
use chat_tests::{Besieged, PATIENCE, Profile, Relay, on_profile};

on_profile!(udp_rsa, super::UDP_RSA, datagrams_of_anything);
on_profile!(quic_ratchet, super::QUIC_RATCHET, datagrams_of_anything);

/// Connections that are begun and never finished.
const HALF_OPEN: usize = 200;

/// A TLS 1.2 record with the beginning of a ClientHello (RFC 8446 §4.1.2, §5.1).
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03................................\x00";
const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.9\r\n";
/// What each side of the transport `tcp` says first.
const TCP_PREAMBLE: &[u8] = b"chattcp\x01";

/// Bytes that look like nothing, the same in every run (splitmix64).
fn garbage(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 56) as u8
    };
    std::iter::repeat_with(byte).take(len).collect()
}

fn connect(relay: &Relay) -> TcpStream {
    let stream = TcpStream::connect(relay.address()).expect("the relay accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Waits until the relay has closed the connection; what it said before, in bytes.
fn closed_after(mut stream: TcpStream) -> usize {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the relay keeps the connection")
        }
        // A reset is a way to close, too.
        _ => said.len(),
    }
}

/// B14, B19, A31, C12: on a port for streams. What can't be meant for a relay is refused at once; what only could become
/// something is given up after the handshake's deadline; and the honest go on while all of it is open.
#[test]
fn streams_of_anything() {
    let mut scene = Besieged::new(TCP_X25519);
    let frame = |len: u32, rest: &[u8]| [TCP_PREAMBLE, &len.to_be_bytes(), rest].concat();
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("garbage", garbage(1, 4096)),
        ("HTTP", HTTP.to_vec()),
        ("TLS", TLS_HELLO.to_vec()),
        ("SSH", SSH.to_vec()),
        ("zeros", vec![0; 100_000]),
        ("another version", b"chattcp\x02".to_vec()),
        ("a frame of 4 GiB", frame(u32::MAX, &garbage(2, 1000))),
        ("a frame of 2 MiB before the handshake", frame(2 << 20, &garbage(3, 1000))),
        ("an empty frame", frame(0, &[])),
        ("a handshake of garbage", frame(32, &garbage(4, 32))),
        ("a handshake of zeros", frame(32, &[0; 32])),
        ("a handshake, and garbage", [frame(32, &garbage(5, 32)), garbage(6, 5000)].concat()),
    ];
    for (what, bytes) in &attacks {
        for _ in 0..20 {
            let mut stream = connect(&scene.relay);
            // It may be closed before all of it is written.
            stream.write_all(bytes).ok();
            stream.shutdown(Shutdown::Write).ok();
            let said = closed_after(stream);
            assert!(said < 1024, "{said} bytes in answer to {what}");
        }
        scene.honest_pair_chats(what);
    }
    let log = scene.relay.process().stderr();
    assert!(log.contains("looks like HTTP") && log.contains("looks like TLS"), "refusals are logged");
    replays(&mut scene);
    let half_open = half_open(&scene);
    scene.honest_pair_chats("half-open connections");
    assert!(half_open.len() >= HALF_OPEN);
    for stream in half_open {
        closed_after(stream);
    }
    scene.survived();
}

/// What an honest client sent, sent again: whole, and cut after each of its first bytes.
fn replays(scene: &mut Besieged) {
    let honest = scene.honest.concat();
    assert!(honest.starts_with(TCP_PREAMBLE) && honest.len() > 200);
    let seen = scene.relay.process().stderr().matches("connected peer").count();
    for len in (0..200).chain([honest.len()]) {
        let mut stream = connect(&scene.relay);
        stream.write_all(&honest[..len]).ok();
        stream.shutdown(Shutdown::Write).ok();
        closed_after(stream);
    }
    assert_eq!(scene.relay.process().stderr().matches("connected peer").count(), seen, "nobody came in");
    scene.honest_pair_chats("replays");
}

/// Connections with nothing, a byte, the preamble, half a handshake.
fn half_open(scene: &Besieged) -> Vec<TcpStream> {
    let beginnings: [&[u8]; 5] =
        [b"", b"c", TCP_PREAMBLE, b"chattcp\x01\x00\x00\x00\x20half a key", b"chattcp\x01\x00\x00\xff\xff"];
    let open = |n: usize| {
        let mut stream = connect(&scene.relay);
        stream.write_all(beginnings[n % beginnings.len()]).expect("it is open");
        stream
    };
    (0..HALF_OPEN).map(open).collect()
}

/// B19, A31: the same where TLS is spoken. Other protocols are named in the log; what begins as TLS and goes on as nobody
/// should is closed before the handshake's deadline, but for what could still become a handshake.
#[test]
fn tls_records_of_anything() {
    let mut scene = Besieged::new(TLS_RSA);
    let hello = scene.honest[0].clone();
    assert!(hello.starts_with(&[0x16, 3]) && hello.len() > 100, "a ClientHello");
    let record = |kind: u8, bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).expect("a short record");
        [&[kind, 3, 3][..], &len.to_be_bytes(), bytes].concat()
    };
    let close_notify = record(0x15, &[1, 0]);
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        ("garbage", garbage(1, 4096)),
        ("HTTP", HTTP.to_vec()),
        ("SSH", SSH.to_vec()),
        ("zeros", vec![0; 100_000]),
        ("close_notify", close_notify.clone()),
        ("close_notify after ClientHello", [&hello[..], &close_notify].concat()),
        ("an empty record", record(0x16, &[])),
        ("an empty record after ClientHello", [&hello[..], &record(0x17, &[])].concat()),
        ("a record over the limit", [&[0x16, 3, 1, 0x48, 1][..], &garbage(2, 0x4801)].concat()),
        ("ClientHello twice", [&hello[..], &hello].concat()),
        ("a flight of garbage", [&hello[..], &record(0x17, &garbage(3, 1000))].concat()),
    ];
    let seen = scene.let_in();
    for (what, bytes) in &attacks {
        for _ in 0..20 {
            let mut stream = connect(&scene.relay);
            // It may be closed before all of it is written. Nobody hangs up before the relay does.
            stream.write_all(bytes).ok();
            let said = closed_after(stream);
            assert!(said < 4096, "{said} bytes in answer to {what}");
        }
        scene.honest_pair_chats(what);
    }
    let log = scene.relay.process().stderr();
    assert!(log.contains("looks like HTTP") && log.contains("looks like SSH"), "refusals are logged");
    let half_open: Vec<TcpStream> = (0..HALF_OPEN)
        .map(|n| {
            let mut stream = connect(&scene.relay);
            stream.write_all(&hello[..n * 3 % hello.len()]).expect("it is open");
            stream
        })
        .collect();
    scene.honest_pair_chats("half-open handshakes");
    for stream in half_open {
        closed_after(stream);
    }
    assert_eq!(scene.let_in(), seen, "nobody came in");
    scene.survived();
}

/// A31, A36, A41: on a port for datagrams. Nothing of it disturbs the honest or makes the relay grow, and nobody gets
/// more out of it than was put in.
fn datagrams_of_anything(profile: Profile) {
    let mut scene = Besieged::new(profile);
    let address = scene.relay.address().to_owned();
    let ip = scene.world.ip();
    let socket = || {
        let socket = UdpSocket::bind((ip, 0)).expect("a port");
        socket.connect(&address).expect("the relay's address");
        socket.set_nonblocking(true).expect("a socket that does not wait");
        socket
    };
    let mut attacks: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("garbage", (0..500).map(|n| garbage(n, n as usize * 3)).collect()),
        ("every first byte", (0..=255).map(|first| [&[first][..], &garbage(7, 1199)].concat()).collect()),
        ("text", vec![HTTP.to_vec(), TLS_HELLO.to_vec(), vec![0xff; 65_000], vec![0; 1200], Vec::new()]),
    ];
    attacks.push(("version negotiation", version_junk()));
    let honest = scene.honest.clone();
    assert!(honest.len() > 5, "a recording of an honest client");
    attacks.push(("replays", honest.clone()));
    attacks.push((
        "cut replays",
        honest.iter().map(|datagram| datagram[..datagram.len() - 1].to_vec()).collect(),
    ));
    let flip = |(n, datagram): (usize, &Vec<u8>)| {
        let mut datagram = datagram.clone();
        let at = n * 31 % datagram.len();
        datagram[at] ^= 1 << (n % 8);
        datagram
    };
    attacks.push(("replays with a flipped bit", honest.iter().enumerate().map(flip).collect()));
    for (what, datagrams) in &attacks {
        let from = socket();
        let sent: usize = datagrams.iter().map(|datagram| from.send(datagram).unwrap_or(0)).sum();
        scene.honest_pair_chats(what);
        let got = received(&from);
        assert!(got <= 3 * sent, "{got} bytes for {sent} bytes of {what}");
    }
    // The beginning of a handshake from many ports at once.
    let first = &honest[0];
    let half_open: Vec<UdpSocket> = (0..HALF_OPEN).map(|_| socket()).collect();
    for _ in 0..3 {
        for from in &half_open {
            from.send(first).ok();
        }
        scene.honest_pair_chats("half-open handshakes");
    }
    for from in &half_open {
        let got = received(from);
        assert!(got <= 3 * 3 * first.len(), "{got} bytes for a handshake of {} bytes", first.len());
    }
    scene.survived();
}

/// What only an answer of QUIC's would say, and first packets of versions that there are not (RFC 9000 §17.2.1), long and short.
fn version_junk() -> Vec<Vec<u8>> {
    let ids = [&[8][..], &[0xaa; 8], &[8], &[0xbb; 8]].concat();
    let mut junk = Vec::new();
    for version in [[0; 4], [0, 0, 0, 2], [0xff, 0, 0, 29], [0x1a, 0x2a, 0x3a, 0x4a], [0xff; 4]] {
        for rest in
            [&[][..], &[0, 0, 0, 1], &[0, 0, 0, 1, 0x6b, 0x33, 0x43, 0xcf, 1], &[0x5a; 1200], &[0; 1180]]
        {
            junk.push([&[0xc0][..], &version, &ids, rest].concat());
            junk.push([&[0x80][..], &version, &[0xff; 20], rest].concat());
        }
    }
    // A server that hears itself: an offer of versions from somebody whose id is one of its own.
    junk.extend((0..200).map(|n| [&[0xc0, 0, 0, 0, 0][..], &ids, &[n; 64]].concat()));
    junk
}

/// How many bytes have come in answer.
fn received(socket: &UdpSocket) -> usize {
    let mut buffer = vec![0; 65_536];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).sum()
}
