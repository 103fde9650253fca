//! Cutover's proxy under mixed traffic for a long time, while targets come and go: what it holds must not grow.

use std::time::Duration;

use cutover_e2e::{Load, LoadPlan, LoadReport};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::bench::Bench;
use crate::cutover::{self, Claim};
use crate::misuse::Misuse;
use crate::peer::Peer;
use crate::running::Running;
use crate::upstream::{LARGE, SMALL};

/// From one change of the targets to the next, and from one sample to the next.
const STEP: Duration = Duration::from_secs(1);
/// Until pools and buffers have the size that the traffic needs: the first sample.
const WARM_UP: Duration = Duration::from_secs(10);
/// How often it is told on the way.
const TELL: Duration = Duration::from_secs(60);

/// What the proxy holds at a moment.
#[derive(Clone, Copy)]
struct Sample {
    /// MiB.
    resident: f64,
    descriptors: usize,
}

pub(crate) async fn report(bench: &Bench) -> anyhow::Result<()> {
    let running = bench.start(Peer::Cutover).await?;
    let loads = [(SMALL, 500), (LARGE, 100)].map(|(path, rate)| {
        let plan = LoadPlan::new(running.http(), "bench.example");
        Load::start(LoadPlan { path: path.to_owned(), rate, ..plan })
    });
    let misuse = Misuse::start(running.http());
    let (begun, time) = (Instant::now(), bench.options.soak());
    let mut told = begun;
    let mut samples: Vec<Sample> = Vec::new();
    // The switch at the start was the first.
    let mut claim = Claim { epoch: 1, deployment: 1 };
    let mut calls = 0;
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begun.elapsed() < time {
        steps.tick().await;
        claim = change(bench, &running, claim, calls).await?;
        calls += 1;
        if begun.elapsed() < WARM_UP {
            continue;
        }
        let group = running.group();
        let sample = Sample { resident: group.resident()?, descriptors: group.descriptors()? };
        samples.push(sample);
        if told.elapsed() >= TELL {
            told = Instant::now();
            let minutes = begun.elapsed().as_secs() / 60;
            eprintln!("soak: {minutes} min, {:.1} MiB, {} descriptors", sample.resident, sample.descriptors);
        }
    }
    let (asked, missed) = misuse.stop();
    let mut reports = Vec::new();
    for load in loads {
        reports.push(load.stop().await);
    }
    running.stop().await?;
    print(&samples, &reports, calls, asked, missed);
    Ok(())
}

/// The next of a round of changes: a new deployment, another target for it, no way back; a new deployment again, and back.
async fn change(bench: &Bench, running: &Running, last: Claim, calls: u64) -> anyhow::Result<Claim> {
    let site = running.site();
    let here = Claim { epoch: last.epoch + 1, ..last };
    let next = Claim { deployment: last.deployment + 1, ..here };
    let target = |deployment| bench.upstream.address(deployment);
    match calls % 5 {
        0 | 3 => cutover::switch(site, next, &[target(next.deployment)]).await.map(|()| next),
        1 => {
            let targets = [target(here.deployment), target(here.deployment + 1)];
            cutover::switch(site, here, &targets).await.map(|()| here)
        }
        2 => cutover::retire(site, here).await.map(|()| here),
        _ => cutover::restore(site, here).await.map(|()| here),
    }
}

fn print(samples: &[Sample], loads: &[LoadReport], calls: u64, asked: u64, missed: u64) {
    let sent: u64 = loads.iter().map(|load| load.sent).sum();
    let failed: usize = loads.iter().map(|load| load.failed.len()).sum();
    println!(
        "\nSoak of Cutover's proxy: {sent} requests, {failed} failed; {asked} uploads, {missed} failed; {calls} control calls"
    );
    let [Some(first), Some(last)] = [samples.first(), samples.last()] else { return };
    let most = samples.iter().map(|sample| sample.resident).fold(0.0, f64::max);
    let open = samples.iter().map(|sample| sample.descriptors).max().unwrap_or_default();
    println!("\n|              | first | last  | max   |");
    println!("| ------------ | ----- | ----- | ----- |");
    println!("| resident MiB | {:>5.1} | {:>5.1} | {most:>5.1} |", first.resident, last.resident);
    println!("| descriptors  | {:>5} | {:>5} | {open:>5} |", first.descriptors, last.descriptors);
    for failure in loads.iter().flat_map(|load| &load.failed).take(10) {
        println!("failed: {}", failure.kind);
    }
}
