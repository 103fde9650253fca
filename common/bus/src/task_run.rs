//! One work message from its delivery to its acknowledgement: look, claim, do, record, go on.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message as Delivery};
use cutover_core::{
    Claim, Deployment, Entry, Event, Fact, Failure, Output, PROTOCOL, Permission, ServiceKey, Stage, Subject,
    Task, Work,
};
use cutover_telemetry::TaskResult;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::append::{Appended, Message, append};
use crate::bus::ACK_WAIT;
use crate::journal::now;
use crate::worker::Shared;
use crate::{Assignment, Error, Performer, ServiceLog};

/// How often a worker that has a task looks whether it still should: an abort is seen after so long.
const LOOK: Duration = Duration::from_millis(500);

/// A work message in a slot.
pub(crate) struct TaskRun<'a, P> {
    shared: &'a Shared<P>,
    stage: Stage,
    delivery: Delivery,
}

/// What is done with the message in the end.
enum Verdict {
    /// All that it asked for is in the journal.
    Done,
    /// It comes again after a while.
    Later(Duration),
    /// Nobody can ever read it.
    Unreadable,
}

/// How the work on a claimed task ended.
enum Ended {
    /// With a result to record.
    Recordable(Fact),
    /// The claim is not ours any more, or is not wanted: nothing to record.
    Lost,
    /// The worker stops: another goes on.
    HandedBack,
}

impl<'a, P: Performer> TaskRun<'a, P> {
    pub(crate) const fn new(shared: &'a Shared<P>, stage: Stage, delivery: Delivery) -> Self {
        Self { shared, stage, delivery }
    }

    /// Runs it to its acknowledgement. What fails on the way is left for another delivery.
    pub(crate) async fn run(self, hand_back: &CancellationToken) {
        let kind = match self.verdict(hand_back).await {
            Ok(Verdict::Done) => AckKind::Ack,
            Ok(Verdict::Later(wait)) => AckKind::Nak(Some(wait)),
            Ok(Verdict::Unreadable) => AckKind::Term,
            Err(error) => {
                tracing::warn!(stage = %self.stage, %error, "work is put off");
                AckKind::Nak(Some(Duration::from_secs(1)))
            }
        };
        if let Err(error) = self.delivery.double_ack_with(kind).await {
            tracing::warn!(stage = %self.stage, %error, "work was not acknowledged: it will come again");
        }
    }

    async fn verdict(&self, hand_back: &CancellationToken) -> Result<Verdict, Error> {
        let unreadable = |error: String| {
            tracing::error!(subject = %self.delivery.subject, error, "a work message can't be read");
            Ok(Verdict::Unreadable)
        };
        let hint = match self.delivery.info() {
            Ok(info) => {
                if info.delivered > 1 {
                    self.shared.metrics.redelivered(self.stage);
                }
                info.stream_sequence
            }
            Err(error) => return unreadable(error.to_string()),
        };
        let key = match self.delivery.subject.parse::<Subject>() {
            Ok(subject) => subject.key().clone(),
            Err(error) => return unreadable(error.to_string()),
        };
        let work: Work = match serde_json::from_slice(&self.delivery.payload) {
            Ok(work) => work,
            Err(error) => return unreadable(error.to_string()),
        };
        if work.protocol > PROTOCOL {
            tracing::warn!(
                protocol = work.protocol,
                known = PROTOCOL,
                "work of a newer protocol is handed back"
            );
            return Ok(Verdict::Later(ACK_WAIT));
        }
        if work.task.stage != self.stage {
            return unreadable(format!("it is for {}, on the subject of {}", work.task, self.stage));
        }
        loop {
            let log = self.read(&key).await?;
            let Some(current) =
                log.service().current.as_ref().filter(|current| *current.id() == work.deployment)
            else {
                return Ok(Verdict::Done);
            };
            let (expected, attempt, failure) = match current.permission(&work.task, hint, now()) {
                Permission::Perform { expected, attempt } => (expected, attempt, None),
                Permission::Close { expected, attempt, failure } => (expected, attempt, Some(failure)),
                Permission::NotBefore(time) => return Ok(Verdict::Later(time.since(now()))),
                Permission::Taken => return Ok(Verdict::Later(ACK_WAIT / 2)),
                Permission::Nothing => return self.go_on(&key, &work.task).await,
            };
            let claim = Claim {
                attempt,
                worker: self.shared.options.name.clone(),
                decision: log.service().last_decision,
                hint,
            };
            let Some(sequence) = self.claim(&log, current, &work.task, claim, expected).await? else {
                self.shared.metrics.claim_lost(self.stage);
                continue;
            };
            let Some(assignment) = self.assignment(&key, &work.task, sequence, failure.is_some()).await?
            else {
                return self.go_on(&key, &work.task).await;
            };
            let ended = match failure {
                Some(failure) => Ended::Recordable(Fact::Failed { claim: sequence, failure }),
                None => self.perform(&assignment, hand_back).await,
            };
            return match ended {
                Ended::Recordable(fact) => self.record(&key, &assignment, fact).await,
                Ended::Lost => self.go_on(&key, &work.task).await,
                Ended::HandedBack => Ok(Verdict::Later(Duration::ZERO)),
            };
        }
    }

