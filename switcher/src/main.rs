//! `cutover-switcher`: moves traffic to new replicas, and back.

use clap::Parser;
use cutover_core::Program;
use cutover_fleet::Fleet;
use cutover_host::Hosts;
use cutover_program::Arguments;
use cutover_switcher::Switcher;

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
    let switcher = Switcher::new(Fleet::new(Hosts::from_environment()?));
    cutover_program::run(Program::Switcher, env!("CARGO_PKG_VERSION"), command.program, switcher).await?;
    Ok(())
}
