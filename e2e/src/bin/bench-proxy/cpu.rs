//! CPU per request, and throughput when the proxy's core has nothing left.

use std::time::Duration;

use tokio::time::Instant;

use crate::bench::Bench;
use crate::preface;
use crate::running::Running;
use crate::runs::{Column, Runs};
use crate::tool::{CONNECTIONS, Tool};
use crate::upstream::{LARGE, SMALL};

/// Fills the pools and, where there is one, the compiler's and the collector's heap; not measured.
const WARM_UP: Duration = Duration::from_secs(1);

struct Work {
    name: &'static str,
    tool: Tool,
    path: &'static str,
    runs: Runs<Run>,
}

struct Run {
    /// User and system time of the proxy's processes for 100,000 requests, in seconds.
    cpu: f64,
    /// Requests per second.
    rate: f64,
    /// How much of its core the proxy had, in percent: where that isn't near 100, something else was the limit.
    busy: f64,
    failed: f64,
}

pub(crate) async fn table(bench: &Bench) -> anyhow::Result<()> {
    let work = |name, tool, path| Work { name, tool, path, runs: Runs::new() };
    let mut works = [
        work("HTTP/1.1, 1 KiB", Tool::Wrk, SMALL),
        work("HTTP/1.1, 64 KiB", Tool::Wrk, LARGE),
        work("HTTP/2, 1 KiB", Tool::H2load, SMALL),
        work("HTTP/2, 64 KiB", Tool::H2load, LARGE),
    ];
    for (round, peer) in bench.runs() {
        bench.progress("cpu", round, peer);
        let running = bench.start(peer).await?;
        let http2 = preface::is_answered(running.http2()).await;
        for work in &mut works {
            let row = work.runs.row(peer);
            if work.tool != Tool::H2load || http2 {
                row.push(measure(&running, work.tool, work.path, bench.options.run()).await?);
            }
        }
        running.stop().await?;
    }
    for work in works {
        let title = format!("CPU and throughput: {}, {CONNECTIONS} connections, one core", work.name);
        work.runs.print(
            &title,
            "no HTTP/2 without TLS",
            &[
                Column::median("CPU s/100k", 3, |run: &Run| run.cpu),
                Column::ratio(|run| run.cpu),
                Column::spread(|run| run.cpu),
                Column::median("req/s", 0, |run| run.rate),
                Column::ratio(|run| run.rate),
                Column::median("core busy %", 0, |run| run.busy),
                Column::total("failed", |run| run.failed),
            ],
        );
    }
    Ok(())
}

async fn measure(running: &Running, tool: Tool, path: &str, time: Duration) -> anyhow::Result<Run> {
    let address = if tool == Tool::H2load { running.http2() } else { running.http() };
    tool.saturate(address, path, WARM_UP).await?;
    let (begun, before) = (Instant::now(), running.group().cpu_seconds()?);
    let counted = tool.saturate(address, path, time).await?;
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), running.group().cpu_seconds()? - before);
    Ok(Run {
        cpu: cpu / counted.requests * 100_000.0,
        rate: counted.rate,
        busy: 100.0 * cpu / elapsed,
        failed: counted.failed,
    })
}
