//! The worker loop: takes work for the stages of one program, one message for each free slot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
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
use crate::{AtPoint, Error, Journal, Performer, Point, ServiceLog};

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
    /// How often the connection had been made when the journal behind it was looked at last.
    checked: AtomicU64,
    logs: Mutex<HashMap<ServiceKey, Arc<tokio::sync::Mutex<Option<ServiceLog>>>>>,
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
    let presence = journal.bus().announce(options.program, &options.version).await?;
    let shared = Arc::new(Shared {
        journal,
        performer,
        options,
        metrics,
        checked: AtomicU64::default(),
        logs: Mutex::default(),
    });
    let hand_back = CancellationToken::new();
    let mut slots = JoinSet::new();
    for stage in shared.options.program.stages() {
        for _ in 0..shared.options.slots {
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
) -> Result<(), Error> {
    let mut consumer = None;
    while !stop.is_cancelled() {
        let message = tokio::select! {
            message = next(&shared.journal, &mut consumer, stage) => message,
            () = stop.cancelled() => break,
        };
        match message {
            Ok(Some(message)) => match shared.check_journal().await {
                Ok(()) => TaskRun::new(&shared, stage, message).run(&hand_back).await,
                Err(error @ Error::OtherJournal { .. }) => return Err(error),
                Err(error) => tracing::warn!(%stage, %error, "work is left alone"),
            },
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%stage, %error, "no work can be fetched");
                consumer = None;
                tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.cancelled() => {} }
            }
        }
    }
    Ok(())
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
    let connects = journal.bus().connects();
    loop {
        tokio::select! {
            message = batch.next() => return message.transpose().map_err(|error| failed(error.to_string())),
            // A server that was started again knows nothing of the request.
            () = tokio::time::sleep(AGAIN) => if journal.bus().connects() != connects { return Ok(None) },
        }
    }
}

impl<P> Shared<P> {
    /// Makes sure, after a reconnection, that the server still has the journal that was opened: all that is known here, and
    /// the epochs of all that is done, are of that one.
    async fn check_journal(&self) -> Result<(), Error> {
        let connects = self.journal.bus().connects();
        if self.checked.load(Ordering::Acquire) != connects {
            let now = self.journal.bus().open().await?.id().clone();
            if now != *self.journal.id() {
                return Err(Error::OtherJournal { before: self.journal.id().clone(), now });
            }
            self.checked.store(connects, Ordering::Release);
        }
        Ok(())
    }

    /// What has been read of a service's log, shared by all slots: each reads only what is new.
    pub(crate) fn log(&self, key: &ServiceKey) -> Arc<tokio::sync::Mutex<Option<ServiceLog>>> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logs.entry(key.clone()).or_default())
    }
}