    /// What the journal says of the service now.
    async fn read(&self, key: &ServiceKey) -> Result<ServiceLog, Error> {
        let shared = self.shared.log(key);
        let mut cached = shared.lock().await;
        let log = match cached.take() {
            Some(mut log) => {
                self.shared.journal.catch_up(&mut log).await?;
                log
            }
            None => self.shared.journal.service(key).await?,
        };
        *cached = Some(log.clone());
        Ok(log)
    }

    /// Appends a claim; none when another was faster.
    async fn claim(
        &self,
        log: &ServiceLog,
        deployment: &Deployment,
        task: &Task,
        claim: Claim,
        expected: u64,
    ) -> Result<Option<u64>, Error> {
        let message =
            fact_message(log.key(), deployment, task, claim.attempt, &Fact::Claimed(claim.clone()))?;
        match append(&self.shared.journal.bus().client, "claiming a task", vec![message.expecting(expected)])
            .await?
        {
            Appended::At(sequence) => Ok(Some(sequence)),
            Appended::Duplicate | Appended::Conflict => {
                // A claim whose answer was lost is found in the log.
                let log = self.read(log.key()).await?;
                let state =
                    log.service().current.as_ref().map(|current| current.state(task)).unwrap_or_default();
                let ours = matches!(&state.status, cutover_core::Status::Claimed { claim: stored, .. } if *stored == claim);
                Ok(ours.then_some(state.in_force))
            }
        }
    }

    /// The claimed task, if the claim is in force: an abort may have come between looking and claiming.
    async fn assignment(
        &self,
        key: &ServiceKey,
        task: &Task,
        sequence: u64,
        closing: bool,
    ) -> Result<Option<Assignment>, Error> {
        let service = self.read(key).await?.service().clone();
        let Some(deployment) = service.current.clone() else { return Ok(None) };
        let holds = deployment.holds(task, sequence) || (closing && in_force(&deployment, task, sequence));
        let journal = self.shared.journal.clone();
        Ok(holds.then(|| Assignment::new(journal, service, deployment, task.clone(), sequence)))
    }

    /// Does the task, saying all the time that it is alive, and looking whether it still should.
    async fn perform(&self, assignment: &Assignment, hand_back: &CancellationToken) -> Ended {
        let running = self.shared.metrics.begin(self.stage);
        let claim = assignment.epoch.sequence;
        let stopped = || {
            let failure =
                Failure::lasting(format!("{}: stopped, as the deployment is taken back", assignment.task));
            Ended::Recordable(Fact::Failed { claim, failure })
        };
        let result: Result<Output, Failure> = tokio::select! {
            result = self.shared.performer.perform(assignment) => result,
            taken_back = self.keep_claim(assignment) => return if taken_back { stopped() } else { Ended::Lost },
            () = hand_back.cancelled() => return Ended::HandedBack,
        };
        match result {
            Ok(output) => {
                running.end(TaskResult::Finished);
                Ended::Recordable(Fact::Finished { claim, output })
            }
            // What fails because it is being taken back, under its hands, is no cause of its own.
            Err(_) if self.is_taken_back(assignment).await => stopped(),
            Err(failure) => {
                running.end(TaskResult::Failed);
                tracing::warn!(task = %assignment.task, reason = failure.message, retry = failure.retry, "a task has failed");
                Ended::Recordable(Fact::Failed { claim, failure })
            }
        }
    }

