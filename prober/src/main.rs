//! `cutover-prober`: asks new replicas whether they are ready, and watches them once they have the traffic.

use clap::Parser;
use cutover_core::Program;
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use cutover_prober::Prober;
use cutover_program::Arguments;

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
    let prober = Prober::new(Fleet::new(Hosts::from_environment()?));
    cutover_program::run(Program::Prober, env!("CARGO_PKG_VERSION"), command.program, prober).await?;
    Ok(())
}
