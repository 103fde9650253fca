//! `make bench-proxy`: Cutover's proxy beside nginx, HAProxy, Envoy, Caddy and Traefik on this machine. The proxy has a core
//! of its own; the application and the load share another one. Runs are interleaved, medians are shown.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod ask;
mod bench;
mod caddy;
mod clients;
mod cores;
mod cpu;
mod cutover;
mod envoy;
mod failures;
mod group;
mod haproxy;
mod latency;
mod memory;
mod misuse;
mod nginx;
mod options;
mod peer;
mod preface;
mod process;
mod profile;
mod running;
mod runs;
mod site;
mod soak;
mod swap;
mod tool;
mod traefik;
mod upgrade;
mod upstream;

use anyhow::{Context, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use bench::Bench;
use options::{Options, Table};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    cores::LOAD.take()?;
    process::allow_descriptors()?;
    // One thread, as there is one core: the load must not wait for a thread that the other one keeps from running.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(until_interrupted(options))
}

/// What was started is stopped by its destructor, so this returns in every case.
async fn until_interrupted(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::select! {
        done = Box::pin(run(options)) => done,
        _ = terminate.recv() => bail!("terminated"),
        _ = hang_up.recv() => bail!("the terminal is gone"),
        _ = interrupt.recv() => bail!("interrupted"),
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let table = options.table;
    let bench = Bench::new(options).await?;
    let every = table == Table::All;
    if every || table == Table::Cpu {
        cpu::table(&bench).await?;
    }
    if every || table == Table::Latency {
        latency::table(&bench).await?;
    }
    if every || table == Table::Memory {
        memory::table(&bench).await?;
    }
    if every || table == Table::Swap {
        swap::table(&bench).await?;
    }
    if every || table == Table::Upgrade {
        upgrade::table(&bench).await?;
    }
    if table == Table::Profile {
        profile::report(&bench).await?;
    }
    if table == Table::Soak {
        soak::report(&bench).await?;
    }
    Ok(())
}
