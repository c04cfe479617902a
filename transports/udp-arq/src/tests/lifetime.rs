//! Closing in good order, and every way in which a connection ends otherwise.

use std::time::Duration;

use bytes::Bytes;

use super::net::Path;
use super::pair::Pair;
use crate::config::Config;
use crate::connection::{Connection, End, SendError};

const SECOND: Duration = Duration::from_secs(1);

fn ends(pair: &Pair) -> [Option<End>; 2] {
    [pair.ends[0].end(), pair.ends[1].end()]
}

#[test]
fn what_was_sent_before_closing_arrives() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed, Path::lossy(0.2));
        let frames: Vec<_> = (0..20u8).map(|n| Bytes::from(vec![n; 100])).collect();
        for frame in &frames {
            pair.ends[0].send(frame.clone()).unwrap();
        }
        let now = pair.now();
        pair.ends[0].release(now);
        assert_eq!(pair.ends[0].send(Bytes::new()), Err(SendError::Closed));
        assert!(pair.run_until(4 * SECOND, |pair| pair.ends[1].is_read_to_the_end()), "seed {seed}");
        assert_eq!(pair.received[1], frames);
        assert!(pair.run_until(4 * SECOND, |pair| pair.ends[0].is_drained()), "seed {seed}");
        assert_eq!(pair.ends[0].end(), Some(End::Local), "seed {seed}");
    }
}

#[test]
fn one_direction_may_end_before_the_other() {
    let mut pair = Pair::new(1, Path::clean());
    let now = pair.now();
    pair.ends[0].finish(now);
    pair.run_for(5 * SECOND);
    assert!(pair.ends[1].is_read_to_the_end() && pair.ends[0].is_delivered());
    assert_eq!(ends(&pair), [None, None]);
    pair.to_send[1].push_back(Bytes::from_static(b"an answer to what is over"));
    pair.run_for(SECOND);
    assert_eq!(pair.received[0].len(), 1);
    let now = pair.now();
    pair.ends[1].finish(now);
    pair.run_for(SECOND);
    assert!(pair.ends.iter().all(Connection::is_drained));
    assert!(ends(&pair).iter().all(|end| matches!(end, Some(End::Local | End::Peer))), "{:?}", ends(&pair));
}

#[test]
fn a_reader_that_does_not_read_holds_a_closer_only_so_long() {
    let mut pair = Pair::new(2, Path::clean());
    pair.reading[1] = false;
    pair.to_send[0].extend((0..5).map(|_| Bytes::from(vec![0; 2 << 20])));
    pair.run_for(20 * SECOND);
    let now = pair.now();
    pair.ends[0].release(now);
    assert!(pair.run_until(4 * SECOND, |pair| pair.ends[0].end().is_some()));
    assert!(matches!(pair.ends[0].end(), Some(End::Timeout(_))));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[1].end(), Some(End::PeerGaveUp));
    pair.reading[1] = true;
    pair.settle();
    assert!(!pair.received[1].is_empty() && !pair.ends[1].is_read_to_the_end(), "not passed off as complete");
}

#[test]
fn signs_of_life_keep_a_silent_connection_and_cost_little() {
    let mut pair = Pair::new(3, Path::clean());
    pair.run_for(600 * SECOND);
    assert_eq!(ends(&pair), [None, None]);
    assert!(pair.net.sent(0) + pair.net.sent(1) < 300, "{} {}", pair.net.sent(0), pair.net.sent(1));
}

#[test]
fn a_peer_that_vanishes_is_noticed() {
    let mut pair = Pair::new(4, Path::clean());
    pair.run_for(SECOND);
    pair.net.paths = [Path::dead(), Path::dead()];
    pair.run_for(31 * SECOND);
    assert!(ends(&pair).iter().all(|end| matches!(end, Some(End::Timeout(_)))), "{:?}", ends(&pair));
}

#[test]
fn a_one_way_partition_delivers_nothing_wrong_and_ends_in_a_timeout() {
    for dead in 0..2 {
        let mut pair = Pair::new(5, Path::clean());
        pair.run_for(SECOND);
        pair.net.paths[dead] = Path::dead();
        let frames: Vec<_> = (0..100u8).map(|n| Bytes::from(vec![n; 500])).collect();
        for side in 0..2 {
            pair.to_send[side].extend(frames.iter().cloned());
        }
        pair.run_for(62 * SECOND);
        assert!(
            ends(&pair).iter().all(|end| matches!(end, Some(End::Timeout(_) | End::PeerGaveUp))),
            "{:?}",
            ends(&pair)
        );
        assert!(pair.received[1 - dead].is_empty());
        assert!(frames.starts_with(&pair.received[dead]), "what passes the good direction is right");
    }
}

