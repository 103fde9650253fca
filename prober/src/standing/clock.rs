//! The time of the watch: of this machine when it began, and never back from there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutover_core::Timestamp;
use tokio::time::Instant;

/// A clock that was set by this machine's, and goes on by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    set_to: Timestamp,
}

impl Clock {
    pub(crate) fn set() -> Self {
        let since_epoch: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), set_to: Timestamp::default().after(since_epoch) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.set_to.after(self.began.elapsed())
    }

    /// When it will be that time; at once where it was.
    pub(crate) fn instant(&self, time: Timestamp) -> Instant {
        self.began + time.since(self.set_to)
    }
}
