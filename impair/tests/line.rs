//! A [`Line`] does what was asked, no less and no more, and the same every time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use impair::{Blackhole, Figures, Impairment, Line, Probability};

const MS: Duration = Duration::from_millis(1);

fn percent(n: u32) -> Probability {
    Probability::percent(n)
}

/// Everything at once.
fn everything() -> Impairment {
    Impairment {
        loss: percent(20),
        burst: Some(3),
        delay: 20 * MS,
        jitter: 15 * MS,
        reorder: percent(10),
        duplicate: percent(10),
        corrupt: percent(10),
        rate: Some(30_000),
        queue: 5_000,
        mtu: Some(990),
        blackhole: Some(Blackhole { closed: 100 * MS, every: 1_000 * MS }),
    }
}

/// One that came out: when, and what.
type Arrival = (Duration, Vec<u8>);

/// Takes out all that arrives from `now` on and before `end`.
fn take(line: &mut Line, mut now: Duration, end: Duration, into: &mut Vec<Arrival>) {
    while let Some(at) = line.next_at().filter(|at| *at < end) {
        if at > now {
            assert_eq!(line.pop(at - Duration::from_nanos(1)), None, "too early");
        }
        now = at;
        let packet = line.pop(at).expect("it was said to arrive now");
        into.push((at, packet));
    }
}

/// Pushes numbered packets of `bytes` bytes, one every `gap`; what came out.
fn run(line: &mut Line, count: u32, gap: Duration, bytes: usize) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for n in 0..count {
        let now = gap * n;
        take(line, gap * n.saturating_sub(1), now, &mut arrivals);
        let mut packet = n.to_be_bytes().to_vec();
        packet.resize(bytes, 0);
        line.push(now, packet);
    }
    take(line, gap * count, Duration::MAX, &mut arrivals);
    assert_eq!((line.under_way(), line.next_at()), (0, None));
    arrivals
}

fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[..4].try_into().unwrap())
}

/// `actual` is within this share of `asked`.
#[track_caller]
fn near(actual: f64, asked: f64, tolerance: f64) {
    assert!((actual - asked).abs() <= asked * tolerance, "{actual} instead of {asked}");
}

#[test]
fn a_perfect_line_changes_nothing() {
    let mut line = Line::new(Impairment::NONE, 1);
    let arrivals = run(&mut line, 1000, MS, 100);
    for (n, (at, packet)) in (0..).zip(&arrivals) {
        assert_eq!((*at, number(packet), packet.len()), (MS * n, n, 100));
    }
    let same = Figures {
        offered: 1000,
        offered_bytes: 100_000,
        delivered: 1000,
        delivered_bytes: 100_000,
        ..Figures::default()
    };
    assert_eq!(line.figures(), same);
}

#[test]
fn the_same_seed_gives_the_same_to_the_bit() {
    let run = |seed| run(&mut Line::new(everything(), seed), 2000, 3 * MS, 80);
    let first = run(7);
    assert!(first.len() > 500);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
}

#[test]
fn nothing_is_unaccounted_for() {
    let mut line = Line::new(everything(), 7);
    let mut came = 0;
    for n in 0..20_000_u32 {
        let now = MS * n;
        let bytes = if n.is_multiple_of(10) { 1_000 } else { 60 };
        line.push(now, vec![0; bytes]);
        while line.pop(now).is_some() {
            came += 1;
        }
        let it = line.figures();
        let gone = it.lost + it.dropped_queue + it.dropped_mtu + it.dropped_blackhole + it.dropped_full;
        assert_eq!(it.delivered, came);
        assert_eq!(it.offered + it.duplicated, it.delivered + gone + line.under_way() as u64);
    }
    let it = line.figures();
    let all = [it.lost, it.duplicated, it.corrupted, it.reordered, it.dropped_queue, it.dropped_mtu];
    assert!(all.iter().all(|n| *n > 100) && it.dropped_blackhole > 100, "{it:?}");
}

