//! A task in the hands of the worker that has claimed it.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cutover_core::{
    Deployment, Epoch, Fact, Failure, HostSpec, Output, Plan, Progress, Service, ServiceKey, Subject, Task,
    Timestamp,
};
use tokio::time::Instant;

use crate::append::{Message, append_after_last};
use crate::bus::LOG;
use crate::{Error, Journal, ServiceLog};

/// Progress is recorded at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a line of output; the rest is cut.
const LINE_LIMIT: usize = 16 << 10;

/// What a program does with its tasks.
pub trait Performer: Send + Sync + 'static {
    /// Does one task. It may have been done before, wholly or in part: the worker looks at what is there, and does only
    /// the rest. The future is dropped at any await when the deployment is taken back or the claim is lost.
    fn perform(&self, assignment: &Assignment) -> impl Future<Output = Result<Output, Failure>> + Send;
}

/// A claimed task, and all that the journal says around it.
#[derive(Debug)]
pub struct Assignment {
    /// The task.
    pub task: Task,
    /// The epoch of all that is done for it.
    pub epoch: Epoch,
    /// The service as it was when the task was claimed.
    pub service: Service,
    deployment: Deployment,
    journal: Journal,
    last_progress: Mutex<Option<Instant>>,
    /// What was read of the log when it was asked for last.
    read: tokio::sync::Mutex<Option<ServiceLog>>,
}

impl Assignment {
    pub(crate) fn new(
        journal: Journal,
        service: Service,
        deployment: Deployment,
        task: Task,
        claim: u64,
    ) -> Self {
        let epoch = Epoch { journal: journal.id().clone(), sequence: claim };
        Self {
            task,
            epoch,
            service,
            deployment,
            journal,
            last_progress: Mutex::new(None),
            read: tokio::sync::Mutex::new(None),
        }
    }

    /// The deployment.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What the deployment is to do.
    pub const fn plan(&self) -> &Plan {
        &self.deployment.plan
    }

    /// The service and its destination.
    pub const fn key(&self) -> &ServiceKey {
        &self.deployment.plan.key
    }

    /// The host that the task is on.
    ///
    /// # Errors
    /// A task without a host, which no plan that was checked has where one is needed.
    pub fn host(&self) -> Result<&HostSpec, Failure> {
        let host = self.task.host.as_ref().and_then(|name| self.plan().host(name));
        host.ok_or_else(|| Failure::lasting(format!("{}: the plan names no such host", self.task)))
    }

    /// When the task was first claimed in this round: a worker that takes it over goes on from there.
    pub fn began(&self) -> Timestamp {
        self.deployment.state(&self.task).began.unwrap_or(self.deployment.last)
    }

    /// The service as it is now: others may have decided since the task was claimed. After the first time, only what is new is
    /// read.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a snapshot that can't be read.
    pub async fn service_now(&self) -> Result<Service, Error> {
        let mut read = self.read.lock().await;
        let log = match read.take() {
            Some(mut log) => {
                self.journal.catch_up(&mut log).await?;
                log
            }
            None => self.journal.service(self.key()).await?,
        };
        Ok(read.insert(log).service().clone())
    }

    /// Records how far the task has come, at most once a second. A failure to do so fails nothing.
    pub async fn progress(&self, progress: Progress) {
        {
            let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
                return;
            }
            *last = Some(Instant::now());
        }
        self.record(progress).await;
    }

    /// Records how far the task has come, however short ago that was done last, and says whether it was recorded. A failure to do
    /// so fails nothing.
    pub async fn record(&self, progress: Progress) -> bool {
        let fact = Fact::Progressed { claim: self.epoch.sequence, progress };
        let subject = Subject::Fact {
            key: self.key().clone(),
            deployment: self.deployment.id().clone(),
            task: self.task.clone(),
            kind: fact.kind(),
        };
        let id = self.journal.bus().unique();
        let Ok(message) = Message::new(subject.to_string(), &id, &fact) else { return false };
        match append_after_last(&self.journal, "recording progress", LOG, message).await {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "progress was not recorded");
                false
            }
        }
    }

    /// Adds a line to the deployment's output. A failure to do so fails nothing.
    pub async fn line(&self, line: &str) {
        let subject = Subject::output_of(self.key(), self.deployment.id(), &self.task);
        let line = line.as_bytes().get(..LINE_LIMIT).unwrap_or(line.as_bytes());
        if let Err(error) = self.journal.bus().client.publish(subject, line.to_vec().into()).await {
            tracing::debug!(%error, "a line of output was not sent");
        }
    }
}
