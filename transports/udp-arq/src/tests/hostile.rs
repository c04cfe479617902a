//! Packets that were forged, replayed, or sealed by a peer that breaks the protocol.

use std::time::Duration;

use bytes::Bytes;

use super::Rng;
use super::net::Path;
use super::pair::Pair;
use super::world::{CLIENT, SERVER, World, address};
use crate::chunk::{self, CloseCode, Data};
use crate::config::Config;
use crate::connection::{Connection, End};
use crate::protect::SendKeys;
use crate::stream::{OVERHEAD, WINDOW};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// All of a connection that a packet could change, as text.
fn snapshot(end: &Connection) -> String {
    format!("{:?} {:?} {:?} {} {}", end.figures(), end.end(), end.poll_timeout(), end.held(), end.tracked())
}

/// A packet that side 0 might have sealed.
fn sealed_by_peer(pair: &Pair, number: u64, inside: &[u8]) -> Vec<u8> {
    let to = pair.ends[0].remote_id();
    let mut keys = SendKeys::new(pair.now(), &[1; 32], &[9; 32], to, Config::default().keys).unwrap();
    let mut packet = Vec::new();
    keys.begin(&mut packet, number, 4);
    packet.extend_from_slice(inside);
    keys.seal(&mut packet, 0, number, 4).unwrap();
    packet
}

/// Lets side 1 read a packet from a peer that has the keys.
fn end_after(inside: &[u8]) -> Option<End> {
    let mut pair = Pair::new(1, Path::clean());
    pair.run_for(SECOND);
    let mut packet = sealed_by_peer(&pair, 1000, inside);
    let now = pair.now();
    assert!(pair.ends[1].handle_datagram(now, &mut packet), "the packet itself is genuine");
    pair.ends[1].end()
}

fn ack(largest: u64, first_len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    chunk::put_ack(&mut out, 100, 0, std::iter::once(&(largest + 1 - first_len..largest + 1)));
    out
}

fn data(message: u64, total: usize, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    chunk::put_data(&mut out, &Data { stream: 0, message, total, offset, bytes });
    out
}

#[test]
fn a_flipped_bit_in_any_byte_is_ignored_and_the_genuine_packet_still_counts() {
    let mut pair = Pair::new(2, Path::clean());
    pair.run_for(SECOND);
    pair.ends[0].send(Bytes::from_static(b"a frame that matters")).unwrap();
    let genuine = pair.next_datagram(0);
    let (now, before) = (pair.now(), snapshot(&pair.ends[1]));
    // The id, bytes 1 to 8, is what the endpoint finds the connection by.
    for byte in (0..1).chain(9..genuine.len()) {
        for bit in 0..8 {
            let mut flipped = genuine.clone();
            flipped[byte] ^= 1 << bit;
            assert!(!pair.ends[1].handle_datagram(now, &mut flipped), "byte {byte} bit {bit}");
        }
    }
    for len in 0..genuine.len() {
        assert!(!pair.ends[1].handle_datagram(now, &mut genuine.clone()[..len]));
    }
    assert_eq!(snapshot(&pair.ends[1]), before);
    assert!(pair.ends[1].handle_datagram(now, &mut genuine.clone()));
    assert_eq!(pair.ends[1].poll_frame().unwrap(), &b"a frame that matters"[..]);
}

#[test]
fn replayed_and_reflected_packets_are_ignored() {
    let mut pair = Pair::new(3, Path::clean());
    pair.net.tap = Some(Vec::new());
    for n in 0..50u8 {
        pair.to_send[0].push_back(Bytes::from(vec![n; 40]));
        pair.to_send[1].push_back(Bytes::from(vec![n; 40]));
        pair.run_for(30 * MS);
    }
    pair.run_for(SECOND);
    let before = [snapshot(&pair.ends[0]), snapshot(&pair.ends[1])];
    let seen = pair.net.tap.take().unwrap();
    assert!(seen.len() > 100);
    let now = pair.now();
    for datagram in seen {
        for side in 0..2 {
            let mut bytes = datagram.bytes.clone();
            assert!(!pair.ends[side].handle_datagram(now, &mut bytes), "from {} to {side}", datagram.from);
        }
    }
    assert_eq!([snapshot(&pair.ends[0]), snapshot(&pair.ends[1])], before);
    assert_eq!(pair.received.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50]);
}

#[test]
fn an_ack_or_close_of_somebody_without_the_key_is_ignored() {
    let mut pair = Pair::new(4, Path::clean());
    pair.run_for(SECOND);
    let (now, before) = (pair.now(), snapshot(&pair.ends[1]));
    for inside in [ack(3, 4), {
        let mut out = Vec::new();
        chunk::put_close(&mut out, CloseCode::Done);
        out
    }] {
        let to = pair.ends[0].remote_id();
        let mut keys = SendKeys::new(now, &[66; 32], &[9; 32], to, Config::default().keys).unwrap();
        let mut forged = Vec::new();
        keys.begin(&mut forged, 99, 4);
        forged.extend_from_slice(&inside);
        let mut bare = forged.clone();
        bare.extend_from_slice(&[0; 16]);
        keys.seal(&mut forged, 0, 99, 4).unwrap();
        assert!(!pair.ends[1].handle_datagram(now, &mut forged));
        assert!(!pair.ends[1].handle_datagram(now, &mut bare));
    }
    assert_eq!(snapshot(&pair.ends[1]), before);
}

