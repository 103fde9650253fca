//! The Mann-Whitney test's interval for how far one sample lies above another, as Kayenta has it from R.
//!
//! By its definition in spinnaker/kayenta: `kayenta-mannwhitney/src/main/scala/com/netflix/kayenta/mannwhitney/MannWhitney.scala`,
//! after R's `wilcox.test` (normal approximation with the correction for continuity), and Brent's root finder as R's `uniroot`
//! has it, with its tolerance of 1e-4 (Brent: Algorithms for minimization without derivatives, 1973, chapter 4).

const TOLERANCE: f64 = 1e-4;

/// Two samples, sorted.
pub(crate) struct Samples {
    experiment: Vec<f64>,
    control: Vec<f64>,
}

impl Samples {
    /// None may be empty, and not all values the same.
    pub(crate) fn new(experiment: &[f64], control: &[f64]) -> Self {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        Self { experiment: sorted(experiment), control: sorted(control) }
    }

    /// The interval's lower end at a confidence.
    pub(crate) fn low(&self, confidence: f64) -> f64 {
        self.root(normal_quantile(0.5 + confidence / 2.0))
    }

    /// Its upper end.
    pub(crate) fn high(&self, confidence: f64) -> f64 {
        self.root(-normal_quantile(0.5 + confidence / 2.0))
    }

    /// The Hodges-Lehmann estimate.
    pub(crate) fn estimate(&self) -> f64 {
        let (low, high) = self.range();
        brent(low, high, |shift| self.statistic(shift))
    }

    /// All differences lie within.
    fn range(&self) -> (f64, f64) {
        let ends = |values: &[f64]| (values[0], values[values.len() - 1]);
        let (experiment, control) = (ends(&self.experiment), ends(&self.control));
        (experiment.0 - control.1, experiment.1 - control.0)
    }

    fn root(&self, quantile: f64) -> f64 {
        let (low, high) = self.range();
        let above = |shift| self.statistic(shift) - quantile;
        if above(low) <= 0.0 {
            low
        } else if above(high) >= 0.0 {
            high
        } else {
            brent(low, high, above)
        }
    }

    /// The standardized rank sum of the experiment, shifted down by so much.
    fn statistic(&self, shift: f64) -> f64 {
        let (x, y) = (self.experiment.len() as f64, self.control.len() as f64);
        let (mut a, mut b) =
            (self.experiment.iter().map(|value| value - shift).peekable(), self.control.iter().peekable());
        let (mut ranks, mut tied, mut before) = (0.0, 0.0, 0.0);
        // Both are sorted: from one value to the next, with all that are tied.
        while let Some(value) = match (a.peek(), b.peek()) {
            (Some(a), Some(b)) => Some(a.min(**b)),
            (a, b) => a.copied().or(b.map(|b| **b)),
        } {
            let (mut of_experiment, mut of_control) = (0.0, 0.0);
            while a.next_if(|next| *next == value).is_some() {
                of_experiment += 1.0;
            }
            while b.next_if(|next| **next == value).is_some() {
                of_control += 1.0;
            }
            let ties: f64 = of_experiment + of_control;
            ranks += of_experiment * (before + (ties + 1.0) / 2.0);
            tied += ties.powi(3) - ties;
            before += ties;
        }
        let difference = ranks - x * (x + 1.0) / 2.0 - x * y / 2.0;
        let correction = if difference == 0.0 { 0.0 } else { 0.5 * difference.signum() };
        let deviation = ((x * y / 12.0) * ((x + y + 1.0) - tied / ((x + y) * (x + y - 1.0)))).sqrt();
        (difference - correction) / deviation
    }
}

/// A zero between two places where the function has different signs.
fn brent(from: f64, to: f64, function: impl Fn(f64) -> f64) -> f64 {
    // `best` is the best guess, `last` the one before, and between `best` and `other` the sign changes.
    let (mut last, mut best) = (from, to);
    let (mut at_last, mut at_best) = (function(last), function(best));
    let (mut other, mut at_other) = (last, at_last);
    for _ in 0..1_000 {
        let before = best - last;
        if at_other.abs() < at_best.abs() {
            (last, best, other) = (best, other, best);
            (at_last, at_best, at_other) = (at_best, at_other, at_best);
        }
        let close = 2.0 * f64::EPSILON * best.abs() + TOLERANCE / 2.0;
        let mut step = (other - best) / 2.0;
        if step.abs() <= close || at_best == 0.0 {
            return best;
        }
        if before.abs() >= close && at_last.abs() > at_best.abs() {
            let width = other - best;
            let (mut p, mut q);
            let s = at_best / at_last;
            if last == other {
                (p, q) = (width * s, 1.0 - s);
            } else {
                let (t, r) = (at_last / at_other, at_best / at_other);
                p = s * (width * t * (t - r) - (best - last) * (r - 1.0));
                q = (t - 1.0) * (r - 1.0) * (s - 1.0);
            }
            if p > 0.0 {
                q = -q
            } else {
                p = -p
            }
            if p < 0.75 * width * q - (close * q).abs() / 2.0 && p < (before * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < close {
            step = close.copysign(step);
        }
        (last, at_last) = (best, at_best);
        best += step;
        at_best = function(best);
        if at_best * at_other > 0.0 {
            (other, at_other) = (last, at_last);
        }
    }
    best
}

fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-10.0_f64, 10.0_f64);
    for _ in 0..100 {
        let middle = low.midpoint(high);
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        *(if below < probability { &mut low } else { &mut high }) = middle;
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    /// Published: spinnaker/kayenta, kayenta-mannwhitney/src/test/…/MannWhitneySuite.scala, "returns expected values".
    #[test]
    fn expected_values() {
        let samples = Samples::new(&[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 4.0]);
        close(samples.low(0.95), 6.0, 1e-6);
        close(samples.high(0.95), 39.0, 1e-6);
        close(samples.estimate(), 22.5, 1e-6);
    }

    /// Published: spinnaker/kayenta, kayenta-mannwhitney/src/test/…/WilcoxTests.scala, "asymptotic path in wilcox.test", whose
    /// values are R's; 99 %.
    #[test]
    fn tied_values_as_r_has_them() {
        let experiment = [
            0.0,
            20.95,
            30.5666666666667,
            31.4,
            32.1166666666667,
            31.9833333333334,
            31.1833333333334,
            32.35,
            33.25,
            32.8000000000001,
            34.5166666666667,
            33.4166666666667,
            35.8833333333334,
            35.0666666666667,
            33.9,
        ];
        let control = [
            0.0,
            21.9000000000001,
            30.2833333333334,
            29.45,
            32.1,
            31.1166666666667,
            33.5,
            32.1166666666667,
            32.7,
            33.85,
            32.6833333333334,
            33.5166666666667,
            33.6,
            34.3,
            33.05,
        ];
        let samples = Samples::new(&experiment, &control);
        close(samples.low(0.99), -1.866663, 1e-4);
        close(samples.high(0.99), 2.899996, 1e-4);
    }

    /// Published: what was computed in spinnaker/kayenta's issue 780 (spinnaker/spinnaker 6278) for seven of ten points at 100.
    #[test]
    fn seven_of_ten_points_at_a_hundred() {
        let experiment = [100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 1.0, 1.0, 1.0];
        let samples = Samples::new(&experiment, &[1.0; 10]);
        close(samples.low(0.98), 6.825022991538781e-5, 1e-9);
        close(samples.high(0.98), 99.0, 1e-9);
        close(samples.estimate(), 98.99992904170193, 1e-9);
    }
}
