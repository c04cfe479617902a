//! The UDP proxy does on real sockets what its model says, packet by packet.

#![allow(clippy::unwrap_used, clippy::panic)] // Clippy sees a test only in functions that carry the attribute.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use impair::{Impairment, Line, Probability, Proxy, ProxyConfig, ProxyFigures};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn percent(n: u32) -> Probability {
    Probability::percent(n)
}

/// A client, the proxy, and the target.
struct Path {
    client: UdpSocket,
    proxy: Proxy,
    target: UdpSocket,
}

async fn path(config: ProxyConfig) -> Path {
    let target = UdpSocket::bind(ANY).await.unwrap();
    let proxy = Proxy::udp(ANY, target.local_addr().unwrap(), config).await.unwrap();
    Path { client: client(&proxy).await, proxy, target }
}

async fn client(proxy: &Proxy) -> UdpSocket {
    let client = UdpSocket::bind(ANY).await.unwrap();
    client.connect(proxy.address()).await.unwrap();
    client
}

/// Waits until the figures are as they are to be.
async fn until(proxy: &Proxy, fits: impl FnMut(&ProxyFigures) -> bool) -> ProxyFigures {
    let mut watch = proxy.watch();
    let found = timeout(PATIENCE, watch.wait_for(fits)).await;
    *found.unwrap_or_else(|_| panic!("{:?}", proxy.figures())).unwrap()
}

/// The next packet, and who sent it.
async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (bytes, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(bytes);
    (buffer, from)
}

/// What the model makes of these packets, without any time passing.
fn modelled(impairment: &Impairment, seed: u64, packets: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut line = Line::new(impairment.clone(), seed);
    let mut arrived = Vec::new();
    for packet in packets {
        line.push(Duration::ZERO, packet);
        arrived.extend(std::iter::from_fn(|| line.pop(Duration::ZERO)));
    }
    arrived
}

/// Loss, copies and flipped bits in both directions: exactly those of the model with the seeds of the first client.
#[tokio::test]
async fn what_arrives_is_what_the_model_says() {
    let impairment = Impairment {
        loss: percent(30),
        burst: Some(3),
        duplicate: percent(10),
        corrupt: percent(10),
        ..Impairment::NONE
    };
    let config = ProxyConfig::new(impairment.clone(), 7);
    let (up, down) = config.seeds(0);
    let packets = || (0..2000_u32).map(|n| n.to_be_bytes().to_vec());
    let there = modelled(&impairment, up, packets());
    let back = modelled(&impairment, down, there.iter().cloned());

    let path = path(config).await;
    let (mut at_target, mut at_client) = (Vec::new(), Vec::new());
    for (n, packet) in (1..).zip(packets()) {
        path.client.send(&packet).await.unwrap();
        // One after the other: no buffer of a socket overflows.
        let now = until(&path.proxy, |it| it.up.offered == n).await;
        while at_target.len() < now.up.delivered as usize {
            let (packet, from) = receive(&path.target).await;
            path.target.send_to(&packet, from).await.unwrap();
            at_target.push(packet);
            let answered = at_target.len() as u64;
            let now = until(&path.proxy, |it| it.down.offered == answered).await;
            while at_client.len() < now.down.delivered as usize {
                at_client.push(receive(&path.client).await.0);
            }
        }
    }
    assert_eq!(at_target, there);
    assert_eq!(at_client, back);
    let it = path.proxy.stop().await;
    assert_eq!((it.clients, it.refused, it.failed), (1, 0, 0));
    let lost = it.up.lost as f64 / 2000.0;
    assert!((lost - 0.3).abs() < 0.05, "{lost}");
}

