use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long one that has just failed comes last in the choice.
const REST: Duration = Duration::from_secs(1);

/// What a target's own requests say about it: one that fails them in a row is left out for a while.
///
/// Only what happens to connections counts: none was accepted, one was closed before an answer, no answer came in time. An
/// answer with 5xx doesn't: it mostly comes of the request, or of what all replicas share, such as a database, and to leave
/// replicas out for that would put their load onto the rest. That is judged by the watch after a switch.
///
/// Times are durations since the target was made. Whoever reads while another writes is at most one request behind.
#[derive(Debug)]
pub(crate) struct Ejection {
    /// Failures in a row that have the target left out; 0: none do.
    threshold: u32,
    /// How long it is left out at first; with each time it grows by as much, up to the longest. One that then did well for as
    /// long as the longest begins anew.
    base: Duration,
    longest: Duration,
    /// In a row.
    failures: AtomicU32,
    /// In a row.
    times: AtomicU32,
    /// In milliseconds; 0: never failed.
    rests_until: AtomicU64,
    /// In milliseconds; 0: never left out.
    out_until: AtomicU64,
}

/// What the requests of late say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    /// One has just failed.
    Resting,
    /// Left out.
    Out,
}

impl Ejection {
    pub(crate) const fn new(terms: &cutover_control::Ejection) -> Self {
        Self {
            threshold: terms.failures,
            base: Duration::from_millis(terms.base_ms),
            longest: Duration::from_millis(terms.max_ms),
            failures: AtomicU32::new(0),
            times: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
            out_until: AtomicU64::new(0),
        }
    }

    /// A request was answered.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// A request has failed; gives whether it was one too many.
    pub(crate) fn failed(&self, now: Duration) -> bool {
        self.rests_until.store(millis(now + REST), Relaxed);
        let failures = self.failures.fetch_add(1, Relaxed).wrapping_add(1);
        self.threshold > 0 && failures >= self.threshold && self.verdict(|| now) != Verdict::Out
    }

    /// Leaves the target out, and says for how long.
    pub(crate) fn eject(&self, now: Duration) -> Duration {
        let was_out_until = Duration::from_millis(self.out_until.load(Relaxed));
        if now > was_out_until + self.longest {
            self.times.store(0, Relaxed);
        }
        let times = self.times.fetch_add(1, Relaxed).saturating_add(1);
        let time = self.base.saturating_mul(times).min(self.longest);
        self.out_until.store(millis(now + time), Relaxed);
        self.failures.store(0, Relaxed);
        time
    }

    /// A health check that began at a time has passed; gives whether that has brought the target back.
    pub(crate) fn readmit(&self, asked: Duration, now: Duration) -> bool {
        // Failures after the question are not answered by it.
        let is_newer = self.rests_until.load(Relaxed) <= millis(asked + REST);
        // A target that passes checks and fails requests again and again is to be left alone for a time that grows.
        let is_first = self.times.load(Relaxed) <= 1;
        let back = is_newer && is_first && self.verdict(|| now) == Verdict::Out;
        if back {
            self.out_until.store(millis(now), Relaxed);
        }
        back
    }

    pub(crate) fn verdict(&self, now: impl FnOnce() -> Duration) -> Verdict {
        let rests_until = self.rests_until.load(Relaxed);
        if rests_until == 0 {
            return Verdict::Well;
        }
        let now = millis(now());
        if now < self.out_until.load(Relaxed) {
            Verdict::Out
        } else if now < rests_until {
            Verdict::Resting
        } else {
            Verdict::Well
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Ejection {
        Ejection::new(&cutover_control::Ejection::default())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn eject(ejection: &Ejection, now: Duration) -> Duration {
        assert!(!ejection.failed(now) && !ejection.failed(now) && ejection.failed(now));
        ejection.eject(now)
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let ejection = usual();
        for _ in 0..10 {
            assert!(!ejection.failed(at(1)) && !ejection.failed(at(1)));
            ejection.succeeded();
        }
        assert_eq!(ejection.verdict(|| at(1)), Verdict::Resting);
        assert_eq!(ejection.verdict(|| at(2)), Verdict::Well);
    }

    #[test]
    fn it_is_left_out_for_longer_each_time_up_to_a_limit_until_it_did_well() {
        let ejection = usual();
        let (mut now, mut times) = (at(1), Vec::new());
        for _ in 0..14 {
            let time = eject(&ejection, now);
            assert_eq!(ejection.verdict(|| now + time - Duration::from_millis(1)), Verdict::Out);
            assert_eq!(ejection.verdict(|| now + time), Verdict::Well);
            // What was still in flight changes nothing.
            assert!((0..9).all(|_| !ejection.failed(now)));
            ejection.succeeded();
            now += time;
            times.push(time.as_secs());
        }
        assert_eq!(times, [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 60, 60]);
        assert_eq!(eject(&ejection, now + at(60 + 1)), at(5));
    }

    #[test]
    fn the_terms_are_the_services() {
        let ejection = Ejection::new(&cutover_control::Ejection { failures: 2, base_ms: 700, max_ms: 1_000 });
        for time in [700, 1_000] {
            assert!(!ejection.failed(at(1)) && ejection.failed(at(1)));
            assert_eq!(ejection.eject(at(1)), Duration::from_millis(time));
            ejection.out_until.store(1_000, Relaxed);
        }
        let never = Ejection::new(&cutover_control::Ejection { failures: 0, base_ms: 1, max_ms: 1 });
        assert!((0..100).all(|_| !never.failed(at(1))));
        assert_eq!(never.verdict(|| at(1)), Verdict::Resting);
    }

    #[test]
    fn a_health_check_brings_it_back_unless_it_has_failed_since() {
        let ejection = usual();
        eject(&ejection, at(10));
        assert!(!ejection.readmit(at(9), at(11)));
        assert!(ejection.readmit(at(11), at(11)));
        assert!(!ejection.readmit(at(12), at(12)));
        assert_eq!(ejection.verdict(|| at(12)), Verdict::Well);
        let out = eject(&ejection, at(12));
        assert!(!ejection.readmit(at(14), at(14)));
        assert_eq!(ejection.verdict(|| at(14)), Verdict::Out);
        assert_eq!(ejection.verdict(|| at(12) + out), Verdict::Well);
    }
}
