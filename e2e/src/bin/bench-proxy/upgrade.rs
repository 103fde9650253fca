//! Replacing the proxy itself under load.

use std::time::Duration;

use cutover_e2e::{Load, LoadReport};
use tokio::time::{Instant, sleep, sleep_until};

use crate::bench::Bench;
use crate::failures;
use crate::runs::{Column, Runs};
use crate::swap::plan;

/// Load before the upgrade.
const BEFORE: Duration = Duration::from_secs(1);
/// The least that follows it: connections that the old process still has end in that time.
const AFTER: Duration = Duration::from_secs(1);
/// What a user might notice.
const SLOW: Duration = Duration::from_millis(10);

struct Run {
    load: LoadReport,
    /// From the command until the old process is done with and a new one answers.
    took: Duration,
}

pub(crate) async fn table(bench: &Bench) -> anyhow::Result<()> {
    let mut runs = Runs::new();
    let mut ways = Vec::new();
    for (round, peer) in bench.runs() {
        let upgrade = peer.upgrade();
        bench.progress("upgrade", round, peer);
        if round == 1 {
            ways.push(format!("{peer}: {upgrade}"));
        }
        let mut running = bench.start(peer).await?;
        let load = Load::start(plan(&running));
        let end = Instant::now() + bench.options.run();
        sleep(BEFORE).await;
        let begun = Instant::now();
        running.upgrade(upgrade).await?;
        let took = begun.elapsed();
        sleep_until(end.max(Instant::now() + AFTER)).await;
        runs.row(peer).push(Run { load: load.stop().await, took });
        running.stop().await?;
    }
    runs.print(
        &format!(
            "One upgrade or restart in each of {} runs under the same load ({})",
            bench.options.rounds(),
            ways.join("; ")
        ),
        "",
        &[
            Column::total("requests", |run: &Run| run.load.sent as f64),
            Column::total("failed", |run| run.load.failed.len() as f64),
            Column::total("> 10 ms", |run| run.load.latencies.longer_than(SLOW) as f64),
            Column::most("slowest ms", 0, |run| run.load.slowest.as_secs_f64() * 1e3),
            Column::median("took ms", 0, |run| run.took.as_secs_f64() * 1e3),
            Column::total("idle closed", |run| run.load.retried_idle as f64),
        ],
    );
    failures::print(&runs, |run| &run.load);
    Ok(())
}
