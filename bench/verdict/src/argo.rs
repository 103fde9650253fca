//! Argo Rollouts' rule for a metric: a condition on one number at each interval, and how often it may be missed.
//!
//! By its definition in argoproj/argo-rollouts: `analysis/analysis.go` (`assessMetricStatus`, `runMeasurements`) and
//! `utils/evaluate/evaluate.go` (`EvaluateResult`).

use cutover_verdict::Counts;

use crate::rule::Rule;

/// What one measurement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Successful,
    Failed,
    Inconclusive,
    Error,
}

/// How often what may be, and what has been so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) failure_limit: u32,
    pub(crate) inconclusive_limit: u32,
    pub(crate) consecutive_error_limit: u32,
    /// After so many measurements it is successful; nothing: it goes on.
    pub(crate) count: Option<u32>,
    pub(crate) failed: u32,
    pub(crate) inconclusive: u32,
    pub(crate) consecutive_errors: u32,
    pub(crate) measured: u32,
}

impl Default for Metric {
    /// Argo's defaults.
    fn default() -> Self {
        Self {
            failure_limit: 0,
            inconclusive_limit: 0,
            consecutive_error_limit: 4,
            count: None,
            failed: 0,
            inconclusive: 0,
            consecutive_errors: 0,
            measured: 0,
        }
    }
}

impl Metric {
    pub(crate) fn measured(&mut self, phase: Phase) {
        match phase {
            Phase::Running => return,
            Phase::Error => {
                self.consecutive_errors += 1;
                return;
            }
            Phase::Failed => self.failed += 1,
            Phase::Inconclusive => self.inconclusive += 1,
            Phase::Successful => {}
        }
        self.consecutive_errors = 0;
        self.measured += 1;
    }

    /// What the metric has come to; `terminating` where the run is being ended.
    pub(crate) fn phase(&self, terminating: bool) -> Phase {
        let enough = self.count.is_some_and(|count| self.measured >= count);
        if self.failed > self.failure_limit {
            Phase::Failed
        } else if self.inconclusive > self.inconclusive_limit {
            Phase::Inconclusive
        } else if self.consecutive_errors > self.consecutive_error_limit {
            Phase::Error
        } else if enough || terminating {
            Phase::Successful
        } else {
            Phase::Running
        }
    }
}

/// What a measured number comes to, given conditions of which either may be missing.
pub(crate) fn evaluate(
    value: f64,
    success: Option<&dyn Fn(f64) -> bool>,
    failure: Option<&dyn Fn(f64) -> bool>,
) -> Phase {
    let good = success.is_none_or(|success| success(value));
    let bad = failure.map_or(!good, |failure| failure(value));
    match (success.is_some(), failure.is_some()) {
        (false, false) => Phase::Successful,
        _ if bad => Phase::Failed,
        _ if good => Phase::Successful,
        _ => Phase::Inconclusive,
    }
}

/// `successCondition: result >= least` on the share of requests that didn't fail, each minute; with a latency, also
/// `result <= most` on the p99 in milliseconds.
pub(crate) struct Argo {
    least: f64,
    most: f64,
    metrics: [Metric; 2],
}

impl Argo {
    pub(crate) fn new(least: f64, most: f64, failure_limit: u32) -> Self {
        Self { least, most, metrics: [Metric { failure_limit, ..Metric::default() }; 2] }
    }
}

impl Rule for Argo {
    fn minute(&mut self, new: &Counts, _old: &Counts) -> bool {
        let rate = 1.0 - new.failed as f64 / new.requests as f64;
        self.metrics[0].measured(evaluate(rate, Some(&|rate| rate >= self.least), None));
        if let Some(p99) = new.latency.quantile(0.99) {
            self.metrics[1].measured(evaluate(p99, Some(&|ms| ms <= self.most), None));
        }
        self.metrics.iter().any(|metric| !matches!(metric.phase(false), Phase::Running | Phase::Successful))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published: argoproj/argo-rollouts, analysis/analysis_test.go, `TestAssessMetricStatus…`; each with the phase of a run
    /// that goes on, and of one that is being ended.
    #[test]
    fn limits_are_those_of_its_own_tests() {
        let both = |metric: Metric| (metric.phase(false), metric.phase(true));
        let going_on = (Phase::Running, Phase::Successful);
        // …FailureLimit
        let failed = |failure_limit| Metric { failure_limit, failed: 3, measured: 3, ..Metric::default() };
        assert_eq!(both(failed(2)), (Phase::Failed, Phase::Failed));
        assert_eq!(both(failed(3)), going_on);
        // …InconclusiveLimit
        let unclear = |inconclusive_limit| Metric {
            inconclusive_limit,
            inconclusive: 3,
            measured: 3,
            ..Metric::default()
        };
        assert_eq!(both(unclear(2)), (Phase::Inconclusive, Phase::Inconclusive));
        assert_eq!(both(unclear(3)), going_on);
        // …ConsecutiveErrors
        let errors = |consecutive_errors| Metric { consecutive_errors, measured: 5, ..Metric::default() };
        assert_eq!(both(errors(5)), (Phase::Error, Phase::Error));
        assert_eq!(both(errors(4)), going_on);
        // …CountReached
        let reached =
            |inconclusive| Metric { count: Some(10), inconclusive, measured: 10, ..Metric::default() };
        assert_eq!(reached(0).phase(false), Phase::Successful);
        assert_eq!(reached(5).phase(false), Phase::Inconclusive);
    }

    /// Published: argoproj/argo-rollouts, metricproviders/prometheus/prometheus_test.go, `TestProcessScalarResponse`,
    /// `TestProcessNaNResponse` and `TestProcessInfResponse`.
    #[test]
    fn numbers_come_to_what_its_own_tests_say() {
        let at_least = |value: f64| value >= 0.9;
        assert_eq!(evaluate(10.0, Some(&|v| v == 10.0), Some(&|v| v != 10.0)), Phase::Successful);
        assert_eq!(evaluate(f64::NAN, Some(&at_least), Some(&|v| v < 0.9)), Phase::Inconclusive);
        assert_eq!(evaluate(f64::NAN, Some(&|v| v >= 0.9 || v.is_nan()), None), Phase::Successful);
        assert_eq!(evaluate(f64::NAN, Some(&at_least), None), Phase::Failed);
        assert_eq!(evaluate(f64::INFINITY, Some(&at_least), None), Phase::Successful);
        assert_eq!(evaluate(f64::INFINITY, None, Some(&f64::is_infinite)), Phase::Failed);
    }

    /// A run that is ended before anything was measured is successful (issue 1329): `TestAssessMetricStatusNoMeasurements`.
    #[test]
    fn nothing_measured_is_a_success_of_a_run_that_is_ended() {
        assert_eq!(Metric::default().phase(true), Phase::Successful);
    }

    #[test]
    fn an_error_is_no_measurement_and_a_measurement_ends_a_row_of_errors() {
        let mut metric = Metric::default();
        for _ in 0..4 {
            metric.measured(Phase::Error);
        }
        metric.measured(Phase::Successful);
        metric.measured(Phase::Error);
        assert_eq!((metric.consecutive_errors, metric.measured, metric.phase(false)), (1, 1, Phase::Running));
    }
}
