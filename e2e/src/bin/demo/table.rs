//! The end of the demonstration: what was sent, what failed, how long everything took.

use std::process::ExitCode;
use std::time::Duration;

use cutover_core::{Outcome, Stage};
use cutover_e2e::{FailureKind, LoadReport};

use crate::acts::BAD;
use crate::stage::{RATE, Shown};

/// Seconds of traffic that a bad version may get before it is taken back.
const BAD_SECONDS: u64 = 3;

/// Prints both tables; says whether all went well.
pub(crate) fn print(deployments: &[Shown], report: &LoadReport) -> ExitCode {
    let stages: Vec<Stage> = Stage::ALL
        .into_iter()
        .filter(|stage| deployments.iter().any(|shown| shown.seconds.of_stage(*stage).is_some()))
        .collect();
    print!("\n{:<22}{:<12}{:>7}", "seconds", "", "all");
    for stage in &stages {
        print!("{:>9}", stage.as_str());
    }
    println!();
    for shown in deployments {
        print!("{:<22}{:<12}{:>7}", shown.title, word(shown.outcome), seconds(Some(shown.seconds.total)));
        for stage in &stages {
            print!("{:>9}", seconds(shown.seconds.of_stage(*stage)));
        }
        println!();
    }

    let its_own = report
        .failed
        .iter()
        .filter(|failure| failure.version.as_deref() == Some(BAD) && failure.kind == FailureKind::Status(500))
        .count();
    let failed = report.failed.len() - its_own;
    println!("\nrequests sent                    {:>8}", report.sent);
    println!("answered                         {:>8}", report.answered);
    println!("answered 500 by the bad version  {its_own:>8}");
    println!("failed                           {failed:>8}");
    println!("slowest                          {:>8.0} ms", report.slowest.as_secs_f64() * 1000.0);
    println!("half within                      {:>8.1} ms", report.p50.as_secs_f64() * 1000.0);
    println!("99 of 100 within                 {:>8.1} ms", report.p99.as_secs_f64() * 1000.0);
    for failure in report.failed.iter().filter(|failure| failure.version.as_deref() != Some(BAD)).take(10) {
        println!(
            "  {} at {:.3} s, version {:?}",
            failure.kind,
            failure.at.duration_since(report.started).as_secs_f64(),
            failure.version
        );
    }
    let bounded = its_own as u64 <= BAD_SECONDS * u64::from(RATE);
    if !bounded {
        println!("\nThe bad version had traffic for more than {BAD_SECONDS} s.");
    }
    if failed == 0 && bounded {
        println!("\n0 failed requests over {} deployments.", deployments.len());
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64()))
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Live => "live",
        Outcome::TakenBack => "taken back",
        Outcome::Failed => "failed",
        Outcome::Aborted => "aborted",
        Outcome::Degraded { .. } => "degraded",
    }
}
