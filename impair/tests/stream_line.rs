//! A [`StreamLine`] loses no byte and keeps their order; what is wrong with it shows as time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use impair::{Blackhole, Impairment, Piece, Probability, StreamLine};

const MS: Duration = Duration::from_millis(1);

/// Reads all that arrives before `end`, each with its time.
fn take(line: &mut StreamLine, end: Duration, into: &mut Vec<(Duration, Piece)>) {
    while let Some(at) = line.next_at().filter(|at| *at < end) {
        while let Some(piece) = line.read(at) {
            into.push((at, piece));
        }
    }
}

/// Writes all of it as soon as there is room, and the end; what came out.
fn transfer(line: &mut StreamLine, bytes: &[u8]) -> Vec<(Duration, Piece)> {
    let (mut now, mut written, mut pieces) = (Duration::ZERO, 0, Vec::new());
    while written < bytes.len() {
        let taken = line.write(now, &bytes[written..]);
        written += taken;
        if taken == 0 {
            now = line.next_at().expect("what has no room now has room some time").max(now);
            while let Some(piece) = line.read(now) {
                pieces.push((now, piece));
            }
        }
    }
    line.end(now);
    take(line, Duration::MAX, &mut pieces);
    pieces
}

fn joined(pieces: &[(Duration, Piece)]) -> Vec<u8> {
    let bytes = pieces.iter().filter_map(|(_, piece)| match piece {
        Piece::Bytes(bytes) => Some(bytes.as_slice()),
        Piece::End => None,
    });
    bytes.flatten().copied().collect()
}

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

fn everything() -> Impairment {
    Impairment {
        loss: Probability::percent(20),
        burst: Some(2),
        delay: 20 * MS,
        jitter: 30 * MS,
        reorder: Probability::percent(50),
        duplicate: Probability::percent(50),
        rate: Some(1_000_000),
        queue: 10_000,
        mtu: Some(1),
        blackhole: Some(Blackhole { closed: 30 * MS, every: 100 * MS }),
        ..Impairment::NONE
    }
}

#[test]
fn every_byte_arrives_in_order_and_the_end_last() {
    let sent = text(500_000);
    for impairment in [Impairment::NONE, everything()] {
        let mut line = StreamLine::new(impairment.clone(), 3);
        let pieces = transfer(&mut line, &sent);
        assert!(joined(&pieces) == sent, "{impairment}");
        let ends = pieces.iter().filter(|(_, piece)| *piece == Piece::End).count();
        assert_eq!((ends, pieces.last().map(|(_, piece)| piece)), (1, Some(&Piece::End)));
        let it = line.figures();
        assert_eq!((it.offered, it.offered_bytes), (it.delivered, it.delivered_bytes));
        assert_eq!(it.offered_bytes, 500_000);
        assert_eq!((line.write(Duration::MAX, b"late"), line.next_at()), (0, None));
    }
}

#[test]
fn the_same_seed_gives_the_same_to_the_bit() {
    let impairment = Impairment { corrupt: Probability::percent(10), ..everything() };
    let run = |seed| transfer(&mut StreamLine::new(impairment.clone(), seed), &text(100_000));
    assert!(run(7) == run(7));
    assert!(run(7) != run(8));
}

#[test]
fn never_earlier_than_the_delay_and_never_overtaken() {
    let impairment = Impairment { delay: 50 * MS, jitter: 20 * MS, ..Impairment::NONE };
    let mut line = StreamLine::new(impairment, 1);
    let mut pieces = Vec::new();
    for n in 0..2_000 {
        take(&mut line, 30 * MS * n, &mut pieces);
        line.write(30 * MS * n, &n.to_be_bytes());
    }
    take(&mut line, Duration::MAX, &mut pieces);
    let mut sum = Duration::ZERO;
    for (n, (at, piece)) in (0_u32..).zip(&pieces) {
        assert_eq!(*piece, Piece::Bytes(n.to_be_bytes().to_vec()));
        let took = *at - 30 * MS * n;
        assert!((50 * MS..=70 * MS).contains(&took), "{took:?}");
        sum += took;
    }
    let mean = (sum / 2_000).as_secs_f64();
    assert!((mean - 0.060).abs() < 0.001, "{mean}");
}

