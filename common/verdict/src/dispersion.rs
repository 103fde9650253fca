use std::time::Duration;

use crate::Proportion;

/// How long a block is: what one cause does at once should be within one.
const BLOCK: Duration = Duration::from_secs(10);

/// A pair of blocks counts for this at the most: an outage begins and ends once, and says little about how failures come otherwise.
const MOST: f64 = 25.0;

/// So few pairs say nothing.
const FEWEST: f64 = 5.0;

/// How much failures come together: by the old version, as how many independent ones they should count. 1 where they don't.
///
/// Two blocks of ten seconds in a row have the same rate, more or less, so how far their counts are apart says how much they scatter
/// (Pearson's statistic of the pair: 1 on the average, of independent requests). Rates that change slowly don't matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dispersion {
    began: Option<Duration>,
    block: Proportion,
    before: Option<Proportion>,
    sum: f64,
    pairs: f64,
}

impl Dispersion {
    /// What was counted until some time.
    pub(crate) fn update(&mut self, from: Duration, to: Duration, seen: Proportion) {
        self.block += seen;
        let began = *self.began.get_or_insert(from);
        if to < began + BLOCK {
            return;
        }
        self.began = None;
        let block = std::mem::take(&mut self.block);
        let Some(before) = self.before.take() else {
            self.before = Some(block);
            return;
        };
        let (hits, of) = ((before.hits + block.hits) as f64, (before.of + block.of) as f64);
        if before.of > 0 && block.of > 0 && hits > 0.0 && hits < of {
            let expected = before.of as f64 * hits / of;
            let variance = expected * (1.0 - hits / of) * block.of as f64 / of;
            self.sum += ((before.hits as f64 - expected).powi(2) / variance).min(MOST);
            self.pairs += 1.0;
        }
    }

    /// The lower end of what it may be, and at least 1: what looks like more by chance costs nothing.
    pub(crate) fn factor(&self) -> f64 {
        if self.pairs < FEWEST {
            return 1.0;
        }
        (self.sum / self.pairs - (2.0 / self.pairs).sqrt()).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many seconds with 95 requests each, of which so many fail, in clumps of so many.
    fn factor(seconds: u64, clump: u64, rate: impl Fn(u64) -> f64) -> f64 {
        let mut chance = fastrand::Rng::with_seed(5);
        let mut dispersion = Dispersion::default();
        for second in 0..seconds {
            let clumps: u64 = (0..95).map(|_| u64::from(chance.f64() < rate(second) / clump as f64)).sum();
            let at = Duration::from_secs(second);
            dispersion.update(at, at + Duration::from_secs(1), Proportion::new(clump * clumps, 95));
        }
        dispersion.factor()
    }

    #[test]
    fn independent_failures_are_as_many_as_they_are() {
        assert_eq!(factor(60, 1, |_| 0.02), 1.0);
        assert!(factor(3_600, 1, |_| 0.02) < 1.1);
        assert!(factor(3_600, 1, |_| 0.001) < 1.1);
        assert_eq!(factor(3_600, 1, |_| 0.0), 1.0);
    }

    #[test]
    fn failures_that_come_together_are_fewer() {
        let five = factor(3_600, 5, |_| 0.02);
        assert!((3.5..6.5).contains(&five), "{five}");
    }

    #[test]
    fn rates_that_change_are_no_clumps() {
        assert!(factor(3_600, 1, |second| 0.02 + 0.015 * (second as f64 / 300.0).sin()) < 1.2);
        let outages = factor(3_600, 1, |second| if second % 300 < 20 { 0.2 } else { 0.01 });
        assert!(outages < 3.5, "{outages}");
    }
}
