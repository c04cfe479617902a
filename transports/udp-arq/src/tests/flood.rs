//! Floods of HELLOs: what they cost, and that newcomers and live connections don't pay for them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::handshakes::echo;
use super::net::Path;
use super::world::{CLIENT, SERVER, World, address};
use super::{Rng, identity};
use crate::config::Config;
use crate::endpoint::{MAX_HALF_OPEN, MAX_PER_PLACE, MAX_UNVALIDATED, MAX_VALIDATED};
use crate::handshake::{Cookie, Initiator, ROTATE};
use crate::packet::{self, ConnectionId, Datagram, Long, LongKind, MIN_MTU};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const ROUND_TRIP: Duration = Duration::from_millis(50);

fn attacker(number: u32) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0b00_0000 + number), 5000))
}

fn hello(message: &[u8], cookie: Option<Cookie>) -> Vec<u8> {
    let mut hello = Vec::new();
    Long { kind: LongKind::Hello, to: ConnectionId::NONE, message }.encode(&mut hello);
    if let Some(cookie) = cookie {
        hello.extend_from_slice(&cookie.to_bytes());
    }
    hello.resize(MIN_MTU, 0);
    hello
}

/// Nearly any 32 bytes below 2^255 − 19 are a public key, and Noise's first message is nothing else.
fn key(rng: &mut Rng) -> Vec<u8> {
    let mut key = rng.bytes(32);
    key[31] &= 0x3f;
    key
}

fn cookie_of(datagram: &[u8]) -> Option<Cookie> {
    match packet::decode(datagram) {
        Some(Datagram::Long(Long { kind: LongKind::Retry, message, .. }, _)) => {
            message.try_into().ok().map(Cookie)
        }
        _ => None,
    }
}

/// Takes all the slots of addresses that are not proved.
fn crowd(world: &mut World) {
    let mut rng = Rng::new(99);
    (0..MAX_UNVALIDATED as u32).for_each(|n| world.strike(attacker(n), &hello(&key(&mut rng), None)));
    assert_eq!(world.ends[SERVER].half_open(), (MAX_UNVALIDATED, 0));
}

/// Somebody who sends HELLOs from many addresses; if they are its own, it reads the answers and obeys.
struct Attack {
    addresses: u32,
    owns_them: bool,
    rng: Rng,
    sent: u32,
    keys: HashMap<SocketAddr, Vec<u8>>,
    bytes_in: HashMap<SocketAddr, usize>,
    bytes_out: HashMap<SocketAddr, usize>,
}

impl Attack {
    fn new(addresses: u32, owns_them: bool) -> Self {
        let (keys, bytes_in, bytes_out) = Default::default();
        Self { addresses, owns_them, rng: Rng::new(7), sent: 0, keys, bytes_in, bytes_out }
    }

    fn strike(&mut self, world: &mut World, from: SocketAddr, datagram: &[u8]) {
        *self.bytes_in.entry(from).or_default() += datagram.len();
        world.strike(from, datagram);
        for (to, answer) in std::mem::take(&mut world.outside) {
            let out = self.bytes_out.entry(to).or_default();
            *out += answer.len();
            assert!(*out <= self.bytes_in[&to], "{to} gets more than it sent");
            if self.owns_them && to == from {
                self.obey(world, to, &answer);
            }
        }
    }

    fn obey(&mut self, world: &mut World, me: SocketAddr, answer: &[u8]) {
        match packet::decode(answer) {
            Some(Datagram::Long(Long { kind: LongKind::Retry, .. }, _)) => {
                let again = hello(&self.keys[&me], cookie_of(answer));
                self.strike(world, me, &again);
            }
            Some(Datagram::Long(Long { kind: LongKind::Reply, message, .. }, _)) => {
                let (to, message) = (ConnectionId::of_message(message), &self.rng.bytes(160)[..]);
                let mut finish = Vec::new();
                Long { kind: LongKind::Finish, to, message }.encode(&mut finish);
                self.strike(world, me, &finish);
            }
            _ => {}
        }
    }

    fn next(&mut self, world: &mut World) {
        let (from, key) = (attacker(self.sent % self.addresses), key(&mut self.rng));
        self.sent += 1;
        self.keys.insert(from, key.clone());
        self.strike(world, from, &hello(&key, None));
    }
}

