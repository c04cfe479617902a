//! The two clocks of the engine. The wall clock dates what is kept or told to others; it may be wrong, and be set right
//! at any moment. The time that the program has run for never jumps; what is waited for goes by it.

use chat_core::ids::Timestamp;

use super::{DAY_MS, MINUTE_MS};

/// A wall clock that moved by more than this, beside the time that has passed, has jumped.
pub(crate) const JUMP_MS: u64 = DAY_MS;
/// It is believed when it has stood by that for so long: a virtual machine that wakes up, or a machine that asks its
/// network for the time, may be years off for some seconds.
const STANDS_MS: u64 = MINUTE_MS;

/// How long this run has lasted, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Uptime(pub(crate) u64);

impl Uptime {
    pub(crate) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`, 0 if that is later.
    pub(crate) fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether `ms` have passed since `earlier`, which may never have been.
    pub(crate) fn is_past(self, earlier: Option<Self>, ms: u64) -> bool {
        earlier.is_none_or(|earlier| self.ms_since(earlier) >= ms)
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) up: Uptime,
}

impl Moment {
    /// What the wall clock shows later, if it goes on as it is.
    fn wall_at(self, up: Uptime) -> Timestamp {
        self.wall.plus_ms(up.ms_since(self.up))
    }
}

fn is_jump(expected: Timestamp, found: Timestamp) -> bool {
    expected.0.abs_diff(found.0) > JUMP_MS
}

/// The wall clock as far as it is believed.
pub(crate) struct Clock {
    /// Believed the last time it was looked at.
    believed: Moment,
    /// When it was found to have jumped, and what it showed.
    jump: Option<Moment>,
}

impl Clock {
    /// At the start there is nothing to doubt it by.
    pub(crate) fn new(now: Moment) -> Self {
        Self { believed: now, jump: None }
    }

    /// Looks at the clocks: the date that is believed, and whether it has jumped.
    pub(crate) fn read(&mut self, now: Moment) -> (Timestamp, bool) {
        let expected = self.believed.wall_at(now.up);
        let mut jumped = false;
        let wall = if is_jump(expected, now.wall) {
            let jump = self.jump.filter(|jump| !is_jump(jump.wall_at(now.up), now.wall));
            jumped = jump.is_some_and(|jump| now.up.ms_since(jump.up) >= STANDS_MS);
            if jump.is_none() {
                tracing::warn!("the wall clock has jumped by more than a day; it is not believed yet");
            }
            self.jump = Some(jump.unwrap_or(now));
            if jumped { now.wall } else { expected }
        } else {
            self.jump = None;
            now.wall
        };
        if jumped {
            tracing::warn!("the wall clock stands by its jump, so it is believed");
            self.jump = None;
        }
        self.believed = Moment { wall, up: now.up };
        (wall, jumped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;

    /// Reads at seconds of uptime, with the wall clock so many milliseconds off.
    fn read(clock: &mut Clock, second: u64, off: i64) -> (i64, bool) {
        let up = Uptime(second * 1_000);
        let right = START + up.0;
        let (wall, jumped) = clock.read(Moment { wall: Timestamp(right.saturating_add_signed(off)), up });
        (wall.0 as i64 - right as i64, jumped)
    }

    fn clock() -> Clock {
        Clock::new(Moment { wall: Timestamp(START), up: Uptime(0) })
    }

    #[test]
    fn a_jump_of_some_seconds_is_never_seen() {
        let (mut clock, mut second) = (clock(), 0);
        for off in [40 * DAY_MS as i64, -40 * DAY_MS as i64, -(START as i64)] {
            for _ in 0..59 {
                second += 1;
                assert_eq!(read(&mut clock, second, off), (0, false), "{off} {second}");
            }
            second += 1;
            assert_eq!(read(&mut clock, second, 0), (0, false));
        }
    }

    #[test]
    fn a_jump_that_stands_is_believed_and_so_is_the_way_back() {
        let mut clock = clock();
        let (off, mut second) = (40 * DAY_MS as i64, 0);
        for (from, to) in [(0, off), (off, 0), (0, -off)] {
            for _ in 0..60 {
                second += 1;
                assert_eq!(read(&mut clock, second, to), (from, false));
            }
            second += 1;
            assert_eq!(read(&mut clock, second, to), (to, true));
            second += 1;
            assert_eq!(read(&mut clock, second, to), (to, false));
        }
    }

    #[test]
    fn a_clock_that_jumps_on_and_on_is_not_believed() {
        let mut clock = clock();
        for second in 1..200 {
            let off = (10 * DAY_MS * second) as i64;
            assert_eq!(read(&mut clock, second, off), (0, false));
        }
    }

    #[test]
    fn what_is_less_than_a_day_is_taken_as_it_is() {
        let mut clock = clock();
        for (second, off) in [(1, 3_600_000), (2, -3_600_000), (3, DAY_MS as i64 - 3_600_000), (4, 0)] {
            assert_eq!(read(&mut clock, second, off), (off, false));
        }
    }
}
