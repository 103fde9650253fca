//! `make bench-verdict`: how soon a version that is worse is caught, and how often a healthy one is called worse, by simulation:
//! Cutover's verdict beside the rules of Argo Rollouts, Flagger and Kayenta on the same traffic. Then what Kayenta's users have
//! published as missed. It fails where a goal is missed; the same seed gives the same figures.

#![allow(clippy::print_stdout)]

mod argo;
mod chance;
mod flagger;
mod goals;
mod kayenta;
mod latency;
mod mann_whitney;
mod options;
mod published;
mod rule;
mod scenario;
mod tables;
mod trials;

use std::process::ExitCode;

use clap::Parser;
use goals::Goals;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let mut goals = Goals::default();
    tables::power(&options, &mut goals);
    tables::false_alarms(&options, &mut goals);
    tables::published(&mut goals);
    goals.tell()
}
