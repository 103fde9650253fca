//! `cutover-shipper`: brings images to the hosts, starts replicas there, and removes what is done with.

use std::num::NonZeroU64;

use clap::Parser;
use cutover_core::{Bytes, Program};
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use cutover_program::Arguments;
use cutover_registry::Pace;
use cutover_secrets::Stores;
use cutover_shipper::{Origin, Shipper};
use cutover_store::{Location, Store};

/// Ships, boots, retires and discards for Cutover's deployments, until it is told to stop.
#[derive(Parser)]
#[command(name = "cutover-shipper", version)]
struct Command {
    #[command(flatten)]
    program: Arguments,
    /// The artifact store: a folder, or s3://bucket/prefix?endpoint=…
    #[arg(long, env = "CUTOVER_STORE")]
    store: Location,
    /// How much is sent to all hosts and registries together in a second at most, such as 500k or 20m.
    #[arg(long, env = "CUTOVER_BANDWIDTH")]
    bandwidth: Option<Bytes>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    command.store.check_reach(cutover_bus::is_local(&command.program.bus.nats_url))?;
    let store = Store::open(&command.store).await?;
    let pace = Pace::new(command.bandwidth.and_then(|Bytes(bytes)| NonZeroU64::new(bytes)));
    let origin = Origin::new(store, pace, Stores::from_environment());
    let shipper = Shipper::new(Fleet::new(Hosts::from_environment()?), origin);
    cutover_program::run(Program::Shipper, env!("CARGO_PKG_VERSION"), command.program, shipper).await?;
    Ok(())
}
