use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
use crate::margin::Line;
use crate::{Finding, Histogram, Ratio, Share, Subject, Window};

/// Which slowness counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyTerms {
    /// So many times as long as the old version may the new one take, at each quantile; and always a millisecond longer.
    pub tolerated: Ratio,
    /// At which quantiles of the old version they are compared.
    pub quantiles: Vec<Share>,
    /// How many requests of the old version must be known before: its quantiles are found by them.
    pub reference: u64,
}

impl Default for LatencyTerms {
    /// A quarter more, around the quantiles 50, 90, 95 and 99 %, by 500 requests.
    fn default() -> Self {
        Self {
            tolerated: Ratio::thousandths(1_250),
            quantiles: [50, 90, 95, 99].map(Share::percent).to_vec(),
            reference: 500,
        }
    }
}

/// What is always tolerated, in milliseconds: the finest step that the proxies count in. What is shorter nobody notices, and how
/// requests lie within the first of the steps nobody knows.
const ALWAYS_MS: f64 = 1.0;

/// As many requests of the reference must take longer than a bound to say how many times as many would.
const FEWEST: u64 = 5;

/// The comparison of latencies as it goes on. What the old version did at first, at best before the new one got anything, says at
/// which bounds of the histogram they are compared; only what comes after that is tested, as bounds that were chosen by what is tested would be
/// chosen by chance.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    terms: LatencyTerms,
    alpha: f64,
    reference: Histogram,
    comparisons: Vec<(u64, Comparison)>,
    new: Histogram,
    old: Histogram,
}

impl Latency {
    pub(crate) fn new(terms: LatencyTerms, alpha: f64) -> Self {
        let (reference, comparisons, new, old) = Default::default();
        Self { terms, alpha, reference, comparisons, new, old }
    }

    /// What the old version did before the trial.
    pub(crate) fn know(&mut self, before: &Histogram) {
        if self.comparisons.is_empty() {
            self.reference = self.reference.plus(before);
            self.choose();
        }
    }

    pub(crate) fn update(&mut self, window: &Window) {
        if window.new.requests > 0 {
            self.new = self.new.plus(&window.new.latency);
            self.old = self.old.plus(&window.old.latency);
        }
        if self.comparisons.is_empty() {
            self.reference = self.reference.plus(&window.old.latency);
            return self.choose();
        }
        for (bound, comparison) in &mut self.comparisons {
            if let (Some(new), Some(old)) = (window.new.slower(*bound), window.old.slower(*bound)) {
                comparison.update(window.time(), new, old);
            }
        }
    }

    /// The ends of the buckets that the quantiles lie in, once enough is known; each gets the same part of the level.
    fn choose(&mut self) {
        if self.reference.total() < self.terms.reference.max(1) {
            return;
        }
        let mut bounds: Vec<(u64, Share)> = Vec::new();
        for quantile in &self.terms.quantiles {
            for bound in self.reference.around(quantile.fraction()).into_iter().flatten() {
                if bounds.iter().all(|(taken, _)| *taken != bound) {
                    bounds.push((bound, *quantile));
                }
            }
        }
        let alpha = self.alpha / bounds.len().max(1) as f64;
        let comparison = |(bound, quantile): &(u64, Share)| {
            let subject = Subject::Slower { than_ms: *bound, quantile: *quantile };
            (*bound, Comparison::new(subject, self.line(*bound), alpha))
        };
        self.comparisons = bounds.iter().map(comparison).collect();
    }

    /// A time that is tolerated as a share that is: as many as would take longer than a bound, by the reference, if each of the old
    /// version's requests took that much longer. So many times as many, or, where too few do to say how many times that is, so many
    /// more.
    fn line(&self, bound: u64) -> Line {
        let ms = bound as f64;
        let tolerated = (ms / self.terms.tolerated.number().max(1.0)).min(ms - ALWAYS_MS);
        if tolerated <= 0.0 {
            // Whatever takes longer than that may have been tolerated to: all of them, however many those of the old version are by now.
            return Line { slope: 1.0, rise: 1.0 };
        }
        let longer = self.reference.exceedance(tolerated);
        let now = self.reference.exceedance(ms);
        // Rounded as what is declared is.
        if self.reference.above(bound).is_some_and(|above| above >= FEWEST) {
            Line { slope: (1e3 * longer / now).round().max(1e3) / 1e3, rise: 0.0 }
        } else {
            Line { slope: 1.0, rise: (1e6 * (longer - now)).round() / 1e6 }
        }
    }

    pub(crate) fn is_worse(&self) -> bool {
        self.comparisons.iter().any(|(_, comparison)| comparison.is_worse())
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.comparisons.iter().map(|(_, comparison)| comparison.finding())
    }

    /// How much of the reference is there, while it isn't enough.
    pub(crate) fn missing(&self) -> Option<(u64, u64)> {
        self.comparisons.is_empty().then(|| (self.reference.total(), self.terms.reference))
    }

