//! A proxy in front of a relay that writes down every byte that passes, in both directions.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Network, World};

/// Most bytes of a datagram.
const DATAGRAM_BYTES: usize = 65_536;

/// What one connection carried in one direction: a datagram each, or what was read at a time.
pub type Track = Vec<Vec<u8>>;

/// What passed in one direction.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<Track>>>);

/// A running proxy. It ends with the test.
pub struct Recorder {
    address: String,
    up: Tape,
    down: Tape,
}

impl Tape {
    fn lock(&self) -> MutexGuard<'_, Vec<Track>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins another recording; its number.
    fn begin(&self) -> usize {
        let mut tracks = self.lock();
        tracks.push(Vec::new());
        tracks.len() - 1
    }

    fn write(&self, track: usize, bytes: &[u8]) {
        self.lock()[track].push(bytes.to_vec());
    }
}

impl Recorder {
    /// Passes on what comes to an address of its own.
    pub fn start(world: &World, network: Network, relay: &str) -> Self {
        let relay: SocketAddr = relay.parse().expect("the relay's address");
        let (up, down) = (Tape::default(), Tape::default());
        let address = match network {
            Network::Tcp => tcp(world.ip(), relay, (up.clone(), down.clone())),
            Network::Udp => udp(world.ip(), relay, (up.clone(), down.clone())),
        };
        Self { address: address.to_string(), up, down }
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What went to the relay, a track each connection.
    pub fn to_relay(&self) -> Vec<Track> {
        self.up.lock().clone()
    }

    /// What came from the relay, a track each connection.
    pub fn from_relay(&self) -> Vec<Track> {
        self.down.lock().clone()
    }
}

fn tcp(ip: Ipv4Addr, relay: SocketAddr, (up, down): (Tape, Tape)) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(relay)) else { continue };
            let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { continue };
            let (up, down) = (up.clone(), down.clone());
            std::thread::spawn(move || copy(from_client, server, &up));
            std::thread::spawn(move || copy(from_server, client, &down));
        }
    });
    address
}

fn copy(mut from: TcpStream, mut to: TcpStream, tape: &Tape) {
    let track = tape.begin();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        tape.write(track, &buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // An error says that the other side has gone already.
    to.shutdown(Shutdown::Write).ok();
}

fn udp(ip: Ipv4Addr, relay: SocketAddr, (up, down): (Tape, Tape)) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a port");
    let address = socket.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut clients: HashMap<SocketAddr, (UdpSocket, usize)> = HashMap::new();
        let mut buffer = vec![0; DATAGRAM_BYTES];
        // An error of one datagram (nobody there any more) is none of the socket.
        loop {
            let Ok((read, client)) = socket.recv_from(&mut buffer) else { continue };
            let (server, track) = clients.entry(client).or_insert_with(|| {
                let back = socket.try_clone().expect("a second hand");
                (answering(ip, relay, client, back, down.clone()), up.begin())
            });
            up.write(*track, &buffer[..read]);
            server.send(&buffer[..read]).ok();
        }
    });
    address
}

/// A socket of its own for each client, as the relay tells clients apart by their address.
fn answering(ip: Ipv4Addr, relay: SocketAddr, client: SocketAddr, back: UdpSocket, tape: Tape) -> UdpSocket {
    let server = UdpSocket::bind((ip, 0)).expect("a port");
    server.connect(relay).expect("the relay's address");
    let from = server.try_clone().expect("a second hand");
    std::thread::spawn(move || {
        let track = tape.begin();
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let Ok(read) = from.recv(&mut buffer) else { continue };
            tape.write(track, &buffer[..read]);
            back.send_to(&buffer[..read], client).ok();
        }
    });
    server
}