#[tokio::test]
async fn never_earlier_than_the_delay() {
    let delay = Duration::from_millis(40);
    let impairment = Impairment { delay, jitter: delay / 2, ..Impairment::NONE };
    let path = path(ProxyConfig::new(impairment, 7)).await;
    let begun = Instant::now();
    let mut sent = Vec::new();
    for n in 0..50_u8 {
        sent.push(begun.elapsed());
        path.client.send(&[n]).await.unwrap();
    }
    for _ in 0..50 {
        let (packet, from) = receive(&path.target).await;
        let took = begun.elapsed() - sent[usize::from(packet[0])];
        assert!(took >= delay, "{took:?}");
        path.target.send_to(&packet, from).await.unwrap();
    }
    for _ in 0..50 {
        let (packet, _) = receive(&path.client).await;
        let took = begun.elapsed() - sent[usize::from(packet[0])];
        assert!(took >= 2 * delay, "{took:?}");
    }
}

#[tokio::test]
async fn one_way_alone() {
    let mut config = ProxyConfig::new(Impairment::NONE, 7);
    config.down = Impairment::CUT;
    let path = path(config).await;
    path.client.send(b"there").await.unwrap();
    let (packet, from) = receive(&path.target).await;
    assert_eq!(packet, b"there");
    path.target.send_to(b"back", from).await.unwrap();
    let it = until(&path.proxy, |it| it.down.offered == 1).await;
    assert_eq!((it.down.lost, it.down.delivered, it.up.delivered), (1, 0, 1));
}

/// The target tells clients apart by their address, and each gets its own answers; an empty packet is one too.
#[tokio::test]
async fn each_client_has_a_socket_of_its_own() {
    let path = path(ProxyConfig::new(Impairment::NONE, 7)).await;
    let other = client(&path.proxy).await;
    path.client.send(b"").await.unwrap();
    let (packet, first) = receive(&path.target).await;
    assert_eq!(packet, b"");
    other.send(b"other").await.unwrap();
    let (packet, second) = receive(&path.target).await;
    assert_eq!(packet, b"other");
    assert_ne!(first, second);
    path.target.send_to(b"to the other", second).await.unwrap();
    path.target.send_to(b"to the first", first).await.unwrap();
    assert_eq!(receive(&path.client).await.0, b"to the first");
    assert_eq!(receive(&other).await.0, b"to the other");
}

#[tokio::test]
async fn clients_are_bounded_and_forgotten() {
    let mut config = ProxyConfig::new(Impairment::NONE, 7);
    config.max_clients = 1;
    let path = path(config.clone()).await;
    path.client.send(b"one").await.unwrap();
    receive(&path.target).await;
    client(&path.proxy).await.send(b"one too many").await.unwrap();
    let it = until(&path.proxy, |it| it.refused == 1).await;
    assert_eq!((it.active, it.clients, it.up.offered), (1, 1, 1));
    path.client.send(b"still there").await.unwrap();
    assert_eq!(receive(&path.target).await.0, b"still there");

    config.idle = Duration::from_millis(1);
    let path = self::path(config).await;
    for n in 1..=3 {
        path.client.send(&[n]).await.unwrap();
        assert_eq!(receive(&path.target).await.0, [n]);
        let it = until(&path.proxy, |it| it.active == 0).await;
        assert_eq!((it.clients, it.up.delivered), (u64::from(n), u64::from(n)), "what it did is remembered");
    }
}

/// A client is not forgotten while something is on its way to it.
#[tokio::test]
async fn what_is_under_way_outlives_idleness() {
    let delay = Duration::from_millis(50);
    let mut config = ProxyConfig::new(Impairment { delay, ..Impairment::NONE }, 7);
    config.idle = Duration::from_millis(1);
    let path = path(config).await;
    path.client.send(b"slow").await.unwrap();
    assert_eq!(receive(&path.target).await.0, b"slow");
}

#[tokio::test]
async fn a_target_that_is_not_there_is_no_end() {
    let Path { client, proxy, target } = path(ProxyConfig::new(Impairment::NONE, 7)).await;
    let address = target.local_addr().unwrap();
    drop(target);
    client.send(b"nobody").await.unwrap();
    until(&proxy, |it| it.up.delivered + it.failed > 0).await;
    let target = UdpSocket::bind(address).await.unwrap();
    client.send(b"somebody").await.unwrap();
    assert_eq!(receive(&target).await.0, b"somebody");
}
