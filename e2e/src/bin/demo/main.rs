//! `make demo`: a real application through deploys, failures, a replay and rollbacks, on two separate Docker hosts, each
//! under an open-loop load, while programs are killed and replaced and a host loses its power. Exits with 1 if anything is
//! not as it should be; a failed request that no bad version answered itself is enough.

#![allow(clippy::print_stdout)]

mod acts;
mod blow;
mod installation;
mod running;
mod scene;
mod schema;
mod table;
mod traffic;

use std::process::ExitCode;

use scene::Scene;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut scene = Scene::set().await?;
    let played = acts::play(&mut scene).await;
    let report = scene.strike().await;
    let all_well = table::print(&report);
    if let Err(error) = &played {
        println!("\nNot as it should be: {error:#}");
    }
    Ok(if played.is_ok() && all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