/// Each segment that is lost comes one RTO late, and as many of them as was asked.
#[test]
fn loss_is_a_stall_of_one_rto() {
    let (delay, loss) = (50 * MS, Probability::percent(30));
    let mut line = StreamLine::new(Impairment { delay, loss, ..Impairment::NONE }, 1);
    let rto = StreamLine::MIN_RTO + 2 * delay;
    let gap = 2 * rto;
    let mut pieces = Vec::new();
    for n in 0..10_000 {
        line.write(gap * n, &[1]);
        take(&mut line, gap * (n + 1), &mut pieces);
    }
    let late = |(n, (at, _)): (u32, &(Duration, Piece))| {
        let took = *at - gap * n;
        assert!(took == delay || took == delay + rto, "{took:?}");
        took > delay
    };
    let lost = (0..).zip(&pieces).filter(|it| late(*it)).count();
    assert_eq!((pieces.len(), lost as u64), (10_000, line.figures().lost));
    assert!((lost as f64 / 3_000.0 - 1.0).abs() < 0.05, "{lost}");
}

#[test]
fn rate_is_what_was_asked_and_the_queue_holds_the_sender_back() {
    let impairment = Impairment { rate: Some(100_000), queue: 5_000, delay: 3 * MS, ..Impairment::NONE };
    let mut line = StreamLine::new(impairment.clone(), 1);
    let first = line.write(Duration::ZERO, &text(100_000));
    assert_eq!((first, line.room(Duration::ZERO)), (5_000, StreamLine::SEGMENT), "one segment is being sent");
    let pieces = transfer(&mut StreamLine::new(impairment, 1), &text(100_000));
    assert_eq!(pieces.last().map(|(at, _)| *at), Some(1_003 * MS));
}

#[test]
fn nothing_is_sent_while_it_is_closed() {
    let blackhole = Some(Blackhole { closed: 2 * MS, every: 5 * MS });
    let mut line = StreamLine::new(Impairment { blackhole, ..Impairment::NONE }, 1);
    let mut pieces = Vec::new();
    for n in 0..10 {
        take(&mut line, MS * n, &mut pieces);
        line.write(MS * n, &[n as u8]);
    }
    take(&mut line, Duration::MAX, &mut pieces);
    let times: Vec<Duration> = pieces.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 1, 2, 5, 5, 5, 6, 7, 10, 10].map(|ms| MS * ms));
    assert_eq!(joined(&pieces), (0..10).collect::<Vec<u8>>());
}

#[test]
fn a_line_that_is_cut_moves_again_when_it_heals() {
    let always = Some(Blackhole { closed: MS, every: MS });
    for cut in [Impairment::CUT, Impairment { blackhole: always, ..Impairment::NONE }] {
        let mut line = StreamLine::new(cut, 1);
        assert_eq!(line.write(MS, b"hello"), 5);
        assert_eq!((line.next_at(), line.read(1_000 * MS)), (None, None));
        line.set(Impairment { delay: 10 * MS, ..Impairment::NONE });
        assert!(line.next_at().is_some(), "whoever asks gets to know of it");
        assert_eq!(line.read(2_000 * MS), None);
        assert_eq!(line.next_at(), Some(2_010 * MS), "what waited is sent now, not in the past");
        assert_eq!(line.read(2_010 * MS), Some(Piece::Bytes(b"hello".to_vec())));
    }
}

#[test]
fn one_bit_of_a_segment_is_flipped() {
    let sent = text(200 * StreamLine::SEGMENT);
    for (asked, least, most) in [(0, 0, 0), (50, 75, 125), (100, 200, 200)] {
        let corrupt = Probability::percent(asked);
        let mut line = StreamLine::new(Impairment { corrupt, ..Impairment::NONE }, 1);
        let came = joined(&transfer(&mut line, &sent));
        let flipped: u32 = came.iter().zip(&sent).map(|(one, other)| (one ^ other).count_ones()).sum();
        assert_eq!((came.len(), u64::from(flipped)), (sent.len(), line.figures().corrupted));
        assert!((least..=most).contains(&flipped), "{asked} %: {flipped}");
    }
}

#[test]
fn what_is_under_way_is_bounded() {
    for impairment in [Impairment::CUT, Impairment { delay: Duration::MAX, ..Impairment::NONE }] {
        let mut line = StreamLine::new(impairment, 1);
        let bytes = text(300_000);
        let taken: usize = (0..10).map(|_| line.write(MS, &bytes)).sum();
        assert_eq!((taken, line.room(MS)), (StreamLine::MAX_BYTES, 0));
    }
}
