//! Where reading many messages at once has failed: there they are read one by one, from the leader, whose answers no header can keep
//! anybody from reading. Otherwise each reader of such a place would lose its connection over it, each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many sequences of a stream are read one by one from where reading has failed.
const LENGTH: u64 = 1000;
/// How many such places are remembered of a stream; the oldest are tried again.
const PLACES: usize = 1000;
/// How long the last messages of a stream's subjects are read one by one: they are others soon.
const LAST: Duration = Duration::from_secs(10);

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Rough {
    places: Mutex<BTreeMap<String, BTreeSet<u64>>>,
    last: Mutex<BTreeMap<String, Instant>>,
}

impl Rough {
    /// Reading from that sequence on has failed, before anything came.
    pub(crate) fn note(&self, stream: &str, sequence: u64) {
        let mut all = held(&self.places);
        let places = all.entry(stream.to_owned()).or_default();
        places.insert(sequence);
        if places.len() > PLACES {
            places.pop_first();
        }
    }

    /// The sequence up to which messages from this one on are to be read one by one; none: they may be read at once.
    pub(crate) fn end_of(&self, stream: &str, sequence: u64) -> Option<u64> {
        let all = held(&self.places);
        let begin = all.get(stream)?.range(..=sequence).next_back()?;
        Some(begin.saturating_add(LENGTH)).filter(|end| *end > sequence)
    }

    /// Reading the last messages of several subjects of a stream has failed.
    pub(crate) fn note_last(&self, stream: &str) {
        held(&self.last).insert(stream.to_owned(), Instant::now() + LAST);
    }

    /// Whether they are to be read one by one.
    pub(crate) fn is_last(&self, stream: &str) -> bool {
        held(&self.last).get(stream).is_some_and(|until| Instant::now() < *until)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_place_is_read_one_by_one_and_what_comes_later_is_not() {
        let rough = Rough::default();
        rough.note("cutover", 5);
        assert_eq!(rough.end_of("cutover", 4), None);
        assert_eq!(rough.end_of("cutover", 5), Some(5 + LENGTH));
        assert_eq!(rough.end_of("cutover", 4 + LENGTH), Some(5 + LENGTH));
        assert_eq!(rough.end_of("cutover", 5 + LENGTH), None);
        assert_eq!(rough.end_of("cutover-lease", 5), None);
        (0..2 * PLACES as u64).for_each(|place| rough.note("cutover", 10_000 * place));
        assert_eq!(rough.end_of("cutover", 5), None, "the oldest are forgotten");
    }
}
