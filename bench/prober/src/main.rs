//! `make bench-prober`: how many replicas one prober on one core watches. The prober, the journal's server and sshd are the real
//! ones; the hosts are addresses of this machine, all behind one sshd that has a process for each connection, and the replicas are
//! one small program. All of these have the other cores. It fails where fewer questions are asked than are due.

#![allow(clippy::print_stdout)]

mod journal;
mod options;
mod place;
mod prober;
mod replicas;
mod sshd;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use journal::Server;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use options::Options;
use prober::Prober;
use replicas::Replicas;
use sshd::Sshd;
use tokio::time::{sleep, timeout};

/// From one question to a replica to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// How long all replicas may take until they have been asked once.
const FIRST: Duration = Duration::from_secs(120);
/// How long nothing is measured after that.
const WARM_UP: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let core = leave_a_core()?;
    let folder = tempfile::tempdir()?;
    let replicas = Replicas::start(options.replicas).await?;
    let sshd = Sshd::start(folder.path(), options.hosts)?;
    let server = Server::start(&options.nats_server, &folder.path().join("journal"))?;
    Box::pin(server.deploy(options.hosts, options.replicas, (sshd.port, replicas.port))).await?;
    let log = folder.path().join("prober.log");
    let prober = Prober::start(&options.prober, core, &server, &sshd, &log)?;
    let all_known = async {
        while replicas.known() < options.replicas {
            sleep(Duration::from_millis(100)).await;
        }
    };
    if timeout(FIRST, all_known).await.is_err() {
        let log = std::fs::read_to_string(&log)?;
        anyhow::bail!("{} replicas were asked within {FIRST:?}:\n{log}", replicas.known());
    }
    sleep(WARM_UP).await;
    let (began, cpu) = (Instant::now(), prober.cpu_seconds()?);
    sleep(Duration::from_secs(options.seconds)).await;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), prober.cpu_seconds()? - cpu);
    let seen = replicas.seen(began, PERIOD);
    let well = prober.well()?;
    let late = |share: f64| {
        let index = (seen.late.len() as f64 * share) as usize;
        seen.late.get(index.min(seen.late.len().saturating_sub(1))).copied().unwrap_or_default().as_secs_f64()
            * 1e3
    };
    let Options { hosts, replicas, .. } = options;
    println!("{replicas} replicas on {hosts} hosts, each asked once a second, for {seconds:.0} s:");
    println!("  asked per second    {:.1}", seen.asked as f64 / seconds);
    println!("  late, p50/p99/max   {:.1} / {:.1} / {:.1} ms", late(0.5), late(0.99), late(1.0));
    println!("  of one core         {:.1} %", cpu / seconds * 100.0);
    println!("  memory              {:.0} MiB", prober.resident()?);
    println!("  shown to be well    {well}");
    ensure!(well == replicas, "{} replicas are not shown to be well", replicas - well);
    let due = replicas as f64 * seconds;
    ensure!(seen.asked as f64 >= 0.99 * due, "{} questions were asked, and {due:.0} were due", seen.asked);
    Ok(())
}

/// Keeps this program, and all that it starts, off one core; answers with which.
fn leave_a_core() -> anyhow::Result<usize> {
    let own = Pid::from_raw(0);
    let mut cores = sched_getaffinity(own)?;
    let first = (0..CpuSet::count()).find(|core| cores.is_set(*core) == Ok(true));
    let first = first.context("there is no core")?;
    cores.unset(first)?;
    let is_any_left = (0..CpuSet::count()).any(|core| cores.is_set(core) == Ok(true));
    ensure!(is_any_left, "this takes two cores: one for the prober, and one for all else");
    sched_setaffinity(own, &cores)?;
    Ok(first)
}
