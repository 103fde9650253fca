//! What is noted of the replicas that were started anew, and when each of them may be again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{HostName, Timestamp};

/// From a replica's first restart to the next; each of a row is twice as far away as the one before.
const SHORTEST: Duration = Duration::from_secs(10);
/// One that has gone so long without a restart begins a new row.
const SETTLED: Duration = Duration::from_mins(10);
/// Characters that are kept of what a replica said.
const SAID: usize = 300;

/// What is noted of a service's live replicas, by whoever watches them, for the next one and for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchNote {
    /// Those that were started anew.
    pub restarts: Vec<Restarted>,
}

/// A replica that did not live, and was started anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// Its host.
    pub host: HostName,
    /// The container's name.
    pub replica: String,
    /// How often, since it is watched.
    pub times: u32,
    /// How often in a row.
    pub row: u32,
    /// When it was last, by the clock of whoever did it.
    pub at: Timestamp,
    /// What it had said then.
    pub said: String,
}

impl WatchNote {
    /// What is noted of a replica.
    pub fn of(&self, host: &HostName, replica: &str) -> Option<&Restarted> {
        self.restarts.iter().find(|known| known.host == *host && known.replica == replica)
    }

    /// Notes one more restart.
    pub fn add(&mut self, host: &HostName, replica: &str, at: Timestamp, said: &str) -> Restarted {
        let before = self.of(host, replica).cloned();
        let is_settled = |before: &Restarted| at.since(before.at) >= SETTLED;
        let restarted = Restarted {
            host: host.clone(),
            replica: replica.to_owned(),
            times: before.as_ref().map_or(0, |before| before.times).saturating_add(1),
            row: before.filter(|before| !is_settled(before)).map_or(0, |before| before.row).saturating_add(1),
            at,
            said: said.chars().take(SAID).collect(),
        };
        self.restarts.retain(|known| known.host != *host || known.replica != replica);
        self.restarts.push(restarted.clone());
        restarted
    }

    /// Forgets all replicas but those.
    pub fn keep(&mut self, is_live: impl Fn(&HostName, &str) -> bool) {
        self.restarts.retain(|known| is_live(&known.host, &known.replica));
    }
}

impl Restarted {
    /// The longest distance between two restarts of a replica.
    pub const LONGEST: Duration = Duration::from_mins(5);

    /// When it may be started anew again: 10 s after the first time, twice as long after each that follows, up to 5 min.
    pub fn next(&self) -> Timestamp {
        let doubled = 2_u32.saturating_pow(self.row.saturating_sub(1));
        self.at.after(SHORTEST.saturating_mul(doubled).min(Self::LONGEST))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const fn second(second: u64) -> Timestamp {
        Timestamp(second * 1000)
    }

    #[test]
    fn restarts_of_a_row_are_ever_farther_apart_and_one_that_has_lived_for_long_begins_a_new_one() {
        let host: HostName = "a.example".parse().unwrap();
        let (mut note, mut at, mut distances) = (WatchNote::default(), second(0), Vec::new());
        for times in 1..=8 {
            let restarted = note.add(&host, "web-1", at, "503");
            assert_eq!((restarted.times, note.restarts.len()), (times, 1));
            distances.push(restarted.next().since(at).as_secs());
            at = restarted.next();
        }
        assert_eq!(distances, [10, 20, 40, 80, 160, 300, 300, 300]);
        let rested = note.add(&host, "web-1", note.restarts[0].at.after(SETTLED), "503");
        assert_eq!((rested.times, rested.row), (9, 1));
        assert_eq!(note.add(&host, "web-2", at, "503").times, 1);
        note.keep(|_, replica| replica == "web-2");
        assert!(note.of(&host, "web-1").is_none() && note.of(&host, "web-2").is_some());
    }

    #[test]
    fn of_what_was_said_a_part_is_kept() {
        let mut note = WatchNote::default();
        let restarted = note.add(&"a".parse().unwrap(), "web-1", second(1), &"é".repeat(1000));
        assert_eq!(restarted.said.chars().count(), SAID);
    }
}
