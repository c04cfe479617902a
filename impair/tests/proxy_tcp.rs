//! The TCP proxy passes on every byte, ends and resets, late as it may be.

#![allow(clippy::unwrap_used)] // Clippy sees a test only in functions that carry the attribute.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use impair::{Blackhole, Impairment, Probability, Proxy, ProxyConfig, ProxyFigures, StreamLine};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const MS: Duration = Duration::from_millis(1);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// A proxy in front of a listener.
async fn proxy(config: ProxyConfig) -> (Proxy, TcpListener) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let proxy = Proxy::tcp(ANY, listener.local_addr().unwrap(), config).await.unwrap();
    (proxy, listener)
}

/// Both ends of a connection through a proxy.
async fn connect(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    (client, within(listener.accept()).await.unwrap().0)
}

async fn until(proxy: &Proxy, fits: impl FnMut(&ProxyFigures) -> bool) -> ProxyFigures {
    *within(proxy.watch().wait_for(fits)).await.unwrap()
}

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

fn text(bytes: usize, step: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * step % 251) as u8).collect()
}

/// Everything that a stream shows, but for flipped bits.
fn impaired() -> Impairment {
    Impairment {
        loss: Probability::percent(1),
        burst: Some(2),
        delay: 2 * MS,
        jitter: 3 * MS,
        rate: Some(4_000_000),
        queue: 30_000,
        blackhole: Some(Blackhole { closed: 5 * MS, every: 50 * MS }),
        ..Impairment::NONE
    }
}

#[tokio::test]
async fn every_byte_arrives_both_ways_at_once() {
    for impairment in [Impairment::NONE, impaired()] {
        let (proxy, listener) = proxy(ProxyConfig::new(impairment, 7)).await;
        let (client, target) = connect(&proxy, &listener).await;
        let texts = [text(300_000, 1), text(200_000, 7)];
        let one_end = |stream: TcpStream, text: Vec<u8>| async move {
            let (mut from, mut to) = stream.into_split();
            let writing = async move {
                to.write_all(&text).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let mut bytes = Vec::new();
            let (_, read) = tokio::join!(writing, from.read_to_end(&mut bytes));
            read.unwrap();
            bytes
        };
        let ends = [
            tokio::spawn(one_end(client, texts[0].clone())),
            tokio::spawn(one_end(target, texts[1].clone())),
        ];
        let [at_client, at_target] = ends;
        assert!(within(at_client).await.unwrap() == texts[1]);
        assert!(within(at_target).await.unwrap() == texts[0]);
        let it = until(&proxy, |it| it.active == 0).await;
        assert_eq!((it.clients, it.up.delivered_bytes, it.down.delivered_bytes), (1, 300_000, 200_000));
    }
}

/// Whoever has said all may still listen.
#[tokio::test]
async fn an_end_is_passed_on_alone() {
    let (proxy, listener) = proxy(ProxyConfig::new(Impairment::NONE, 7)).await;
    let (mut client, mut target) = connect(&proxy, &listener).await;
    client.write_all(b"that is all").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut target).await, b"that is all");
    target.write_all(b"well then").await.unwrap();
    target.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, b"well then");
    until(&proxy, |it| it.active == 0).await;
}

#[tokio::test]
async fn a_reset_is_passed_on_as_one() {
    let (proxy, listener) =
        proxy(ProxyConfig::new(Impairment { delay: 5 * MS, ..Impairment::NONE }, 7)).await;
    for by_client in [true, false] {
        let (client, target) = connect(&proxy, &listener).await;
        let (one, mut other) = if by_client { (client, target) } else { (target, client) };
        one.set_zero_linger().unwrap();
        drop(one);
        let read = within(other.read(&mut [0; 10])).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset, "by the client: {by_client}");
        until(&proxy, |it| it.active == 0).await;
    }
}

#[tokio::test]
async fn without_a_target_the_client_is_reset() {
    // Bound, and not listening: nobody else has the port, and whoever connects is refused.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind(ANY).unwrap();
    let config = ProxyConfig::new(Impairment::NONE, 7);
    let proxy = Proxy::tcp(ANY, nobody.local_addr().unwrap(), config).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let read = within(client.read(&mut [0; 10])).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let it = until(&proxy, |it| it.active == 0 && it.clients == 1).await;
    assert_eq!(it.failed, 1);
}

#[tokio::test]
async fn connections_are_bounded() {
    let mut config = ProxyConfig::new(Impairment::NONE, 7);
    config.max_clients = 1;
    let (proxy, listener) = proxy(config).await;
    let (mut client, mut target) = connect(&proxy, &listener).await;
    let mut further = TcpStream::connect(proxy.address()).await.unwrap();
    let read = within(further.read(&mut [0; 10])).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(until(&proxy, |it| it.refused == 1).await.clients, 1);
    client.write_all(b"still there").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut target).await, b"still there");
}

#[tokio::test]
async fn never_earlier_than_the_delay() {
    let delay = 40 * MS;
    let impairment = Impairment { delay, jitter: delay / 2, ..Impairment::NONE };
    let (proxy, listener) = proxy(ProxyConfig::new(impairment, 7)).await;
    let (mut client, mut target) = connect(&proxy, &listener).await;
    for n in 0..5_u8 {
        let sent = Instant::now();
        client.write_all(&[n]).await.unwrap();
        assert_eq!(within(target.read_u8()).await.unwrap(), n);
        assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
        target.write_all(&[n]).await.unwrap();
        assert_eq!(within(client.read_u8()).await.unwrap(), n);
        assert!(sent.elapsed() >= 2 * delay, "{:?}", sent.elapsed());
    }
}

/// As many segments as the model says come late, and all of them come.
#[tokio::test]
async fn loss_is_time() {
    const SEGMENTS: u64 = 300;
    let impairment = Impairment { loss: Probability::percent(30), ..Impairment::NONE };
    let mut config = ProxyConfig::new(Impairment::NONE, 7);
    config.up = impairment.clone();
    let mut model = StreamLine::new(impairment, config.seeds(0).0);
    let (proxy, listener) = proxy(config).await;
    let (mut client, mut target) = connect(&proxy, &listener).await;
    let begun = Instant::now();
    for n in 1..=SEGMENTS {
        client.write_all(&[1]).await.unwrap();
        until(&proxy, |it| it.up.offered == n).await;
        model.write(Duration::ZERO, &[1]);
    }
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut target).await.len() as u64, SEGMENTS);
    assert!(begun.elapsed() >= StreamLine::MIN_RTO);
    let lost = proxy.figures().up.lost;
    assert_eq!(lost, model.figures().lost);
    assert!((lost as f64 / SEGMENTS as f64 - 0.3).abs() < 0.08, "{lost}");
}

/// A line that is full holds the sender back; once it is cut, no more than its bound is taken from the sender.
#[tokio::test]
async fn what_is_taken_from_a_sender_is_bounded() {
    let mut config = ProxyConfig::new(Impairment::NONE, 7);
    config.up = Impairment::CUT;
    let (proxy, listener) = proxy(config).await;
    let (mut client, _target) = connect(&proxy, &listener).await;
    let most = StreamLine::MAX_BYTES as u64;
    let writing = tokio::spawn(async move {
        // It ends with the proxy.
        while client.write_all(&[1; 1000]).await.is_ok() {}
    });
    assert_eq!(until(&proxy, |it| it.up.offered_bytes >= most).await.up.offered_bytes, most);
    let it = proxy.stop().await;
    assert_eq!((it.up.offered_bytes, it.up.delivered_bytes), (most, 0));
    within(writing).await.unwrap();
}
