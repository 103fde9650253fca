//! The end of the demonstration: how long everything took, what was asked, what failed.

use std::time::Duration;

use cutover_core::{Outcome, Stage};
use cutover_e2e::{Failure, FailureKind, LoadReport};

use crate::acts::BAD;
use crate::scene::{Report, Shown};
use crate::traffic::{RATE, Stretch};

/// Seconds of a host's traffic that a bad version may get before it is taken back.
const BAD_SECONDS: u32 = 3;
/// Failed requests that are listed.
const LISTED: usize = 10;

/// Prints the tables; says whether no request failed that should not have.
pub(crate) fn print(report: &Report) -> bool {
    print_deployments(&report.deployments);
    let failed = print_requests(&report.stretches);
    let most = usize::try_from(BAD_SECONDS * RATE).unwrap_or(usize::MAX);
    let bounded = report.stretches.iter().all(|stretch| stretch.own().count() <= most);
    if !bounded {
        println!("\nThe bad version had traffic for more than {BAD_SECONDS} s.");
    }
    let (count, seconds) = (report.deployments.len(), report.took.as_secs());
    println!("\n{failed} failed requests over {count} deployments in {}:{:02}.", seconds / 60, seconds % 60);
    failed == 0 && bounded
}

fn print_deployments(deployments: &[Shown]) {
    let stages: Vec<Stage> = Stage::ALL
        .into_iter()
        .filter(|stage| deployments.iter().any(|shown| shown.seconds.of_stage(*stage).is_some()))
        .collect();
    print!("\n{:<24}{:<12}{:>6}", "seconds", "", "all");
    for stage in &stages {
        print!("{:>8}", stage.as_str());
    }
    println!();
    for shown in deployments {
        print!("{:<24}{:<12}{:>6}", shown.title, word(shown.outcome), seconds(Some(shown.seconds.total)));
        for stage in &stages {
            print!("{:>8}", seconds(shown.seconds.of_stage(*stage)));
        }
        println!();
    }
    println!();
    for (title, note) in deployments.iter().filter_map(|shown| Some((shown.title, shown.note.as_ref()?))) {
        println!("{title:<24}{note}");
    }
}

/// Answers with how many requests failed that should not have.
fn print_requests(stretches: &[Stretch<LoadReport>]) -> usize {
    println!(
        "\n{:<24}{:>8}{:>10}{:>8}{:>8}{:>10}{:>10}{:>10}",
        "requests",
        "sent",
        "answered",
        format!("{BAD} 500"),
        "failed",
        "median",
        "99 %",
        "slowest"
    );
    for stretch in stretches {
        let LoadReport { sent, answered, p50, p99, slowest, .. } = &stretch.load;
        let (own, failed) = (stretch.own().count(), stretch.failed().count());
        let times: String = [p50, p99, slowest].map(|time| format!("{:>10}", millis(*time))).concat();
        let apart = if stretch.is_dead { "   not counted" } else { "" };
        println!("{:<24}{sent:>8}{answered:>10}{own:>8}{failed:>8}{times}{apart}", stretch.title);
    }
    let alive = || stretches.iter().filter(|stretch| !stretch.is_dead);
    for (stretch, failure) in
        alive().flat_map(|stretch| stretch.failed().map(move |failure| (stretch, failure))).take(LISTED)
    {
        let at = failure.at.duration_since(stretch.load.started).as_secs_f64();
        println!("  {}: {} after {at:.3} s, version {:?}", stretch.title, failure.kind, failure.version);
    }
    alive().map(|stretch| stretch.failed().count()).sum()
}

impl Stretch<LoadReport> {
    /// What the bad version itself has answered with 500.
    fn own(&self) -> impl Iterator<Item = &Failure> {
        self.load.failed.iter().filter(|failure| is_own(failure))
    }

    /// All other requests that failed.
    fn failed(&self) -> impl Iterator<Item = &Failure> {
        self.load.failed.iter().filter(|failure| !is_own(failure))
    }
}

fn is_own(failure: &Failure) -> bool {
    failure.version.as_deref() == Some(BAD) && failure.kind == FailureKind::Status(500)
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64()))
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
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
