//! Workers of every program, that do what a script says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover_bus::{Assignment, Journal, Pace, Performer, WorkerOptions, work_at};
use cutover_core::{Digest, Evidence, Failure, Output, Program, Replica, Stage, Task};
use cutover_telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A program that does its tasks, at once where nothing else is said, and writes down which; told so, it hangs or fails in a
/// stage.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) done: Arc<Mutex<Vec<Task>>>,
    pub(crate) takes: Duration,
    pub(crate) hang_in: Option<Stage>,
    pub(crate) hang_once_in: Option<Stage>,
    pub(crate) fail_once_in: Option<Stage>,
    pub(crate) fail_in: Option<Stage>,
    /// Fails for good in a stage, so many times.
    pub(crate) fail_times_in: Option<(Stage, usize)>,
}

impl Performer for Script {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        let task = assignment.task.clone();
        let times = {
            let mut done = self.done.lock().unwrap();
            done.push(task.clone());
            done.iter().filter(|other| **other == task).count()
        };
        let first = times == 1;
        tokio::time::sleep(self.takes).await;
        if self.hang_in == Some(task.stage) || (first && self.hang_once_in == Some(task.stage)) {
            std::future::pending::<()>().await;
        }
        let fails_now = |(stage, failures)| stage == task.stage && times <= failures;
        if self.fail_in == Some(task.stage) || self.fail_times_in.is_some_and(fails_now) {
            return Err(Failure::lasting("it is broken"));
        }
        if self.fail_once_in == Some(task.stage) && first {
            return Err(Failure::passing("try again"));
        }
        Ok(output(task.stage))
    }
}

impl Script {
    pub(crate) fn times(&self, stage: Stage) -> usize {
        self.done.lock().unwrap().iter().filter(|task| task.stage == stage).count()
    }
}

/// What a stage that was done at once has made.
pub(crate) fn output(stage: Stage) -> Output {
    match stage {
        Stage::Build => Output::Built {
            image: Digest::of(b"image"),
            bytes: 1,
            commit: None,
            provenance: None,
            sidecars: cutover_core::SidecarImages::new(),
        },
        Stage::Ship => Output::Shipped { sent: 1 },
        Stage::Expand => Output::Expanded { applied: vec![], rehearsed: Vec::new() },
        Stage::Backfill => Output::Backfilled { rows: 7 },
        Stage::Contract => Output::Contracted { applied: Vec::new() },
        Stage::Boot => Output::Booted {
            replicas: vec![Replica { name: "hello-1".into(), address: "172.17.0.2:80".parse().unwrap() }],
        },
        Stage::Probe => Output::Probed { asked: 1 },
        Stage::Switch => Output::Switched { previous: None },
        Stage::Canary => Output::Canaried { seen: Evidence::default(), verdict: None },
        Stage::Soak => Output::Soaked(Evidence::default()),
        Stage::Retire => Output::Retired { stopped: 0 },
        Stage::Cool => Output::Cooled { stopped: 1 },
        Stage::Restore => Output::Restored { serving: None },
        Stage::Discard => Output::Discarded { removed: 1 },
    }
}

/// Workers, until they are told to stop.
pub(crate) struct Crew {
    pub(crate) pace: Pace,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    pub(crate) workers: Vec<JoinHandle<Result<(), cutover_bus::Error>>>,
}

impl Crew {
    /// Nobody yet. They will purge nothing, so that the whole log can be checked.
    pub(crate) fn new() -> Self {
        Self::at(Pace { kept_deployments: None, ..Pace::default() })
    }

    /// Nobody yet; they will do their duties at this pace.
    pub(crate) fn at(pace: Pace) -> Self {
        Self { pace, metrics: Metrics::new().unwrap(), stop: CancellationToken::new(), workers: Vec::new() }
    }

    /// One worker of each program.
    pub(crate) fn of_each(journal: &Journal, performer: &(impl Performer + Clone)) -> Self {
        Self::new().and_each(journal, performer)
    }

    /// One more worker of each program.
    pub(crate) fn and_each(self, journal: &Journal, performer: &(impl Performer + Clone)) -> Self {
        Program::ALL.into_iter().fold(self, |crew, program| crew.with(journal, performer, program))
    }

    /// One more worker.
    pub(crate) fn with(
        mut self,
        journal: &Journal,
        performer: &(impl Performer + Clone),
        program: Program,
    ) -> Self {
        let name = format!("test {program} {}", self.workers.len());
        let options = WorkerOptions { program, version: "0.0.1".into(), name, slots: 2, at_point: None };
        let (journal, performer) = (journal.clone(), performer.clone());
        let (metrics, stop) = (self.metrics.clone(), self.stop.clone());
        self.workers.push(tokio::spawn(work_at(self.pace, journal, options, performer, metrics, stop)));
        self
    }

    /// Tells them to stop, and waits until they have.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for worker in self.workers {
            worker.await.unwrap().unwrap();
        }
    }
}