#[test]
fn a_peer_that_breaks_the_protocol_is_cut() {
    let mut ranges = vec![2u8];
    crate::varint::put(&mut ranges, 1_000_000);
    ranges.push(0);
    crate::varint::put(&mut ranges, 10_000);
    ranges.resize(40_000, 0);
    let mut fin = Vec::new();
    chunk::put_fin(&mut fin, 0, 5);
    chunk::put_fin(&mut fin, 0, 6);
    let mut other_stream = Vec::new();
    chunk::put_data(&mut other_stream, &Data { stream: 1, message: 0, total: 1, offset: 0, bytes: b"x" });
    let oversize = {
        let mut out = vec![0x10, 0, 0];
        crate::varint::put(&mut out, (2 << 20) + 1);
        out.extend_from_slice(&[0, 1, 7]);
        out
    };
    let over_credit: Vec<u8> = (0..3).flat_map(|n| data(n, 2 << 20, 0, b"x")).collect();
    let cases = [
        ("an ACK of the future", ack(5000, 1)),
        ("an ACK of everything up to the future", ack(1 << 40, 1 << 40)),
        ("10 000 ranges", ranges),
        ("an end that moves", fin),
        ("a stream that is not there", other_stream),
        ("a message over the limit", oversize),
        ("more than the credit", over_credit),
        ("a message far ahead", data(WINDOW / OVERHEAD, 1, 0, b"x")),
        ("an unknown chunk", vec![0x3f]),
        ("a chunk cut off", vec![0x11, 0]),
    ];
    for (what, inside) in cases {
        assert!(matches!(end_after(&inside), Some(End::Protocol(_))), "{what}: {:?}", end_after(&inside));
    }
    assert_eq!(end_after(&data(0, 1, 0, b"x")), None, "the harness itself breaks nothing");
}

#[test]
fn an_ack_of_a_number_that_was_left_out_is_found_out() {
    let mut pair = Pair::new(5, Path::clean());
    for n in 0..400u32 {
        pair.to_send[1].push_back(Bytes::from(n.to_be_bytes().to_vec()));
        pair.run_for(5 * MS);
    }
    pair.run_for(SECOND);
    assert_eq!(pair.received[0].len(), 400);
    // It has had no reason to be suspicious; now "all of them" is claimed. Some of the numbers never left.
    let now = pair.now();
    for n in 0..20u32 {
        pair.ends[1].send(Bytes::from(n.to_be_bytes().to_vec())).unwrap();
        pair.next_datagram(1);
    }
    for _ in 0..2000 {
        if pair.ends[1].end().is_some() {
            break;
        }
        pair.ends[1].send(Bytes::from_static(b"more")).unwrap();
        let mut out = Vec::new();
        if !pair.ends[1].poll_transmit(now, &mut out) {
            let sent = pair.ends[1].next_number();
            let mut packet = sealed_by_peer(&pair, 2000 + sent, &ack(sent - 1, sent));
            pair.ends[1].handle_datagram(now, &mut packet);
        }
    }
    assert!(matches!(pair.ends[1].end(), Some(End::Protocol(_))));
}

#[test]
fn random_insides_of_genuine_packets_never_panic_nor_grow() {
    let mut rng = Rng::new(6);
    let mut ended = 0;
    for round in 0..300 {
        let mut pair = Pair::new(round, Path::clean());
        pair.run_for(100 * MS);
        for number in 0..40 {
            let mut inside = rng.bytes_up_to(60);
            if let Some(first) = inside.first_mut() {
                *first = [1, 2, 3, 4, 5, 16, 17][usize::from(*first) % 7];
            }
            let mut packet = sealed_by_peer(&pair, 1000 + number, &inside);
            let now = pair.now();
            pair.ends[1].handle_datagram(now, &mut packet);
            pair.ends[1].handle_timeout(now);
            let mut out = Vec::new();
            while pair.ends[1].poll_transmit(now, &mut out) {}
            assert!(pair.ends[1].held() <= WINDOW && out.len() < 100_000);
        }
        ended += usize::from(pair.ends[1].end().is_some());
    }
    assert!(ended > 200, "{ended}");
}

#[test]
fn random_datagrams_never_open() {
    let mut pair = Pair::new(7, Path::clean());
    pair.run_for(SECOND);
    let (mut rng, now, before) = (Rng::new(8), pair.now(), snapshot(&pair.ends[1]));
    for _ in 0..50_000 {
        let mut bytes = rng.bytes_up_to(80);
        if let Some(first) = bytes.first_mut() {
            *first = 0x40 | (*first & 0x3f);
        }
        assert!(!pair.ends[1].handle_datagram(now, &mut bytes));
    }
    assert_eq!(snapshot(&pair.ends[1]), before);
}

