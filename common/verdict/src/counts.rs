use serde::{Deserialize, Serialize};

use crate::{Histogram, Proportion};

/// What became of the requests that a version got: over some time, or, in a [`Reading`](crate::Reading), since its counters
/// began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were answered, by whomever.
    pub requests: u64,
    /// Of those, the ones that failed: answered with 5xx, or not to the end.
    pub failed: u64,
    /// Time to the head of the response.
    #[serde(default)]
    pub latency: Histogram,
}

impl Counts {
    /// So many requests, of which so many failed (at most all), with the proxy's buckets of their latency.
    pub fn new(requests: u64, failed: u64, latency: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self { requests, failed: failed.min(requests), latency: latency.into_iter().collect() }
    }

    /// How many of the requests failed.
    pub fn failures(&self) -> Proportion {
        Proportion::new(self.failed, self.requests)
    }

    /// How many took longer than a bound, of those whose latency is known; nothing where it is no bound of the histogram.
    pub(crate) fn slower(&self, bound: u64) -> Option<Proportion> {
        Some(Proportion::new(self.latency.above(bound)?, self.latency.total()))
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            failed: self.failed + other.failed,
            latency: self.latency.plus(&other.latency),
        }
    }

    /// What has come since an earlier reading of the same counters. If any of them is lower than it was, all have begun
    /// anew (the proxy was started again), and what they show has come since; what was counted between the earlier reading and
    /// that is lost.
    pub fn since(&self, before: &Self) -> Self {
        let fell = self.requests < before.requests || self.failed < before.failed;
        if fell || self.latency.fell_since(&before.latency) {
            return self.clone();
        }
        Self {
            requests: self.requests - before.requests,
            failed: (self.failed - before.failed).min(self.requests - before.requests),
            latency: self.latency.since(&before.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_fell_have_begun_anew() {
        let before = Counts::new(100, 7, [(10, 90), (u64::MAX, 10)]);
        let after = Counts::new(130, 9, [(10, 110), (u64::MAX, 20)]);
        assert_eq!(after.since(&before), Counts::new(30, 2, [(10, 20), (u64::MAX, 10)]));
        // As many requests as before, but fewer failed, or fewer were slow: that is another proxy.
        for anew in [
            Counts::new(12, 1, [(10, 12), (u64::MAX, 0)]),
            Counts::new(150, 1, [(10, 91), (u64::MAX, 59)]),
            Counts::new(150, 8, [(10, 148), (u64::MAX, 2)]),
        ] {
            assert_eq!(anew.since(&before), anew);
        }
    }
}
