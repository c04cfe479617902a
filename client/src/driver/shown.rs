//! When the figures of the link are worth a new snapshot although nothing happened: so that a status line lives, and an idle
//! program stays idle.

use std::time::Duration;

use chat_core::transport::LinkFigures;
use tokio::time::Instant;

/// Least time between two snapshots that only bring figures.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// A round trip that differs by less from what was shown is the same.
const NOISE_US: u64 = 2_000;

/// What was shown last.
#[derive(Debug, Default)]
pub(super) struct Shown {
    srtt_us: Option<u64>,
    lost_packets: u64,
    at: Option<Instant>,
}

impl Shown {
    /// These are in the snapshot now.
    pub(super) fn shows(&mut self, figures: &LinkFigures) {
        *self = Self {
            srtt_us: figures.srtt_us,
            lost_packets: figures.lost_packets.unwrap_or_default(),
            at: Some(Instant::now()),
        };
    }

    /// Whether it is time to look.
    pub(super) fn may_change(&self) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= AT_MOST_EVERY)
    }

    /// Whether these tell a person something that the snapshot does not.
    pub(super) fn differs(&self, figures: &LinkFigures) -> bool {
        let moved = match (self.srtt_us, figures.srtt_us) {
            (None, None) => false,
            (Some(before), Some(now)) => before.abs_diff(now) > (before / 4).max(NOISE_US),
            _ => true,
        };
        moved || figures.lost_packets.unwrap_or_default() > self.lost_packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_person_would_see_is_shown_and_not_too_often() {
        let figures = |srtt_us, lost| LinkFigures {
            srtt_us: Some(srtt_us),
            lost_packets: Some(lost),
            ..LinkFigures::default()
        };
        let mut shown = Shown::default();
        assert!(!shown.differs(&LinkFigures::default()));
        assert!(shown.differs(&figures(80_000, 0)));
        shown.shows(&figures(80_000, 0));
        assert!(!shown.may_change());
        tokio::time::advance(AT_MOST_EVERY).await;
        assert!(shown.may_change());
        assert!(!shown.differs(&figures(90_000, 0)) && !shown.differs(&figures(80_000, 0)));
        assert!(shown.differs(&figures(120_000, 0)) && shown.differs(&figures(80_000, 1)));
        shown.shows(&figures(500, 1));
        assert!(!shown.differs(&figures(2_000, 1)), "a few hundred microseconds are noise");
        assert!(shown.differs(&LinkFigures::default()));
    }
}