/// 50 000 HELLOs in ten seconds, while one connection is in use and newcomer after newcomer arrives.
fn endure(mut attack: Attack) -> World {
    let mut world = World::new(7, Path::clean());
    let (client, server) = world.connect();
    for round in 0..100 {
        let newcomers = world.connected[CLIENT].len();
        let dialed = world.net.elapsed();
        world.dial(Some(identity(2).peer_id()));
        world.send(CLIENT, client, b"there");
        world.send(SERVER, server, b"and back");
        while world.net.elapsed() < dialed + 2 * ROUND_TRIP {
            (0..5).for_each(|_| attack.next(&mut world));
            world.run_for(MS);
        }
        assert_eq!(world.connected[CLIENT].len(), newcomers + 1, "round {round}: two round trips");
        assert_eq!([CLIENT, SERVER].map(|side| world.received[side].len()), [round + 1; 2], "round {round}");
        let (unvalidated, validated) = world.ends[SERVER].half_open();
        assert!(unvalidated <= MAX_UNVALIDATED && validated <= MAX_VALIDATED);
        assert!(!attack.owns_them || validated <= attack.addresses as usize * MAX_PER_PLACE + 1);
        assert_eq!(world.ends[SERVER].len(), newcomers + unvalidated + validated, "and nothing else");
    }
    assert_eq!(attack.sent, 50_000);
    let figures = [(CLIENT, client), (SERVER, server)].map(|(side, live)| {
        assert_eq!(world.connection(side, live).end(), None);
        world.connection(side, live).figures()
    });
    assert!(figures.iter().all(|figures| figures.lost_packets == Some(0)));
    world
}

#[test]
fn forged_hellos_from_everywhere_keep_nobody_out() {
    let world = endure(Attack::new(50_000, false));
    let discarded = world.ends[SERVER].discarded();
    assert!(discarded.asked > 49_000 && discarded.hellos == 0, "{discarded:?}");
    // What costs public-key work: the newcomers, and the slots that nobody has to pay for.
    assert!(world.incoming.len() < 200, "{}", world.incoming.len());
}

#[test]
fn forged_hellos_from_one_address_keep_nobody_out() {
    let world = endure(Attack::new(1, false));
    assert!(world.incoming.len() < 200, "{}", world.incoming.len());
}

#[test]
fn an_owner_of_one_address_keeps_nobody_out() {
    let world = endure(Attack::new(1, true));
    assert!(world.ends[SERVER].half_open().1 >= MAX_PER_PLACE, "it took what it could");
    // 32 every two seconds.
    assert!(world.incoming.len() < 500, "{}", world.incoming.len());
}

#[test]
fn an_owner_of_forty_addresses_keeps_nobody_out() {
    let world = endure(Attack::new(40, true));
    assert!(world.ends[SERVER].half_open().1 >= MAX_VALIDATED - 1, "it took what it could");
    assert!(world.incoming.len() < 1500, "{}", world.incoming.len());
}

#[test]
fn after_a_flood_there_is_room_again() {
    let mut world = World::new(8, Path::clean());
    let mut attack = Attack::new(3, true);
    (0..2000).for_each(|_| attack.next(&mut world));
    assert_eq!(world.ends[SERVER].half_open(), (MAX_UNVALIDATED, 3 * MAX_PER_PLACE));
    assert_eq!(world.ends[SERVER].len(), MAX_UNVALIDATED + 3 * MAX_PER_PLACE);
    world.run_for(11 * SECOND);
    assert_eq!((world.ends[SERVER].len(), world.ends[SERVER].half_open()), (0, (0, 0)));
    world.dial(None);
    assert!(world.run_until(ROUND_TRIP, |world| !world.connected[CLIENT].is_empty()), "one round trip");
}

#[test]
fn a_crowd_of_honest_peers_behind_one_address_comes_in() {
    let mut world = World::new(9, Path::clean());
    let crowd = 2 * MAX_HALF_OPEN;
    for _ in 0..crowd {
        world.dial(None);
    }
    assert!(world.run_until(9 * SECOND, |world| world.connected[SERVER].len() == crowd));
    assert_eq!((world.connected[CLIENT].len(), world.ends[SERVER].half_open()), (crowd, (0, 0)));
    assert!(world.failed.iter().all(Vec::is_empty), "nobody was pushed out");
}

