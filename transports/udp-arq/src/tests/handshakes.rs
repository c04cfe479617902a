//! The handshake over bad networks, and against those who are no honest peer.

use std::time::Duration;

use chat_core::LinkError;

use super::net::Path;
use super::world::{CLIENT, SERVER, World, address};
use super::{Rng, identity};
use crate::packet::{Long, LongKind, MIN_MTU};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A frame each way, so that both ends are known to be up.
pub(super) fn echo(world: &mut World) {
    let (client, server) = world.connect();
    let before = [world.received[CLIENT].len(), world.received[SERVER].len()];
    world.send(CLIENT, client, b"there");
    world.send(SERVER, server, b"and back");
    let done = world.run_until(60 * SECOND, |world| {
        world.received[CLIENT].len() > before[CLIENT] && world.received[SERVER].len() > before[SERVER]
    });
    assert!(done);
    assert_eq!(world.received[SERVER].last().unwrap().1, &b"there"[..]);
    assert_eq!(world.received[CLIENT].last().unwrap().1, &b"and back"[..]);
}

#[test]
fn the_dialer_may_send_after_one_round_trip_and_both_know_each_other() {
    let mut world = World::new(1, Path::clean());
    let client = world.dial(Some(identity(2).peer_id()));
    assert!(world.run_until(SECOND, |world| !world.connected[CLIENT].is_empty()));
    assert_eq!(world.net.elapsed(), 50 * MS);
    world.send(CLIENT, client, b"at once");
    assert!(world.run_until(SECOND, |world| !world.received[SERVER].is_empty()));
    assert_eq!(world.net.elapsed(), 75 * MS, "the first frame comes with the last handshake message");
    let server = world.connected[SERVER][0];
    assert_eq!(world.connection(SERVER, server).peer(), identity(1).public());
    assert_eq!(world.connection(CLIENT, client).peer(), identity(2).public());
    assert!(world.net.bytes[SERVER] <= world.net.bytes[CLIENT]);
}

/// Neither what is said nor who says it, nor any eight bytes of that, passes whoever looks on.
#[test]
fn nothing_said_is_on_the_wire() {
    const WORDS: &[u8] = b"meet me under the old clock tower at noon";
    let mut world = World::new(1, Path::clean());
    world.net.tap = Some(Vec::new());
    let (client, server) = world.connect();
    for (from, handle) in [(CLIENT, client), (SERVER, server)] {
        world.send(from, handle, WORDS);
    }
    let heard = |world: &World| world.received.iter().all(|frames| frames.iter().any(|(_, f)| f == WORDS));
    assert!(world.run_until(60 * SECOND, heard));
    let seen = world.net.tap.take().unwrap();
    for from in [CLIENT, SERVER] {
        assert!(seen.iter().filter(|datagram| datagram.from == from).count() >= 2);
    }
    for secret in [WORDS, identity(1).public().as_bytes(), identity(2).public().as_bytes()] {
        for piece in secret.windows(8) {
            let shown = seen.iter().any(|datagram| datagram.bytes.windows(8).any(|window| window == piece));
            assert!(!shown, "{} is on the wire", piece.escape_ascii());
        }
    }
}

/// A19: whatever is lost of a handshake is said again, and who asks again is answered, not taken for another.
#[test]
fn the_first_three_packets_each_way_may_be_lost() {
    for (lost_up, lost_down) in [(3, 0), (0, 3), (3, 3), (1, 2), (2, 1)] {
        let mut world = World::new(2, Path::clean());
        world.net.paths[CLIENT].drop_first = lost_up;
        world.net.paths[SERVER].drop_first = lost_down;
        echo(&mut world);
        assert_eq!(world.incoming.len(), 1, "repeated hellos are one handshake");
    }
}

/// A19: also the answer alone.
#[test]
fn each_single_packet_of_the_first_ten_may_be_lost_or_come_twice_or_late() {
    for side in [CLIENT, SERVER] {
        for index in 0..10 {
            for what in 0..3 {
                let mut world = World::new(index, Path::clean());
                world.net.single_out(side, index as usize, what);
                echo(&mut world);
                assert_eq!((world.ends[CLIENT].len(), world.ends[SERVER].len()), (1, 1));
            }
        }
    }
}

#[test]
fn lossy_damaging_and_reordering_paths() {
    for seed in 0..40 {
        let path = Path { reorder: 0.3, duplicate: 0.3, corrupt: 0.1, ..Path::lossy(0.3) };
        echo(&mut World::new(seed, path));
    }
}

