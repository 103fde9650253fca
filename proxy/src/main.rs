//! `cutover-proxy`: the data plane of Cutover on a host.

use anyhow::Context;
use clap::Parser;
use cutover_proxy::{Command, ServeOptions, Server, pipe};
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A tenth of a request's time in user space is spent on its small pieces of memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

// What is left for this runtime beside the workers' own: accepting, the control socket, the health checks.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Serve(options) => serve(*options).await,
        Command::Control { control } => Ok(pipe(&control)?),
    }
}

async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(level).init();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let server = Server::bind(&options).await?;
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
    Ok(())
}
