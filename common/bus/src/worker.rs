//! The worker loop: takes work for the stages of one program, one message for each free slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use cutover_core::{Program, ServiceKey, Stage};
use cutover_telemetry::Metrics;
use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bus::{LOG, consumer_of};
use crate::task_run::TaskRun;
use crate::{Error, Journal, Performer, ServiceLog};

/// How long one request for work stays open. Without heartbeats: async-nats 0.51 takes one for the end of what there is to
/// wake up for, and a slot that has been idle would sleep on while work comes in.
const PULL: Duration = Duration::from_secs(10);
/// How long a failed request for work is left alone.
const AGAIN: Duration = Duration::from_millis(500);
/// How long tasks may go on after the worker was told to stop; then others take them over.
const STOP_LIMIT: Duration = Duration::from_secs(10);

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
}

/// What the slots of a worker share.
pub(crate) struct Shared<P> {
    pub(crate) journal: Journal,
    pub(crate) performer: P,
    pub(crate) options: WorkerOptions,
    pub(crate) metrics: Metrics,
    logs: Mutex<HashMap<ServiceKey, Arc<tokio::sync::Mutex<Option<ServiceLog>>>>>,
}

/// Works until it is told to stop: then takes no more, lets what it has end within 10 s, and hands the rest back.
///
/// # Errors
/// A bus that can't be spoken to at the start. Later it waits until the bus is back.
pub async fn work<P: Performer>(
    journal: Journal,
    options: WorkerOptions,
    performer: P,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), Error> {
    let presence = journal.bus().announce(options.program, &options.version).await?;
    let shared = Arc::new(Shared { journal, performer, options, metrics, logs: Mutex::default() });
    let hand_back = CancellationToken::new();
    let mut slots = JoinSet::new();
    for stage in shared.options.program.stages() {
        for _ in 0..shared.options.slots {
            slots.spawn(slot(Arc::clone(&shared), stage, stop.clone(), hand_back.clone()));
        }
    }
    tracing::info!(program = %shared.options.program, worker = shared.options.name, "at work");
    stop.cancelled().await;
    let all = async { while slots.join_next().await.is_some() {} };
    tokio::pin!(all);
    if tokio::time::timeout(STOP_LIMIT, &mut all).await.is_err() {
        hand_back.cancel();
        all.await;
    }
    if let Err(error) = presence.stop().await {
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
) {
    let mut consumer = None;
    while !stop.is_cancelled() {
        let message = tokio::select! {
            message = next(&shared.journal, &mut consumer, stage) => message,
            () = stop.cancelled() => break,
        };
        match message {
            Ok(Some(message)) => TaskRun::new(&shared, stage, message).run(&hand_back).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%stage, %error, "no work can be fetched");
                consumer = None;
                tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.cancelled() => {} }
            }
        }
    }
}

/// The next work message of a stage, if there is one before the request ends.
async fn next(
    journal: &Journal,
    consumer: &mut Option<PullConsumer>,
    stage: Stage,
) -> Result<Option<async_nats::jetstream::Message>, Error> {
    let failed = |message: String| Error::Request { doing: "fetching work", message };
    let consumer = match consumer {
        Some(consumer) => consumer,
        None => {
            let made = journal
                .bus()
                .jetstream
                .get_consumer_from_stream::<pull::Config, _, _>(consumer_of(stage), LOG)
                .await
                .map_err(|error| failed(error.to_string()))?;
            consumer.insert(made)
        }
    };
    let mut batch = consumer
        .batch()
        .max_messages(1)
        .expires(PULL)
        .messages()
        .await
        .map_err(|error| failed(error.to_string()))?;
    batch.next().await.transpose().map_err(|error| failed(error.to_string()))
}

impl<P> Shared<P> {
    /// What has been read of a service's log, shared by all slots: each reads only what is new.
    pub(crate) fn log(&self, key: &ServiceKey) -> Arc<tokio::sync::Mutex<Option<ServiceLog>>> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logs.entry(key.clone()).or_default())
    }
}
