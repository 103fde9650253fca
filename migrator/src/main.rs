//! `cutover-migrator`: changes the schema in steps that the version that serves tolerates.

use clap::Parser;
use cutover_core::Program;
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use cutover_migrator::Migrator;
use cutover_program::Arguments;
use cutover_store::{Location, Store};

/// Runs migrations for Cutover's deployments, until it is told to stop.
#[derive(Parser)]
#[command(name = "cutover-migrator", version)]
struct Command {
    #[command(flatten)]
    program: Arguments,
    /// The artifact store: a folder, or s3://bucket/prefix?endpoint=…
    #[arg(long, env = "CUTOVER_STORE")]
    store: Location,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    command.store.check_reach(cutover_bus::is_local(&command.program.bus.nats_url))?;
    let store = Store::open(&command.store).await?;
    let migrator = Migrator::new(store, Hosts::from_environment().map(Fleet::new));
    cutover_program::run(Program::Migrator, env!("CARGO_PKG_VERSION"), command.program, migrator).await?;
    Ok(())
}
