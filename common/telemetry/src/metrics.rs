//! What a worker counts.

use std::time::Instant;

use cutover_core::Stage;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::{Error, Gauges};

/// Seconds: from a probe that answers at once to a build that takes a quarter of an hour.
const DURATIONS: [f64; 13] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 420.0, 900.0];

/// The metrics of a program. Clones count into the same registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    tasks: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGaugeVec,
    redeliveries: IntCounterVec,
    claims_lost: IntCounterVec,
    refused: IntCounterVec,
}

/// How a task ended, as the label `result` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskResult {
    /// It was done.
    Finished,
    /// There was nothing to do.
    Skipped,
    /// It failed, for good or until the next attempt.
    Failed,
    /// It was let go without a result: the bus was lost, or the program is stopping.
    Dropped,
}

impl TaskResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Metrics {
    /// Metrics in a registry of their own.
    ///
    /// # Errors
    /// Never in practice: the names are fixed and differ.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        Ok(Self {
            tasks: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("cutover_tasks_total", "Tasks that ended, by stage and result."),
                    &["stage", "result"],
                )?,
            )?,
            durations: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "cutover_task_duration_seconds",
                        "How long tasks took, whatever their result.",
                    )
                    .buckets(DURATIONS.to_vec()),
                    &["stage"],
                )?,
            )?,
            in_flight: register(
                &registry,
                IntGaugeVec::new(Opts::new("cutover_tasks_in_flight", "Tasks being done now."), &["stage"])?,
            )?,
            redeliveries: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "cutover_redeliveries_total",
                        "Work that came again because it was not acknowledged in time.",
                    ),
                    &["stage"],
                )?,
            )?,
            claims_lost: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("cutover_claims_lost_total", "Claims that another worker made first."),
                    &["stage"],
                )?,
            )?,
            refused: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "cutover_bus_refused_total",
                        "Messages of the bus that were left out: nobody may have written them, or they can't be read.",
                    ),
                    &["reason"],
                )?,
            )?,
            registry,
        })
    }

    /// A counter of its own, for what a program counts beyond its tasks. `help` says what, in a sentence.
    ///
    /// # Errors
    /// A name that is taken, or none that Prometheus takes.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        Ok(register(&self.registry, IntCounter::new(name, help)?)?)
    }

    /// A counter for each set of values of some labels. Their sets are few, and stay.
    ///
    /// # Errors
    /// The same.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        Ok(register(&self.registry, IntCounterVec::new(Opts::new(name, help), labels)?)?)
    }

    /// Gauges of what comes and goes.
    ///
    /// # Errors
    /// The same.
    pub fn gauges<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Gauges<N>, Error> {
        Ok(Gauges(register(&self.registry, GaugeVec::new(Opts::new(name, help), &labels)?)?))
    }

    /// The registry, with all that is counted.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A task of `stage` begins: it is in flight until the returned guard is told the result or dropped.
    pub fn begin(&self, stage: Stage) -> Running {
        self.in_flight.with_label_values(&[stage.as_str()]).inc();
        Running { metrics: self.clone(), stage, begun: Instant::now(), result: TaskResult::Dropped }
    }

    /// Work of `stage` came again.
    pub fn redelivered(&self, stage: Stage) {
        self.redeliveries.with_label_values(&[stage.as_str()]).inc();
    }

    /// A message of the bus was left out.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Another worker claimed a task of `stage` first.
    pub fn claim_lost(&self, stage: Stage) {
        self.claims_lost.with_label_values(&[stage.as_str()]).inc();
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// A task in flight. Dropped without a result, it counts as [`TaskResult::Dropped`], so that the gauge can't leak.
#[derive(Debug)]
#[must_use = "the task counts as dropped as soon as this is"]
pub struct Running {
    metrics: Metrics,
    stage: Stage,
    begun: Instant,
    result: TaskResult,
}

impl Running {
    /// The task ended.
    pub fn end(mut self, result: TaskResult) {
        self.result = result;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let stage = self.stage.as_str();
        self.metrics.in_flight.with_label_values(&[stage]).dec();
        self.metrics.durations.with_label_values(&[stage]).observe(self.begun.elapsed().as_secs_f64());
        self.metrics.tasks.with_label_values(&[stage, self.result.as_str()]).inc();
    }
}
