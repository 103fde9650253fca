//! `make demo`: a real application through deploys, failures, a replay and a rollback, on a separate Docker host, under
//! an open-loop load. Exits with 1 if a request failed that no bad version answered itself.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod acts;
mod stage;
mod table;

use std::process::ExitCode;

use stage::Stage;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut stage = Stage::set().await?;
    acts::first_deploy(&mut stage).await?;
    acts::expand_migration(&mut stage).await?;
    acts::never_ready(&mut stage).await?;
    acts::fails_after_the_switch(&mut stage).await?;
    acts::replayed_once_mended(&mut stage).await?;
    acts::rolled_back(&mut stage).await?;
    acts::shipper_killed(&mut stage).await?;
    let (deployments, report) = stage.strike().await?;
    Ok(table::print(&deployments, &report))
}
