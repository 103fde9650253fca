//! Kayenta's judge of one metric: two series of points, cleaned, and the Mann-Whitney test with a tolerance.
//!
//! By its definition in spinnaker/kayenta, below `kayenta-judge/src/main/scala/com/netflix/kayenta/judge`: `NetflixACAJudge.scala`
//! (tolerance 0.25, confidence 0.98, outliers by an interquartile range of 3), `classifiers/metric/MannWhitneyClassifier.scala`,
//! `detectors/IQRDetector.scala`, `stats/DescriptiveStatistics.scala` and `stats/EffectSizes.scala`.

use cutover_verdict::Counts;

use crate::mann_whitney::Samples;
use crate::rule::Rule;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Classification {
    Pass,
    High,
    Low,
    NoData,
}

/// Which difference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Increase,
    Decrease,
    Either,
}

/// What becomes of points that are no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanStrategy {
    Remove,
    Replace,
}

/// What is measured for the size of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    MeanRatio,
    #[cfg_attr(not(test), expect(dead_code, reason = "its own tests have it"))]
    CommonLanguage,
}

/// How a metric is classified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classifier {
    pub(crate) tolerance: f64,
    pub(crate) confidence: f64,
    pub(crate) direction: Direction,
    pub(crate) nan: NanStrategy,
    pub(crate) effect: Effect,
    /// At most this for low, at least that for high.
    pub(crate) effects: (f64, f64),
}

impl Default for Classifier {
    /// As the judge has it.
    fn default() -> Self {
        Self {
            tolerance: 0.25,
            confidence: 0.98,
            direction: Direction::Either,
            nan: NanStrategy::Remove,
            effect: Effect::MeanRatio,
            effects: (1.0, 1.0),
        }
    }
}

impl Classifier {
    /// The judge's whole way: cleaned points, classified.
    pub(crate) fn judge(&self, experiment: &[f64], control: &[f64]) -> Classification {
        let clean = |values: &[f64]| without_outliers(&self.without_nans(values), 3.0, true);
        self.classify(&clean(experiment), &clean(control))
    }

    fn without_nans(&self, values: &[f64]) -> Vec<f64> {
        match self.nan {
            NanStrategy::Remove => values.iter().copied().filter(|value| !value.is_nan()).collect(),
            NanStrategy::Replace => {
                values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect()
            }
        }
    }

    pub(crate) fn classify(&self, experiment: &[f64], control: &[f64]) -> Classification {
        if experiment.is_empty() || control.is_empty() {
            let required = self.nan == NanStrategy::Remove;
            return if required { Classification::NoData } else { Classification::Pass };
        }
        if sorted(experiment) == sorted(control) {
            return Classification::Pass;
        }
        let one = |values: &[f64]| values.iter().all(|value| *value == values[0]);
        if one(experiment) && one(control) {
            return self.classify_constants(experiment[0], control[0]);
        }
        let samples = Samples::new(experiment, control);
        // The bounds are a share of the estimate and have its absolute size, so the sign of an end comes first.
        if self.direction != Direction::Decrease {
            let low = samples.low(self.confidence);
            let is_high = low > 0.0 && low > self.tolerance * samples.estimate().abs();
            if is_high && self.is_large(experiment, control, |effect| effect >= self.effects.1) {
                return Classification::High;
            }
        }
        if self.direction != Direction::Increase {
            let high = samples.high(self.confidence);
            let is_low = high < 0.0 && high < -self.tolerance * samples.estimate().abs();
            if is_low && self.is_large(experiment, control, |effect| effect <= self.effects.0) {
                return Classification::Low;
            }
        }
        Classification::Pass
    }

    /// With one value on each side, it adds a noise of a hundred thousandth part: the samples stay apart, and all of the interval
    /// is where the difference is.
    fn classify_constants(&self, experiment: f64, control: f64) -> Classification {
        if experiment == control {
            Classification::Pass
        } else if experiment > control && self.direction != Direction::Decrease {
            Classification::High
        } else if experiment < control && self.direction != Direction::Increase {
            Classification::Low
        } else {
            Classification::Pass
        }
    }

    /// Where the size is no number, as with a mean of nothing, it hinders nothing.
    fn is_large(&self, experiment: &[f64], control: &[f64], large: impl Fn(f64) -> bool) -> bool {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let effect = match self.effect {
            Effect::MeanRatio if mean(experiment) == 0.0 || mean(control) == 0.0 => f64::NAN,
            Effect::MeanRatio => mean(experiment) / mean(control),
            Effect::CommonLanguage => common_language(experiment, control),
        };
        effect.is_nan() || large(effect)
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// How many of all pairs have the experiment's value above the control's; equal ones count half.
fn common_language(experiment: &[f64], control: &[f64]) -> f64 {
    let pairs = experiment.iter().flat_map(|a| control.iter().map(move |b| (a, b)));
    let won: f64 = pairs
        .map(|(a, b)| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    won / (experiment.len() * control.len()) as f64
}

/// Without what lies outside the fences: so many interquartile ranges beyond the quartiles; with a reduced sensitivity, at least
/// the 1st and the 99th percentile.
pub(crate) fn without_outliers(values: &[f64], factor: f64, reduced: bool) -> Vec<f64> {
    let Some((low, high)) = fences(&sorted(values), factor, reduced) else { return Vec::new() };
    values.iter().copied().filter(|value| (low..=high).contains(value)).collect()
}

fn fences(sorted: &[f64], factor: f64, reduced: bool) -> Option<(f64, f64)> {
    // R's seventh way to estimate a percentile.
    let percentile = |share: f64| {
        let at = share * (sorted.len() - 1) as f64;
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + at.fract() * (above - below)
    };
    if sorted.is_empty() {
        return None;
    }
    let (first, third) = (percentile(0.25), percentile(0.75));
    let (low, high) = (first - factor * (third - first), third + factor * (third - first));
    Some(if reduced { (low.min(percentile(0.01)), high.max(percentile(0.99))) } else { (low, high) })
}

/// The share of requests that failed and, with a latency, the p99, a point each minute; judged every ten minutes on all so far.
#[derive(Default)]
pub(crate) struct Kayenta {
    failing: Series,
    p99: Series,
}

#[derive(Default)]
struct Series {
    experiment: Vec<f64>,
    control: Vec<f64>,
}

impl Series {
    fn push(&mut self, experiment: f64, control: f64) {
        self.experiment.push(experiment);
        self.control.push(control);
    }

    fn is_high(&self) -> bool {
        let classifier = Classifier { direction: Direction::Increase, ..Classifier::default() };
        classifier.judge(&self.experiment, &self.control) == Classification::High
    }
}

impl Rule for Kayenta {
    fn minute(&mut self, new: &Counts, old: &Counts) -> bool {
        let rate = |counts: &Counts| counts.failed as f64 / counts.requests as f64;
        let p99 = |counts: &Counts| counts.latency.quantile(0.99).unwrap_or(f64::NAN);
        self.failing.push(rate(new), rate(old));
        self.p99.push(p99(new), p99(old));
        self.failing.experiment.len().is_multiple_of(10) && (self.failing.is_high() || self.p99.is_high())
    }
}

#[cfg(test)]
mod tests;
