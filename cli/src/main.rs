//! `cutover`: the command line of Cutover. Every command is one file in `verbs`.

mod args;
mod choice;
mod clock;
mod console;
mod context;
mod decide;
mod embedded;
mod error;
mod exit;
mod follow;
mod migrations;
mod person;
mod planning;
mod project;
mod release;
mod report;
mod session;
mod setup;
mod size;
mod tree;
mod verbs;
mod version;

use std::process::ExitCode;

use clap::Parser;
use cutover_telemetry::{Config, Telemetry};

use args::{Args, Global, Verb};
use console::Console;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let console = Console::new(&args.global);
    report::conclude(console, run(args, console).await).into()
}

async fn run(args: Args, console: Console) -> anyhow::Result<exit::Exit> {
    // The supervisor's telemetry is its own: it is no command but a program.
    if matches!(args.verb, Verb::Supervise) {
        return verbs::supervise(&args.global).await;
    }
    let telemetry = Telemetry::start("cutover", telemetry(&args.global)?).await?;
    let result = verbs::run(args, console).await;
    telemetry.shutdown().await;
    result
}

/// What the command itself logs, on standard error: little, unless asked. `CUTOVER_LOG` is for the programs, and counts here
/// only together with `-v`.
fn telemetry(options: &Global) -> Result<Config, cutover_telemetry::Error> {
    let from_environment = Config::from_environment()?;
    let filter = match options.verbose {
        0 => "off".to_owned(),
        1 => "warn,cutover=info".to_owned(),
        _ => "info,cutover=debug".to_owned(),
    };
    Ok(Config { filter, metrics: None, ..from_environment })
}
