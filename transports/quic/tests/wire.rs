//! What is on the wire, and who may come to it: strangers, and somebody between.

#![allow(clippy::unwrap_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chat_core::transport::Link;
use chat_core::{Address, Dialed, Identity, LinkError, Listener, Plugin as _, Transport};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::timeout;
use transport_quic::{Quic, QuicOptions};

/// So long nothing comes when nothing is to come; only an answer that comes late goes unseen.
const QUIET: Duration = Duration::from_millis(300);
/// Only so that a defect does not hang the tests.
const HANGS: Duration = Duration::from_secs(60);

fn quic() -> Box<dyn Transport> {
    Quic::build(QuicOptions::default()).unwrap()
}

async fn listen() -> Box<dyn Listener> {
    quic().listen(&Address::new("127.0.0.1:0"), &Identity::from_seed(&[2; 32])).await.unwrap()
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn linked(listener: &mut dyn Listener, to: &Address) -> (Link, Link) {
    let (transport, me) = (quic(), Identity::from_seed(&[1; 32]));
    let accepted = async { listener.next().await.unwrap().handshake().await };
    let (dialed, accepted) = tokio::join!(transport.dial(to, &me), accepted);
    (secure(dialed.unwrap()), secure(accepted.unwrap()))
}

fn secure(dialed: Dialed) -> Link {
    match dialed {
        Dialed::Secure(link) => link,
        Dialed::Bare(_) => panic!("QUIC is secure by itself"),
    }
}

async fn carry(from: &mut Link, to: &mut Link, frame: &'static [u8]) {
    from.sink.send(Bytes::from_static(frame)).await.unwrap();
    assert_eq!(to.source.next().await.unwrap().unwrap(), frame);
}

/// What a dialer says first.
async fn first_packet() -> Vec<u8> {
    let nobody = socket().await;
    let (transport, me) = (quic(), Identity::from_seed(&[1; 32]));
    let to = Address::new(nobody.local_addr().unwrap().to_string());
    let mut buffer = vec![0; 65_536];
    tokio::select! {
        _ = transport.dial(&to, &me) => panic!("nobody answers"),
        read = nobody.recv(&mut buffer) => buffer.truncate(read.unwrap()),
    }
    buffer
}

/// All that comes back for a datagram, in bytes.
async fn answers(to: SocketAddr, datagram: &[u8]) -> usize {
    let stranger = socket().await;
    stranger.send_to(datagram, to).await.unwrap();
    let (mut total, mut buffer) = (0, vec![0; 65_536]);
    while let Ok(read) = timeout(QUIET, stranger.recv(&mut buffer)).await {
        total += read.unwrap();
    }
    total
}

/// RFC 9000 §8.1 allows three times as much; one packet that is shorter is all there is.
#[tokio::test]
async fn who_has_not_shown_that_it_gets_mail_gets_less_than_it_sent_and_is_nobody() {
    let mut listener = listen().await;
    let to: SocketAddr = listener.address().place.parse().unwrap();
    let genuine = first_packet().await;
    assert!(genuine.len() >= 1200);
    let mut other_version = genuine.clone();
    other_version[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
    let short_header = [&[0x40; 40][..], &[7; 1200]].concat();
    let asked = async {
        assert!((1..genuine.len()).contains(&answers(to, &genuine).await), "a Retry");
        assert!((1..200).contains(&answers(to, &other_version).await), "the versions there are");
        assert_eq!(answers(to, &genuine[..1199]).await, 0, "too short a first packet");
        assert_eq!(answers(to, &other_version[..600]).await, 0);
        assert!(answers(to, &short_header).await < short_header.len());
        for junk in [&[][..], &[0xff], &[0xc3; 1300], b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.9\r\n"] {
            assert!(answers(to, junk).await <= junk.len());
        }
    };
    tokio::select! {
        _ = listener.next() => panic!("somebody who has shown nothing came in"),
        () = asked => {}
    }
    let to = listener.address();
    let (mut a, mut b) = linked(&mut *listener, &to).await;
    carry(&mut a, &mut b, b"hello").await;
}

#[tokio::test]
async fn a_vacant_port_is_told_as_such() {
    let (transport, me) = (quic(), Identity::from_seed(&[1; 32]));
    let vacant = socket().await.local_addr().unwrap().to_string();
    let error = transport.dial(&Address::new(&vacant), &me).await.err().unwrap();
    let told = matches!(&error, LinkError::Unreachable { address, reason }
        if *address == vacant && reason.contains("refused"));
    assert!(told, "{error}");
    assert!(transport.dial(&Address::new("127.0.0.1"), &me).await.is_err());
}

/// The clock jumps to the deadline when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_silent_address_is_unreachable_at_the_deadline() {
    let (transport, me) = (quic(), Identity::from_seed(&[1; 32]));
    let silent = socket().await;
    let error =
        transport.dial(&Address::new(silent.local_addr().unwrap().to_string()), &me).await.err().unwrap();
    assert!(
        matches!(&error, LinkError::Unreachable { reason, .. } if reason == "no answer in time"),
        "{error}"
    );
}

/// Somebody between who dials on for the dialer, as a router does that shares an address.
struct Router {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Where it leads, from another port at each change.
    way: watch::Sender<SocketAddr>,
}

impl Router {
    async fn start(mut to: SocketAddr, spoils_every: usize) -> Self {
        let inside = socket().await;
        let address = inside.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (way, mut changes) = watch::channel(to);
        let record = Arc::clone(&seen);
        tokio::spawn(async move {
            let (mut outside, mut dialer) = (socket().await, None);
            let (mut up, mut down) = ([0; 2000], [0; 2000]);
            let mut count = 0;
            let mut note = |piece: &mut [u8]| {
                record.lock().unwrap().push(piece.to_vec());
                count += 1;
                if spoils_every > 0 && count % spoils_every == 0 {
                    let middle = piece.len() / 2;
                    piece[middle] ^= 1;
                }
            };
            loop {
                tokio::select! {
                    read = inside.recv_from(&mut up) => {
                        let (len, from) = read.unwrap();
                        dialer = Some(from);
                        note(&mut up[..len]);
                        outside.send_to(&up[..len], to).await.unwrap();
                    }
                    read = outside.recv_from(&mut down) => {
                        let (len, _) = read.unwrap();
                        note(&mut down[..len]);
                        inside.send_to(&down[..len], dialer.unwrap()).await.unwrap();
                    }
                    changed = changes.changed() => match changed {
                        Ok(()) => (outside, to) = (socket().await, *changes.borrow_and_update()),
                        Err(_) => return,
                    },
                }
            }
        });
        Self { address, seen, way }
    }
}

#[tokio::test]
async fn a_link_goes_on_when_the_dialers_address_changes() {
    let mut listener = listen().await;
    let to = listener.address().place.parse().unwrap();
    let router = Router::start(to, 0).await;
    let (mut a, mut b) = linked(&mut *listener, &Address::new(router.address.to_string())).await;
    carry(&mut a, &mut b, b"from the first address").await;
    carry(&mut b, &mut a, b"to the first address").await;
    for _ in 0..2 {
        router.way.send(to).unwrap();
        carry(&mut a, &mut b, b"from another address").await;
        carry(&mut b, &mut a, b"to another address").await;
    }
}

#[tokio::test]
async fn nothing_said_is_on_the_wire_and_what_was_changed_is_sent_again() {
    const TEXT: &[u8] = b"a text that nobody else is to read";
    let mut listener = listen().await;
    let router = Router::start(listener.address().place.parse().unwrap(), 5).await;
    let (mut a, mut b) = linked(&mut *listener, &Address::new(router.address.to_string())).await;
    for _ in 0..40 {
        carry(&mut a, &mut b, TEXT).await;
        carry(&mut b, &mut a, TEXT).await;
    }
    a.datagrams.as_ref().unwrap().send(Bytes::from_static(TEXT)).unwrap();
    carry(&mut a, &mut b, TEXT).await;
    let seen = router.seen.lock().unwrap();
    assert!(seen.len() > 80, "{}", seen.len());
    let public = Identity::from_seed(&[1; 32]).public();
    for needle in [TEXT, &TEXT[..12], public.as_bytes()] {
        assert!(seen.iter().all(|datagram| !datagram.windows(needle.len()).any(|window| window == needle)));
    }
}

/// A node that was killed and started again knows no link, and says so; another one in its place has no say.
#[tokio::test]
async fn who_was_started_again_frees_its_old_peers_and_nobody_else_does() {
    let mut listener = listen().await;
    let router = Router::start(listener.address().place.parse().unwrap(), 0).await;
    let (mut a, mut b) = linked(&mut *listener, &Address::new(router.address.to_string())).await;
    carry(&mut a, &mut b, b"before").await;
    let another = quic().listen(&Address::new("127.0.0.1:0"), &Identity::from_seed(&[3; 32])).await.unwrap();
    router.way.send(another.address().place.parse().unwrap()).unwrap();
    a.sink.send(Bytes::from_static(b"to nobody")).await.unwrap();
    assert!(timeout(QUIET, a.source.next()).await.is_err());
    let again = listen().await;
    router.way.send(again.address().place.parse().unwrap()).unwrap();
    a.sink.send(Bytes::from_static(b"to nobody either")).await.unwrap();
    let told = timeout(HANGS, a.source.next()).await.expect("it is told at all");
    let error = told.unwrap().unwrap_err();
    assert!(error.to_string().contains("does not know this link any more"), "{error}");
}

/// The keepalive of the other end would tell as well, in its time; here it has none to tell.
#[tokio::test]
async fn a_program_that_has_died_is_noticed_by_its_port() {
    let options = QuicOptions { keepalive_seconds: 1, idle_seconds: 3600, ..QuicOptions::default() };
    let patient = || Quic::build(options.clone()).unwrap();
    let on = Address::new("127.0.0.1:0");
    let mut listener = patient().listen(&on, &Identity::from_seed(&[2; 32])).await.unwrap();
    let to: SocketAddr = listener.address().place.parse().unwrap();
    let door = Router::start(to, 0).await;
    let (transport, me) = (patient(), Identity::from_seed(&[1; 32]));
    let at = Address::new(door.address.to_string());
    let accepted = async { listener.next().await.unwrap().handshake().await };
    let (dialed, accepted) = tokio::join!(transport.dial(&at, &me), accepted);
    let (mut a, mut b) = (secure(dialed.unwrap()), secure(accepted.unwrap()));
    carry(&mut a, &mut b, b"before").await;
    // Its task closes the sockets: whoever is behind them says no last word.
    drop(door);
    let noticed = timeout(HANGS, a.source.next()).await.expect("it is noticed at all");
    let error = noticed.unwrap().unwrap_err();
    assert!(error.to_string().contains("nobody is at the other end any more"), "{error}");
}
