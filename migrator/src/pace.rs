//! How many rows a batch has: as many as take the time that others may have to wait for one of them. Pure.

use std::time::Duration;

/// The pace of a backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    target: Duration,
    most: u32,
    rows: u32,
}

impl Pace {
    /// Begins with batches of `rows`, which are to take `target` each, and never have more than `most`.
    pub fn new(rows: u32, target: Duration, most: u32) -> Self {
        let most = most.max(1);
        Self { target, most, rows: rows.clamp(1, most) }
    }

    /// Rows in the next batch.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// A batch of `rows` rows took so long. One that had fewer than it might says nothing about larger ones.
    pub fn took(&mut self, rows: u32, took: Duration) {
        let factor = self.target.as_secs_f64() / took.as_secs_f64().max(f64::MIN_POSITIVE);
        // By half or twice at most: one batch may have met anything.
        let factor = factor.clamp(0.5, if rows < self.rows { 1.0 } else { 2.0 });
        self.set(f64::from(self.rows) * factor);
    }

    /// A batch was given up: it took too long, or met the lock of somebody else.
    pub fn failed(&mut self) {
        self.set(f64::from(self.rows) / 2.0);
    }

    fn set(&mut self, rows: f64) {
        // The cast saturates.
        self.rows = (rows.round() as u32).clamp(1, self.most);
    }
}

/// How fast rows are brought over, and how long that will go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    before: u64,
    expected: Option<u64>,
}

impl Meter {
    /// `before` rows had been walked through by earlier runs, of about `expected`.
    pub fn new(before: u64, expected: Option<u64>) -> Self {
        Self { before, expected }
    }

    /// Rows per second, and the time that is left, once `rows` are done in all, `elapsed` after this run began.
    pub fn read(&self, rows: u64, elapsed: Duration) -> (f64, Option<Duration>) {
        let rate = rows.saturating_sub(self.before) as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let left = self.expected.map(|expected| expected.saturating_sub(rows) as f64 / rate);
        (rate, left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(50);
    const MOST: u32 = 100_000;

    #[test]
    fn batches_come_to_take_the_time_that_they_are_given() {
        let mut pace = Pace::new(1_000, TARGET, MOST);
        // 10 µs a row: 5,000 rows take 50 ms.
        for _ in 0..20 {
            let rows = pace.rows();
            pace.took(rows, Duration::from_micros(10) * rows);
        }
        assert_eq!(pace.rows(), 5_000);
        // Rows have become ten times as dear.
        for _ in 0..20 {
            let rows = pace.rows();
            pace.took(rows, Duration::from_micros(100) * rows);
        }
        assert_eq!(pace.rows(), 500);
    }

    #[test]
    fn one_batch_changes_little_and_one_that_was_not_full_makes_none_larger() {
        let mut pace = Pace::new(1_000, TARGET, MOST);
        pace.took(1_000, Duration::from_secs(60));
        assert_eq!(pace.rows(), 500);
        pace.took(500, Duration::ZERO);
        assert_eq!(pace.rows(), 1_000);
        pace.took(3, Duration::ZERO);
        assert_eq!(pace.rows(), 1_000);
    }

    #[test]
    fn a_batch_never_gets_empty_nor_endless() {
        let mut pace = Pace::new(3, TARGET, MOST);
        (0..9).for_each(|_| pace.failed());
        assert_eq!(pace.rows(), 1);
        (0..99).for_each(|_| pace.took(pace.rows(), Duration::ZERO));
        assert_eq!(pace.rows(), MOST);
    }

    #[test]
    fn the_time_that_is_left_counts_what_this_run_has_done() {
        let meter = Meter::new(1_000, Some(4_000));
        assert_eq!(meter.read(2_000, Duration::from_secs(2)), (500.0, Some(Duration::from_secs(4))));
        assert_eq!(meter.read(5_000, Duration::from_secs(4)), (1_000.0, Some(Duration::ZERO)));
        assert_eq!(Meter::new(0, Some(5)).read(0, Duration::from_secs(1)), (0.0, None));
        assert_eq!(Meter::new(0, None).read(1, Duration::from_secs(1)), (1.0, None));
    }
}
