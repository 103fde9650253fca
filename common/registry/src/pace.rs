//! How fast content may be sent.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// So many bytes per second at most, over all connections of all registries that share it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    limit: Option<Arc<Limit>>,
}

#[derive(Debug)]
struct Limit {
    bytes_per_second: NonZeroU64,
    /// When all that was let through so far is on its way.
    free: Mutex<Option<Instant>>,
}

impl Pace {
    /// That many bytes per second; none: as fast as it goes.
    pub fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        let limit = |bytes_per_second| Arc::new(Limit { bytes_per_second, free: Mutex::default() });
        Self { limit: bytes_per_second.map(limit) }
    }

    /// Returns when so many bytes may be sent. Who asks first is let through first.
    pub async fn take(&self, bytes: usize) {
        let Some(limit) = &self.limit else { return };
        let (now, seconds) = (Instant::now(), bytes as f64 / limit.bytes_per_second.get() as f64);
        let turn = {
            let mut free = limit.free.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not used in a pause isn't made up for.
            let turn = free.map_or(now, |free| free.max(now));
            *free = Some(turn + Duration::from_secs_f64(seconds));
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_share_it_are_no_faster_together() {
        let pace = Pace::new(NonZeroU64::new(1000));
        let began = Instant::now();
        let others = pace.clone();
        tokio::join!(
            async {
                for _ in 0..10 {
                    pace.take(100).await
                }
            },
            async {
                for _ in 0..10 {
                    others.take(100).await
                }
            },
        );
        // The last one's time is not waited for: it is on its way.
        assert_eq!(began.elapsed().as_millis(), 1900);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let began = Instant::now();
        pace.take(100).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        pace.take(100).await;
        assert_eq!(began.elapsed().as_millis(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let began = Instant::now();
        for _ in 0..100 {
            Pace::default().take(1 << 30).await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
