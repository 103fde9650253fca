use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Proportion, Share, Window, millis};

/// Rules that need no statistics: what anyone would call broken, within seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// A burst of failures.
    pub burst: Option<Burst>,
    /// Replicas that end again and again.
    pub restarts: Option<Restarts>,
    /// Whether a replica that ended for want of memory is enough.
    pub out_of_memory: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self { burst: Some(Burst::default()), restarts: Some(Restarts::default()), out_of_memory: true }
    }
}

/// In each of some windows in a row the new version fails so large a share of its requests, and so many in all of them; and more
/// than twice as large a share as the old version at the same time: where both fail, something else is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// The share, in each window.
    pub share: Share,
    /// How many, in all of them.
    pub failed: u64,
    /// How many windows in a row; those without requests of the new version neither count nor interrupt.
    pub windows: usize,
}

impl Default for Burst {
    /// Half of the requests and at least 10, in 3 windows.
    fn default() -> Self {
        Self { share: Share::percent(50), failed: 10, windows: 3 }
    }
}

/// So many ends of replicas that nobody had asked for, within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// How many.
    pub count: u32,
    /// Within how long.
    #[serde(with = "millis")]
    pub within: Duration,
}

impl Default for Restarts {
    /// 3 in a minute.
    fn default() -> Self {
        Self { count: 3, within: Duration::from_secs(60) }
    }
}

/// A guard that has seen enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tripped {
    /// A burst of failures.
    Burst {
        /// The new version's requests in these windows.
        new: Proportion,
        /// The old one's.
        old: Proportion,
    },
    /// Ends that nobody had asked for.
    Restarts {
        /// How many.
        count: u32,
        /// Within how long.
        #[serde(with = "millis")]
        within: Duration,
    },
    /// Ends for want of memory.
    OutOfMemory {
        /// How many, in the window.
        count: u32,
    },
}

impl fmt::Display for Tripped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Burst { new, old } => {
                write!(f, "in windows in a row {new} requests failed, and {old} of the old version")
            }
            Self::Restarts { count, within } => {
                write!(f, "its replicas ended {count} times within {} s", within.as_secs())
            }
            Self::OutOfMemory { count } => write!(f, "{count} of its replicas ended for want of memory"),
        }
    }
}

/// Windows in a row in which too large a share failed: of the new version's requests, and of the old one's.
type Row = VecDeque<(Proportion, Proportion)>;

/// The guards and what they have seen lately.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    guards: Guards,
    row: Row,
    /// Of synthetic requests: they interrupt no row of the others, nor the others theirs.
    synthetic: Row,
    restarts: VecDeque<(Duration, u32)>,
    tripped: Option<Tripped>,
}

impl Watch {
    pub(crate) fn new(guards: Guards) -> Self {
        let (row, synthetic, restarts) = Default::default();
        Self { guards, row, synthetic, restarts, tripped: None }
    }

    /// The first guard that has seen enough; it stays so.
    pub(crate) fn tripped(&self) -> Option<Tripped> {
        self.tripped
    }

    pub(crate) fn update(&mut self, window: &Window) {
        let seen = [self.out_of_memory(window), self.restarted(window), self.burst(window)];
        self.tripped = self.tripped.or(seen.into_iter().flatten().next());
    }

    fn out_of_memory(&self, window: &Window) -> Option<Tripped> {
        let count = window.incidents.out_of_memory;
        (self.guards.out_of_memory && count > 0).then_some(Tripped::OutOfMemory { count })
    }

    fn restarted(&mut self, window: &Window) -> Option<Tripped> {
        let Restarts { count, within } = self.guards.restarts?;
        if window.incidents.restarts > 0 {
            self.restarts.push_back((window.to, window.incidents.restarts));
        }
        while self.restarts.front().is_some_and(|(at, _)| *at + within < window.to) {
            self.restarts.pop_front();
        }
        let seen: u32 = self.restarts.iter().map(|(_, restarts)| restarts).sum();
        (seen >= count.max(1)).then_some(Tripped::Restarts { count: seen, within })
    }

    fn burst(&mut self, window: &Window) -> Option<Tripped> {
        let burst = self.guards.burst?;
        let new = window.new.failures();
        if new.of == 0 {
            return None;
        }
        let row = if window.synthetic { &mut self.synthetic } else { &mut self.row };
        if new.rate() < burst.share.fraction() || new.hits == 0 {
            row.clear();
            return None;
        }
        row.push_back((new, window.old.failures()));
        if row.len() > burst.windows.max(1) {
            row.pop_front();
        }
        let (mut new, mut old) = (Proportion::default(), Proportion::default());
        for (of_new, of_old) in row.iter() {
            new += *of_new;
            old += *of_old;
        }
        let enough = row.len() >= burst.windows && new.hits >= burst.failed;
        (enough && new.rate() > 2.0 * old.rate()).then_some(Tripped::Burst { new, old })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counts, Incidents};

    fn window(second: u64, new: (u64, u64), old: (u64, u64)) -> Window {
        Window {
            from: Duration::from_secs(second),
            to: Duration::from_secs(second + 1),
            new: Counts::new(new.1, new.0, []),
            old: Counts::new(old.1, old.0, []),
            ..Window::default()
        }
    }

    fn seen(windows: impl IntoIterator<Item = Window>) -> Option<Tripped> {
        let mut watch = Watch::new(Guards::default());
        windows.into_iter().for_each(|window| watch.update(&window));
        watch.tripped()
    }

    #[test]
    fn a_burst_needs_windows_in_a_row() {
        let failing = |second| window(second, (5, 5), (0, 95));
        assert_eq!(seen((0..2).map(failing)), None);
        let (new, old) = (Proportion::new(15, 15), Proportion::new(0, 285));
        assert_eq!(seen((0..3).map(failing)), Some(Tripped::Burst { new, old }));
        assert_eq!(seen([failing(0), failing(1), window(2, (1, 5), (0, 95)), failing(3), failing(4)]), None);
        // A second without requests says nothing.
        let quiet = window(2, (0, 0), (0, 95));
        assert!(seen([failing(0), failing(1), quiet, failing(3)]).is_some());
    }

    #[test]
    fn what_clients_sent_and_what_was_sent_for_them_are_rows_of_their_own() {
        let good = |second| Window { synthetic: true, ..window(second, (0, 5), (0, 5)) };
        let failing = |second| window(second, (5, 5), (0, 95));
        assert!(seen((0..3).flat_map(|second| [failing(second), good(second)])).is_some());
    }

    #[test]
    fn where_both_fail_it_is_not_the_new_version() {
        assert_eq!(seen((0..60).map(|second| window(second, (5, 5), (90, 95)))), None);
    }

    #[test]
    fn restarts_are_counted_within_their_time() {
        let restart = |second: u64| Window {
            incidents: Incidents { restarts: 1, out_of_memory: 0 },
            ..window(second, (0, 1), (0, 1))
        };
        assert_eq!(seen([0, 50, 100].map(restart)), None);
        let within = Duration::from_secs(60);
        assert_eq!(seen([0, 50, 59].map(restart)), Some(Tripped::Restarts { count: 3, within }));
    }

    #[test]
    fn want_of_memory_is_enough_once() {
        let incidents = Incidents { restarts: 1, out_of_memory: 1 };
        let window = Window { incidents, ..window(0, (0, 1), (0, 1)) };
        assert_eq!(seen([window]), Some(Tripped::OutOfMemory { count: 1 }));
    }
}
