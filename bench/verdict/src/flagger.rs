//! Flagger's rule: checks each interval, and how many may fail in all.
//!
//! By its definition in fluxcd/flagger: `pkg/controller/scheduler_metrics.go` (`runBuiltinMetricChecks`) and
//! `pkg/controller/scheduler.go` (`advanceCanary`: what has failed so far is looked at before the interval's own checks, so that
//! it rolls back one interval after the last of them).

use cutover_verdict::Counts;

use crate::rule::Rule;

/// What a value has to be in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Range {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Range {
    /// Whether a check succeeds; without a value it doesn't. What isn't a number is neither too small nor too large.
    pub(crate) fn holds(&self, value: Option<f64>) -> bool {
        let Some(value) = value else { return false };
        !(self.min.is_some_and(|min| value < min) || self.max.is_some_and(|max| value > max))
    }
}

/// `request-success-rate` in percent and, with a latency, `request-duration`: the p99 in milliseconds.
pub(crate) struct Flagger {
    success: Range,
    duration: Range,
    threshold: u32,
    failed_checks: u32,
}

impl Flagger {
    pub(crate) fn new(least_success: f64, most_ms: f64, threshold: u32) -> Self {
        let success = Range { min: Some(least_success), max: None };
        let duration = Range { min: None, max: Some(most_ms) };
        Self { success, duration, threshold, failed_checks: 0 }
    }

    /// One interval, and what its checks come to. Whether it rolls back.
    fn advance(&mut self, checks: bool) -> bool {
        if self.failed_checks >= self.threshold {
            return true;
        }
        self.failed_checks += u32::from(!checks);
        false
    }
}

impl Rule for Flagger {
    fn minute(&mut self, new: &Counts, _old: &Counts) -> bool {
        let success = (new.requests > 0).then(|| 100.0 * (1.0 - new.failed as f64 / new.requests as f64));
        let p99 = new.latency.quantile(0.99);
        let fast = p99.is_none() || self.duration.holds(p99);
        self.advance(self.success.holds(success) && fast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published: fluxcd/flagger, pkg/controller/scheduler_deployment_test.go, `TestScheduler_DeploymentRollback`: with a
    /// threshold of 10 and 10 failed checks the next interval rolls back, also after another check that fails.
    #[test]
    fn it_rolls_back_once_the_threshold_is_reached() {
        let mut flagger = Flagger { failed_checks: 10, ..Flagger::new(99.0, 500.0, 10) };
        assert!(flagger.advance(false) && flagger.advance(false));
        let mut flagger = Flagger { failed_checks: 9, ..Flagger::new(99.0, 500.0, 10) };
        assert_eq!((flagger.advance(false), flagger.advance(true)), (false, true));
    }

    /// Published: fluxcd/flagger, pkg/metrics/observers/istio_test.go (a success rate of 100, a duration of 100 ms) and
    /// pkg/metrics/providers/prometheus_test.go, "no values", which is an error, and so a failed check (issue 1035).
    #[test]
    fn checks_are_those_of_its_own_tests() {
        let (success, duration) =
            (Range { min: Some(99.0), max: None }, Range { min: None, max: Some(500.0) });
        assert!(success.holds(Some(100.0)) && duration.holds(Some(100.0)));
        assert!(!success.holds(Some(98.99)) && !duration.holds(Some(500.01)));
        assert!(!success.holds(None));
        // Go's `NaN < min` is false, and strconv.ParseFloat reads "NaN": such a check succeeds.
        assert!(success.holds(Some(f64::NAN)));
    }

    #[test]
    fn failed_checks_add_up_over_good_ones() {
        let mut flagger = Flagger::new(99.0, 500.0, 3);
        let minute =
            |flagger: &mut Flagger, failed| flagger.minute(&Counts::new(300, failed, []), &Counts::default());
        let rolled_back = [5, 0, 6, 0, 0, 7, 0].map(|failed| minute(&mut flagger, failed));
        assert_eq!(rolled_back, [false, false, false, false, false, false, true]);
    }
}
