use serde::{Deserialize, Serialize};

use crate::Proportion;

/// So that what is written to JSON is what is read from it.
const PLACES: f64 = 1e9;

/// Where a rate lies, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// At least here.
    pub low: f64,
    /// At most here.
    pub high: f64,
}

impl Interval {
    /// A confidence sequence: with a probability of at least `1 - alpha`, the rate is in the interval at all times at once, so it
    /// may be looked at whenever one likes. It takes the requests for independent and of one rate.
    ///
    /// Of all rates, those under which what was seen isn't `1 / alpha` times less likely than under a mixture of all (Robbins:
    /// Statistical methods related to the law of the iterated logarithm, 1970), the mixture being Jeffreys' Beta(1/2, 1/2). The
    /// ends are rounded outwards, to nine places.
    pub fn at_all_times(seen: Proportion, alpha: f64) -> Self {
        let (hits, misses) = (seen.hits as f64, (seen.of - seen.hits) as f64);
        let mixture = ln_beta(hits + 0.5, misses + 0.5) - ln_beta(0.5, 0.5);
        let inside = |rate: f64| mixture - term(hits, rate) - term(misses, 1.0 - rate) < -alpha.ln();
        let rate = seen.rate();
        let low = if seen.hits == 0 { 0.0 } else { edge(rate, 0.0, inside) };
        let high = if seen.hits == seen.of { 1.0 } else { edge(rate, 1.0, inside) };
        Self { low: (low * PLACES).floor() / PLACES, high: (high * PLACES).ceil() / PLACES }
    }
}

// No NaN comes out of what is counted.
impl Eq for Interval {}

fn term(count: f64, rate: f64) -> f64 {
    if count == 0.0 { 0.0 } else { count * rate.ln() }
}

/// Between a place that is inside and one that isn't: where it ends.
fn edge(mut within: f64, mut beyond: f64, inside: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = within.midpoint(beyond);
        *(if inside(middle) { &mut within } else { &mut beyond }) = middle;
    }
    beyond
}

fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Derived: mpmath 1.4 with 50 digits, the roots of
    /// `beta(k + 1/2, n - k + 1/2) / pi / (p^k (1 - p)^(n - k)) = 1 / alpha`.
    #[test]
    fn known_intervals() {
        for (hits, of, alpha, low, high) in KNOWN {
            let interval = Interval::at_all_times(Proportion::new(hits, of), alpha);
            assert!((interval.low - low).abs() < 2e-9 && (interval.high - high).abs() < 2e-9, "{interval:?}");
        }
    }

    const KNOWN: [(u64, u64, f64, f64, f64); 6] = [
        (0, 1_000, 0.005, 0.0, 0.009_281_344_889_672),
        (19, 812, 0.005, 0.007_463_105_202_435, 0.053_005_780_299_869),
        (12, 15_428, 0.005, 0.000_145_707_823_297, 0.002_286_053_204_525),
        (1, 20, 0.05, 0.000_161_224_810_173, 0.330_711_662_117_09),
        (50, 100, 0.01, 0.317_651_423_194_53, 0.682_348_576_805_47),
        (20, 20, 0.01, 0.715_994_688_205_24, 1.0),
    ];

    #[test]
    fn of_nothing_nothing_is_known() {
        assert_eq!(Interval::at_all_times(Proportion::default(), 0.01), Interval { low: 0.0, high: 1.0 });
    }
}
