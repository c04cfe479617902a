//! How likely something is.

use std::fmt;

/// How likely something is, in millionths: exact to compare, to write down and to draw by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Probability(u32);

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(Self::ONE);

    /// Millionths in one.
    pub(crate) const ONE: u32 = 1_000_000;

    /// So many millionths; more than a million counts as a million.
    pub const fn millionths(n: u32) -> Self {
        Self(if n > Self::ONE { Self::ONE } else { n })
    }

    /// So many per cent; more than 100 counts as 100.
    pub const fn percent(n: u32) -> Self {
        Self::millionths(n.saturating_mul(Self::ONE / 100))
    }

    /// In millionths.
    pub const fn in_millionths(self) -> u32 {
        self.0
    }
}

/// As `30%`, with as many digits as it needs.
impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        match part {
            0 => write!(f, "{whole}%"),
            _ => write!(f, "{whole}.{}%", format!("{part:04}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_in_per_cent() {
        let shown = [0, 1, 100, 5_000, 300_000, 123_456, 1_000_000, u32::MAX]
            .map(|n| Probability::millionths(n).to_string());
        assert_eq!(shown, ["0%", "0.0001%", "0.01%", "0.5%", "30%", "12.3456%", "100%", "100%"]);
        assert_eq!(Probability::percent(101), Probability::ALWAYS);
        assert_eq!(Probability::percent(30), Probability::millionths(300_000));
    }
}