#[test]
fn max_retries_gives_up_early() {
    let config = Config {
        window: Some(1),
        rto: Some(Duration::from_millis(100)),
        max_retries: Some(5),
        ..Config::default()
    };
    let mut pair = Pair::with(6, Path::clean(), &config, 0);
    pair.run_for(SECOND);
    pair.net.paths[0] = Path::dead();
    pair.to_send[0].push_back(Bytes::from_static(b"into the void"));
    let sent = pair.net.sent(0);
    pair.run_for(2 * SECOND);
    assert_eq!(pair.ends[0].end(), Some(End::Timeout("no acknowledgement after max_retries")));
    assert!(pair.net.sent(0) - sent <= 8, "once, five times again, CLOSE: {}", pair.net.sent(0) - sent);
}

#[test]
fn a_close_that_is_lost_is_said_again() {
    let mut pair = Pair::new(7, Path::clean());
    pair.run_for(SECOND);
    let now = pair.now();
    pair.ends[0].abort(now, End::Local);
    pair.net.paths[0] = Path::dead();
    pair.settle();
    pair.net.paths[0] = Path::clean();
    pair.to_send[1].push_back(Bytes::from_static(b"hello?"));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[1].end(), Some(End::Peer));
    assert!(pair.received[0].is_empty());
}

#[test]
fn hints_that_the_peer_is_gone_are_believed_only_in_its_silence() {
    let mut pair = Pair::new(8, Path::clean());
    pair.run_for(SECOND);
    for _ in 0..100 {
        let now = pair.now();
        pair.ends[0].handle_unreachable_hint(now);
        pair.run_for(Duration::from_millis(60));
    }
    assert_eq!(ends(&pair), [None, None], "each hint made it ask, and the peer answered");
    pair.net.paths = [Path::dead(), Path::dead()];
    let mut hints = 0;
    while pair.ends[0].end().is_none() {
        hints += 1;
        assert!(hints < 10);
        let now = pair.now();
        pair.ends[0].handle_unreachable_hint(now);
        pair.run_for(Duration::from_millis(60));
    }
    assert!(hints >= 3);
    assert_eq!(pair.ends[0].end(), Some(End::Unreachable));
}

#[test]
fn a_peer_that_is_alive_but_acknowledges_nothing_is_given_up() {
    let config = Config { idle: 1000 * SECOND, silence: 1000 * SECOND, ..Config::default() };
    let mut pair = Pair::with(9, Path::clean(), &config, 0);
    pair.run_for(SECOND);
    pair.net.paths[0] = Path::dead();
    pair.to_send[0].push_back(Bytes::from_static(b"into the void"));
    pair.run_for(29 * SECOND);
    assert_eq!(ends(&pair), [None, None]);
    pair.run_for(2 * SECOND);
    assert!(matches!(pair.ends[0].end(), Some(End::Timeout(_))), "{:?}", ends(&pair));
}

#[test]
fn a_close_carries_the_acknowledgement_of_what_came_last() {
    let mut pair = Pair::new(10, Path::clean());
    pair.run_for(SECOND);
    let now = pair.now();
    pair.ends.iter_mut().for_each(|end| end.finish(now));
    // Its first packet is the end of its frames, its second acknowledges the other's: that one is lost.
    let lost = pair.net.sent(0) + 1;
    pair.net.single_out(0, lost, 0);
    assert!(pair.run_until(SECOND, |pair| pair.ends[1].end().is_some()));
    assert_eq!(pair.ends[1].end(), Some(End::Peer));
    assert!(pair.ends[1].is_delivered(), "it knows that its end has arrived");
}

#[test]
fn credit_that_is_lost_is_given_again() {
    let mut pair = Pair::new(11, Path::clean());
    pair.reading[1] = false;
    pair.to_send[0].extend((0..100).map(|_| Bytes::from(vec![0; 60_000])));
    pair.run_for(20 * SECOND);
    assert!(pair.received[1].is_empty() && !pair.to_send[0].is_empty());
    // All is read at once, and the packet that says so is lost, with others behind it that are not.
    let (now, lost) = (pair.now(), pair.net.sent(1));
    pair.net.single_out(1, lost, 0);
    while let Some(frame) = pair.ends[1].poll_frame() {
        pair.received[1].push(frame);
    }
    pair.settle();
    assert_eq!((pair.net.sent(1), pair.now()), (lost + 1, now));
    for _ in 0..5 {
        pair.to_send[1].push_back(Bytes::from_static(b"behind it"));
        pair.settle();
    }
    pair.reading[1] = true;
    assert!(pair.deliver(20 * SECOND, 100));
}

#[test]
fn acknowledgements_that_were_acknowledged_are_not_repeated() {
    let mut pair = Pair::new(12, Path::lossy(0.3));
    for side in 0..2 {
        pair.to_send[side].extend((0..500u32).map(|n| Bytes::from(n.to_be_bytes().repeat(100))));
    }
    assert!(pair.run_until(600 * SECOND, |pair| pair.received.iter().all(|got| got.len() == 500)));
    assert!(pair.ends.iter().any(|end| end.unreported_ranges() > 1));
    pair.net.paths = [Path::clean(), Path::clean()];
    for n in 0..4 {
        pair.to_send[n % 2].push_back(Bytes::from_static(b"quiet again"));
        pair.run_for(SECOND);
    }
    assert!(pair.ends.iter().all(|end| end.unreported_ranges() <= 2));
}
