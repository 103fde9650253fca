//! Memory with few and with many clients.

use std::time::Duration;

use tokio::time::sleep;

use crate::bench::Bench;
use crate::clients::Clients;
use crate::runs::{Column, Runs};

const FEW: usize = 64;
/// What each of the few asks for: enough that buffers and heaps have the size that they have in use.
const REQUESTS: usize = 100;
const MANY: usize = 10_000;
/// Until what was needed for a moment only is given back.
const SETTLE: Duration = Duration::from_secs(1);

/// Resident memory in MiB.
struct Run {
    few: f64,
    many: f64,
    lost: usize,
}

impl Run {
    /// KiB for each of the clients that came.
    fn each(&self) -> f64 {
        (self.many - self.few) * 1024.0 / (MANY - FEW) as f64
    }
}

pub(crate) async fn table(bench: &Bench) -> anyhow::Result<()> {
    let mut runs = Runs::new();
    for (round, peer) in bench.runs() {
        bench.progress("memory", round, peer);
        let running = bench.start(peer).await?;
        let mut clients = Clients::new(running.http());
        clients.grow(FEW, REQUESTS).await?;
        sleep(SETTLE).await;
        let few = running.group().resident()?;
        clients.grow(MANY, 1).await?;
        sleep(SETTLE).await;
        let many = running.group().resident()?;
        runs.row(peer).push(Run { few, many, lost: clients.lost() });
        running.stop().await?;
    }
    runs.print(
        "Memory: resident MiB of all processes, HTTP/1.1, clients that have asked and keep their connections",
        "",
        &[
            Column::median("64 clients", 1, |run: &Run| run.few),
            Column::ratio(|run| run.few),
            Column::median("10,000 clients", 1, |run| run.many),
            Column::ratio(|run| run.many),
            Column::median("KiB/client", 1, Run::each),
            Column::total("lost", |run| run.lost as f64),
        ],
    );
    Ok(())
}
