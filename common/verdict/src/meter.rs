use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Counts, Incidents, Window};

/// What a host's proxy has counted of both versions so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The host.
    pub host: String,
    /// The new version's counters; nothing where the host has none of it.
    pub new: Option<Counts>,
    /// The old version's.
    pub old: Option<Counts>,
}

/// Makes windows of cumulative readings: what has come since the readings before, added up over hosts.
///
/// A host that didn't answer is left out of a window, and what it counted meanwhile is in the next one that it is in: for both
/// versions, so that they stay side by side. What the old version did where the new one isn't is not counted at all.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    at: Option<Duration>,
    before: BTreeMap<String, Reading>,
}

impl Meter {
    /// The window that ends now, given what each host shows and what has befallen the new version since the window before.
    /// The first readings are where counting begins: they make none.
    pub fn read(&mut self, at: Duration, readings: Vec<Reading>, incidents: Incidents) -> Option<Window> {
        let mut window = Window { to: at, incidents, ..Window::default() };
        for reading in readings {
            if let Some(before) = self.before.get(&reading.host) {
                // The first that is seen of a set may be from before the trial.
                if let (Some(new), Some(before_new)) = (&reading.new, &before.new) {
                    window.new = window.new.plus(&new.since(before_new));
                    if let (Some(old), Some(before_old)) = (&reading.old, &before.old) {
                        window.old = window.old.plus(&old.since(before_old));
                    }
                }
            }
            self.before.insert(reading.host.clone(), reading);
        }
        window.from = self.at.replace(at)?;
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn reading(host: &str, new: Option<(u64, u64)>, old: (u64, u64)) -> Reading {
        let counts = |(requests, failed)| Counts::new(requests, failed, []);
        Reading { host: host.into(), new: new.map(counts), old: Some(counts(old)) }
    }

    fn read(meter: &mut Meter, at: u64, readings: Vec<Reading>) -> Option<((u64, u64), (u64, u64))> {
        let window = meter.read(second(at), readings, Incidents::default())?;
        Some(((window.new.requests, window.new.failed), (window.old.requests, window.old.failed)))
    }

    #[test]
    fn hosts_are_added_up_and_what_was_before_is_not_counted() {
        let mut meter = Meter::default();
        let first = vec![reading("a", Some((0, 0)), (900, 3)), reading("b", Some((0, 0)), (500, 1))];
        assert_eq!(read(&mut meter, 0, first), None);
        let next = vec![reading("a", Some((5, 1)), (990, 4)), reading("b", Some((6, 0)), (600, 1))];
        assert_eq!(read(&mut meter, 1, next), Some(((11, 1), (190, 1))));
    }

    #[test]
    fn a_host_that_was_silent_comes_in_later_with_both_versions() {
        let mut meter = Meter::default();
        read(&mut meter, 0, vec![reading("a", Some((0, 0)), (0, 0)), reading("b", Some((0, 0)), (0, 0))]);
        assert_eq!(read(&mut meter, 1, vec![reading("a", Some((5, 0)), (95, 0))]), Some(((5, 0), (95, 0))));
        let both = vec![reading("a", Some((10, 0)), (190, 0)), reading("b", Some((10, 2)), (190, 1))];
        assert_eq!(read(&mut meter, 2, both), Some(((15, 2), (285, 1))));
    }

    #[test]
    fn the_old_version_counts_only_where_the_new_one_is() {
        let mut meter = Meter::default();
        read(&mut meter, 0, vec![reading("a", Some((0, 0)), (0, 0)), reading("b", None, (0, 0))]);
        let next = vec![reading("a", Some((5, 0)), (95, 0)), reading("b", None, (100, 50))];
        assert_eq!(read(&mut meter, 1, next), Some(((5, 0), (95, 0))));
    }

    #[test]
    fn a_proxy_that_began_anew_is_counted_from_its_beginning() {
        let mut meter = Meter::default();
        read(&mut meter, 0, vec![reading("a", Some((50, 1)), (950, 9))]);
        assert_eq!(read(&mut meter, 1, vec![reading("a", Some((2, 1)), (38, 0))]), Some(((2, 1), (38, 0))));
    }
}
