//! Durations in buckets of constant ratio: quantiles with a stated precision, in constant memory.

use serde::{Deserialize, Serialize};

/// Upper bounds grow by a quarter from 4 ms, below which they would coincide: the last is above an
/// hour. A quantile is at most a quarter, or 4 ms, too large and never too small.
const BUCKETS: usize = 64;
const FIRST_MS: f64 = 4.0;
const RATIO: f64 = 1.25;

/// A histogram of durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    sum_ms: u64,
}

impl Histogram {
    /// Adds a duration.
    pub fn add(&mut self, ms: u64) {
        let place = (0..BUCKETS).find(|place| ms <= bound(*place)).unwrap_or(BUCKETS);
        self.counts.resize(BUCKETS.saturating_add(1), 0);
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        self.counts.resize(BUCKETS.saturating_add(1), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// How many durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, in milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// The upper bound of the bucket that holds the `per_mille`-th part of all durations, where
    /// `unsettled` more are still running and count as longer than all. `None` for no durations;
    /// `Some(None)` where the quantile lies among those that have not ended.
    pub fn quantile(&self, per_mille: u64, unsettled: u64) -> Option<Option<u64>> {
        let all = self.count().saturating_add(unsettled);
        let rank = all.saturating_mul(per_mille).div_ceil(1000);
        if all == 0 {
            return None;
        }
        let mut seen = 0_u64;
        for (place, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Some((place < BUCKETS).then(|| bound(place)));
            }
        }
        Some(None)
    }

    /// Upper bounds in milliseconds with the cumulative count, for Prometheus.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..BUCKETS).scan(0_u64, |seen, place| {
            *seen = seen.saturating_add(self.counts.get(place).copied().unwrap_or(0));
            Some((bound(place), *seen))
        })
    }
}

/// The upper bound of a bucket, in milliseconds.
fn bound(place: usize) -> u64 {
    let exponent = i32::try_from(place).unwrap_or(i32::MAX);
    // At most 4 · 1.25⁶³, which is far below 2⁵³.
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bound = (FIRST_MS * RATIO.powi(exponent)).ceil() as u64;
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_quarter_too_large() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500, 0), None);
        (1..=1000).for_each(|ms| histogram.add(ms));
        for (per_mille, exact) in [(500, 500), (990, 990), (20, 20)] {
            let found = histogram.quantile(per_mille, 0).unwrap().unwrap();
            assert!(found >= exact && found <= exact + exact / 4 + 1, "{found} for {exact}");
        }
        assert_eq!((histogram.count(), histogram.sum_ms()), (1000, 500_500));
    }

    #[test]
    fn what_has_not_ended_counts_as_longest() {
        let mut histogram = Histogram::default();
        (0..98).for_each(|_| histogram.add(10));
        assert_eq!(histogram.quantile(990, 0), Some(Some(10)));
        assert_eq!(histogram.quantile(990, 2), Some(None));
        assert_eq!(histogram.quantile(500, 2), Some(Some(10)));
        histogram.add(u64::MAX);
        assert_eq!(histogram.quantile(1000, 0), Some(None), "beyond the last bound");
    }

    #[test]
    fn merging_adds_up() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.add(5);
        other.add(50);
        one.merge(&other);
        assert_eq!((one.count(), one.sum_ms()), (2, 55));
        let cumulative: Vec<_> = one.cumulative().collect();
        assert_eq!(cumulative.last().unwrap().1, 2);
        assert!(cumulative.windows(2).all(|pair| pair[0].0 < pair[1].0), "bounds that differ");
    }
}
