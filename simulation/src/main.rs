//! `cutover-simulate`: plays many seeds, or one of them with all that happens in it.

mod args;
mod crowd;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut out = std::io::stdout().lock();
    if let Some(seed) = args.seed {
        let report = cutover_simulation::run(seed, args.flaw, args.trace);
        for line in &report.transcript {
            writeln!(out, "{line}")?;
        }
        return crowd::tell(&mut out, &report, args.flaw);
    }
    let crowd = crowd::play(&args);
    write!(out, "{crowd}")?;
    match &crowd.failed {
        Some(report) => crowd::tell(&mut out, report, args.flaw),
        None => Ok(ExitCode::SUCCESS),
    }
}