    /// Whether the journal says by now that the deployment is taken back, while the claim is still ours.
    async fn is_taken_back(&self, assignment: &Assignment) -> bool {
        let (task, claim) = (&assignment.task, assignment.epoch.sequence);
        let log = self.read(assignment.key()).await;
        let current = log.ok().and_then(|log| log.service().current.clone());
        current.is_some_and(|current| in_force(&current, task, claim) && !current.holds(task, claim))
    }

    /// Returns once the task must be dropped: `true` when the deployment is taken back while the claim is still ours,
    /// `false` when the claim is lost, or may be, as the bus could not be reached for as long as a worker may be silent.
    async fn keep_claim(&self, assignment: &Assignment) -> bool {
        let mut reached = Instant::now();
        let mut told = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            match tokio::time::timeout(ACK_WAIT / 4, self.read(assignment.key())).await {
                Ok(Ok(log)) => {
                    reached = Instant::now();
                    let Some(current) = &log.service().current else { return false };
                    if !current.holds(&assignment.task, assignment.epoch.sequence) {
                        return in_force(current, &assignment.task, assignment.epoch.sequence);
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "the bus can't be reached"),
                Err(_) => tracing::debug!("the bus doesn't answer"),
            }
            if reached.elapsed() > ACK_WAIT * 3 / 4 {
                tracing::warn!(task = %assignment.task, "dropped: the bus could not be reached in time");
                return false;
            }
            if told.elapsed() >= ACK_WAIT / 4 && self.delivery.ack_with(AckKind::Progress).await.is_ok() {
                told = Instant::now();
            }
        }
    }

    /// Records the result together with the work that follows from it.
    async fn record(&self, key: &ServiceKey, assignment: &Assignment, fact: Fact) -> Result<Verdict, Error> {
        let deployment = assignment.deployment();
        let attempt = deployment.state(&assignment.task).claims;
        let message = fact_message(key, deployment, &assignment.task, attempt, &fact)?;
        let log = self.read(key).await?;
        let event = Event::Fact { deployment: deployment.id().clone(), task: assignment.task.clone(), fact };
        let entry = Entry { sequence: log.next(), at: now(), event };
        let mut messages = vec![message.clone()];
        messages.extend(self.shared.journal.predicted_work(&log, &entry)?);
        let client = &self.shared.journal.bus().client;
        let begun = Instant::now();
        loop {
            // Work that another worker has published already makes the whole batch a duplicate: then the fact goes alone,
            // and what follows is derived from the log.
            let appended = match append(client, "recording a result", messages.clone()).await {
                Ok(Appended::Duplicate) => append(client, "recording a result", vec![message.clone()]).await,
                other => other,
            };
            match appended {
                Ok(_) => return self.go_on(key, &assignment.task).await,
                // The task is done: as long as nobody else may have taken it over, its result is worth another try.
                Err(error) if error.retryable() && begun.elapsed() < ACK_WAIT => {
                    tracing::warn!(%error, "a result is not recorded yet");
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Derives from the log what is due and publishes what isn't there yet; says what to do with the message.
    async fn go_on(&self, key: &ServiceKey, task: &Task) -> Result<Verdict, Error> {
        let mut log = self.read(key).await?;
        self.shared.journal.carry_out(&mut log).await?;
        let again = log.service().running().and_then(|current| {
            let due = current.due().into_iter().find(|due| due.task == *task)?;
            Some(due.not_before.since(now())).filter(|wait| !wait.is_zero())
        });
        // A failed attempt is repeated by the same message, after its backoff.
        Ok(again.map_or(Verdict::Done, Verdict::Later))
    }
}

/// Whether a claim is the one that the task is done under, wanted or not.
fn in_force(deployment: &Deployment, task: &Task, claim: u64) -> bool {
    let state = deployment.state(task);
    state.is_open() && state.in_force == claim
}

fn fact_message(
    key: &ServiceKey,
    deployment: &Deployment,
    task: &Task,
    attempt: u32,
    fact: &Fact,
) -> Result<Message, Error> {
    let subject = Subject::Fact {
        key: key.clone(),
        deployment: deployment.id().clone(),
        task: task.clone(),
        kind: fact.kind(),
    };
    let host = task.host.as_ref().map_or("", |host| host.as_str());
    let kind = fact.kind().as_str();
    Message::new(
        subject.to_string(),
        &format!("{}/{}/{host}/{attempt}/{kind}", deployment.id(), task.stage),
        fact,
    )
}
