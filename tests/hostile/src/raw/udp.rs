//! The transport `udp-arq`: long packets with Noise in them, then sealed short packets.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use aes::Aes256;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use chat_core::Identity;
use chat_core::transport::Role;
use chat_tests::PATIENCE;
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use transport_noise::{Handshake, MESSAGE_LENGTHS, Secured};

use super::{hello, seal};

const VERSION: [u8; 4] = [0x41, 0x52, 0x51, 0x01];
const HELLO: u8 = 1;
const REPLY: u8 = 2;
const FINISH: u8 = 3;
const RETRY: u8 = 5;
const LONG: u8 = 0b1100_0000;
const LONG_HEADER: usize = 15;
/// Shortest HELLO.
const MIN_HELLO: usize = 1200;

/// What a client says before anybody lets it in, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UdpStep {
    /// Noise message 1, padded; with a cookie if one was asked for.
    Hello,
    /// Noise message 3.
    Finish,
    /// The first sealed packet, with the record `Hello` in it.
    First,
}

impl UdpStep {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hello, Self::Finish, Self::First];
}

/// A client.
pub struct UdpPeer {
    socket: UdpSocket,
    handshake: Option<Handshake>,
    first: Vec<u8>,
    their_id: [u8; 8],
    keys: Option<Keys>,
    next: u64,
}

struct Keys {
    packet: [u8; 32],
    header: [u8; 32],
}

/// Pieces of a packet's inside, as documented.
pub mod chunk {
    /// A whole message of the link.
    pub fn whole(message: u64, bytes: &[u8]) -> Vec<u8> {
        [&[0x11][..], &varint(0), &varint(message), &varint(bytes.len() as u64), bytes].concat()
    }

    /// A piece of a message that claims any length and place.
    pub fn fragment(message: u64, total: u64, offset: u64, bytes: &[u8]) -> Vec<u8> {
        let numbers = [0, message, total, offset, bytes.len() as u64].map(varint).concat();
        [&[0x10][..], &numbers, bytes].concat()
    }

    /// An acknowledgement of one range.
    pub fn ack(largest: u64, first_len: u64) -> Vec<u8> {
        [&[0x02][..], &[largest, 0, 0, first_len].map(varint).concat()].concat()
    }

    /// RFC 9000 §16, in 8 bytes.
    fn varint(value: u64) -> Vec<u8> {
        (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec()
    }
}

impl UdpPeer {
    /// A socket from an address, and nothing said.
    pub fn new(from: IpAddr, to: &str, me: &Identity) -> Self {
        let socket = UdpSocket::bind((from, 0)).expect("a port");
        socket.connect(to).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut handshake = Handshake::new(Role::Initiator, "udp-arq", me).expect("randomness");
        let first = handshake.write_message().expect("our turn");
        Self { socket, handshake: Some(handshake), first, their_id: [0; 8], keys: None, next: 0 }
    }

    /// Is honest until this step comes next.
    pub fn at(from: IpAddr, to: &str, me: &Identity, step: UdpStep) -> Self {
        let mut peer = Self::new(from, to, me);
        for earlier in UdpStep::ALL.into_iter().filter(|earlier| *earlier < step) {
            let datagram = peer.genuine(earlier);
            peer.send(&datagram);
        }
        peer
    }

    /// What an honest client says at this step, after those before it.
    pub fn genuine(&mut self, step: UdpStep) -> Vec<u8> {
        match step {
            UdpStep::Hello => self.hello(None),
            UdpStep::Finish => {
                let second = self.reply();
                self.their_id = id_of(&second);
                let mut handshake = self.handshake.take().expect("not too late");
                handshake.read_message(&second).expect("a genuine answer");
                let third = handshake.write_message().expect("our turn");
                self.keys = Some(Keys::new(&handshake.finish().expect("it is finished")));
                long(FINISH, self.their_id, &third)
            }
            UdpStep::First => self.sealed(&chunk::whole(0, &hello())),
        }
    }

    fn hello(&self, cookie: Option<&[u8]>) -> Vec<u8> {
        let mut datagram = long(HELLO, [0; 8], &self.first);
        match cookie {
            Some(cookie) => datagram.extend([&[0x10], cookie].concat()),
            None => datagram.push(0),
        }
        datagram.resize(MIN_HELLO, 0);
        datagram
    }

    /// Waits for Noise message 2, and proves its address if it is asked to.
    fn reply(&self) -> Vec<u8> {
        loop {
            let datagram = self.receive();
            let message = datagram.get(LONG_HEADER..).unwrap_or_default();
            match datagram.first().map(|first| first & !LONG) {
                Some(REPLY) => return message.to_vec(),
                Some(RETRY) => self.send(&self.hello(Some(message))),
                _ => {}
            }
        }
    }

    /// Chunks in a sealed packet with the next number.
    pub fn sealed(&mut self, chunks: &[u8]) -> Vec<u8> {
        self.next += 1;
        self.sealed_as(self.next - 1, chunks)
    }