#[test]
fn too_many_forgeries_close_the_connection() {
    let mut config = Config::default();
    config.keys.forgeries = 100;
    let mut pair = Pair::with(9, Path::clean(), &config, 0);
    pair.run_for(SECOND);
    let now = pair.now();
    for n in 0..100 {
        assert_eq!(pair.ends[1].end(), None, "{n}");
        pair.ends[1].handle_datagram(now, &mut [0x40; 60]);
    }
    assert_eq!(pair.ends[1].end(), Some(End::KeyLimit));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[0].end(), Some(End::KeyLimit), "and the peer is told");
}

#[test]
fn a_key_that_cannot_be_updated_closes_the_connection_at_its_limit() {
    let mut config = Config::default();
    config.keys.seals = 60;
    let mut pair = Pair::with(10, Path::clean(), &config, 0);
    (0..100u8).for_each(|n| pair.to_send[0].push_back(Bytes::from(vec![n; 1000])));
    pair.run_for(5 * SECOND);
    assert_eq!(pair.ends.iter().map(Connection::end).collect::<Vec<_>>(), [Some(End::KeyLimit); 2]);
    assert!(pair.received[1].len() < 60);
}

#[test]
fn memory_is_bounded_when_nobody_reads() {
    let mut pair = Pair::new(11, Path::lossy(0.01));
    pair.reading[1] = false;
    pair.to_send[0].extend((0..20_000u32).map(|n| Bytes::from(n.to_be_bytes().repeat(200))));
    let (mut most_held, mut most_buffered, mut most_tracked) = (0, 0, 0);
    for _ in 0..1200 {
        pair.run_for(100 * MS);
        most_held = most_held.max(pair.ends[1].held());
        most_buffered = most_buffered.max(pair.ends[0].buffered());
        most_tracked = most_tracked.max(pair.ends[0].tracked());
    }
    assert!(most_held <= WINDOW && most_held > WINDOW / 2, "{most_held}");
    assert!(most_buffered <= Config::default().send_buffer + 1000, "{most_buffered}");
    assert!(most_tracked < 10_000, "{most_tracked}");
    assert!(pair.ends[0].end().is_none(), "a slow reader is no reason to end: {:?}", pair.ends[0].end());
    pair.reading[1] = true;
    assert!(pair.deliver(600 * SECOND, 20_000), "and it goes on when somebody reads again");
    assert!(pair.received[1].iter().zip(0u32..).all(|(frame, n)| frame[..4] == n.to_be_bytes()));
}

#[test]
fn two_connections_of_one_socket_do_not_mix() {
    let mut world = World::new(12, Path { reorder: 0.2, ..Path::lossy(0.1) });
    let (first, first_there) = world.connect();
    let (second, second_there) = world.connect();
    world.net.tap = Some(Vec::new());
    for _ in 0..100 {
        world.send(CLIENT, first, b"one");
        world.send(CLIENT, second, b"two");
        world.run_for(10 * MS);
    }
    world.run_for(5 * SECOND);
    for (handle, frame) in [(first_there, &b"one"[..]), (second_there, b"two")] {
        let got: Vec<_> = world.received[SERVER].iter().filter(|(to, _)| *to == handle).collect();
        assert!(got.len() == 100 && got.iter().all(|(_, got)| got == frame));
    }
    // A packet of the one with the id of the other does not open there.
    let ids = [first, second].map(|handle| world.connection(CLIENT, handle).remote_id());
    let garbage = world.ends[SERVER].discarded().garbage;
    let seen = world.net.tap.take().unwrap();
    let mut tried = 0;
    for datagram in seen.iter().filter(|seen| seen.from == CLIENT && seen.bytes[0] & 0xc0 == 0x40) {
        let mut spliced = datagram.bytes.clone();
        let other = if spliced[1..9] == ids[0].0 { ids[1] } else { ids[0] };
        spliced[1..9].copy_from_slice(&other.0);
        world.ends[SERVER].handle_datagram(world.net.now, address(CLIENT), &mut spliced);
        tried += 1;
    }
    assert!(tried > 50);
    assert_eq!(world.ends[SERVER].discarded().garbage, garbage + tried);
    // Nor does a packet from another address, however genuine.
    let tried = tried + 1;
    world.send(CLIENT, first, b"from afar");
    let mut genuine = Vec::new();
    let now = world.net.now;
    assert!(world.connection(CLIENT, first).poll_transmit(now, &mut genuine));
    let frames = world.received[SERVER].len();
    let elsewhere: std::net::SocketAddr = "10.1.1.1:1".parse().unwrap();
    world.ends[SERVER].handle_datagram(now, elsewhere, &mut genuine.clone());
    world.run_for(MS);
    assert_eq!(world.received[SERVER].len(), frames);
    world.ends[SERVER].handle_datagram(now, address(CLIENT), &mut genuine);
    world.run_for(MS);
    assert_eq!(world.received[SERVER].len(), frames + 1);
    assert_eq!(world.ends[SERVER].discarded().garbage, garbage + tried);
}
