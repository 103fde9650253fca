//! How many deliveries a source may send: a bucket that fills with time.

use std::time::Instant;

/// A bucket of deliveries. It holds as many as a minute brings.
pub(crate) struct Rate {
    per_minute: u32,
    left: f64,
    seen: Instant,
}

impl Rate {
    pub(crate) fn new(per_minute: u32, now: Instant) -> Self {
        Self { per_minute, left: f64::from(per_minute), seen: now }
    }

    /// Takes one out; false: there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.seen).as_secs_f64();
        let most = f64::from(self.per_minute);
        self.left = (self.left + passed * most / 60.0).min(most);
        self.seen = self.seen.max(now);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_many_pass_as_a_minute_brings_and_then_one_by_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(6, start);
        assert_eq!(
            (0..7).map(|_| rate.take(start)).collect::<Vec<_>>(),
            [true, true, true, true, true, true, false]
        );
        assert!(!rate.take(at(9)) && rate.take(at(10)) && !rate.take(at(10)));
        // However long nobody has come.
        assert_eq!((0..7).filter(|_| rate.take(at(10_000))).count(), 6);
        // A clock that goes back gives nothing.
        assert!(!rate.take(at(0)));
    }
}
