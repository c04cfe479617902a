//! Frames arrive once and in order, whatever the path does.

use std::time::Duration;

use bytes::Bytes;

use super::Rng;
use super::net::Path;
use super::pair::Pair;
use crate::config::Config;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn frames(seed: u64, count: usize, longest: usize) -> Vec<Bytes> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|index| {
            let mut bytes = rng.bytes_up_to(longest);
            bytes.extend_from_slice(&index.to_be_bytes());
            Bytes::from(bytes)
        })
        .collect()
}

/// Sends the frames over the path, both ways at once, and expects them there.
fn exchange(seed: u64, path: Path, frames: &[Bytes], limit: Duration) -> Pair {
    let mut pair = Pair::new(seed, path.clone());
    for side in 0..2 {
        pair.to_send[side].extend(frames.iter().cloned());
    }
    let done = pair.run_until(limit, |pair| pair.received.iter().all(|got| got.len() >= frames.len()));
    let got = [pair.received[0].len(), pair.received[1].len()];
    assert!(done, "seed {seed}, {path:?}: {got:?} after {:?}, {:?}", pair.net.elapsed(), pair.ends[0].end());
    assert!(pair.received.iter().all(|got| got == frames), "seed {seed}, {path:?}");
    pair
}

/// A12, A14.
#[test]
fn a_thousand_frames_arrive_once_and_in_order_at_every_loss() {
    for (index, loss) in [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5].into_iter().enumerate() {
        for seed in 0..4 {
            let seed = 100 * index as u64 + seed;
            exchange(seed, Path::lossy(loss), &frames(seed, 1000, 300), 900 * SECOND);
        }
    }
}

#[test]
fn bursts_reordering_duplication_and_damage_change_nothing() {
    let clean = Path::clean();
    let paths = [
        Path { loss: 0.02, burst: 0.8, ..clean.clone() },
        Path { reorder: 0.3, ..clean.clone() },
        Path { jitter: 60 * MS, ..clean.clone() },
        Path { duplicate: 0.5, ..clean.clone() },
        Path { corrupt: 0.2, ..clean.clone() },
        Path { loss: 0.1, burst: 0.4, reorder: 0.1, duplicate: 0.1, corrupt: 0.1, jitter: 9 * MS, ..clean },
    ];
    for (index, path) in paths.into_iter().enumerate() {
        for seed in 0..4 {
            let seed = 1000 + 100 * index as u64 + seed;
            exchange(seed, path.clone(), &frames(seed, 1000, 300), 600 * SECOND);
        }
    }
}

#[test]
fn frames_from_nothing_to_the_longest() {
    let mut rng = Rng::new(7);
    let sizes = [0, 1, 63, 64, 1100, 1150, 1200, 16_383, 16_384, 1 << 20, 2 << 20, 0, 2 << 20, 3];
    let frames: Vec<_> = sizes.map(|len| Bytes::from(rng.bytes(len))).to_vec();
    for loss in [0.0, 0.02] {
        exchange(8, Path::lossy(loss), &frames, 900 * SECOND);
    }
}

#[test]
fn long_frames_cross_a_bad_path() {
    let frame = Bytes::from(Rng::new(9).bytes(2 << 20));
    let mut pair = Pair::new(9, Path::lossy(0.3));
    pair.to_send[0].push_back(frame.clone());
    assert!(pair.deliver(1800 * SECOND, 1), "{:?} {:?}", pair.ends[0].end(), pair.net.elapsed());
    assert_eq!(pair.received[1], [frame]);
}

#[test]
fn a_clean_path_carries_no_more_than_it_must() {
    let payload = 300_000;
    let mut pair = Pair::new(10, Path::clean());
    pair.to_send[0].push_back(Bytes::from(vec![7; payload]));
    assert!(pair.deliver(20 * SECOND, 1));
    assert!(pair.net.elapsed() < SECOND, "slow start takes six round trips: {:?}", pair.net.elapsed());
    assert!(pair.net.bytes[0] < payload * 106 / 100, "{}", pair.net.bytes[0]);
    let figures = pair.ends[0].figures();
    assert_eq!((figures.lost_packets, figures.retransmits), (Some(0), Some(0)));
    let srtt = Duration::from_micros(figures.srtt_us.unwrap());
    assert!(srtt >= 50 * MS && srtt < 80 * MS, "{srtt:?}");
    // An acknowledgement each second packet, and a few for reasons of their own.
    assert!(pair.net.sent(1) < pair.net.sent(0) * 2 / 3, "{} {}", pair.net.sent(1), pair.net.sent(0));
}

