use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The host's time since its start (clock_gettime(2), `CLOCK_BOOTTIME`), which all its processes share and nobody can set. The
/// clock of the day may be set back, and what should be over would go on.
#[derive(Debug)]
pub(crate) struct BootClock {
    /// Which start it is (random(4), `boot_id`).
    boot: String,
}

/// A moment on that clock. After another start of the host it lies in the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadline {
    boot: String,
    millis: u64,
}

impl BootClock {
    /// Where the host doesn't say which start it is, each process takes its own for one.
    pub(crate) fn new() -> Self {
        let own = |_| format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(own);
        Self { boot: boot.trim().to_owned() }
    }

    /// So many milliseconds from now.
    pub(crate) fn after(&self, millis: u64) -> Deadline {
        let now = u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX);
        Deadline { boot: self.boot.clone(), millis: now.saturating_add(millis) }
    }

    /// How long it is until then; zero: it is over.
    pub(crate) fn left(&self, until: &Deadline) -> Duration {
        if until.boot != self.boot {
            return Duration::ZERO;
        }
        Duration::from_millis(until.millis).saturating_sub(since_boot())
    }
}

fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_more_than_was_given() {
        let clock = BootClock::new();
        let until = clock.after(60_000);
        let left = clock.left(&until);
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{left:?}");
        assert_eq!(clock.left(&clock.after(0)), Duration::ZERO);
        assert_eq!(BootClock::new().left(&until).as_secs(), clock.left(&until).as_secs());
    }

    #[test]
    fn another_start_of_the_host_ends_everything() {
        let until = BootClock { boot: "before".to_owned() }.after(60_000);
        assert_eq!(BootClock::new().left(&until), Duration::ZERO);
    }
}
