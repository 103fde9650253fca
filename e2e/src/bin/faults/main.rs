//! `make faults`: each program is killed, or stopped for longer than a worker may be silent, at each point of each of its
//! stages, on a real host under load. The deployment must end right, with one effect, and no request may fail.

#![allow(clippy::print_stdout)]

mod case;
mod scene;

use std::process::ExitCode;

use clap::Parser;
use cutover_core::Stage;

use case::{Case, How};
use scene::Scene;

/// Kills and stops programs in the middle of their tasks, and looks what becomes of the deployments.
#[derive(Parser)]
struct Arguments {
    /// Only this stage.
    #[arg(long)]
    stage: Option<Stage>,
    /// Only kills: stops take half a minute each.
    #[arg(long)]
    kills_only: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let scene = Scene::set().await?;
    println!("{:<9}{:<14}{:<6}{:>9}{:>9}{:>8}  verdict", "stage", "point", "how", "resumed", "all", "failed");
    let mut bad = 0;
    let cases: Vec<Case> = Case::all()
        .filter(|case| arguments.stage.is_none_or(|stage| stage == case.stage))
        .filter(|case| !arguments.kills_only || case.how == How::Kill)
        .collect();
    for (number, case) in cases.iter().enumerate() {
        let seen = Box::pin(scene.play(number + 1, case)).await?;
        let verdict = if seen.wrong.is_empty() { "right".to_owned() } else { seen.wrong.join("; ") };
        println!(
            "{:<9}{:<14}{:<6}{:>8.1}s{:>8.1}s{:>8}  {verdict}",
            case.stage.as_str(),
            case.point.to_string(),
            case.how.as_str(),
            seen.resumed.as_secs_f64(),
            seen.all.as_secs_f64(),
            seen.failed
        );
        bad += usize::from(!seen.wrong.is_empty());
    }
    println!("\n{} cases, {bad} wrong", cases.len());
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
