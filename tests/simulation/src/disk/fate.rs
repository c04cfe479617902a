//! What a power cut does to each change that was not synced.

use super::{Counters, Rng};

/// What the medium writes whole or not at all.
pub(super) const SECTOR: usize = 512;

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrashMode {
    /// One of the others, drawn at each crash.
    #[default]
    Drawn,
    /// Nothing of it.
    Nothing,
    /// All of it.
    Everything,
    /// The first so many changes, over all files and the directory, in their order; of the next one a part.
    Prefix,
    /// Any of them, in whole or in part: the medium and the system above it write in whatever order they like.
    Subset,
}

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Dropped,
    Torn,
}

enum Plan {
    Nothing,
    Everything,
    /// Everything before this change.
    Prefix {
        cut: u64,
    },
    /// So many of eight.
    Subset {
        kept: u64,
    },
}

/// Decides, by the seed, over one crash.
pub(super) struct Fates<'a> {
    plan: Plan,
    rng: &'a mut Rng,
    counters: &'a mut Counters,
}

impl<'a> Fates<'a> {
    /// `orders`: every pending change's.
    pub(super) fn new(
        mode: CrashMode,
        rng: &'a mut Rng,
        counters: &'a mut Counters,
        mut orders: Vec<u64>,
    ) -> Self {
        let mode = match mode {
            CrashMode::Drawn => match rng.below(8) {
                0 => CrashMode::Nothing,
                1 => CrashMode::Everything,
                2..5 => CrashMode::Prefix,
                _ => CrashMode::Subset,
            },
            mode => mode,
        };
        let plan = match mode {
            CrashMode::Nothing => Plan::Nothing,
            CrashMode::Everything => Plan::Everything,
            CrashMode::Prefix => {
                orders.sort_unstable();
                let after = rng.below(orders.len() as u64 + 1);
                let cut = usize::try_from(after).ok().and_then(|after| orders.get(after));
                Plan::Prefix { cut: cut.copied().unwrap_or(u64::MAX) }
            }
            CrashMode::Drawn | CrashMode::Subset => Plan::Subset { kept: 1 + rng.below(7) },
        };
        Self { plan, rng, counters }
    }

    pub(super) fn of_write(&mut self, order: u64) -> Fate {
        let fate = match self.plan {
            Plan::Nothing => Fate::Dropped,
            Plan::Everything => Fate::Kept,
            Plan::Prefix { cut } => match order.cmp(&cut) {
                std::cmp::Ordering::Less => Fate::Kept,
                std::cmp::Ordering::Equal => Fate::Torn,
                std::cmp::Ordering::Greater => Fate::Dropped,
            },
            // Of what is not kept, half is torn.
            Plan::Subset { kept } => match self.rng.below(8) {
                roll if roll < kept => Fate::Kept,
                roll if roll % 2 == 0 => Fate::Dropped,
                _ => Fate::Torn,
            },
        };
        match fate {
            Fate::Kept => self.counters.kept += 1,
            Fate::Dropped => self.counters.dropped += 1,
            Fate::Torn => self.counters.torn += 1,
        }
        fate
    }

    /// Whether a change of a length or of the directory, which is there as a whole or not at all, is kept.
    pub(super) fn of_metadata(&mut self, order: u64) -> bool {
        let kept = match self.plan {
            Plan::Nothing => false,
            Plan::Everything => true,
            Plan::Prefix { cut } => order < cut,
            Plan::Subset { kept } => self.rng.below(8) < kept,
        };
        if kept {
            self.counters.kept += 1;
        } else {
            self.counters.dropped += 1;
        }
        kept
    }

    /// Which sectors of a torn write are kept: asked once for each of `count`, in their order.
    pub(super) fn tear(&mut self, count: usize) -> impl FnMut(&mut Fates<'_>) -> bool + use<> {
        let in_order = matches!(self.plan, Plan::Prefix { .. });
        let mut first = self.rng.below(count as u64 + 1);
        move |fates| {
            if in_order {
                let keep = first > 0;
                first = first.saturating_sub(1);
                return keep;
            }
            fates.rng.chance(1, 2)
        }
    }

    /// Whether a file is as long as a lost write made it, though its bytes are lost.
    pub(super) fn length_without_data(&mut self) -> bool {
        matches!(self.plan, Plan::Subset { .. }) && self.rng.chance(1, 2)
    }

    /// What stands there then: zeros mostly, else what the medium held before (ext4 with `data=writeback`).
    pub(super) fn stale(&mut self, place: &mut [u8]) {
        if self.rng.chance(1, 4) {
            let junk = self.rng.next_u64().to_le_bytes();
            place.iter_mut().zip(junk.iter().cycle()).for_each(|(byte, junk)| *byte = *junk);
        }
    }
}
