//! Swaps of the upstream under load, beside the same load without swaps.

use std::time::Duration;

use cutover_e2e::{Load, LoadPlan, LoadReport};
use tokio::time::{Instant, sleep_until};

use crate::bench::Bench;
use crate::failures;
use crate::peer::Peer;
use crate::running::Running;
use crate::runs::{Column, Runs};
use crate::upstream::SMALL;

/// Requests per second; every tenth on a connection of its own.
const RATE: u32 = 2000;
/// From the start of one swap to that of the next; longer where a swap is not seen by then.
const DISTANCE: Duration = Duration::from_millis(250);
/// What a user might notice.
const SLOW: Duration = Duration::from_millis(10);

struct Run {
    without: LoadReport,
    with: LoadReport,
    /// From each command to the first answer of the new application, in milliseconds.
    seen: Vec<f64>,
}

pub(crate) async fn table(bench: &Bench) -> anyhow::Result<()> {
    let swaps = bench.options.swaps_each_round();
    let mut runs = Runs::new();
    for (round, peer) in bench.runs() {
        bench.progress("swap", round, peer);
        // Each way comes first in every other round.
        let run = if round % 2 == 1 {
            let without = without_swaps(bench, peer, swaps).await?;
            let (with, seen) = with_swaps(bench, peer, swaps).await?;
            Run { without, with, seen }
        } else {
            let (with, seen) = with_swaps(bench, peer, swaps).await?;
            Run { without: without_swaps(bench, peer, swaps).await?, with, seen }
        };
        runs.row(peer).push(run);
    }
    let total = swaps * bench.options.rounds();
    runs.print(
        &format!(
            "{total} swaps of the upstream at {RATE} requests per second; in brackets: as long without swaps"
        ),
        "",
        &[
            Column::total("requests", |run: &Run| run.with.sent as f64),
            Column::total("failed", |run| run.with.failed.len() as f64),
            Column::total("(failed)", |run| run.without.failed.len() as f64),
            Column::total("> 10 ms", |run| run.with.latencies.longer_than(SLOW) as f64),
            Column::total("(> 10 ms)", |run| run.without.latencies.longer_than(SLOW) as f64),
            Column::median("p99 ms", 2, |run| millis(run.with.p99)),
            Column::median("(p99 ms)", 2, |run| millis(run.without.p99)),
            Column::most("slowest ms", 0, |run| millis(run.with.slowest)),
            Column::median("swap seen ms", 1, |run| middle(&run.seen)),
            Column::total("idle closed", |run| run.with.retried_idle as f64),
        ],
    );
    failures::print(&runs, |run| &run.with);
    Ok(())
}

/// A load of GETs for a small body.
pub(crate) fn plan(running: &Running) -> LoadPlan {
    LoadPlan { path: SMALL.to_owned(), rate: RATE, ..LoadPlan::new(running.http(), "bench.example") }
}

async fn without_swaps(bench: &Bench, peer: Peer, swaps: u32) -> anyhow::Result<LoadReport> {
    let running = bench.start(peer).await?;
    let load = Load::start(plan(&running));
    tokio::time::sleep(DISTANCE * (swaps + 1)).await;
    let report = load.stop().await;
    running.stop().await?;
    Ok(report)
}

async fn with_swaps(bench: &Bench, peer: Peer, swaps: u32) -> anyhow::Result<(LoadReport, Vec<f64>)> {
    let mut running = bench.start(peer).await?;
    let load = Load::start(plan(&running));
    let mut seen = Vec::new();
    let mut next = Instant::now() + DISTANCE;
    for number in 1..=swaps {
        sleep_until(next).await;
        let begun = Instant::now();
        next = begun + DISTANCE;
        running.swap(bench.upstream.address(number.into())).await?;
        seen.push(millis(begun.elapsed()));
    }
    sleep_until(next).await;
    let report = load.stop().await;
    running.stop().await?;
    Ok((report, seen))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn middle(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
