use crate::chance::{Chance, Table};

/// Upper bounds in milliseconds, as the proxy has them.
const BOUNDS: [u64; 15] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, u64::MAX];

/// How long a version takes to answer.
#[derive(Debug)]
pub(crate) struct Latency(Table);

impl Latency {
    /// Lognormal with a median of 40 ms and a p99 of 257 ms, all of it so many times as long.
    pub(crate) fn usual(times: f64) -> Self {
        Self::of(|ms| body(ms / times))
    }

    /// The usual one, but the slowest hundredth part and a half takes twice as long: all else is as before.
    pub(crate) fn slow_tail() -> Self {
        let part = 0.985;
        Self::of(|ms| body(ms).min(part) + (body(ms / 2.0) - part).max(0.0))
    }

    /// By the share that takes at most some milliseconds.
    fn of(within: impl Fn(f64) -> f64) -> Self {
        let mut below = 0.0;
        let shares = BOUNDS.map(|bound| {
            let now = if bound == u64::MAX { 1.0 } else { within(bound as f64) };
            now - std::mem::replace(&mut below, now)
        });
        Self(Table::new(&shares))
    }

    /// So many requests by their buckets.
    pub(crate) fn draw(&self, requests: u64, chance: &mut Chance) -> [(u64, u64); 15] {
        let mut buckets = BOUNDS.map(|bound| (bound, 0));
        for _ in 0..requests {
            buckets[chance.place(&self.0)].1 += 1;
        }
        buckets
    }
}

fn body(ms: f64) -> f64 {
    0.5 * libm::erfc(-((ms / 40.0).ln() / 0.8) / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_verdict::Histogram;

    fn drawn(latency: &Latency) -> Histogram {
        latency.draw(200_000, &mut Chance::new(3)).into_iter().collect()
    }

    #[test]
    fn the_tail_doubles_and_nothing_else() {
        let (usual, tail) = (drawn(&Latency::usual(1.0)), drawn(&Latency::slow_tail()));
        for quantile in [0.5, 0.9, 0.95] {
            let (usual, tail) = (usual.quantile(quantile).unwrap(), tail.quantile(quantile).unwrap());
            assert!((usual / tail - 1.0).abs() < 0.05, "{usual} {tail}");
        }
        let ratio = tail.quantile(0.99).unwrap() / usual.quantile(0.99).unwrap();
        assert!((1.7..2.3).contains(&ratio), "{ratio}");
    }
}