#[test]
fn each_single_packet_of_a_dial_with_a_cookie_may_be_lost_or_come_twice_or_late() {
    for side in [CLIENT, SERVER] {
        for index in 0..5 {
            for what in 0..3 {
                let mut world = World::new(index, Path::clean());
                crowd(&mut world);
                world.net.single_out(side, index as usize, what);
                echo(&mut world);
                assert_eq!(world.ends[CLIENT].len(), 1);
                assert_eq!(world.connected[SERVER].len(), 1);
            }
        }
    }
}

#[test]
fn a_dial_with_a_cookie_crosses_bad_paths() {
    let mut asked = 0;
    for seed in 0..40 {
        let path = Path { reorder: 0.3, duplicate: 0.3, corrupt: 0.1, ..Path::lossy(0.3) };
        let mut world = World::new(seed, path);
        crowd(&mut world);
        echo(&mut world);
        asked += world.ends[SERVER].discarded().asked;
    }
    assert!(asked > 40, "{asked}");
}

/// A RETRY to the client's handshake with any cookie.
fn forged_retry(world: &World, cookie: [u8; 16]) -> Vec<u8> {
    let tap = world.net.tap.as_ref().unwrap();
    let hello = tap.iter().find(|seen| seen.from == CLIENT).unwrap();
    let Some(Datagram::Long(long, _)) = packet::decode(&hello.bytes) else { panic!("no hello") };
    let to = ConnectionId::of_message(long.message);
    let mut retry = Vec::new();
    Long { kind: LongKind::Retry, to, message: &cookie }.encode(&mut retry);
    retry
}

#[test]
fn a_forged_retry_costs_an_attempt_at_most() {
    for (full, at) in [(false, MS), (true, MS), (true, 60 * MS)] {
        let mut world = World::new(10, Path::clean());
        if full {
            crowd(&mut world);
        }
        world.net.tap = Some(Vec::new());
        world.dial(Some(identity(2).peer_id()));
        world.run_for(at);
        let forged = forged_retry(&world, [1; 16]);
        world.net.inject(CLIENT, world.net.now, forged);
        let connected = world.run_until(3 * ROUND_TRIP, |world| !world.connected[CLIENT].is_empty());
        assert!(connected, "full: {full}, forged after {at:?}");
        assert!(world.run_until(ROUND_TRIP, |world| !world.connected[SERVER].is_empty()));
    }
}

#[test]
fn a_flood_of_forged_retries_makes_no_amplifier_of_the_dialer() {
    let mut world = World::new(11, Path::clean());
    world.net.paths[CLIENT] = Path::dead();
    world.net.tap = Some(Vec::new());
    world.dial(None);
    world.run_for(MS);
    for number in 0..10_000u32 {
        let mut cookie = [0; 16];
        cookie[..4].copy_from_slice(&number.to_be_bytes());
        let mut forged = forged_retry(&world, cookie);
        world.ends[CLIENT].handle_datagram(world.net.now, address(SERVER), &mut forged);
        world.run_for(MS);
    }
    assert!(world.net.sent(CLIENT) <= 13 + 8, "{}", world.net.sent(CLIENT));
}

