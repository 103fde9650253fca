use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all limits of a connection. A limit that is moved into the future before it is reached, as with every
/// request that is answered in time, costs nothing: the timer finds out when it goes off.
#[derive(Debug)]
pub(crate) struct Watchdog {
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    pub(crate) fn new(limit: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(limit)) }
    }

    /// Ready once it is later than the limit.
    pub(crate) fn poll_over(&mut self, limit: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() > limit {
            self.timer.as_mut().reset(limit);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= limit {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_can_be_moved_either_way() {
        let began = Instant::now();
        let mut watchdog = Watchdog::new(began + Duration::from_secs(5));
        for (limit, over) in [(60, 60), (90, 90), (70, 90), (100, 100)] {
            poll_fn(|cx| watchdog.poll_over(began + Duration::from_secs(limit), cx)).await;
            assert_eq!(began.elapsed().as_secs(), over);
        }
    }
}
