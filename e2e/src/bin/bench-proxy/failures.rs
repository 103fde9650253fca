//! How requests failed.

use std::collections::BTreeMap;

use cutover_e2e::{FailureKind, LoadReport};

use crate::runs::Runs;

/// Prints a line for each proxy under which requests failed: how many in which way.
pub(crate) fn print<M>(runs: &Runs<M>, load: fn(&M) -> &LoadReport) {
    for (peer, runs) in runs.rows() {
        let mut counts: BTreeMap<FailureKind, usize> = BTreeMap::new();
        for failure in runs.iter().flat_map(|run| &load(run).failed) {
            *counts.entry(failure.kind).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        if !counts.is_empty() {
            println!("\n{peer}, failed: {}", counts.join(", "));
        }
    }
}
