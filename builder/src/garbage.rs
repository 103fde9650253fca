//! What of the artifact store is garbage.

use std::collections::BTreeSet;
use std::time::SystemTime;

use cutover_core::Digest;
use cutover_store::Entry;

/// Of what is stored, what nothing needs and what was neither stored nor renewed since `before`.
pub(crate) fn garbage(stored: Vec<Entry>, needed: &BTreeSet<Digest>, before: SystemTime) -> Vec<Digest> {
    let is_garbage = |entry: &Entry| entry.at < before && !needed.contains(&entry.digest);
    stored.into_iter().filter(is_garbage).map(|entry| entry.digest).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_is_old_and_not_needed_is_garbage() {
        let before = SystemTime::UNIX_EPOCH + Duration::from_hours(1_000);
        let [needed, other] = [b"needed", b"others"].map(|content| Digest::of(content));
        let second = Duration::from_secs(1);
        let table = [
            (&needed, before - second, false),
            (&needed, before + second, false),
            (&other, before - second, true),
            (&other, before, false),
            (&other, before + second, false),
            // A clock that was wrong when it was stored.
            (&other, before + Duration::from_hours(100_000), false),
            (&other, SystemTime::UNIX_EPOCH, true),
        ];
        for (digest, at, is_garbage) in table {
            let stored = vec![Entry { digest: digest.clone(), size: 1, at }];
            let found = garbage(stored, &BTreeSet::from([needed.clone()]), before);
            assert_eq!(!found.is_empty(), is_garbage, "{digest} {at:?}");
        }
    }
}
