//! Many seeds, on all CPUs, until one fails.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cutover_simulation::{Flaw, Report, Tally, run};

use crate::args::Args;

/// Lines of the transcript that are shown of a seed that failed.
const LAST_LINES: usize = 60;

/// What many seeds have come to.
pub(crate) struct Crowd {
    played: u64,
    took: Duration,
    tally: Tally,
    /// The first seed that failed.
    pub(crate) failed: Option<Report>,
}

/// Plays the seeds; stops soon after one fails.
pub(crate) fn play(args: &Args) -> Crowd {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let (began, next, stop) = (Instant::now(), AtomicU64::new(args.from), AtomicBool::new(false));
    let end = args.from.saturating_add(args.seeds);
    let play_some = || {
        let (mut tally, mut failed, mut played) = (Tally::default(), None, 0);
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            let report = run(seed, args.flaw, false);
            tally.add(&report.tally);
            played += 1;
            if report.violation.is_some() {
                stop.store(true, Ordering::Relaxed);
                failed = Some(report);
            }
        }
        (tally, failed, played)
    };
    let mut crowd = Crowd { played: 0, took: Duration::ZERO, tally: Tally::default(), failed: None };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..args.jobs.unwrap_or(cpus)).map(|_| scope.spawn(play_some)).collect();
        for (tally, failed, played) in threads.into_iter().filter_map(|thread| thread.join().ok()) {
            crowd.tally.add(&tally);
            crowd.played += played;
            let first = crowd.failed.iter().chain(&failed).min_by_key(|report| report.seed).cloned();
            crowd.failed = first;
        }
    });
    crowd.took = began.elapsed();
    crowd
}

/// Says how a seed has ended; of one that failed, the end of its transcript and how to see all of it.
pub(crate) fn tell(out: &mut impl Write, report: &Report, flaw: Option<Flaw>) -> anyhow::Result<ExitCode> {
    let seed = report.seed;
    let Some(violation) = &report.violation else {
        writeln!(out, "seed {seed}: all invariants hold")?;
        return Ok(ExitCode::SUCCESS);
    };
    if report.transcript.is_empty() {
        let again = run(seed, flaw, true).transcript;
        for line in again.iter().skip(again.len().saturating_sub(LAST_LINES)) {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "\nseed {seed} breaks an invariant\n  {violation}")?;
    writeln!(out, "all of it: cutover-simulate --seed {seed} --trace")?;
    Ok(ExitCode::FAILURE)
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = f64::from(u32::try_from(self.played).unwrap_or(u32::MAX)) / self.took.as_secs_f64();
        write!(f, "{}", self.tally)?;
        writeln!(f, "\n{} seeds in {:.1} s, {rate:.0} a second", self.played, self.took.as_secs_f64())
    }
}
