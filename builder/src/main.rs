//! `cutover-builder`: makes images from build contexts, or takes ones that exist, and brings them into the artifact store.

use clap::Parser;
use cutover_builder::{Builder, Collector, DockerHost};
use cutover_core::Program;
use cutover_program::Arguments;
use cutover_store::{Location, Store};
use cutover_telemetry::Metrics;

/// Builds images for Cutover's deployments, until it is told to stop.
#[derive(Parser)]
#[command(name = "cutover-builder", version)]
struct Command {
    #[command(flatten)]
    program: Arguments,
    /// The artifact store: a folder, or s3://bucket/prefix?endpoint=…
    #[arg(long, env = "CUTOVER_STORE")]
    store: Location,
    /// The Docker Engine that builds: unix:///path of its socket, or ssh://user@host of another machine.
    #[arg(long, env = "DOCKER_HOST", default_value = "unix:///var/run/docker.sock")]
    docker: DockerHost,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    command.store.check_reach(cutover_bus::is_local(&command.program.bus.nats_url))?;
    let store = Store::open(&command.store).await?;
    let builder = Builder::new(&command.docker, store.clone())?;
    let (program, version) = (Program::Builder, env!("CARGO_PKG_VERSION"));
    let collector = |metrics: &Metrics| Collector::new(store, metrics);
    cutover_program::run_with_duty(program, version, command.program, builder, collector).await?;
    Ok(())
}
