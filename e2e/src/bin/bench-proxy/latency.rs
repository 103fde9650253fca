//! Latency at a rate that all can keep.

use std::time::Duration;

use cutover_e2e::{Load, LoadPlan, LoadReport};
use tokio::time::sleep;

use crate::bench::Bench;
use crate::running::Running;
use crate::runs::{Column, Runs};
use crate::upstream::SMALL;

/// Requests per second.
const RATE: u32 = 3000;
const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) async fn table(bench: &Bench) -> anyhow::Result<()> {
    let mut runs = Runs::new();
    for (round, peer) in bench.runs() {
        bench.progress("latency", round, peer);
        let running = bench.start(peer).await?;
        load(&running, WARM_UP).await;
        runs.row(peer).push(load(&running, bench.options.run()).await);
        running.stop().await?;
    }
    runs.print(
        &format!("Latency: HTTP/1.1, 1 KiB, {RATE} requests per second by schedule, one core"),
        "",
        &[
            Column::median("p50 µs", 0, |run: &LoadReport| micros(run.p50)),
            Column::ratio(|run| micros(run.p50)),
            Column::spread(|run| micros(run.p50)),
            Column::median("p99 µs", 0, |run| micros(run.p99)),
            Column::ratio(|run| micros(run.p99)),
            Column::spread(|run| micros(run.p99)),
            Column::most("slowest µs", 0, |run| micros(run.slowest)),
            Column::total("failed", |run| run.failed.len() as f64),
        ],
    );
    Ok(())
}

async fn load(running: &Running, time: Duration) -> LoadReport {
    let plan = LoadPlan {
        path: SMALL.to_owned(),
        rate: RATE,
        connections: CONNECTIONS,
        fresh_every: 0,
        ..LoadPlan::new(running.http(), "bench.example")
    };
    let load = Load::start(plan);
    sleep(time).await;
    load.stop().await
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
