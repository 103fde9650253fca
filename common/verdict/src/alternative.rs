use crate::Proportion;
use crate::margin::Line;

/// What may be the case instead of "the new version is at most as bad as tolerated": the old one fails at one rate, the new
/// one at another, which is worse than tolerated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alternative {
    pub(crate) new: f64,
    pub(crate) old: f64,
}

impl Alternative {
    /// The point on the line of what is tolerated that lies nearest to this alternative (its reverse information projection):
    /// the one of which `trials.0 * KL(new || line) + trials.1 * KL(old || point)` is least.
    pub(crate) fn projected(self, line: Line, trials: (u64, u64)) -> Self {
        let (of_new, of_old) = (trials.0 as f64 * line.slope, trials.1 as f64);
        // The derivative by the old rate, times what is positive in its denominators: below zero at the alternative's own old
        // rate, above at the rate whose line meets its new one, and the divergence is convex in between.
        let (mut low, mut high) = (self.old, (self.new - line.rise) / line.slope);
        let mut old = low + (high - low) * of_new / (of_new + of_old);
        // Newton's steps, and half of the interval where one would leave it.
        for _ in 0..50 {
            let new = line.slope * old + line.rise;
            let (above, below) = (new - self.new, old - self.old);
            let (spread_new, spread_old) = (new * (1.0 - new), old * (1.0 - old));
            let value = of_new * above * spread_old + of_old * below * spread_new;
            *(if value < 0.0 { &mut low } else { &mut high }) = old;
            let slope = of_new * (line.slope * spread_old + above * (1.0 - 2.0 * old))
                + of_old * (spread_new + below * line.slope * (1.0 - 2.0 * new));
            let step = old - value / slope;
            let next = if low <= step && step <= high { step } else { low.midpoint(high) };
            let moved = (next - old).abs();
            old = next;
            // The next step would be about the square of this one.
            if moved <= 1e-8 * old {
                break;
            }
        }
        Self { new: line.slope * old + line.rise, old }
    }

    /// The logarithm of the likelihood of what was counted over a window, given this alternative, less that given the nearest
    /// point of what is tolerated. The expectation of the ratio is at most 1 wherever the window's rates are tolerated, also
    /// where they change within it: it is `prod (1 + a (p - new)) prod (1 - b (q - old))` over the requests' own probabilities p
    /// and q, the logarithm of that is concave in them, and its greatest value on the line is 0, at the projection.
    ///
    /// Turner, Ly, Grünwald: Generic e-variables for exact sequential k-sample tests that allow for optional stopping, 2021
    /// (arXiv 2106.02693), theorem 1; for a line other than the diagonal: Turner, Grünwald: Exact anytime-valid confidence
    /// intervals for contingency tables and beyond, 2022 (arXiv 2203.09785).
    pub(crate) fn log_ratio(self, line: Line, new: Proportion, old: Proportion) -> f64 {
        if new.of == 0 || old.of == 0 {
            return 0.0;
        }
        let null = self.projected(line, (new.of, old.of));
        log_likelihood_ratio(new, self.new, null.new) + log_likelihood_ratio(old, self.old, null.old)
    }
}

fn log_likelihood_ratio(seen: Proportion, rate: f64, null: f64) -> f64 {
    let missed = (seen.of - seen.hits) as f64 * ((null - rate) / (1.0 - null)).ln_1p();
    if seen.hits == 0 { missed } else { missed + seen.hits as f64 * (rate / null).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIAGONAL: Line = Line { slope: 1.0, rise: 0.0 };

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not {b}");
    }

    /// Published: safestats, tests/testthat/test-savi2x2Helpers.R, "RIPr with zero difference is the pooled mean" and "uniform
    /// Beta priors update after one A-only success", whose second block has the ratio 16/9.
    #[test]
    fn on_the_diagonal_the_nearest_point_is_the_pooled_mean() {
        let null = Alternative { new: 0.75, old: 0.25 }.projected(DIAGONAL, (1, 1));
        close(null.new, 0.5, 1e-12);
        let one_of_one = Alternative { new: 2.0 / 3.0, old: 1.0 / 3.0 };
        let ratio = one_of_one.log_ratio(DIAGONAL, Proportion::new(1, 1), Proportion::new(0, 1));
        close(ratio.exp(), 16.0 / 9.0, 1e-12);
        let uneven = Alternative { new: 0.02, old: 0.01 }.projected(DIAGONAL, (5, 95));
        close(uneven.new, 0.05 * 0.02 + 0.95 * 0.01, 1e-15);
    }

    /// Derived: the zero of the divergence's derivative, by mpmath 1.4 with 40 digits, which is where SciPy 1.17 finds the least
    /// divergence (`scipy.optimize.minimize_scalar`).
    #[test]
    fn elsewhere_it_is_where_the_divergence_is_least() {
        for (alternative, line, trials, expected) in KNOWN {
            let null = Alternative { new: alternative.0, old: alternative.1 }
                .projected(Line { slope: line.0, rise: line.1 }, trials);
            close(null.old, expected, 1e-13);
            close(null.new, line.0 * null.old + line.1, 1e-15);
        }
    }

    type Known = ((f64, f64), (f64, f64), (u64, u64), f64);
    const KNOWN: [Known; 5] = [
        ((0.02, 0.01), (1.0, 0.001), (5, 95), 0.010_412_775_154_979),
        ((0.5, 0.01), (1.25, 0.0), (50, 50), 0.234_292_127_690_09),
        ((0.9, 0.5), (1.5, 0.01), (3, 17), 0.536_973_497_901_471),
        ((0.01, 0.0005), (1.0, 0.001), (10, 190), 0.000_677_020_459_922),
        ((0.99, 0.03), (2.0, 0.0), (1, 9), 0.125_831_851_198_983),
    ];

    /// The whole of a window's outcomes, each with its probability: the ratio's expectation is 1 on the line at the projection,
    /// and no more than that anywhere else where the rates are tolerated.
    #[test]
    fn nowhere_that_is_tolerated_is_more_than_one_expected() {
        let line = Line { slope: 1.25, rise: 0.01 };
        for alternative in [Alternative { new: 0.2, old: 0.02 }, Alternative { new: 0.9, old: 0.5 }] {
            let (of_new, of_old) = (3, 17);
            let expectation = |new: f64, old: f64| -> f64 {
                let outcomes = (0..=of_new).flat_map(|a| (0..=of_old).map(move |b| (a, b)));
                let term = |(a, b)| {
                    let ratio =
                        alternative.log_ratio(line, Proportion::new(a, of_new), Proportion::new(b, of_old));
                    binomial(a, of_new, new) * binomial(b, of_old, old) * ratio.exp()
                };
                outcomes.map(term).sum()
            };
            let null = alternative.projected(line, (of_new, of_old));
            close(expectation(null.new, null.old), 1.0, 1e-9);
            for step in 1..40 {
                let old = f64::from(step) / 60.0;
                assert!(expectation(line.at(old), old) <= 1.0 + 1e-9, "{alternative:?} at {old}");
                assert!(expectation(line.at(old) * 0.7, old) <= 1.0 + 1e-9, "{alternative:?} below {old}");
            }
            assert!(expectation(alternative.new, alternative.old) > 1.0);
        }
    }

    fn binomial(hits: u64, of: u64, rate: f64) -> f64 {
        let ways = (0..hits).map(|k| (of - k) as f64 / (k + 1) as f64).product::<f64>();
        ways * rate.powi(hits as i32) * (1.0 - rate).powi((of - hits) as i32)
    }
}
