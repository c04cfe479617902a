//! What is TCP's own: addresses, names, strangers on the port.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};

use bytes::Bytes;
use chat_core::transport::HANDSHAKE_DEADLINE;
use chat_core::{Address, Identity, Link, LinkError, Listener, Plugin as _, Transport};
use futures_util::future::join;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::Instant;
use transport_noise::{accept, dial};
use transport_tcp::{Tcp, TcpOptions};

fn tcp() -> Box<dyn Transport> {
    Tcp::build(TcpOptions::default()).unwrap()
}

fn me() -> Identity {
    Identity::from_seed(&[1; 32])
}

async fn listen(place: &str) -> Box<dyn Listener> {
    tcp().listen(&Address::new(place), &me()).await.unwrap()
}

async fn refused_to_listen(place: &str) -> LinkError {
    tcp().listen(&Address::new(place), &me()).await.err().unwrap()
}

async fn refused_to_dial(place: &str) -> LinkError {
    tcp().dial(&Address::new(place), &me()).await.err().unwrap()
}

async fn meet(listener: &mut dyn Listener, place: &str) -> (Link, Link) {
    let (transport, to, me) = (tcp(), Address::new(place), me());
    let accepted = async { accept(listener.next().await?, &me).await };
    let (dialed, accepted) = join(dial(&*transport, &to, &me), accepted).await;
    (dialed.unwrap(), accepted.unwrap())
}

async fn talk(a: &mut Link, b: &mut Link) {
    a.sink.send(Bytes::from_static(b"still here?")).await.unwrap();
    assert_eq!(b.source.next().await.unwrap().unwrap(), "still here?");
}

fn port(listener: &dyn Listener) -> u16 {
    listener.address().host_port().unwrap().1
}

#[tokio::test]
async fn a_link_that_was_accepted_does_not_keep_the_address() {
    let mut first = listen("127.0.0.1:0").await;
    let place = first.address().place;
    let (mut a, mut b) = meet(&mut *first, &place).await;
    drop(first);
    drop(listen(&place).await);
    talk(&mut a, &mut b).await;
}

#[tokio::test]
async fn a_name_with_two_addresses_has_one_listener_and_is_dialed_through() {
    let mut listener = listen("localhost:0").await;
    let place = format!("localhost:{}", port(&*listener));
    let refused = refused_to_listen(&place).await;
    assert!(matches!(refused, LinkError::AddressInUse { .. }), "{refused}");
    let (mut a, mut b) = meet(&mut *listener, &place).await;
    talk(&mut a, &mut b).await;

    let mut v4_only = listen("127.0.0.1:0").await;
    let place = format!("localhost:{}", port(&*v4_only));
    let (mut a, mut b) = meet(&mut *v4_only, &place).await;
    talk(&mut a, &mut b).await;
}

