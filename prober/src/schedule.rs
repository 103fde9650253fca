//! When a replica is asked again.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);

/// The waits between questions: 50 ms at first, half as long again each time, up to a longest one, for ever.
///
/// An application that is ready soon is found ready soon; one that takes its time isn't asked all the time.
#[derive(Clone, Debug)]
pub struct Schedule {
    next: Duration,
    longest: Duration,
}

impl Schedule {
    /// A schedule whose waits grow up to `longest`.
    pub const fn up_to(longest: Duration) -> Self {
        Self { next: FIRST, longest }
    }

    /// A schedule whose waits are all alike.
    pub const fn every(period: Duration) -> Self {
        Self { next: period, longest: period }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.longest);
        self.next = (wait * 3 / 2).min(self.longest);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(longest: u64, count: usize) -> Vec<u128> {
        let mut schedule = Schedule::up_to(Duration::from_millis(longest));
        std::iter::repeat_with(|| schedule.next_wait().as_millis()).take(count).collect()
    }

    #[test]
    fn waits_grow_to_the_longest_and_stay_there() {
        assert_eq!(waits(1000, 10), [50, 75, 112, 168, 253, 379, 569, 854, 1000, 1000]);
    }

    #[test]
    fn a_period_shorter_than_the_first_wait_is_kept_from_the_start() {
        assert_eq!(waits(10, 3), [10, 10, 10]);
    }

    #[test]
    fn waits_of_a_fixed_schedule_are_all_alike() {
        let mut schedule = Schedule::every(Duration::from_secs(2));
        assert_eq!([(); 3].map(|()| schedule.next_wait().as_secs()), [2, 2, 2]);
    }
}