/// Whoever looks for the cause of a failure switches things off one by one: the rest must stay as it was.
#[test]
fn one_impairment_does_not_change_which_packets_the_others_meet() {
    let arrived = |impairment: Impairment| {
        let mut numbers: Vec<u32> = run(&mut Line::new(impairment, 3), 500, MS, 100)
            .iter()
            .map(|(_, packet)| number(packet))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let lossy = Impairment { loss: percent(30), burst: Some(3), ..Impairment::NONE };
    let expected = arrived(lossy.clone());
    let others = [
        Impairment { jitter: 9 * MS, delay: 3 * MS, ..lossy.clone() },
        Impairment { duplicate: percent(50), ..lossy.clone() },
        Impairment { reorder: percent(50), ..lossy.clone() },
    ];
    for other in others {
        assert_eq!(arrived(other.clone()), expected, "{other}");
    }
}

#[test]
fn loss_is_what_was_asked() {
    for (asked, burst) in [(0, None), (5, None), (30, Some(3)), (50, Some(10)), (100, None)] {
        let impairment = Impairment { loss: percent(asked), burst, ..Impairment::NONE };
        let mut line = Line::new(impairment, 1);
        let arrivals = run(&mut line, 100_000, MS, 4);
        let lost = line.figures().lost;
        assert_eq!(arrivals.len() as u64 + lost, 100_000);
        near(lost as f64, f64::from(asked) * 1000.0, 0.05);
    }
}

/// Uniform from `delay` to `delay + jitter`: its mean, and a share in each quarter.
#[test]
fn delay_is_what_was_asked() {
    let (delay, jitter) = (50 * MS, 20 * MS);
    let mut line = Line::new(Impairment { delay, jitter, ..Impairment::NONE }, 1);
    let arrivals = run(&mut line, 40_000, 30 * MS, 4);
    let (mut quarters, mut sum) = ([0_u32; 4], Duration::ZERO);
    for (at, packet) in &arrivals {
        let took = *at - 30 * MS * number(packet);
        assert!((delay..=delay + jitter).contains(&took), "{took:?}");
        let quarter = (took - delay).as_nanos() * 4 / (jitter.as_nanos() + 1);
        quarters[quarter as usize] += 1;
        sum += took;
    }
    near((sum / 40_000).as_secs_f64(), 0.060, 0.005);
    quarters.iter().for_each(|count| near(f64::from(*count), 10_000.0, 0.04));
    assert_eq!(line.figures().reordered, 0, "the packets are further apart than the jitter");

    let mut exact = Line::new(Impairment { delay, ..Impairment::NONE }, 1);
    assert!(run(&mut exact, 100, MS, 4).iter().all(|(at, packet)| *at == MS * number(packet) + delay));
}

#[test]
fn jitter_reorders_what_is_closer_together() {
    let mut line = Line::new(Impairment { jitter: 20 * MS, ..Impairment::NONE }, 1);
    let arrivals = run(&mut line, 1000, MS, 4);
    assert_eq!(arrivals.len(), 1000);
    assert!(line.figures().reordered > 500);
}

#[test]
fn duplicates_are_what_was_asked() {
    for asked in [0, 10, 100] {
        let mut line = Line::new(Impairment { duplicate: percent(asked), ..Impairment::NONE }, 1);
        let arrivals = run(&mut line, 50_000, MS, 4);
        let copies = arrivals.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!((copies as u64, arrivals.len()), (line.figures().duplicated, 50_000 + copies));
        near(copies as f64, f64::from(asked) * 500.0, 0.04);
    }
}

#[test]
fn exactly_one_bit_is_flipped_as_often_as_asked_and_anywhere() {
    for asked in [0, 10, 100] {
        let mut line = Line::new(Impairment { corrupt: percent(asked), ..Impairment::NONE }, 1);
        let mut bits = [0_u32; 64];
        for n in 0..64_000 {
            line.push(MS * n, vec![0; 8]);
            let came = u64::from_be_bytes(line.pop(MS * n).unwrap().try_into().unwrap());
            assert!(came.count_ones() <= 1);
            if came != 0 {
                bits[came.trailing_zeros() as usize] += 1;
            }
        }
        let flipped: u32 = bits.iter().sum();
        assert_eq!(u64::from(flipped), line.figures().corrupted);
        near(f64::from(flipped), f64::from(asked) * 640.0, 0.04);
        // Poisson: 100 or 1000 in each, and five standard deviations.
        let each = f64::from(asked) * 10.0;
        assert!(bits.iter().all(|n| (f64::from(*n) - each).abs() <= 5.0 * each.sqrt()), "{bits:?}");
        line.push(MS * 64_000, vec![]);
        assert_eq!(line.pop(MS * 64_000), Some(vec![]), "nothing has no bits");
    }
}

#[test]
fn what_is_to_be_reordered_is_overtaken() {
    let mut line = Line::new(Impairment { reorder: percent(2), delay: 5 * MS, ..Impairment::NONE }, 1);
    let arrivals = run(&mut line, 100_000, MS, 4);
    assert_eq!(arrivals.len(), 100_000);
    near(line.figures().reordered as f64, 2_000.0, 0.05);
    for (at, packet) in &arrivals {
        let took = *at - MS * number(packet);
        assert!((5 * MS..=5 * MS + MS * 3).contains(&took), "{took:?}");
    }
    // With nobody behind it, it arrives nevertheless.
    let mut line = Line::new(Impairment { reorder: percent(100), delay: 5 * MS, ..Impairment::NONE }, 1);
    line.push(MS, vec![1]);
    assert_eq!(line.next_at(), Some(6 * MS + Line::HOLD));
    let mut line = Line::new(Impairment { reorder: percent(100), ..Impairment::NONE }, 1);
    let arrivals = run(&mut line, 1000, MS, 4);
    assert_eq!(arrivals.len(), 1000);
    assert!(line.figures().reordered > 200, "{:?}", line.figures());
}

#[test]
fn rate_is_what_was_asked_and_the_queue_drops_its_tail() {
    let slow = Impairment { rate: Some(100_000), queue: 3_000, delay: 7 * MS, ..Impairment::NONE };
    let mut line = Line::new(slow, 1);
    // Twice as much as fits through: half of it is dropped, and the line is busy all the time.
    let arrivals = run(&mut line, 2_000, 5 * MS, 1_000);
    near(arrivals.len() as f64, 1_000.0, 0.01);
    assert_eq!(line.figures().dropped_queue, 2_000 - arrivals.len() as u64);
    assert!(arrivals.windows(2).all(|pair| pair[1].0 - pair[0].0 == 10 * MS), "never faster, never idle");
    let longest = arrivals.iter().map(|(at, packet)| *at - 5 * MS * number(packet)).max().unwrap();
    assert_eq!(longest, 7 * MS + 30 * MS, "three packets wait at most");

    let mut idle = Line::new(Impairment { rate: Some(100_000), queue: 0, ..Impairment::NONE }, 1);
    idle.push(Duration::ZERO, vec![0; 1_000]);
    idle.push(9 * MS, vec![0; 1]);
    assert_eq!(idle.figures().dropped_queue, 1, "without a queue only an idle line takes anything");
    idle.push(10 * MS, vec![0; 1]);
    assert_eq!(idle.figures().dropped_queue, 1);
}

#[test]
fn too_large_or_closed() {
    let mut line = Line::new(Impairment { mtu: Some(100), ..Impairment::NONE }, 1);
    for bytes in [100, 101, 0, 1000] {
        line.push(Duration::ZERO, vec![0; bytes]);
    }
    assert_eq!((line.figures().dropped_mtu, line.under_way()), (2, 2));

    let blackhole = Some(Blackhole { closed: 2 * MS, every: 5 * MS });
    let mut line = Line::new(Impairment { blackhole, delay: MS, ..Impairment::NONE }, 1);
    let arrivals = run(&mut line, 1000, MS, 4);
    let open = |n: &u32| n % 5 < 3;
    let expected: Vec<u32> = (0..1000).filter(open).collect();
    assert_eq!(arrivals.iter().map(|(_, packet)| number(packet)).collect::<Vec<_>>(), expected);
    assert_eq!(line.figures().dropped_blackhole, 400);
}

#[test]
fn what_is_under_way_survives_a_change() {
    let mut line = Line::new(Impairment { rate: Some(1), queue: 10_000, delay: MS, ..Impairment::NONE }, 1);
    line.push(Duration::ZERO, vec![1; 100]);
    line.push(Duration::ZERO, vec![2; 100]);
    line.set(Impairment::CUT);
    line.push(MS, vec![3]);
    line.set(Impairment::NONE);
    line.push(2 * MS, vec![4]);
    assert_eq!(line.pop(2 * MS), Some(vec![4]), "a healed line is not blocked by what waited");
    assert_eq!(line.next_at(), Some(100_000 * MS + MS));
    assert_eq!(line.pop(Duration::MAX), Some(vec![1; 100]));
    assert_eq!(line.pop(Duration::MAX), Some(vec![2; 100]));
    assert_eq!((line.pop(Duration::MAX), line.figures().lost), (None, 1));
    assert_eq!(line.impairment(), &Impairment::NONE);
}

#[test]
fn what_is_under_way_is_bounded() {
    let far = Impairment { delay: Duration::MAX, duplicate: percent(100), ..Impairment::NONE };
    for bytes in [0, 1, 65_507] {
        let mut line = Line::new(far.clone(), 1);
        for _ in 0..Line::MAX_PACKETS + 10 {
            line.push(MS, vec![0; bytes]);
        }
        let most = (Line::MAX_BYTES / bytes.max(1)).min(Line::MAX_PACKETS);
        assert_eq!(line.under_way(), most);
        assert!(line.figures().dropped_full > 10);
    }
}
