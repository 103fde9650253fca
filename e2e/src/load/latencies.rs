//! How long the answers took.

use std::fmt;
use std::time::Duration;

/// The times from schedule to whole answer of all answers, in order.
#[derive(Clone)]
pub struct Latencies {
    /// In microseconds, sorted.
    micros: Vec<u32>,
}

impl Latencies {
    pub(super) fn new(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        Self { micros }
    }

    /// The nearest-rank percentile: the least time that `percent` of the answers were within; zero when nothing was
    /// answered.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.micros.len() * percent).div_ceil(100);
        let micros = rank.checked_sub(1).and_then(|index| self.micros.get(index));
        Duration::from_micros(micros.copied().unwrap_or_default().into())
    }

    /// How many answers took longer than that.
    #[must_use]
    pub fn longer_than(&self, limit: Duration) -> usize {
        let within = self.micros.partition_point(|&micros| Duration::from_micros(micros.into()) <= limit);
        self.micros.len() - within
    }

    /// How many answers there were.
    pub(super) fn count(&self) -> u64 {
        self.micros.len() as u64
    }
}

/// Only how many: there are too many for a message.
impl fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Latencies({})", self.micros.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_a_limit_is_not_longer() {
        let latencies = Latencies::new(vec![30_000, 10_000, 10_001, 1]);
        assert_eq!(latencies.longer_than(Duration::from_millis(10)), 2);
        assert_eq!(latencies.longer_than(Duration::from_millis(30)), 0);
        assert_eq!(latencies.percentile(50), Duration::from_millis(10));
    }
}
