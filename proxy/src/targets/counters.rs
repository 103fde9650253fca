use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cutover_control::SetStatus;
use hyper::StatusCode;

use super::flight::Count;

/// Upper bounds of the latency histogram in milliseconds, inclusive.
const BOUNDS_MS: [u64; 15] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, u64::MAX];

/// What became of the requests that a deployment's targets got. Shared by all sets of the deployment.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The application's answers, 1xx to 5xx.
    classes: [AtomicU64; 5],
    /// What the proxy answered for want of an answer.
    unanswered: AtomicU64,
    /// Answers that did not come to their end.
    cut_off: AtomicU64,
    retries: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    ejections: AtomicU64,
    drained: AtomicU64,
    /// Requests, streams and upgraded connections.
    cut: [AtomicU64; 3],
    latency_sum_us: AtomicU64,
    latency: [AtomicU64; BOUNDS_MS.len()],
}

impl Counters {
    /// Goes on from what another proxy has counted.
    pub(crate) fn resume(&self, before: &SetStatus) {
        let answered: u64 = before.classes.iter().sum();
        let unanswered = before.requests.saturating_sub(answered);
        let sums = [
            (&self.unanswered, unanswered),
            (&self.cut_off, before.proxy_errors.saturating_sub(unanswered)),
            (&self.retries, before.retries),
            (&self.request_bytes, before.request_bytes),
            (&self.response_bytes, before.response_bytes),
            (&self.ejections, before.ejections),
            (&self.drained, before.drained),
            (&self.latency_sum_us, before.latency_sum_us),
        ];
        let classes = self.classes.iter().zip(before.classes);
        // By bound: another version may have others.
        let buckets = before.latency.iter().filter_map(|(bound, count)| {
            let bucket = BOUNDS_MS.partition_point(|known| known < bound);
            Some((self.latency.get(bucket)?, *count))
        });
        let cut = self.cut.iter().zip(before.cut);
        for (counter, count) in sums.into_iter().chain(classes).chain(buckets).chain(cut) {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// The application answered; `took` is the time to the head of its response.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(class) = self.classes.get(class).or(self.classes.last()) {
            class.fetch_add(1, Relaxed);
        }
        self.count(took);
    }

    /// The application did not answer, so the proxy did, with a 5xx.
    pub(crate) fn unanswered(&self, took: Duration) {
        self.unanswered.fetch_add(1, Relaxed);
        self.count(took);
    }

    /// A response that was counted as answered did not come to its end.
    pub(crate) fn cut_off(&self) {
        self.cut_off.fetch_add(1, Relaxed);
    }

    /// A request is sent again.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A piece of a request's body is taken from the client.
    pub(crate) fn taken(&self, bytes: u64) {
        self.request_bytes.fetch_add(bytes, Relaxed);
    }

    /// A piece of a response's body is passed on.
    pub(crate) fn passed_on(&self, bytes: usize) {
        self.response_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A target is left out.
    pub(crate) fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    /// So many have ended on a displaced target.
    pub(crate) fn drained(&self, count: u64) {
        self.drained.fetch_add(count, Relaxed);
    }

    /// What is in flight on a displaced target must end now.
    pub(crate) fn cut(&self, count: &Count) {
        let counts = [count.requests, count.streams, count.upgraded];
        for (counter, count) in self.cut.iter().zip(counts) {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// Adds what was counted to a status.
    pub(crate) fn fill(&self, status: &mut SetStatus) {
        let unanswered = self.unanswered.load(Relaxed);
        status.classes = self.classes.each_ref().map(|class| class.load(Relaxed));
        status.requests = status.classes.iter().sum::<u64>() + unanswered;
        status.server_errors = status.classes[4];
        status.proxy_errors = unanswered + self.cut_off.load(Relaxed);
        status.retries = self.retries.load(Relaxed);
        status.request_bytes = self.request_bytes.load(Relaxed);
        status.response_bytes = self.response_bytes.load(Relaxed);
        status.ejections = self.ejections.load(Relaxed);
        status.drained = self.drained.load(Relaxed);
        status.cut = self.cut.each_ref().map(|count| count.load(Relaxed));
        status.latency_sum_us = self.latency_sum_us.load(Relaxed);
        let counts = self.latency.iter().map(|count| count.load(Relaxed));
        status.latency = BOUNDS_MS.into_iter().zip(counts).collect();
    }

    fn count(&self, took: Duration) {
        self.latency_sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        let bucket = BOUNDS_MS.partition_point(|&bound| Duration::from_millis(bound) < took);
        if let Some(count) = self.latency.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(counters: &Counters) -> SetStatus {
        let mut status = SetStatus::new("d1", "r1");
        counters.fill(&mut status);
        status
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let counters = Counters::default();
        for (status, ms) in [(200, 1), (404, 2), (500, 3), (503, 90_000)] {
            counters.answered(StatusCode::from_u16(status).unwrap_or_default(), Duration::from_millis(ms));
        }
        let status = status(&counters);
        let filled: Vec<_> = status.latency.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (5, 1), (u64::MAX, 1)]);
        assert_eq!((status.requests, status.server_errors, status.proxy_errors), (4, 2, 0));
        assert_eq!((status.classes, status.latency_sum_us), ([0, 1, 0, 1, 2], 90_006_000));
    }

    #[test]
    fn what_was_counted_by_other_bounds_falls_into_the_bucket_that_holds_it() {
        let mut before = SetStatus::new("d1", "r1");
        before.latency = vec![(3, 1), (10, 2), (40_000, 4), (u64::MAX, 8)];
        let counters = Counters::default();
        counters.resume(&before);
        let filled: Vec<_> = status(&counters).latency.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(5, 1), (10, 2), (u64::MAX, 12)]);
    }

    #[test]
    fn what_was_counted_elsewhere_goes_on() {
        let before = Counters::default();
        before.answered(StatusCode::OK, Duration::from_millis(1));
        before.cut_off();
        before.unanswered(Duration::from_secs(1));
        before.retried();
        before.taken(5);
        before.passed_on(7);
        before.ejected();
        before.drained(2);
        before.cut(&Count { requests: 1, streams: 2, upgraded: 3 });
        let counters = Counters::default();
        counters.resume(&status(&before));
        assert_eq!(status(&counters), status(&before));
    }
}