#[test]
fn a_retry_from_elsewhere_or_to_another_or_too_late_is_ignored() {
    let mut world = World::new(12, Path::clean());
    world.net.tap = Some(Vec::new());
    let client = world.dial(None);
    world.run_for(MS);
    let retry = forged_retry(&world, [1; 16]);
    let now = world.net.now;
    world.ends[CLIENT].handle_datagram(now, attacker(1), &mut retry.clone());
    let mut to_another = retry.clone();
    to_another[5] ^= 1;
    world.ends[CLIENT].handle_datagram(now, address(SERVER), &mut to_another);
    let mut too_short = retry[..30].to_vec();
    too_short[14] -= 1;
    world.ends[CLIENT].handle_datagram(now, address(SERVER), &mut too_short);
    world.run_for(MS);
    assert_eq!((world.net.sent(CLIENT), world.ends[CLIENT].discarded().garbage), (1, 3));
    assert!(
        world
            .run_until(ROUND_TRIP, |world| !world.connected[SERVER].is_empty() || world.net.sent(CLIENT) > 1)
    );
    world.run_for(SECOND);
    let sent = world.net.sent(CLIENT);
    world.ends[CLIENT].handle_datagram(world.net.now, address(SERVER), &mut retry.clone());
    world.run_for(100 * MS);
    assert_eq!((world.net.sent(CLIENT), world.connection(CLIENT, client).end()), (sent, None));
    world.strike(address(CLIENT), &retry);
    assert_eq!(world.ends[SERVER].len(), 1, "a listener has no use for it");
}

/// A server that asks everybody, a HELLO message, and the cookie for it.
fn asked() -> (World, Vec<u8>, Cookie) {
    let mut world = World::new(13, Path::clean());
    crowd(&mut world);
    let message = key(&mut Rng::new(3));
    world.strike(attacker(1000), &hello(&message, None));
    let (to, retry) = world.outside.pop().unwrap();
    assert_eq!((to, retry.len()), (attacker(1000), 31));
    (world, message, cookie_of(&retry).unwrap())
}

#[test]
fn a_cookie_opens_the_door_for_its_own_hello_and_address() {
    let (mut world, message, cookie) = asked();
    for (from, message) in [(attacker(1001), message.clone()), (attacker(1000), key(&mut Rng::new(4)))] {
        let asked = world.ends[SERVER].discarded().asked;
        world.strike(from, &hello(&message, Some(cookie)));
        assert_eq!(world.ends[SERVER].half_open(), (MAX_UNVALIDATED, 0), "from {from}");
        assert_eq!(world.ends[SERVER].discarded().asked, asked + 1);
    }
    for bit in 0..128 {
        let mut forged = cookie;
        forged.0[bit / 8] ^= 1 << (bit % 8);
        world.strike(attacker(1000), &hello(&message, Some(forged)));
        assert_eq!(world.ends[SERVER].half_open().1, 0, "bit {bit}");
    }
    for _ in 0..100 {
        world.strike(attacker(1000), &hello(&message, Some(cookie)));
        assert_eq!(world.ends[SERVER].half_open(), (MAX_UNVALIDATED, 1), "however often it comes");
    }
}

#[test]
fn a_cookie_expires() {
    for (age, good) in [(ROTATE - MS, true), (2 * ROTATE - MS, true), (2 * ROTATE, false)] {
        let (mut world, message, cookie) = asked();
        world.run_for(age);
        // The first ones have gone meanwhile.
        crowd(&mut world);
        world.strike(attacker(1000), &hello(&message, Some(cookie)));
        assert_eq!(world.ends[SERVER].half_open().1, usize::from(good), "after {age:?}");
    }
}

#[test]
fn a_retry_is_answered_at_once_and_its_copies_are_not() {
    let now = World::new(14, Path::clean()).net.now;
    let mut rng = Rng::new(5);
    let mut initiator = Initiator::new(now, Config::default(), &identity(1), None, &mut rng).unwrap();
    let mut first = Vec::new();
    assert!(initiator.poll_transmit(now, &mut first));
    let (mut second, later) = (Vec::new(), now + 10 * MS);
    assert!(initiator.handle_retry(later, &[5; 16]));
    assert!(initiator.poll_transmit(later, &mut second));
    assert_eq!((first.len(), second.len()), (MIN_MTU, MIN_MTU));
    assert_eq!((&first[..47], &first[47..64]), (&second[..47], &[0; 17][..]));
    assert_eq!((second[47], &second[48..64], &second[64..]), (16, &[5; 16][..], &first[64..]));
    assert!(initiator.handle_retry(later + MS, &[5; 16]));
    assert!(!initiator.poll_transmit(later + MS, &mut Vec::new()), "a copy");
    assert!(!initiator.handle_retry(later, &[5; 15]) && !initiator.handle_retry(later, &[]));
    assert!(initiator.poll_transmit(later + 200 * MS, &mut second), "it is repeated like any other");
}