#[test]
fn a_lone_message_takes_half_a_round_trip_and_reordering_costs_little() {
    let mut pair = Pair::new(11, Path::clean());
    pair.run_for(SECOND);
    let before = pair.net.elapsed();
    pair.to_send[0].push_back(Bytes::from_static(b"hello"));
    assert!(pair.deliver(SECOND, 1));
    assert_eq!(pair.net.elapsed() - before, 25 * MS);
}

#[test]
fn stop_and_wait_for_study() {
    let config = Config { window: Some(1), rto: Some(2 * SECOND), ..Config::default() };
    let mut pair = Pair::with(12, Path::clean(), &config, 0);
    pair.to_send[0].push_back(Bytes::from(vec![1; 20_000]));
    assert!(pair.deliver(60 * SECOND, 1));
    // 18 packets, one a round trip, and none waits for an acknowledgement that is held back.
    assert!(pair.net.elapsed() >= 17 * 50 * MS, "{:?}", pair.net.elapsed());
    assert!(pair.net.elapsed() < 19 * 50 * MS, "{:?}", pair.net.elapsed());
    let mut pair = Pair::with(12, Path { drop_first: 1, ..Path::clean() }, &config, 0);
    pair.to_send[0].push_back(Bytes::from_static(b"once more"));
    assert!(pair.deliver(60 * SECOND, 1));
    assert_eq!(pair.net.elapsed(), 2 * SECOND + 25 * MS, "the fixed timeout, then half a round trip");
}

#[test]
fn a_blackout_of_two_seconds_in_five_is_survived() {
    for seed in 0..6 {
        let blackout = (0..60).map(|n| n * 5 * SECOND + 2 * SECOND..n * 5 * SECOND + 4 * SECOND).collect();
        let path = Path { blackout, ..Path::lossy(0.02) };
        exchange(20 + seed, path, &frames(seed, 1000, 2000), 240 * SECOND);
    }
}

/// A10.
#[test]
fn packet_numbers_cross_every_truncation() {
    for first in [0xf0, 0xffe0, 0xff_ffc0, 0xffff_ff80, (1 << 40) - 20] {
        let mut pair = Pair::with(30, Path::lossy(0.1), &Config::default(), first);
        let sent = frames(first, 1000, 900);
        pair.to_send[0].extend(sent.iter().cloned());
        assert!(pair.deliver(300 * SECOND, 1000), "from {first}");
        assert!(pair.received[1] == sent);
    }
}

#[test]
fn keys_are_updated_on_the_way() {
    let mut config = Config::default();
    config.keys.update_after = 20;
    let mut pair = Pair::with(31, Path { reorder: 0.1, ..Path::lossy(0.1) }, &config, 0);
    let sent = frames(31, 1000, 900);
    pair.to_send[0].extend(sent.iter().cloned());
    assert!(pair.deliver(300 * SECOND, 1000));
    assert!(pair.received[1] == sent);
    assert!(pair.ends[0].key_updates() > 10, "{}", pair.ends[0].key_updates());
}

#[test]
fn a_side_that_only_acknowledges_keeps_its_key_fresh() {
    // A small window, so that a key is confirmed long before its limit.
    let mut config = Config { window: Some(32), ..Config::default() };
    (config.keys.update_after, config.keys.seals) = (200, 600);
    let mut pair = Pair::with(32, Path { jitter: 5 * MS, ..Path::clean() }, &config, 0);
    let sent = frames(32, 6000, 900);
    pair.to_send[0].extend(sent.iter().cloned());
    assert!(pair.deliver(300 * SECOND, 6000), "{:?} {:?}", pair.ends[0].end(), pair.ends[1].end());
    assert!(pair.received[1] == sent);
    assert!(pair.ends[1].key_updates() > 3, "{}", pair.ends[1].key_updates());
}
