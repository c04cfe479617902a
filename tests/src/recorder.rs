//! A proxy in front of a relay that writes down every byte that passes, in both directions, and may meddle with it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Network, World};

/// Most bytes of a datagram.
const DATAGRAM_BYTES: usize = 65_536;

/// Which way a piece goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client to the relay.
    Up,
    /// From the relay to a client.
    Down,
}

/// What one connection carried in one direction: a datagram each, or what was read at a time.
pub type Track = Vec<Vec<u8>>;

/// What becomes of a piece: the pieces that are passed on in its place.
pub type Meddler = dyn Fn(Direction, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync;

/// One direction: what passed before anybody meddled with it.
#[derive(Clone)]
struct Way {
    direction: Direction,
    tracks: Arc<Mutex<Vec<Track>>>,
    meddler: Arc<Meddler>,
}

/// A running proxy. It ends with the test.
pub struct Recorder {
    address: String,
    up: Way,
    down: Way,
}

impl Way {
    fn new(direction: Direction, meddler: &Arc<Meddler>) -> Self {
        Self { direction, tracks: Arc::default(), meddler: Arc::clone(meddler) }
    }

    fn tracks(&self) -> MutexGuard<'_, Vec<Track>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins another recording; its number.
    fn begin(&self) -> usize {
        let mut tracks = self.tracks();
        tracks.push(Vec::new());
        tracks.len() - 1
    }

    /// Writes down a piece; what is to be passed on in its place.
    fn pass(&self, track: usize, piece: &[u8]) -> Vec<Vec<u8>> {
        self.tracks()[track].push(piece.to_vec());
        (self.meddler)(self.direction, piece.to_vec())
    }
}

impl Recorder {
    /// Passes on what comes to an address of its own.
    pub fn start(world: &World, network: Network, relay: &str) -> Self {
        Self::meddling(world, network, relay, Arc::new(|_, piece| vec![piece]))
    }

    /// As [`Recorder::start`], but what is passed on is what `meddler` makes of it.
    pub fn meddling(world: &World, network: Network, relay: &str, meddler: Arc<Meddler>) -> Self {
        let relay: SocketAddr = relay.parse().expect("the relay's address");
        let (up, down) = (Way::new(Direction::Up, &meddler), Way::new(Direction::Down, &meddler));
        let ways = (up.clone(), down.clone());
        let address = match network {
            Network::Tcp => tcp(world.ip(), relay, ways),
            Network::Udp => udp(world.ip(), relay, ways),
        };
        Self { address: address.to_string(), up, down }
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What went to the relay, a track each connection.
    pub fn to_relay(&self) -> Vec<Track> {
        self.up.tracks().clone()
    }

    /// What came from the relay, a track each connection.
    pub fn from_relay(&self) -> Vec<Track> {
        self.down.tracks().clone()
    }
}

fn tcp(ip: Ipv4Addr, relay: SocketAddr, (up, down): (Way, Way)) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Without the relay, whoever calls is hung up on.
            let Ok(server) = TcpStream::connect(relay) else { continue };
            let hands =
                (client.try_clone().expect("a second hand"), server.try_clone().expect("a second hand"));
            let (up, down) = (up.clone(), down.clone());
            std::thread::spawn(move || copy(hands.0, server, &up));
            std::thread::spawn(move || copy(hands.1, client, &down));
        }
    });
    address
}

fn copy(mut from: TcpStream, mut to: TcpStream, way: &Way) {
    let track = way.begin();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    // Errors say that one of the sides has gone.
    to.set_nodelay(true).ok();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if way.pass(track, &buffer[..read]).iter().any(|piece| to.write_all(piece).is_err()) {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

fn udp(ip: Ipv4Addr, relay: SocketAddr, (up, down): (Way, Way)) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a port");
    let address = socket.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut clients: HashMap<SocketAddr, (UdpSocket, usize)> = HashMap::new();
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            // An error of one datagram (nobody there any more) is none of the socket.
            let Ok((read, client)) = socket.recv_from(&mut buffer) else { continue };
            let (server, track) = clients.entry(client).or_insert_with(|| {
                let back = socket.try_clone().expect("a second hand");
                (answering(ip, relay, client, back, down.clone()), up.begin())
            });
            for piece in up.pass(*track, &buffer[..read]) {
                server.send(&piece).ok();
            }
        }
    });
    address
}

/// A socket of its own for each client, as the relay tells clients apart by their address.
fn answering(ip: Ipv4Addr, relay: SocketAddr, client: SocketAddr, back: UdpSocket, way: Way) -> UdpSocket {
    let server = UdpSocket::bind((ip, 0)).expect("a port");
    server.connect(relay).expect("the relay's address");
    let from = server.try_clone().expect("a second hand");
    std::thread::spawn(move || {
        let track = way.begin();
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let Ok(read) = from.recv(&mut buffer) else { continue };
            for piece in way.pass(track, &buffer[..read]) {
                back.send_to(&piece, client).ok();
            }
        }
    });
    server
}
