//! What is said about many measurements of one thing.

use std::time::Duration;

/// Measurements of one round.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn push_ms(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    /// The smallest measurement that at least `percent` of all don't exceed (nearest rank); NaN if there is none.
    pub(crate) fn percentile(&self, percent: u32) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// How many percent of the measurements are at most `limit`.
    pub(crate) fn percent_within(&self, limit: f64) -> f64 {
        let within = self.0.iter().filter(|value| **value <= limit).count();
        100.0 * within as f64 / self.0.len() as f64
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn max(&self) -> f64 {
        self.percentile(100)
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }
}

/// One figure of several rounds: the median of what `figure` says of each.
pub(crate) fn over_rounds<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    Samples(rounds.iter().map(figure).collect()).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements() {
        let samples = Samples((1..=200).rev().map(f64::from).collect());
        assert_eq!((samples.median(), samples.percentile(99), samples.max()), (100.0, 198.0, 200.0));
        assert_eq!(samples.percent_within(50.0), 25.0);
        assert_eq!(Samples(vec![3.0]).percentile(1), 3.0);
        assert!(Samples::default().median().is_nan());
        assert_eq!(over_rounds(&[3.0, 1.0, 2.0], |round| *round), 2.0);
    }
}