    /// Chunks in a sealed packet with any number below 2^32.
    pub fn sealed_as(&self, number: u64, chunks: &[u8]) -> Vec<u8> {
        let keys = self.keys.as_ref().expect("the handshake is done");
        let mut packet = [&[0b0100_0011][..], &self.their_id, &number.to_be_bytes()[4..]].concat();
        let header = packet.clone();
        packet.extend(seal(&keys.packet, number, &header, chunks));
        let mut mask: aes::Block = aes::Block::clone_from_slice(&packet[header.len()..][..16]);
        Aes256::new(&keys.header.into()).encrypt_block(&mut mask);
        packet[0] ^= mask[0] & 0b0001_1111;
        packet[9..13].iter_mut().zip(&mask[1..]).for_each(|(byte, mask)| *byte ^= mask);
        packet
    }

    /// Sends a datagram; it may be lost.
    pub fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).ok();
    }

    /// The next datagram.
    #[track_caller]
    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let read = self.socket.recv(&mut buffer).expect("an answer");
        buffer.truncate(read);
        buffer
    }

    /// How many bytes have come that nobody has read.
    pub fn unread(&self) -> usize {
        self.socket.set_nonblocking(true).expect("an option");
        let mut buffer = vec![0; 65_536];
        let all = std::iter::from_fn(|| self.socket.recv(&mut buffer).ok()).sum();
        self.socket.set_nonblocking(false).expect("an option");
        all
    }
}

/// Somebody who listens: each caller is answered by a function of what would be honest.
pub struct UdpServer {
    socket: UdpSocket,
}

impl UdpServer {
    /// Listens on a port of the system's choice.
    pub fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket }
    }

    /// Where.
    pub fn address(&self) -> String {
        self.socket.local_addr().expect("an address").to_string()
    }

    /// Takes one caller's HELLO; of the genuine REPLY the datagrams are said that `turn` makes of it, and the last of them
    /// again whenever the HELLO is repeated, as datagrams are lost. Whether the caller then proves who it is, by a genuine
    /// FINISH, before it has been silent for long.
    pub fn answer(&self, me: &Identity, turn: impl FnOnce(Vec<u8>) -> Vec<Vec<u8>>) -> bool {
        let (hello, caller) = self.next(&[HELLO]).expect("a caller");
        let first = &hello.1[..MESSAGE_LENGTHS[0]];
        let mut handshake = Handshake::new(Role::Responder, "udp-arq", me).expect("randomness");
        handshake.read_message(first).expect("a genuine first message");
        let second = handshake.write_message().expect("our turn");
        let said = turn(long(REPLY, id_of(first), &second));
        let say = |datagram: &Vec<u8>| drop(self.socket.send_to(datagram, caller));
        said.iter().for_each(say);
        while let Some(((kind, message), _)) = self.next(&[HELLO, FINISH]) {
            if kind == FINISH {
                return handshake.read_message(&message[..MESSAGE_LENGTHS[2]]).is_ok();
            }
            said.last().into_iter().for_each(say);
        }
        false
    }

    /// Ends the wait for a caller at `address` who has given up: by a FINISH of nobody.
    pub fn nobody_comes(address: &str) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let finish = long(FINISH, [0; 8], &[0; MESSAGE_LENGTHS[2]]);
        socket.send_to(&finish, address).expect("it is sent");
    }

    /// Kind and message of the next long packet of these kinds, with all that is behind it, and who sent it; if one comes.
    fn next(&self, kinds: &[u8]) -> Option<((u8, Vec<u8>), SocketAddr)> {
        let mut buffer = vec![0; 65_536];
        loop {
            let (read, from) = self.socket.recv_from(&mut buffer).ok()?;
            let kind = buffer[0] & !LONG;
            if kinds.contains(&kind) && read > LONG_HEADER {
                return Some(((kind, buffer[LONG_HEADER..read].to_vec()), from));
            }
        }
    }
}

impl Keys {
    fn new(secured: &Secured) -> Self {
        let first = Hkdf::<Sha256>::new(Some(&secured.handshake_hash), &*secured.send_key);
        let expand = |label: &[u8]| {
            let mut key = [0; 32];
            first.expand(label, &mut key).expect("a short key");
            key
        };
        Self { packet: expand(b"chat/arq/1 packet"), header: expand(b"chat/arq/1 header") }
    }
}

/// The connection id of the side that sent this first message.
fn id_of(message: &[u8]) -> [u8; 8] {
    let hash = Sha256::new_with_prefix(b"chat/arq/1 id").chain_update(message).finalize();
    hash[..8].try_into().expect("eight bytes")
}

fn long(kind: u8, to: [u8; 8], message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).expect("a short message");
    [&[LONG | kind][..], &VERSION, &to, &len.to_be_bytes(), message].concat()
}
