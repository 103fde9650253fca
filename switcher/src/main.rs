//! `cutover-switcher`: moves traffic to new replicas, and back, and looks after certificates.

use clap::Parser;
use cutover_core::Program;
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use cutover_program::Arguments;
use cutover_secrets::Stores;
use cutover_switcher::{Certificates, Switcher};

/// Moves traffic for Cutover's deployments, until it is told to stop.
#[derive(Parser)]
#[command(name = "cutover-switcher", version)]
struct Command {
    #[command(flatten)]
    program: Arguments,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let fleet = Fleet::new(Hosts::from_environment()?);
    let switcher = Switcher::new(fleet.clone(), Stores::from_environment());
    let certificates = Certificates::from_environment(fleet);
    let (program, version) = (Program::Switcher, env!("CARGO_PKG_VERSION"));
    cutover_program::run_with_duty(program, version, command.program, switcher, |_| Ok(certificates)).await?;
    Ok(())
}
