//! `cutover`: the command line of Cutover. Every command is one file in `verbs`.

mod accessory;
mod args;
mod choice;
mod clock;
mod command;
mod complete;
mod console;
mod container_logs;
mod danger;
mod decide;
mod deploy_file;
mod doctor;
mod embedded;
mod error;
mod every_proxy;
mod exit;
#[cfg(test)]
mod fixture;
mod follow;
mod hooks;
mod migrations;
mod models;
mod person;
mod persons;
mod planning;
mod project;
mod rails;
mod release;
mod report;
mod serve;
mod session;
mod setup;
mod size;
mod takeover;
mod telemetry;
mod tree;
mod verbs;
mod version;
mod windows;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use console::Console;

#[tokio::main]
async fn main() -> ExitCode {
    complete::answer();
    let args = Args::parse();
    let console = Console::new(&args.global);
    report::conclude(console, Box::pin(verbs::run(args, console)).await).into()
}
