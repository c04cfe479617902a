//! What is wrong with a path.

use std::fmt;
use std::time::Duration;

use crate::Probability;
use crate::units::{NANOS, Rate, Size, Time};

/// What is wrong with one direction of a path. [`Display`](fmt::Display) writes the options of `chat impair` that
/// make the same; nothing for [`Impairment::NONE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impairment {
    /// How likely a packet is lost.
    pub loss: Probability,
    /// Mean number of packets lost in a row, by the Gilbert–Elliott model; `None`: each is lost or not on its own. Where
    /// the loss can't be had with so short bursts (90 % takes 9 packets), they are as long as they must be.
    pub burst: Option<u32>,
    /// How long each packet takes at least.
    pub delay: Duration,
    /// Each takes up to so much longer, uniformly; packets that follow each other closer than this overtake each other.
    pub jitter: Duration,
    /// How likely a packet is held back until one to three later ones have passed, or, if none comes, for
    /// [`Line::HOLD`](crate::Line::HOLD). The later ones may be held back themselves.
    pub reorder: Probability,
    /// How likely a packet comes twice; the copy has a jitter of its own.
    pub duplicate: Probability,
    /// How likely one bit of a packet is flipped.
    pub corrupt: Probability,
    /// Bytes a second that pass, headers below the packet not counted; `None`: any number. Zero counts as one.
    pub rate: Option<u64>,
    /// Most bytes that wait for a line that is limited by [`rate`](Self::rate), the packet that is being sent among
    /// them; what does not fit is dropped. A line that does nothing takes any packet.
    pub queue: u64,
    /// Larger packets are dropped; in bytes without the headers below the packet.
    pub mtu: Option<u64>,
    /// Times at which everything that is offered is dropped.
    pub blackhole: Option<Blackhole>,
}

/// Closed for some time out of every period: at first open, closed at the end of each period. A line is always closed if
/// `closed` is not less than `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blackhole {
    /// How long it is closed.
    pub closed: Duration,
    /// The period.
    pub every: Duration,
}

impl Impairment {
    /// A perfect path.
    pub const NONE: Self = Self {
        loss: Probability::NEVER,
        burst: None,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        reorder: Probability::NEVER,
        duplicate: Probability::NEVER,
        corrupt: Probability::NEVER,
        rate: None,
        queue: Self::DEFAULT_QUEUE,
        mtu: None,
        blackhole: None,
    };

    /// A path on which nothing arrives.
    pub const CUT: Self = Self { loss: Probability::ALWAYS, ..Self::NONE };

    /// The queue of a line of which nothing else is said, in bytes.
    pub const DEFAULT_QUEUE: u64 = 64 << 10;

    /// Whether the path is closed at `now`.
    pub fn is_closed(&self, now: Duration) -> bool {
        self.blackhole.is_some_and(|hole| hole.opens_at(now) != Some(now))
    }
}

impl Default for Impairment {
    fn default() -> Self {
        Self::NONE
    }
}

impl Blackhole {
    /// The first moment from `now` on at which it is open; none if it never is.
    pub(crate) fn opens_at(&self, now: Duration) -> Option<Duration> {
        let (closed, every) = (self.closed.as_nanos(), self.every.as_nanos());
        if closed >= every {
            return None;
        }
        let into = now.as_nanos() % every;
        let wait = if into < every - closed { 0 } else { every - into };
        // Less than a period, which is a `Duration`.
        let wait = Duration::new((wait / NANOS) as u64, (wait % NANOS) as u32);
        Some(now.saturating_add(wait))
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<(&str, String)> = Vec::new();
        let shares = |options: &mut Vec<_>, list: &[(&'static str, Probability)]| {
            let asked = list.iter().filter(|(_, share)| *share != Probability::NEVER);
            options.extend(asked.map(|(name, share)| (*name, share.to_string())));
        };
        shares(&mut options, &[("loss", self.loss)]);
        options.extend(self.burst.map(|burst| ("burst", burst.to_string())));
        for (name, time) in [("delay", self.delay), ("jitter", self.jitter)] {
            options.extend((time > Duration::ZERO).then(|| (name, Time(time).to_string())));
        }
        let others = [("reorder", self.reorder), ("duplicate", self.duplicate), ("corrupt", self.corrupt)];
        shares(&mut options, &others);
        options.extend(self.rate.map(|rate| ("rate", Rate(rate).to_string())));
        if self.queue != Self::DEFAULT_QUEUE {
            options.push(("queue", Size(self.queue).to_string()));
        }
        options.extend(self.mtu.map(|mtu| ("mtu", mtu.to_string())));
        options.extend(self.blackhole.map(|hole| ("blackhole", hole.to_string())));
        let options: Vec<String> = options.iter().map(|(name, value)| format!("--{name} {value}")).collect();
        f.write_str(&options.join(" "))
    }
}

/// As `2s/5s`.
impl fmt::Display for Blackhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Time(self.closed), Time(self.every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_options() {
        let all = Impairment {
            loss: Probability::percent(30),
            burst: Some(3),
            delay: Duration::from_millis(50),
            jitter: Duration::from_micros(20_001),
            reorder: Probability::millionths(5_000),
            duplicate: Probability::percent(1),
            corrupt: Probability::millionths(1),
            rate: Some(125_000),
            queue: 128 << 10,
            mtu: Some(1200),
            blackhole: Some(Blackhole { closed: Duration::from_secs(2), every: Duration::from_secs(5) }),
        };
        assert_eq!(
            all.to_string(),
            "--loss 30% --burst 3 --delay 50ms --jitter 20001us --reorder 0.5% --duplicate 1% --corrupt 0.0001% \
             --rate 1mbit --queue 128KiB --mtu 1200 --blackhole 2s/5s"
        );
        assert_eq!(Impairment::NONE.to_string(), "");
        assert_eq!(Impairment::CUT.to_string(), "--loss 100%");
        let odd = Impairment { rate: Some(1), queue: 0, delay: Duration::from_nanos(1), ..Impairment::NONE };
        assert_eq!(odd.to_string(), "--delay 1ns --rate 8bit --queue 0B");
    }

    #[test]
    fn closed_at_the_end_of_each_period() {
        let (ms, hole) = (Duration::from_millis, |closed, every| Impairment {
            blackhole: Some(Blackhole { closed, every }),
            ..Impairment::NONE
        });
        let some = hole(ms(2), ms(5));
        let closed: Vec<bool> = (0..10).map(|n| some.is_closed(ms(n))).collect();
        assert_eq!(closed, [false, false, false, true, true, false, false, false, true, true]);
        for (closed, every) in [(5, 5), (1, 0), (0, 0), (6, 5)] {
            assert!(hole(ms(closed), ms(every)).is_closed(ms(0)), "{closed}/{every}");
        }
        assert!(!hole(ms(0), ms(5)).is_closed(ms(4)));
        assert!(!Impairment::NONE.is_closed(ms(3)));
        let opens = |n| some.blackhole.and_then(|hole| hole.opens_at(ms(n)));
        assert_eq!([opens(2), opens(3), opens(4), opens(5)], [2, 5, 5, 5].map(|n| Some(ms(n))));
    }
}