#[test]
fn nobody_there_is_a_timeout_within_the_deadline() {
    let mut world = World::new(3, Path::dead());
    world.dial(None);
    world.run_for(11 * SECOND);
    assert!(matches!(world.failed[CLIENT][..], [(_, LinkError::Timeout(_))]));
    assert_eq!((world.ends[CLIENT].len(), world.net.sent(CLIENT)), (0, 13));
}

#[test]
fn a_finish_that_never_comes_ends_both_sides() {
    let mut world = World::new(4, Path::clean());
    world.dial(None);
    world.run_for(30 * MS);
    // The hello is there; nothing else of this side ever will be.
    world.net.paths[CLIENT] = Path::dead();
    world.run_for(15 * SECOND);
    assert_eq!(world.connected[CLIENT].len(), 1);
    assert!(matches!(world.failed[SERVER][..], [(_, LinkError::Timeout(_))]));
    assert_eq!((world.ends[CLIENT].len(), world.ends[SERVER].len()), (0, 0));
}

#[test]
fn another_peer_than_the_pinned_one_is_refused_by_name() {
    let mut world = World::new(5, Path::clean());
    world.dial(Some(identity(3).peer_id()));
    world.run_for(SECOND);
    let [(_, LinkError::WrongPeer { expected, found })] = world.failed[CLIENT][..] else {
        panic!("{:?}", world.failed)
    };
    assert_eq!((expected, found), (identity(3).peer_id(), identity(2).peer_id()));
    assert!(world.connected[SERVER].is_empty());
}

#[test]
fn whoever_is_not_accepted_is_forgotten() {
    let mut world = World::new(6, Path::clean());
    world.accepting = false;
    world.dial(None);
    world.run_for(SECOND);
    assert_eq!((world.incoming.len(), world.ends[SERVER].len(), world.net.sent(SERVER)), (1, 1, 0));
    world.ends[SERVER].release(world.net.now, world.incoming[0]);
    assert_eq!(world.ends[SERVER].len(), 0);
    world.accepting = true;
    assert!(world.run_until(9 * SECOND, |world| !world.connected[SERVER].is_empty()), "the next hello");
}

#[test]
fn garbage_and_short_hellos_leave_nothing_behind() {
    let mut world = World::new(9, Path::clean());
    let mut rng = Rng::new(10);
    for _ in 0..20_000 {
        let mut bytes = rng.bytes_up_to(1300);
        if let (Some(first), true) = (bytes.first_mut(), rng.chance(0.5)) {
            *first = 0xc0 | (*first & 7);
            let version = [0x41, 0x52, 0x51, 1];
            bytes.iter_mut().skip(1).zip(version).for_each(|(to, from)| *to = from);
        }
        if bytes.first() == Some(&0xc1) {
            bytes.truncate(MIN_MTU - 1);
        }
        world.ends[SERVER].handle_datagram(world.net.now, address(CLIENT), &mut bytes.clone());
        world.ends[CLIENT].handle_datagram(world.net.now, address(SERVER), &mut bytes);
    }
    assert_eq!((world.ends[SERVER].len(), world.ends[CLIENT].len()), (0, 0));
    assert!(world.ends[SERVER].discarded().garbage > 19_000);
    let notices = std::iter::from_fn(|| world.ends[SERVER].poll_notice()).count();
    assert!((1..=16).contains(&notices), "{notices}");
}

#[test]
fn a_server_that_was_started_anew_says_so_and_a_liar_is_not_believed() {
    let mut world = World::new(11, Path::clean());
    let (client, _) = world.connect();
    world.run_for(SECOND);
    // Somebody who has seen a packet says, again and again, that there is no such connection.
    let id = world.connection(CLIENT, client).remote_id();
    let mut lie = Vec::new();
    Long { kind: LongKind::Unknown, to: id, message: &[] }.encode(&mut lie);
    for _ in 0..200 {
        world.ends[CLIENT].handle_datagram(world.net.now, address(SERVER), &mut lie.clone());
        world.run_for(20 * MS);
    }
    assert_eq!(world.connection(CLIENT, client).end(), None);
    // Now it is true.
    let fresh = World::new(12, Path::clean());
    let [_, server] = fresh.ends;
    world.ends[SERVER] = server;
    world.send(CLIENT, client, b"anybody?");
    let gone = world.run_until(2 * SECOND, |world| world.ends[CLIENT].len() == 0);
    assert!(gone, "noticed long before the idle timeout");
}
