//! How hard a lock is asked for, and how long until it is asked for again. Pure.
//!
//! All who come to a table after a session that waits for its lock wait behind it, as long as it waits. So as long as a
//! transaction that has been open for long holds what is needed, waiting is of no use to anyone: the lock is only touched,
//! and the one who waits is gone before anybody has noticed. Where no such transaction is in the way the lock is a matter of
//! milliseconds, and worth a wait that grows as the end of our patience comes nearer.

use std::time::Duration;

use crate::Limits;

/// A wait that others hardly notice.
const TOUCH: Duration = Duration::from_millis(1);

/// A wait that is just long enough to see from another session who is in the way.
const PROBE: Duration = Duration::from_millis(20);

/// From one touch to the next: how much later than the old transaction's end the lock is had.
const TOUCHES: Duration = Duration::from_millis(100);

/// Every so manieth try under an old transaction is a probe, and the second: so few that of a hundred who come meanwhile
/// not one meets any.
const PROBES: u32 = 50;

/// The oldest transaction that holds some lock on what a migration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// There is none, or it is no older than a wait.
    Young,
    /// It has been open for longer.
    Old,
    /// It has been open for so long that it is to be ended, if it is in the way.
    Overdue,
}

/// One try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The longest wait for one lock.
    pub wait: Duration,
    /// How long to leave the table alone afterwards.
    pub pause: Duration,
    /// Whether another session should look meanwhile who is in the way.
    pub observed: bool,
}

/// The tries of one migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    tries: u32,
    acquitted: bool,
}

impl Ladder {
    /// How many tries there were.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The next try, `elapsed` after the first. `chance` is a random number from 0 to 1, by which two who collide part.
    pub fn next(&mut self, limits: &Limits, elapsed: Duration, oldest: Oldest, chance: f64) -> Rung {
        self.tries += 1;
        if oldest != Oldest::Young && !self.acquitted {
            let probe = oldest == Oldest::Overdue || self.tries == 2 || self.tries.is_multiple_of(PROBES);
            let wait = if probe { PROBE } else { TOUCH }.min(limits.lock);
            return Rung { wait, pause: TOUCHES.mul_f64(0.75 + 0.5 * chance), observed: probe };
        }
        let spent = elapsed.as_secs_f64() / limits.patience.as_secs_f64().max(f64::MIN_POSITIVE);
        let longest = match spent {
            ..0.5 => limits.lock,
            0.5..0.75 => 2 * limits.lock,
            _ => 5 * limits.lock,
        };
        let wait = longest.min(limits.lock.max(limits.longest_lock)).mul_f64(0.5 + 0.5 * chance);
        // Room for all that has queued, by chance one to four times the wait.
        Rung { wait, pause: wait.mul_f64(1.0 + 3.0 * chance), observed: self.tries > 1 }
    }

    /// What an observed try has shown: whether, of those that hold the lock that is wanted, one is old. An old transaction
    /// that only reads is in nobody's way who adds a trigger.
    pub fn observed(&mut self, old: bool) {
        self.acquitted = !old;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits = Limits::default;

    #[test]
    fn under_an_old_transaction_a_lock_is_only_touched_and_seldom_probed() {
        let (mut ladder, limits) = (Ladder::default(), LIMITS());
        let rungs: Vec<Rung> = (0..100)
            .map(|n| ladder.next(&limits, Duration::from_millis(100 * n), Oldest::Old, 0.5))
            .collect();
        assert_eq!(rungs.iter().filter(|rung| rung.wait == TOUCH && !rung.observed).count(), 97);
        assert_eq!(rungs.iter().filter(|rung| rung.wait == PROBE && rung.observed).count(), 3);
        assert!(ladder.next(&limits, Duration::ZERO, Oldest::Overdue, 0.5).observed, "it is not ended");
    }

    #[test]
    fn waits_grow_as_patience_ends_but_never_beyond_the_longest() {
        let limits =
            Limits { lock: Duration::from_millis(100), longest_lock: Duration::from_millis(300), ..LIMITS() };
        let wait = |share: f64| {
            Ladder::default().next(&limits, limits.patience.mul_f64(share), Oldest::Young, 1.0).wait
        };
        assert_eq!([0.0, 0.6, 0.9].map(wait), [100, 200, 300].map(Duration::from_millis));
        assert_eq!(
            Ladder::default().next(&limits, Duration::ZERO, Oldest::Young, 0.0).wait,
            Duration::from_millis(50)
        );
    }

    #[test]
    fn an_old_transaction_that_is_not_in_the_way_is_no_reason_to_hold_back() {
        let (mut ladder, limits) = (Ladder::default(), LIMITS());
        ladder.observed(false);
        assert!(ladder.next(&limits, Duration::ZERO, Oldest::Old, 0.5).wait > PROBE);
        ladder.observed(true);
        assert!(ladder.next(&limits, Duration::ZERO, Oldest::Old, 0.5).wait <= PROBE);
    }
}
