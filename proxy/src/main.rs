//! `cutover-proxy`: the data plane of Cutover on a host.

use anyhow::Context;
use clap::Parser;
use cutover_proxy::{Command, DriveServer, Driven, ServeOptions, Server, assemble, bridge, enter, fill};
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
        Command::Drive(driven) => drive(driven).await,
        Command::Enter { root, program, arguments } => match enter(&root, &program, &arguments)
            .with_context(|| format!("running {program} in {}", root.display()))? {},
        Command::Fill { from, to } => Ok(fill(&from, &to).map(drop)?),
        Command::Assemble(options) => Ok(assemble(options).await?),
        Command::Bridge => Ok(bridge().await?),
    }
}

async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    log_lines();
    let stop = stop()?;
    Server::bind(&options).await?.run(stop).await?;
    Ok(())
}

async fn drive(driven: Driven) -> anyhow::Result<()> {
    log_lines();
    let stop = stop()?;
    DriveServer::bind(&driven).await?.run(stop).await;
    Ok(())
}

fn log_lines() {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(level).init();
}

/// Ends when this process is asked to.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
