//! `cutover-prober`: asks new replicas whether they are ready, and watches them for ever once they have the traffic.

use clap::Parser;
use cutover_core::Program;
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use cutover_prober::{Prober, StandingWatch};
use cutover_program::Arguments;
use cutover_telemetry::Metrics;

/// Probes and watches for Cutover's deployments, until it is told to stop.
#[derive(Parser)]
#[command(name = "cutover-prober", version)]
struct Command {
    #[command(flatten)]
    program: Arguments,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let fleet = Fleet::new(Hosts::from_environment()?);
    let (program, version, prober) = (Program::Prober, env!("CARGO_PKG_VERSION"), Prober::new(fleet.clone()));
    let watch = |metrics: &Metrics| StandingWatch::new(fleet, metrics);
    cutover_program::run_with_duty(program, version, command.program, prober, watch).await?;
    Ok(())
}
