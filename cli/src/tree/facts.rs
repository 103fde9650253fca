//! What a task made, in a few words.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover_core::{HeldLock, Output, Progress, Rehearsed};

use crate::clock;
use crate::size::bytes;
use crate::version;

/// What a finished task made.
pub(crate) fn output(output: &Output) -> String {
    match output {
        Output::Built { image, bytes: size, commit, .. } => {
            let of = commit.as_ref().map(|commit| format!(" of commit {}", version::short(commit)));
            format!("image {}{}, {}", image.short(), of.unwrap_or_default(), bytes(*size))
        }
        Output::Shipped { sent: 0 } => "nothing to send".to_owned(),
        Output::Shipped { sent } => format!("{} sent", bytes(*sent)),
        Output::Expanded { applied, .. } if applied.is_empty() => "all migrations are applied".to_owned(),
        Output::Expanded { applied, rehearsed } => {
            format!("applied {}{}", applied.join(", "), rehearsal(rehearsed))
        }
        Output::Backfilled { rows: 0 } => "all rows are there".to_owned(),
        Output::Backfilled { rows } => format!("{} brought over", count(*rows, "row", "rows")),
        Output::Contracted { applied } => format!("contracted {}", applied.join(", ")),
        Output::Booted { replicas } => count(replicas.len() as u64, "replica", "replicas"),
        Output::Probed { asked } => {
            format!("ready after {}", count(u64::from(*asked), "probe", "probes"))
        }
        Output::Switched { previous: Some(_) } => "traffic old → new".to_owned(),
        Output::Switched { previous: None } => "first traffic".to_owned(),
        Output::Canaried { seen: evidence, .. } | Output::Soaked(evidence) => format!(
            "{}, {}",
            count(evidence.requests, "request", "requests"),
            count(evidence.errors, "server error", "server errors")
        ),
        Output::Retired { stopped } => {
            format!("{} stopped", count(u64::from(*stopped), "old replica", "old replicas"))
        }
        Output::Cooled { stopped } => {
            format!("{} stopped", count(u64::from(*stopped), "warm replica", "warm replicas"))
        }
        Output::Restored { serving: Some(_) } => "traffic back to the old replicas".to_owned(),
        Output::Restored { serving: None } => "no traffic any more".to_owned(),
        Output::Discarded { removed } => {
            format!("{} removed", count(u64::from(*removed), "new replica", "new replicas"))
        }
    }
}

/// What was seen of migrations on a copy, where they were rehearsed: the longest lock is what the application will notice.
fn rehearsal(rehearsed: &[Rehearsed]) -> String {
    if rehearsed.is_empty() {
        return String::new();
    }
    let took = rehearsed.iter().map(|part| part.took.0).sum();
    let rows = rehearsed.iter().map(|part| part.rows).sum();
    let locks = rehearsed.iter().flat_map(|part| &part.locks);
    let longest =
        locks.max_by_key(|lock| lock.held).map_or_else(String::new, |HeldLock { table, mode, held }| {
            format!(", {mode} of {} for {held} at most", printable(table))
        });
    let rules: BTreeSet<&str> =
        rehearsed.iter().flat_map(|part| &part.hazards).map(|hazard| hazard.rule.as_str()).collect();
    let dangerous = if rules.is_empty() {
        String::new()
    } else {
        format!(", dangerous: {}", printable(&rules.into_iter().collect::<Vec<_>>().join(", ")))
    };
    let (parts, rows) = (count(rehearsed.len() as u64, "part", "parts"), count(rows, "row", "rows"));
    format!("; rehearsed before: {parts} in {}, {rows}{longest}{dangerous}", clock::duration(took))
}

/// What the tasks of one stage made together, where that can be said as of one.
pub(super) fn together(outputs: &[&Output]) -> String {
    let mut outputs = outputs.iter().copied();
    let Some(first) = outputs.next() else { return String::new() };
    match outputs.try_fold(first.clone(), plus) {
        Some(sum) => output(&sum),
        None => String::new(),
    }
}

fn plus(sum: Output, next: &Output) -> Option<Output> {
    Some(match (sum, next) {
        (Output::Shipped { sent }, Output::Shipped { sent: more }) => Output::Shipped { sent: sent + more },
        (Output::Booted { mut replicas }, Output::Booted { replicas: more }) => {
            replicas.extend(more.iter().cloned());
            Output::Booted { replicas }
        }
        (Output::Probed { asked }, Output::Probed { asked: more }) => {
            Output::Probed { asked: asked.max(*more) }
        }
        (Output::Switched { previous }, Output::Switched { previous: other }) => {
            Output::Switched { previous: previous.or_else(|| other.clone()) }
        }
        (Output::Restored { serving }, Output::Restored { serving: other }) => {
            Output::Restored { serving: serving.or_else(|| other.clone()) }
        }
        (Output::Retired { stopped }, Output::Retired { stopped: more }) => {
            Output::Retired { stopped: stopped + more }
        }
        (Output::Discarded { removed }, Output::Discarded { removed: more }) => {
            Output::Discarded { removed: removed + more }
        }
        _ => return None,
    })
}

/// How long a task must have run until it is said how long it may go on.
const FORESEEN_AFTER: Duration = Duration::from_secs(2);

/// How far a task is that has run for so long.
pub(crate) fn progress(progress: &Progress, elapsed: Duration) -> String {
    match progress {
        Progress::Bytes { done, total } if *total > 0 => {
            let so_far = format!("{} of {}", bytes(*done), bytes(*total));
            match left(*done, *total, elapsed) {
                Some(left) => format!("{so_far}, {} left", clock::duration(left)),
                None => so_far,
            }
        }
        Progress::Bytes { done, .. } => bytes(*done),
        Progress::Step(text) | Progress::Canary { text, .. } => printable(text),
    }
}

/// How long it goes on if it goes on as it went.
fn left(done: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    let foreseen = elapsed >= FORESEEN_AFTER && done > 0 && done < total;
    let seconds = || elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
    foreseen.then(|| Duration::try_from_secs_f64(seconds().ceil()).ok()).flatten()
}

/// `1 host`, `2 hosts`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Text from a container or a builder without what would steer the terminal: escape sequences and control characters.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // A control sequence ends with its first byte in @..~ (ECMA-48, 5.4).
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    characters.by_ref().find(|next| ('@'..='~').contains(next));
                }
            }
            '\t' => clean.push_str("    "),
            control if control.is_control() => {}
            other => clean.push(other),
        }
    }
    clean
}
