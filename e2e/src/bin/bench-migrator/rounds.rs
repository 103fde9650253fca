//! What was met in rounds of a change that waits for an old transaction.

use std::time::Duration;

use crate::load::Latency;

/// Transactions per second.
pub(crate) const RATE: u32 = 300;

/// How long the old transaction is open.
pub(crate) const OPEN: Duration = Duration::from_secs(8);

/// What was met in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) latency: Latency,
    /// How long after the old transaction's end the change was there.
    pub(crate) landed: Duration,
}

/// Prints the medians of each way: its name, whether it changes anything, and its rounds.
pub(crate) fn report(title: &str, ways: &[(&str, bool, Vec<Round>)]) {
    println!("\n{title:<48}{:>9}{:>9}{:>9}{:>18}", "p50", "p99", "max", "after its end");
    for (name, changes, rounds) in ways {
        let median = |of: fn(&Round) -> Duration| {
            let mut all: Vec<Duration> = rounds.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let landed = if *changes { format!("{:.0}", median(|round| round.landed)) } else { "–".to_owned() };
        println!(
            "{name:<48}{:>9.1}{:>9.1}{:>9.1}{landed:>18}",
            median(|round| round.latency.p50),
            median(|round| round.latency.p99),
            median(|round| round.latency.max),
        );
    }
}
