//! Loss in bursts.

use crate::Probability;
use crate::dice::Throw;

/// Which packets are lost: the Gilbert–Elliott model in which nothing is lost in the good state and everything in
/// the bad one. With a loss of `p` and bursts of `L` packets on average, the bad state is left with probability
/// `1/L` and entered with `p / (L (1 − p))`; then a share of `p` of the packets is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loss {
    /// The state at the last packet; at the first it is drawn, so that the share is right from the beginning.
    bad: Option<bool>,
}

impl Loss {
    /// Whether the next packet is lost. `burst` is the mean length of a burst; without, each packet is lost or not
    /// on its own.
    pub(crate) fn next(&mut self, loss: Probability, burst: Option<u32>, throw: Throw) -> bool {
        let lost = match (self.bad, burst) {
            (Some(bad), Some(burst)) if loss != Probability::ALWAYS && loss != Probability::NEVER => {
                let (enter, leave) = transitions(loss, burst);
                if bad { !throw.in_ratio(leave.0, leave.1) } else { throw.in_ratio(enter.0, enter.1) }
            }
            _ => throw.happens(loss),
        };
        self.bad = Some(lost);
        lost
    }
}

/// How likely the bad state is entered, and left, as ratios.
fn transitions(loss: Probability, burst: u32) -> ((u64, u64), (u64, u64)) {
    let lost = u64::from(loss.in_millionths());
    let kept = u64::from(Probability::ONE) - lost;
    let burst = u64::from(burst.max(1));
    if lost <= burst * kept {
        ((lost, burst * kept), (1, burst))
    } else {
        // So much loss takes longer bursts: the shortest ones have one packet between them.
        ((1, 1), (kept, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    /// Share of lost packets, and mean length of a burst of losses.
    fn measure(loss: Probability, burst: Option<u32>) -> (f64, f64) {
        const PACKETS: u32 = 400_000;
        let (mut model, mut dice) = (Loss::default(), Dice::new(1));
        let (mut lost, mut bursts, mut before) = (0_u32, 0_u32, false);
        for _ in 0..PACKETS {
            let now = model.next(loss, burst, dice.throw());
            lost += u32::from(now);
            bursts += u32::from(now && !before);
            before = now;
        }
        (f64::from(lost) / f64::from(PACKETS), f64::from(lost) / f64::from(bursts.max(1)))
    }

    /// Tolerance: 4 % of what was asked. With so many packets that is more than three standard deviations.
    #[test]
    fn share_and_bursts_are_as_asked() {
        let cases =
            [(1, None), (30, None), (50, None), (1, Some(2)), (5, Some(10)), (30, Some(3)), (50, Some(1))];
        for (percent, burst) in cases {
            let asked = f64::from(percent) / 100.0;
            let (share, length) = measure(Probability::percent(percent), burst);
            assert!((share / asked - 1.0).abs() < 0.04, "{percent} % {burst:?}: {share}");
            // Independent losses come in bursts as well.
            let expected = burst.map_or(1.0 / (1.0 - asked), f64::from);
            assert!((length / expected - 1.0).abs() < 0.04, "{percent} % {burst:?}: {length}");
        }
    }

    #[test]
    fn more_loss_than_the_bursts_allow_makes_them_longer() {
        let (share, length) = measure(Probability::percent(90), Some(2));
        assert!((share / 0.9 - 1.0).abs() < 0.01, "{share}");
        assert!((length / 9.0 - 1.0).abs() < 0.04, "{length}");
    }

    #[test]
    fn all_and_nothing() {
        for burst in [None, Some(0), Some(1), Some(u32::MAX)] {
            assert_eq!(measure(Probability::NEVER, burst).0, 0.0, "{burst:?}");
            assert_eq!(measure(Probability::ALWAYS, burst).0, 1.0, "{burst:?}");
        }
        let mut model = Loss::default();
        let mut dice = Dice::new(1);
        assert!(model.next(Probability::ALWAYS, Some(1000), dice.throw()));
        assert!(!model.next(Probability::NEVER, Some(1000), dice.throw()), "the bad state is left at once");
    }
}