    /// All that was seen in the trial: the new version's, and the old one's.
    pub(crate) fn seen(&self) -> (&Histogram, &Histogram) {
        (&self.new, &self.old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counts;

    fn before() -> Histogram {
        [(10, 5_000), (25, 4_000), (50, 500), (100, 400), (250, 80), (u64::MAX, 20)].into_iter().collect()
    }

    fn window(new: u64) -> Window {
        let new =
            if new > 0 { Counts { requests: new, failed: 0, latency: before() } } else { Counts::default() };
        Window { new, old: Counts { requests: 10_000, failed: 0, latency: before() }, ..Window::default() }
    }

    fn after(windows: &[Window]) -> Latency {
        let mut latency = Latency::new(LatencyTerms::default(), 0.01);
        windows.iter().for_each(|window| latency.update(window));
        latency
    }

    #[test]
    fn bounds_lie_around_the_quantiles_of_what_was_before() {
        let bounds: Vec<_> = after(&[window(0)]).comparisons.iter().map(|(bound, _)| *bound).collect();
        assert_eq!(bounds, [10, 25, 50, 100, 250]);
    }

    #[test]
    fn what_the_bounds_come_from_is_not_tested() {
        let tested = |windows: &[Window]| after(windows).findings().map(|finding| finding.old.seen.of).max();
        assert_eq!(tested(&[]), None);
        assert_eq!(tested(&[window(20)]), Some(0));
        assert_eq!(tested(&[window(20), window(20)]), Some(10_000));
        // What is printed of their speed is what was seen side by side.
        assert_eq!(after(&[window(0), window(20)]).seen().1.total(), 10_000);
    }

    #[test]
    fn what_was_before_the_trial_says_where_to_compare_too() {
        let mut latency = Latency::new(LatencyTerms::default(), 0.01);
        latency.know(&before());
        latency.update(&window(20));
        assert_eq!(latency.findings().map(|finding| finding.old.seen.of).max(), Some(10_000));
        // Too little of it isn't lost.
        let mut latency = Latency::new(LatencyTerms::default(), 0.01);
        latency.know(&[(10, 499), (25, 0)].into_iter().collect());
        assert_eq!(latency.missing(), Some((499, 500)));
    }

    #[test]
    fn a_tolerated_time_is_a_tolerated_share() {
        // 5 % take longer than 50 ms and 1 % longer than 100: 80 ms lie between.
        let expected = 5_f64.powf(1.25_f64.ln() / 2_f64.ln());
        let line = after(&[window(0)]).line(100);
        assert!((line.slope - expected).abs() < 1e-3 && line.rise == 0.0, "{line:?} {expected}");
    }

    #[test]
    fn a_millisecond_is_always_tolerated() {
        // As two replicas of one version were counted on a busy machine.
        let fast = |first: u64| [(1, first), (2, 7_500), (5, 2_000), (u64::MAX, 100)];
        let counts = |requests, first| Counts::new(requests, 0, fast(first));
        let old = counts(10_080, 480);
        let windows = vec![Window { new: counts(9_750, 150), old, ..Window::default() }; 20];
        let latency = after(&windows);
        assert_eq!(latency.line(1).at(0.0), 1.0, "all of them may take longer than the first bound");
        assert!(!latency.is_worse(), "{:?}", latency.findings().collect::<Vec<_>>());
        // Nor is there a sign of it once the machine has become faster than it was before the trial.
        let (new, old) = ([(1, 3), (2, 157), (5, 64)], [(1, 48), (2, 433), (5, 98)]);
        let later =
            Window { new: Counts::new(224, 0, new), old: Counts::new(579, 0, old), ..Window::default() };
        let mut busy_before = Latency::new(LatencyTerms::default(), 0.01);
        busy_before.know(&fast(150).into_iter().collect());
        busy_before.update(&later);
        let first = busy_before.findings().next().unwrap();
        assert!(!first.is_suspicious(), "{first:?}");
        // More than that is seen.
        let slower = Counts::new(9_750, 0, [(1, 100), (2, 1_000), (5, 7_500), (u64::MAX, 1_150)]);
        let slower = Window { new: slower, ..windows[0].clone() };
        assert!(after(&[windows[0].clone(), slower.clone(), slower]).is_worse());
    }

    #[test]
    fn where_hardly_any_are_as_slow_some_more_are_tolerated() {
        let old = Counts::new(500, 0, [(100, 490), (250, 10), (500, 0), (u64::MAX, 0)]);
        let latency = after(&[Window { old, ..Window::default() }]);
        // 2 % take longer than 100 ms and none, which is half of one, longer than 250: 200 ms lie between.
        let expected = 0.02 * 0.05_f64.powf(2_f64.ln() / 2.5_f64.ln());
        let line = latency.line(250);
        assert!(line.slope == 1.0 && (line.rise - expected).abs() < 1e-6, "{line:?} {expected}");
    }
}
