use serde::{Deserialize, Serialize};

/// How many requests took how long: pairs of an upper bound in milliseconds (inclusive) and how many took at most that and
/// more than the bound before. A last bound of [`u64::MAX`] is no bound. As the proxy writes them, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Histogram(Vec<(u64, u64)>);

impl From<Vec<(u64, u64)>> for Histogram {
    fn from(buckets: Vec<(u64, u64)>) -> Self {
        buckets.into_iter().collect()
    }
}

impl From<Histogram> for Vec<(u64, u64)> {
    fn from(histogram: Histogram) -> Self {
        histogram.0
    }
}

impl FromIterator<(u64, u64)> for Histogram {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(buckets: I) -> Self {
        let mut buckets: Vec<_> = buckets.into_iter().collect();
        buckets.sort_unstable_by_key(|(bound, _)| *bound);
        buckets.dedup_by(|(bound, count), (before, sum)| {
            let same = bound == before;
            if same {
                *sum += *count;
            }
            same
        });
        Self(buckets)
    }
}

impl Histogram {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The bounds of the bucket that a quantile lies in, and the next one above; nothing where it has none there.
    pub(crate) fn around(&self, share: f64) -> [Option<u64>; 3] {
        let wanted = self.total() as f64 * share;
        let mut below = 0;
        let bucket = self.0.iter().position(|(_, count)| {
            below += count;
            *count > 0 && below as f64 >= wanted
        });
        let bound = |at: usize| self.0.get(at).map(|(bound, _)| *bound).filter(|bound| *bound != u64::MAX);
        let below = bucket.and_then(|at| bound(at.checked_sub(1)?));
        [below, bucket.and_then(bound), bucket.and_then(|at| bound(at + 1))]
    }

    /// How many took longer than a bound; nothing where it is no bound of this histogram, as then nobody knows.
    pub fn above(&self, bound: u64) -> Option<u64> {
        let at = self.0.binary_search_by_key(&bound, |(bound, _)| *bound).ok()?;
        Some(self.0.iter().skip(at + 1).map(|(_, count)| count).sum())
    }

    /// Both together, on the bounds that both have.
    pub fn plus(&self, other: &Self) -> Self {
        self.beside(other, |a, b| a + b)
    }

    /// What has come since an earlier reading of the same counters, on the bounds that both have.
    pub(crate) fn since(&self, before: &Self) -> Self {
        self.beside(before, u64::saturating_sub)
    }

    /// Whether some count is lower than it was: the counters have begun anew.
    pub(crate) fn fell_since(&self, before: &Self) -> bool {
        let (now, before) = (self.fitted(before), before.fitted(self));
        now.0.iter().zip(&before.0).any(|((_, now), (_, before))| now < before)
    }

    fn beside(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        // With nothing on one side there are no bounds that both have; what is on the other is not lost for that.
        if other.0.is_empty() {
            return self.clone();
        }
        if self.0.is_empty() {
            return other.0.iter().map(|(bound, count)| (*bound, of(0, *count))).collect();
        }
        let (ours, theirs) = (self.fitted(other), other.fitted(self));
        ours.0.iter().zip(&theirs.0).map(|((bound, a), (_, b))| (*bound, of(*a, *b))).collect()
    }

    /// With only those bounds that the other one has as well: what was below one that goes is below the next.
    fn fitted(&self, other: &Self) -> Self {
        let common = |bound: u64| bound == u64::MAX || other.0.iter().any(|(theirs, _)| *theirs == bound);
        let mut fitted = Vec::with_capacity(self.0.len());
        let mut below = 0;
        for (bound, count) in &self.0 {
            below += count;
            if common(*bound) {
                fitted.push((*bound, below));
                below = 0;
            }
        }
        if fitted.last().is_none_or(|(bound, _)| *bound != u64::MAX) {
            fitted.push((u64::MAX, below));
        }
        Self(fitted)
    }

