//! Chance, all of it from one seed: the same seed draws the same world and the same day in it.

use std::time::Duration;

/// A seeded generator of random numbers.
#[derive(Debug)]
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// True once in `n` times; never where `n` is 0.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.0.u32(..n) == 0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { self.0.usize(..limit) }
    }

    /// A time between two, in milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.0.u64(from..=to.max(from)))
    }

    /// A number around 0.
    pub(crate) fn around(&mut self, spread: i64) -> i64 {
        self.0.i64(-spread..=spread)
    }

    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).cloned()
    }
}

/// How rough a day is: what happens once in so many times. 0: never.
///
/// Every seed mixes its own, with most kinds of trouble left out: what one kind hides, another seed shows. Every fourth is one
/// in which nothing goes well and much is owed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Odds {
    /// A process is killed between two of its steps.
    pub(crate) kill: u32,
    /// A process is stopped between two of its steps, and goes on later as if nothing had been.
    pub(crate) stop: u32,
    /// The same, while it changes something on a host.
    pub(crate) stop_in_effect: u32,
    /// Some processes are stopped when something is decided.
    pub(crate) stop_at_decision: u32,
    /// A process loses the bus for a while.
    pub(crate) cut: u32,
    /// A host loses all of us for a while; its traffic goes on.
    pub(crate) lose_host: u32,
    /// A clock is set.
    pub(crate) set_clock: u32,
    /// Somebody publishes a work message that nobody needs.
    pub(crate) forge: u32,
    /// A message to the bus, or its answer, is lost.
    pub(crate) lose: u32,
    /// An acknowledgement is lost.
    pub(crate) lose_ack: u32,
    /// A scheduled message is lost.
    pub(crate) lose_timer: u32,
    /// An effect fails, and might go better again.
    pub(crate) stumble: u32,
    /// An effect fails for good.
    pub(crate) fail: u32,
    /// What takes back or retires fails for good.
    pub(crate) owe: u32,
    /// A release is no good.
    pub(crate) bad: u32,
    /// Whether people hardly wait between what they do.
    pub(crate) hasty: bool,
    /// The longest that a person's machine takes between looking and deciding, in milliseconds.
    pub(crate) hesitate: u32,
    /// The longest time that a message takes, in milliseconds.
    pub(crate) slow: u64,
}

impl Odds {
    /// The odds of a day.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let mut kind = |often: u32, seldom: u32| {
            let rare = chance.one_in(2);
            match chance.below(5) {
                0 | 1 => 0,
                _ if rare => seldom,
                _ => often,
            }
        };
        let odds = Self {
            kill: kind(40, 300),
            stop: kind(60, 300),
            stop_in_effect: kind(8, 40),
            stop_at_decision: kind(2, 8),
            cut: kind(150, 600),
            lose_host: kind(100, 500),
            set_clock: kind(300, 1000),
            forge: kind(100, 400),
            lose: kind(25, 150),
            lose_ack: kind(5, 20),
            lose_timer: kind(1, 4),
            stumble: kind(20, 60),
            fail: kind(60, 200),
            owe: kind(3, 12),
            bad: 3,
            hasty: false,
            hesitate: kind(6_000, 500),
            slow: u64::from(kind(1500, 50)).max(3),
        };
        match chance.below(4) {
            0 => Self { fail: 0, owe: 2, bad: 1, hasty: true, ..odds },
            1 => Self { hasty: true, ..odds },
            _ => odds,
        }
    }

    /// Nothing goes wrong.
    pub(crate) fn calm() -> Self {
        Self { slow: 3, ..Self::default() }
    }
}
