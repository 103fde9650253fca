//! The worker loop: takes work for the stages of one program, one message for each free slot. Beside it, what every program
//! takes part in: timers that go off, and duties.

use std::sync::Arc;
use std::time::Duration;

use cutover_core::{Program, Stage};
use cutover_telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::bus::LOG;
use crate::duties::hold_at;
use crate::logs::Logs;
use crate::pull::Pull;
use crate::sweep::Sweep;
use crate::task_run::TaskRun;
use crate::timer::look_when_due;
use crate::{AtPoint, Error, Journal, Pace, Performer, Point};

/// How long tasks may go on after the worker was told to stop; then others take them over.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// So many times as many of the tasks that watch.
const WATCHES: usize = 8;

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The program that it is.
    pub program: Program,
    /// Its build.
    pub version: String,
    /// Its name in claims, for people: machine and process.
    pub name: String,
    /// Tasks of one stage side by side.
    pub slots: usize,
    /// Called whenever a task reaches a point: fault tests make the program fail there.
    pub at_point: Option<AtPoint>,
}

impl WorkerOptions {
    pub(crate) fn reach(&self, stage: Stage, point: Point) {
        if let Some(at_point) = self.at_point {
            at_point(stage, point);
        }
    }
}

/// What the slots of a worker share.
pub(crate) struct Shared<P> {
    pub(crate) journal: Journal,
    pub(crate) performer: P,
    pub(crate) options: WorkerOptions,
    pub(crate) metrics: Metrics,
    pub(crate) logs: Arc<Logs>,
}

/// Works until it is told to stop: then takes no more, lets what it has end within 10 s, and hands the rest back.
///
/// # Errors
/// A bus that can't be spoken to at the start; later it waits until the bus is back. [`Error::OtherJournal`], when the server
/// comes back with another journal.
pub async fn work<P: Performer>(
    journal: Journal,
    options: WorkerOptions,
    performer: P,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), Error> {
    work_at(Pace::default(), journal, options, performer, metrics, stop).await
}

/// The same, at another pace: for tests that can't wait.
#[doc(hidden)]
pub async fn work_at<P: Performer>(
    pace: Pace,
    journal: Journal,
    options: WorkerOptions,
    performer: P,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), Error> {
    let journal = journal.counting(&metrics);
    let gone = CancellationToken::new();
    let present = journal.bus().clone().be_present(options.program, options.version.clone(), gone.clone());
    let present = AbortOnDropHandle::new(tokio::spawn(present));
    let logs = Arc::new(Logs::new(journal.clone()));
    let hand_back = CancellationToken::new();
    let mut slots = JoinSet::new();
    slots.spawn(look_when_due(Arc::clone(&logs), stop.clone()));
    let (sweep, name) = (Sweep::new(Arc::clone(&logs), pace), options.name.clone());
    let (known, told) = (Arc::clone(&logs), stop.clone());
    slots.spawn(async move { hold_at(pace, known, &name, sweep, told).await });
    let shared = Arc::new(Shared { journal, performer, options, metrics, logs });
    for stage in shared.options.program.stages() {
        // Who mostly waits, for a person perhaps, is in nobody's way.
        let side_by_side = shared.options.slots * if stage.is_watch() { WATCHES } else { 1 };
        for _ in 0..side_by_side {
            slots.spawn(slot(Arc::clone(&shared), stage, stop.clone(), hand_back.clone()));
        }
    }
    tracing::info!(program = %shared.options.program, worker = shared.options.name, "at work");
    let failed = loop {
        tokio::select! {
            Some(ended) = slots.join_next() => if let Ok(Err(error)) = ended { break Some(error) },
            () = stop.cancelled() => break None,
        }
    };
    if let Some(error) = failed {
        return Err(error);
    }
    let all = async { while slots.join_next().await.is_some() {} };
    tokio::pin!(all);
    if tokio::time::timeout(STOP_LIMIT, &mut all).await.is_err() {
        hand_back.cancel();
        all.await;
    }
    gone.cancel();
    if let Err(error) = present.await {
        tracing::debug!(%error, "could not say good-bye");
    }
    Ok(())
}

/// One slot of one stage: one message at a time.
async fn slot<P: Performer>(
    shared: Arc<Shared<P>>,
    stage: Stage,
    stop: CancellationToken,
    hand_back: CancellationToken,
) -> Result<(), Error> {
    let mut work = Pull::new(Arc::clone(&shared.logs), LOG, stage.consumer());
    while let Some(message) = work.next(&stop).await? {
        TaskRun::new(&shared, stage, message).run(&hand_back).await;
    }
    Ok(())
}
