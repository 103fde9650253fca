use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cutover_control::SetStatus;
use hyper::StatusCode;

/// Upper bounds of the latency histogram in milliseconds, inclusive.
const BOUNDS_MS: [u64; 15] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, u64::MAX];

/// What became of the requests that a deployment's targets got. Shared by all sets of the deployment.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    server_errors: AtomicU64,
    proxy_errors: AtomicU64,
    latency: [AtomicU64; BOUNDS_MS.len()],
}

impl Counters {
    /// Goes on from what another proxy has counted.
    pub(crate) fn resume(&self, before: &SetStatus) {
        self.requests.fetch_add(before.requests, Relaxed);
        self.server_errors.fetch_add(before.server_errors, Relaxed);
        self.proxy_errors.fetch_add(before.proxy_errors, Relaxed);
        for (bound, count) in &before.latency {
            let bucket = BOUNDS_MS.iter().zip(&self.latency).find(|(known, _)| *known == bound);
            if let Some((_, bucket)) = bucket {
                bucket.fetch_add(*count, Relaxed);
            }
        }
    }

    /// The application answered; `took` is the time to the head of its response.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        self.count(took);
        if status.is_server_error() {
            self.server_errors.fetch_add(1, Relaxed);
        }
    }

    /// The application did not answer, so the proxy did, with a 5xx.
    pub(crate) fn unanswered(&self, took: Duration) {
        self.count(took);
        self.proxy_errors.fetch_add(1, Relaxed);
    }

    /// A response that was counted as answered did not come to its end.
    pub(crate) fn cut_off(&self) {
        self.proxy_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn server_errors(&self) -> u64 {
        self.server_errors.load(Relaxed)
    }

    pub(crate) fn proxy_errors(&self) -> u64 {
        self.proxy_errors.load(Relaxed)
    }

    /// Pairs of an upper bound in milliseconds and the count of its bucket.
    pub(crate) fn latency(&self) -> Vec<(u64, u64)> {
        BOUNDS_MS.iter().zip(&self.latency).map(|(&bound, count)| (bound, count.load(Relaxed))).collect()
    }

    fn count(&self, took: Duration) {
        self.requests.fetch_add(1, Relaxed);
        let bucket = BOUNDS_MS.partition_point(|&bound| Duration::from_millis(bound) < took);
        if let Some(count) = self.latency.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let counters = Counters::default();
        for (status, ms) in [(200, 1), (404, 2), (500, 3), (503, 90_000)] {
            counters.answered(StatusCode::from_u16(status).unwrap_or_default(), Duration::from_millis(ms));
        }
        let filled: Vec<_> = counters.latency().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (5, 1), (u64::MAX, 1)]);
        assert_eq!((counters.requests(), counters.server_errors(), counters.proxy_errors()), (4, 2, 0));
    }
}
