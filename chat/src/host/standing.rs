//! How the ways have done so far: one that has failed rests before it is preferred again, longer each time. The clock is
//! handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a way rests after its link was lost; twice as long after each loss more, up to the last.
const REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// A link that lived so long has made up for those before it.
const STEADY: Duration = Duration::from_secs(60);
/// A way is dialed first although it has been lost so often a short time ago: most often the relay was started anew.
const FORGIVEN: u32 = 1;

/// The ways, by number.
#[derive(Debug, Default)]
pub(super) struct Standing {
    ways: BTreeMap<usize, Record>,
}

#[derive(Debug, Default)]
struct Record {
    losses: u32,
    up_since: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Standing {
    /// There is a link over it.
    pub(super) fn up(&mut self, way: usize, now: Instant) {
        self.ways.entry(way).or_default().up_since = Some(now);
    }

    /// Its link was lost, or does not answer.
    pub(super) fn lost(&mut self, way: usize, now: Instant) {
        let record = self.ways.entry(way).or_default();
        let lived =
            record.up_since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        record.losses = if lived >= STEADY { 1 } else { record.losses.saturating_add(1) };
        let rest = REST.saturating_mul(1 << (record.losses - 1).min(16)).min(LONGEST_REST);
        record.rests_until = Some(now + rest);
    }

    /// Whether it is too early to go back to it.
    pub(super) fn rests(&self, way: usize, now: Instant) -> bool {
        self.ways.get(&way).is_some_and(|record| record.rests_until.is_some_and(|until| now < until))
    }

    /// In which order so many ways are dialed: as the profile says, but for those that were lost again and again a
    /// short time ago.
    pub(super) fn order(&self, ways: usize, now: Instant) -> Vec<usize> {
        let is_bad = |way: &usize| {
            self.rests(*way, now) && self.ways.get(way).is_some_and(|record| record.losses > FORGIVEN)
        };
        let (bad, good): (Vec<usize>, Vec<usize>) = (0..ways).partition(is_bad);
        [good, bad].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// How long it rests after each of these losses, that come a second after its link.
    fn rests(losses: usize) -> Vec<u64> {
        let (mut standing, mut now) = (Standing::default(), Instant::now());
        let rest = |_| {
            standing.up(0, now);
            now += s(1);
            standing.lost(0, now);
            let rest = (0..).find(|rest| !standing.rests(0, now + s(*rest))).unwrap();
            now += s(rest);
            rest
        };
        (0..losses).map(rest).collect()
    }

    #[test]
    fn a_way_that_flaps_rests_longer_each_time() {
        assert_eq!(rests(9), [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_link_that_lived_long_makes_up_for_those_before() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        for _ in 0..5 {
            standing.lost(0, now);
        }
        standing.up(0, now + s(100));
        standing.lost(0, now + s(160));
        assert!(standing.rests(0, now + s(164)) && !standing.rests(0, now + s(165)));
        assert!(!standing.rests(1, now));
    }

    #[test]
    fn one_loss_changes_no_order_two_do_for_a_while() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        standing.lost(0, now);
        assert_eq!(standing.order(3, now), [0, 1, 2]);
        standing.lost(0, now);
        assert_eq!(standing.order(3, now), [1, 2, 0]);
        standing.lost(1, now);
        standing.lost(1, now);
        assert_eq!(standing.order(3, now), [2, 0, 1]);
        assert_eq!(standing.order(3, now + s(10)), [0, 1, 2]);
    }
}