    /// The share that took longer than some milliseconds, 0 to 1. Within a bucket the share falls as a power of the time (a
    /// straight line where both are drawn as logarithms), as tails do, and evenly in the first one. Where none is beyond a bucket, half
    /// a one is: that none was seen is not that there are none.
    pub(crate) fn exceedance(&self, ms: f64) -> f64 {
        let total = self.total() as f64;
        let mut above = total;
        let mut low = 0.0;
        for (bound, count) in &self.0 {
            let beyond = above - *count as f64;
            let high = *bound as f64;
            if ms < high {
                if *bound == u64::MAX || above <= 0.0 {
                    return above / total;
                }
                let part = if low > 0.0 {
                    above * (beyond.max(0.5) / above).powf((ms / low).ln() / (high / low).ln())
                } else {
                    above + (beyond - above) * (ms - low) / (high - low)
                };
                return part / total;
            }
            (above, low) = (beyond, high);
        }
        0.0
    }

    /// The time that a share of all requests stayed below, in milliseconds, evenly within a bucket; where the last bucket
    /// has no end, its beginning. Nothing of nothing.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.total();
        let wanted = total as f64 * share;
        let (mut below, mut low) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            let (count, high) = (*count as f64, *bound as f64);
            if count > 0.0 && below + count >= wanted {
                let open = *bound == u64::MAX;
                return Some(if open {
                    low
                } else {
                    low + (high - low) * ((wanted - below) / count).max(0.0)
                });
            }
            (below, low) = (below + count, high);
        }
        None
    }

    /// The probability of superiority (Vargha and Delaney's A): how likely one of these took longer than one of the others,
    /// where the same bucket counts half. 0.5 where they are alike; nothing where one has none. Cliff's delta is `2 A - 1`.
    pub fn superiority(&self, other: &Self) -> Option<f64> {
        let (ours, theirs) = (self.fitted(other), other.fitted(self));
        let pairs = self.total() as f64 * other.total() as f64;
        let (mut lower, mut won) = (0.0, 0.0);
        for ((_, a), (_, b)) in ours.0.iter().zip(&theirs.0) {
            let (a, b) = (*a as f64, *b as f64);
            won += a * (lower + b / 2.0);
            lower += b;
        }
        (pairs > 0.0).then(|| won / pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(buckets: &[(u64, u64)]) -> Histogram {
        buckets.iter().copied().collect()
    }

    #[test]
    fn bounds_that_only_one_has_go() {
        let old = histogram(&[(10, 4), (50, 2), (u64::MAX, 1)]);
        let new = histogram(&[(10, 1), (25, 1), (50, 1), (u64::MAX, 0)]);
        assert_eq!(old.plus(&new), histogram(&[(10, 5), (50, 4), (u64::MAX, 1)]));
        assert_eq!(new.plus(&old), old.plus(&new));
        assert_eq!(old.plus(&Histogram::default()), old);
    }

    #[test]
    fn what_is_above_a_bound_is_known_only_at_a_bound() {
        let counts = histogram(&[(50, 2), (10, 4), (u64::MAX, 1)]);
        assert_eq!((counts.above(10), counts.above(50), counts.above(20)), (Some(3), Some(1), None));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let counts = histogram(&[(10, 50), (20, 40), (u64::MAX, 10)]);
        assert_eq!(counts.quantile(0.5), Some(10.0));
        assert_eq!(counts.quantile(0.7), Some(15.0));
        assert_eq!(counts.quantile(0.99), Some(20.0));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn a_tail_falls_as_a_power_within_its_bucket() {
        let counts = histogram(&[(100, 90), (400, 9), (u64::MAX, 1)]);
        assert!((counts.exceedance(100.0) - 0.1).abs() < 1e-12);
        // Half of the way from 100 to 400, as a ratio, is half of the way from 10 % to 1 %, as a ratio.
        assert!((counts.exceedance(200.0) - 0.1 / 10_f64.sqrt()).abs() < 1e-12);
        assert!((counts.exceedance(400.0) - 0.01).abs() < 1e-12);
        assert!((counts.exceedance(50.0) - 0.55).abs() < 1e-12);
    }

    #[test]
    fn superiority_is_a_half_of_the_like() {
        let counts = histogram(&[(10, 3), (20, 5), (u64::MAX, 2)]);
        assert_eq!(counts.superiority(&counts), Some(0.5));
        let fast = histogram(&[(10, 7), (20, 0), (u64::MAX, 0)]);
        let slow = histogram(&[(10, 0), (20, 0), (u64::MAX, 4)]);
        assert_eq!((slow.superiority(&fast), fast.superiority(&slow)), (Some(1.0), Some(0.0)));
        assert_eq!(fast.superiority(&Histogram::default()), None);
    }
}