#[tokio::test]
async fn ipv6_where_the_machine_has_it() {
    if StdListener::bind("[::1]:0").is_err() {
        return;
    }
    let mut listener = listen("[::1]:0").await;
    let place = listener.address().place;
    assert!(place.starts_with("[::1]:"), "{place}");
    let (mut a, mut b) = meet(&mut *listener, &place).await;
    talk(&mut a, &mut b).await;
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_named() {
    let free = {
        let listener = listen("127.0.0.1:0").await;
        listener.address().place
    };
    let refused = refused_to_dial(&free).await;
    assert!(matches!(&refused, LinkError::Unreachable { address, .. } if *address == free), "{refused}");
    let refused = refused_to_dial("a..b:1").await;
    assert!(matches!(&refused, LinkError::Resolve { host, .. } if host == "a..b"), "{refused}");
    for bad in ["127.0.0.1", "::1:5", ":5", "127.0.0.1:70000"] {
        assert!(matches!(refused_to_dial(bad).await, LinkError::BadAddress { .. }), "{bad}");
        assert!(matches!(refused_to_listen(bad).await, LinkError::BadAddress { .. }), "{bad}");
    }
    // An address for documentation (RFC 5737), which no machine has.
    let refused = refused_to_listen("192.0.2.1:0").await;
    assert!(
        matches!(&refused, LinkError::BadAddress { address, .. } if address == "192.0.2.1:0"),
        "{refused}"
    );
}

#[tokio::test]
async fn strangers_on_the_port_are_refused_while_an_honest_pair_goes_on() {
    let mut listener = listen("127.0.0.1:0").await;
    let place = listener.address().place;
    let (mut a, mut b) = meet(&mut *listener, &place).await;
    let noise = |first: &[u8]| [b"chattcp\x01", first].concat();
    let strangers: [(&str, Vec<u8>); 9] = [
        ("nothing", Vec::new()),
        ("half a preamble", b"chat".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x00\x05hello".to_vec()),
        ("random bytes", vec![0xd7; 4096]),
        ("a length of 4 GiB", noise(&[0xff; 4])),
        ("a length of 64 KiB", noise(&[0, 1, 0, 0])),
        ("a frame that never ends", noise(&[0, 0, 0, 32, 1, 2, 3])),
        ("a key of zeros", noise(&[&[0, 0, 0, 32][..], &[0; 32]].concat())),
    ];
    for (what, bytes) in strangers {
        let mut stranger = StdStream::connect(&place).unwrap();
        stranger.write_all(&bytes).unwrap();
        stranger.shutdown(Shutdown::Write).unwrap();
        let incoming = listener.next().await.unwrap();
        assert_eq!(incoming.remote(), stranger.local_addr().unwrap().to_string());
        let refused = accept(incoming, &me()).await.err().unwrap();
        let expected = match what {
            "HTTP" => matches!(refused, LinkError::ForeignProtocol { looks_like: "looks like HTTP" }),
            "TLS" => matches!(refused, LinkError::ForeignProtocol { looks_like: "looks like TLS" }),
            "random bytes" => matches!(refused, LinkError::ForeignProtocol { looks_like: "unknown bytes" }),
            "a key of zeros" => matches!(refused, LinkError::NotAuthenticated(_)),
            _ if what.starts_with("a length") => matches!(refused, LinkError::FrameTooLarge { .. }),
            _ => matches!(refused, LinkError::Io(_)),
        };
        assert!(expected, "{what}: {refused}");
        talk(&mut a, &mut b).await;
    }
    let (mut c, mut d) = meet(&mut *listener, &place).await;
    talk(&mut c, &mut d).await;
}

#[tokio::test]
async fn dialing_another_kind_of_server_names_it() {
    for (greeting, guess) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n"[..], "looks like SSH"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "looks like HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "looks like TLS"),
    ] {
        let server = StdListener::bind("127.0.0.1:0").unwrap();
        let to = Address::new(server.local_addr().unwrap().to_string());
        let answering = std::thread::spawn(move || {
            let (mut client, _) = server.accept().unwrap();
            client.write_all(greeting).unwrap();
            client
        });
        let refused = dial(&*tcp(), &to, &me()).await.err().unwrap();
        assert!(
            matches!(refused, LinkError::ForeignProtocol { looks_like } if looks_like == guess),
            "{guess}: {refused}"
        );
        drop(answering.join().unwrap());
    }
}

/// The clock jumps to the deadline when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn one_byte_and_then_silence_ends_at_the_deadline_and_holds_up_nobody() {
    let mut listener = listen("127.0.0.1:0").await;
    let place = listener.address().place;
    let mut slow = Vec::new();
    for sent in [&b"c"[..], b"chattcp\x01", b"chattcp\x01\0\0\0\x20\x09"] {
        let mut stranger = StdStream::connect(&place).unwrap();
        stranger.write_all(sent).unwrap();
        slow.push((stranger, listener.next().await.unwrap()));
    }
    let (mut a, mut b) = meet(&mut *listener, &place).await;
    talk(&mut a, &mut b).await;
    for (stranger, incoming) in slow {
        let began = Instant::now();
        let refused = accept(incoming, &me()).await.err().unwrap();
        assert!(matches!(refused, LinkError::Timeout(_)), "{refused}");
        assert_eq!(began.elapsed(), HANDSHAKE_DEADLINE);
        drop(stranger);
    }
}
