//! A peer that vanished is noticed, and one that is merely slow, stopped or hard to reach is not taken for it.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::net::Path;
use super::pair::Pair;
use crate::config::Config;
use crate::connection::End;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn on_loopback() -> Config {
    Config::default().towards("127.0.0.1:1".parse().unwrap())
}

fn elsewhere() -> Config {
    Config::default().towards("192.0.2.1:1".parse().unwrap())
}

fn short(latency: Duration, path: Path) -> Path {
    Path { latency, ..path }
}

/// Both ends are up and talk or not; then one falls silent for ever. How long the other takes to notice.
fn noticed_after(seed: u64, config: &Config, path: Path, talking: bool) -> Duration {
    let mut pair = Pair::with(seed, path, config, 0);
    pair.run_for(20 * SECOND);
    if talking {
        pair.to_send[1].extend((0..50u8).map(|n| Bytes::from(vec![n; 3000])));
        pair.to_send[0].extend((0..50u8).map(|n| Bytes::from(vec![n; 3000])));
        pair.run_for(2 * MS);
    }
    pair.net.paths = [Path::dead(), Path::dead()];
    let killed = pair.now();
    assert!(pair.run_until(60 * SECOND, |pair| pair.ends[1].end().is_some()));
    assert!(matches!(pair.ends[1].end(), Some(End::Timeout(_))));
    pair.now() - killed
}

#[test]
fn a_killed_peer_is_noticed_in_seconds_on_loopback_and_within_thirty_elsewhere() {
    for seed in 0..10 {
        for talking in [false, true] {
            let here = noticed_after(seed, &on_loopback(), short(MS / 10, Path::lossy(0.05)), talking);
            assert!((5 * SECOND..=8 * SECOND).contains(&here), "{here:?}");
            let there = noticed_after(seed, &elsewhere(), Path::lossy(0.05), talking);
            assert!(there > 8 * SECOND && there <= 30 * SECOND, "{there:?}");
        }
    }
}

/// Ten minutes in which somebody says something now and then, and both ends live.
fn survives(seed: u64, config: &Config, path: Path) {
    let mut pair = Pair::with(seed, path.clone(), config, 0);
    for minute in 0..10u8 {
        let side = usize::from(minute % 2);
        pair.to_send[side].push_back(Bytes::from(vec![minute; 500]));
        pair.run_for(60 * SECOND);
        let ends = [pair.ends[0].end(), pair.ends[1].end()];
        assert_eq!(ends, [None, None], "seed {seed}, {path:?}, {:?}", pair.net.elapsed());
    }
    assert_eq!(pair.received.each_ref().map(Vec::len), [5, 5]);
}

/// Dark for this long in every five seconds.
fn dark(time: Duration) -> Vec<Range<Duration>> {
    (0..120).map(|n| n * 5 * SECOND + SECOND..n * 5 * SECOND + SECOND + time).collect()
}

#[test]
fn half_of_all_packets_lost_is_no_death() {
    for seed in 0..20 {
        survives(seed, &on_loopback(), short(MS / 10, Path::lossy(0.5)));
        survives(seed, &elsewhere(), Path::lossy(0.5));
    }
}

#[test]
fn two_dark_seconds_of_five_are_no_death() {
    for seed in 0..10 {
        for loss in [0.0, 0.1, 0.3] {
            let path = Path { blackout: dark(2 * SECOND), ..Path::lossy(loss) };
            survives(seed, &on_loopback(), short(MS / 10, path.clone()));
            survives(seed, &elsewhere(), path);
        }
    }
}

#[test]
fn a_peer_that_is_stopped_for_three_seconds_goes_on() {
    for side in 0..2 {
        for talking in [false, true] {
            let mut pair = Pair::with(3, short(MS / 10, Path::clean()), &on_loopback(), 0);
            for _ in 0..20 {
                pair.run_for(7 * SECOND);
                if talking {
                    (0..2).for_each(|side| pair.to_send[side].push_back(Bytes::from(vec![7; 50_000])));
                }
                pair.stopped[side] = true;
                pair.run_for(3 * SECOND);
                pair.stopped[side] = false;
                pair.run_for(SECOND);
                assert_eq!([pair.ends[0].end(), pair.ends[1].end()], [None, None]);
            }
            assert_eq!(pair.received.each_ref().map(Vec::len), [if talking { 20 } else { 0 }; 2]);
        }
    }
}

#[test]
fn a_peer_that_is_stopped_for_longer_learns_that_it_was_given_up() {
    let mut pair = Pair::with(4, short(MS / 10, Path::clean()), &on_loopback(), 0);
    pair.run_for(10 * SECOND);
    pair.stopped[0] = true;
    pair.run_for(10 * SECOND);
    assert!(matches!(pair.ends[1].end(), Some(End::Timeout(_))));
    assert_eq!(pair.ends[0].end(), None);
    pair.stopped[0] = false;
    pair.run_for(SECOND);
    assert_eq!(pair.ends[0].end(), Some(End::PeerGaveUp), "at once, so that it can dial again");
}

#[test]
fn the_time_in_which_we_were_stopped_says_nothing_about_the_peer() {
    // Both were stopped, as when a machine sleeps, at the worst moment: one was waiting for an answer already.
    let mut pair = Pair::with(5, short(MS / 10, Path::clean()), &on_loopback(), 0);
    pair.run_for(10 * SECOND);
    let lit = pair.net.paths.clone();
    pair.net.paths = [Path::dead(), Path::dead()];
    pair.run_for(4 * SECOND);
    pair.net.paths = lit;
    pair.stopped = [true; 2];
    pair.run_for(10 * SECOND);
    pair.stopped = [false; 2];
    pair.run_for(5 * SECOND);
    assert_eq!([pair.ends[0].end(), pair.ends[1].end()], [None, None]);
}

#[test]
fn a_fixed_timeout_asks_as_often_before_it_gives_up() {
    let config = Config { rto: Some(2 * SECOND), ..on_loopback() };
    let here = noticed_after(6, &config, short(MS / 10, Path::clean()), false);
    assert!(here > 10 * SECOND && here < 16 * SECOND, "{here:?}");
}
