use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The share of a warm target.
const WHOLE: u64 = 1024;

/// The share that one begins with.
const LEAST: u64 = WHOLE / 10;

/// The golden ratio by 2^64: its multiples are spread evenly over all numbers (Knuth, TAOCP 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The growing share of a target that has just joined others, or has come back.
#[derive(Debug, Default)]
pub(crate) struct SlowStart {
    /// In milliseconds since the target was made, and one more; 0: it is warm.
    began: AtomicU64,
}

/// How much a target has to do, in proportion to its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Burden {
    load: u64,
    /// It lets another one go first that has as much to do.
    yields: bool,
}

impl SlowStart {
    pub(crate) fn begin(&self, now: Duration) {
        self.began.store(millis(now).saturating_add(1), Relaxed);
    }

    /// What so many requests in flight are for a target whose share grows for a time; `turn` numbers the choice.
    pub(crate) fn burden(
        &self,
        load: u64,
        time: Duration,
        now: impl FnOnce() -> Duration,
        turn: usize,
    ) -> Burden {
        let began = self.began.load(Relaxed);
        if began == 0 {
            return Burden { load: load.saturating_mul(WHOLE), yields: false };
        }
        let (gone, time) = ((millis(now()) + 1).saturating_sub(began), millis(time));
        if gone >= time {
            self.began.store(0, Relaxed);
        }
        let share = (gone.saturating_mul(WHOLE) / time.max(1)).clamp(LEAST, WHOLE);
        // Where there is little to do, all have nothing in flight: then it takes part in its share of the choices.
        let yields = (turn as u64).wrapping_mul(GOLDEN) >> 54 >= share;
        Burden { load: load.saturating_mul(WHOLE * WHOLE / share), yields }
    }
}

impl Burden {
    /// Where no share ever grows.
    pub(crate) const fn of(load: u64) -> Self {
        Self { load, yields: false }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    /// Of 1,000 choices the ones in which it doesn't yield, so long after it began.
    fn taken(slow: &SlowStart, after: Duration) -> usize {
        (0..1_000).filter(|turn| !slow.burden(0, TIME, || after, *turn).yields).count()
    }

    #[test]
    fn the_share_grows_from_a_tenth_to_all() {
        let slow = SlowStart::default();
        assert_eq!(taken(&slow, Duration::ZERO), 1_000);
        slow.begin(Duration::ZERO);
        for (seconds, expected) in [(0, 100), (2, 200), (5, 500), (9, 900)] {
            let taken = taken(&slow, Duration::from_secs(seconds));
            assert!(taken.abs_diff(expected) < 20, "{taken} after {seconds} s");
        }
        assert_eq!(taken(&slow, TIME), 1_000);
        // It is warm from then on.
        assert_eq!(taken(&slow, Duration::ZERO), 1_000);
    }

    #[test]
    fn what_is_in_flight_weighs_more_on_a_small_share() {
        let slow = SlowStart::default();
        let warm = SlowStart::default();
        slow.begin(Duration::ZERO);
        let half = || Duration::from_secs(5);
        assert_eq!(slow.burden(2, TIME, half, 0).load, warm.burden(4, TIME, half, 0).load);
    }
}
