//! One work message from its delivery to its acknowledgement: look, claim, do, record, go on.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message as Delivery};
use cutover_core::{
    Claim, Deployment, Fact, Failure, Output, PROTOCOL, Permission, Service, ServiceKey, Stage, Status,
    Subject, Task,
};
use cutover_telemetry::TaskResult;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::append::{Appended, Message, append, append_once};
use crate::bus::ACK_WAIT;
use crate::hint::Hint;
use crate::point::Point;
use crate::stored::{Stored, now};
use crate::worker::Shared;
use crate::{Assignment, Error, Performer, ServiceLog};

/// How often a worker that has a task looks whether it still should: an abort is seen after so long.
const LOOK: Duration = Duration::from_millis(500);
/// How long a replica that is behind is left alone.
const BEHIND: Duration = Duration::from_millis(50);

/// A work message in a slot.
pub(crate) struct TaskRun<'a, P> {
    shared: &'a Shared<P>,
    stage: Stage,
    delivery: Delivery,
    begun: Instant,
}

/// What is done with the message in the end.
enum Verdict {
    /// All that it asked for is in the journal.
    Done,
    /// It comes again after a while.
    Later(Duration),
    /// Another worker has the task by the same message, or may have: an answer would take it from them.
    Leave,
    /// Nobody can ever read it.
    Unreadable,
}

/// What became of a claim.
enum Tried {
    /// It stands there, at a sequence.
    Claimed(u64),
    /// Another's stands there.
    Lost,
    /// Something stands there, at a sequence, that is no claim.
    InTheWay(u64),
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
    pub(crate) fn new(shared: &'a Shared<P>, stage: Stage, delivery: Delivery) -> Self {
        Self { shared, stage, delivery, begun: Instant::now() }
    }

    /// Runs it to its acknowledgement. What fails on the way is left for another delivery.
    pub(crate) async fn run(self, hand_back: &CancellationToken) {
        let kind = match self.verdict(hand_back).await {
            Ok(Verdict::Done) => {
                self.shared.options.reach(self.stage, Point::BeforeAck);
                AckKind::Ack
            }
            Ok(Verdict::Later(wait)) => AckKind::Nak(Some(wait)),
            Ok(Verdict::Leave) => return,
            Ok(Verdict::Unreadable) => AckKind::Term,
            Err(error) => {
                tracing::warn!(stage = %self.stage, %error, "work is put off");
                if self.begun.elapsed() >= ACK_WAIT {
                    return;
                }
                AckKind::Nak(Some(Duration::from_secs(1)))
            }
        };
        if let Err(error) = self.delivery.double_ack_with(kind).await {
            tracing::warn!(stage = %self.stage, %error, "work was not acknowledged: it will come again");
        }
    }

    async fn verdict(&self, hand_back: &CancellationToken) -> Result<Verdict, Error> {
        let hint = match Hint::read(&self.delivery, self.stage) {
            Ok(hint) => hint,
            Err(error) => {
                tracing::error!(subject = %self.delivery.subject, error, "a work message can't be read");
                self.shared.journal.count("unreadable-work");
                return Ok(Verdict::Unreadable);
            }
        };
        if hint.delivered > 1 {
            self.shared.metrics.redelivered(self.stage);
        }
        if hint.work.protocol > PROTOCOL {
            self.shared.journal.count("newer-protocol");
            tracing::warn!(
                protocol = hint.work.protocol,
                known = PROTOCOL,
                "work of a newer protocol is handed back"
            );
            return Ok(Verdict::Later(ACK_WAIT));
        }
        loop {
            let log = self.read(&hint.key).await?;
            let service = log.service();
            let Some(deployment) = service.deployment(&hint.work.deployment) else {
                let has_ended = service.history.iter().any(|ended| ended.deployment == hint.work.deployment);
                // A replica that was read may be behind; a message of a deployment that nobody knows is not waited for long.
                let is_over = has_ended || hint.delivered > 3;
                return Ok(if is_over { Verdict::Done } else { Verdict::Later(hint.early()) });
            };
            let now = hint.now(service, now());
            let (expected, attempt, failure) = match service.permission(&hint.work, hint.sequence, now) {
                Permission::Perform { expected, attempt } => (expected, attempt, None),
                Permission::Close { expected, attempt, failure } => (expected, attempt, Some(failure)),
                Permission::NotBefore(time) => return Ok(Verdict::Later(time.since(now).min(ACK_WAIT))),
                Permission::NotNow => return Ok(Verdict::Later(ACK_WAIT / 2)),
                Permission::Nothing => return self.go_on(&hint, 0).await,
            };
            self.shared.options.reach(self.stage, Point::BeforeClaim);
            let claim = Claim {
                attempt,
                worker: self.shared.options.name.clone(),
                decision: service.last_decision,
                hint: hint.sequence,
            };
            let Some(sequence) = self.claim(&hint, deployment, claim, expected).await? else {
                self.shared.metrics.claim_lost(self.stage);
                continue;
            };
            let Some(assignment) = self.assignment(&hint, sequence).await? else {
                return self.go_on(&hint, sequence).await;
            };
            self.shared.options.reach(self.stage, Point::Claimed);
            let ended = match failure {
                Some(failure) => Ended::Recordable(Fact::Failed { claim: sequence, failure }),
                None => self.perform(&assignment, hand_back).await,
            };
            self.shared.options.reach(self.stage, Point::Done);
            return match ended {
                Ended::Recordable(fact) => self.record(&hint, &assignment, fact).await,
                Ended::Lost => Ok(Verdict::Leave),
                Ended::HandedBack => Ok(Verdict::Later(Duration::ZERO)),
            };
        }
    }

    /// What the journal says of the service now.
    async fn read(&self, key: &ServiceKey) -> Result<ServiceLog, Error> {
        self.shared.logs.read(key).await
    }

    /// What the journal says of the service, once it says what stands at a sequence: a replica that has just become the
    /// leader may not have taken in all that the former one has acknowledged.
    async fn read_to(&self, key: &ServiceKey, sequence: u64) -> Result<ServiceLog, Error> {
        let begun = Instant::now();
        loop {
            let log = self.read(key).await?;
            if log.service().sequence >= sequence {
                return Ok(log);
            }
            if begun.elapsed() > ACK_WAIT / 4 {
                return Err(Error::leaderless("reading what was written"));
            }
            tokio::time::sleep(BEHIND).await;
        }
    }

    /// Appends a claim; none when another was faster. One whose answer was lost is known by its message's id, which no other
    /// claim has, be it of the same worker for the same message.
    async fn claim(
        &self,
        hint: &Hint,
        deployment: &Deployment,
        claim: Claim,
        expected: u64,
    ) -> Result<Option<u64>, Error> {
        let bus = self.shared.journal.bus();
        let attempt = claim.attempt;
        let fact = Fact::Claimed(claim);
        let subject = fact_subject(deployment, &hint.work.task, &fact);
        let id = format!("{}/{}", fact_id(deployment, &hint.work.task, attempt, &fact), bus.unique());
        let message = Message::new(subject.clone(), &id, &fact)?;
        let tried = async |expected: u64| match append(
            &self.shared.journal,
            "claiming a task",
            vec![message.clone().expecting(expected)],
        )
        .await?
        {
            Appended::At(sequence) => Ok(Tried::Claimed(sequence)),
            Appended::Duplicate { .. } | Appended::Conflict | Appended::NoBatch => {
                let Some(last) = Stored::last(bus, &subject).await? else { return Ok(Tried::Lost) };
                Ok(match self.shared.journal.can_be(&last).await? {
                    true if last.id.as_ref() == Some(&id) => Tried::Claimed(last.sequence),
                    true => Tried::Lost,
                    false => Tried::InTheWay(last.sequence),
                })
            }
        };
        let mut expected = expected;
        loop {
            match tried(expected).await {
                // What stands there is no claim: it changes nothing, and keeps nobody from claiming.
                Ok(Tried::InTheWay(last)) if last != expected => expected = last,
                Ok(Tried::Claimed(sequence)) => return Ok(Some(sequence)),
                Ok(Tried::InTheWay(_) | Tried::Lost) => return Ok(None),
                Err(error) if self.may_try_again(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a write that has failed is to be tried again: as long as nobody else may have been handed the message.
    async fn may_try_again(&self, error: &Error) -> bool {
        let again = error.retryable() && self.begun.elapsed() < ACK_WAIT * 3 / 4;
        if again {
            tracing::debug!(%error, "tried again");
            tokio::time::sleep(LOOK).await;
        }
        again
    }

    /// The claimed task, if the claim is in force: it is void when a decision has come between looking and claiming.
    async fn assignment(&self, hint: &Hint, claim: u64) -> Result<Option<Assignment>, Error> {
        let service = self.read_to(&hint.key, claim).await?.service().clone();
        let task = hint.work.task.clone();
        let Some(deployment) = service.assigned(&hint.work.deployment, &task) else { return Ok(None) };
        let journal = self.shared.journal.clone();
        let is_ours = service.is_in_force(deployment.id(), &task, claim);
        Ok(is_ours.then(|| Assignment::new(journal, service, deployment, task, claim)))
    }

    /// Does the task, saying all the time that it is alive, and looking whether it still should.
    async fn perform(&self, assignment: &Assignment, hand_back: &CancellationToken) -> Ended {
        let running = self.shared.metrics.begin(self.stage);
        let claim = assignment.epoch.sequence;
        let stopped = || {
            let task = &assignment.task;
            let failure = match assignment.deployment().outcome() {
                None => Failure::lasting(format!("{task}: stopped, as the deployment is taken back")),
                Some(_) => Failure::passing(format!("{task}: stopped, as a deployment has begun")),
            };
            Ended::Recordable(Fact::Failed { claim, failure })
        };
        // What it was claimed for may be over by now; the claim is in force, and has to be closed.
        if !holds(&assignment.service, assignment) {
            return stopped();
        }
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
        let log = self.read(assignment.key()).await;
        log.is_ok_and(|log| in_force(log.service(), assignment) && !holds(log.service(), assignment))
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
                    if !holds(log.service(), assignment) {
                        return in_force(log.service(), assignment);
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

    /// Records the result, and goes on from there: who dies in between leaves the message, which comes again to another.
    async fn record(&self, hint: &Hint, assignment: &Assignment, fact: Fact) -> Result<Verdict, Error> {
        const DOING: &str = "recording a result";
        let (deployment, task) = (assignment.deployment(), &assignment.task);
        let id = fact_id(deployment, task, deployment.state(task).claims, &fact);
        let message = Message::new(fact_subject(deployment, task, &fact), &id, &fact)?;
        let begun = Instant::now();
        loop {
            match append_once(&self.shared.journal, DOING, message.clone()).await {
                Ok(appended) => {
                    self.shared.options.reach(self.stage, Point::Recorded);
                    let at = if let Appended::At(sequence) = appended { sequence } else { 0 };
                    return self.go_on(hint, at).await;
                }
                // The task is done: as long as nobody else may have taken it over, its result is worth another try.
                Err(error) if error.retryable() && begun.elapsed() < ACK_WAIT => {
                    tracing::warn!(%error, "a result is not recorded yet");
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Derives from the log, once it has come to a sequence, what is due, and publishes what isn't there yet; says what to
    /// do with the message.
    async fn go_on(&self, hint: &Hint, sequence: u64) -> Result<Verdict, Error> {
        let mut log = self.read_to(&hint.key, sequence).await?;
        let (task, now) = (&hint.work.task, now());
        self.shared.journal.carry_out(&mut log, now).await?;
        let service = log.service();
        let state = service.state(&hint.work.deployment, task);
        let needed = service.needs(&hint.work, hint.sequence);
        if needed && matches!(&state.status, Status::Claimed { claim, .. } if claim.hint == hint.sequence) {
            return Ok(Verdict::Leave);
        }
        if !needed {
            return Ok(Verdict::Done);
        }
        // A failed attempt of a deployment that runs is repeated by the same message, after its backoff.
        let running = service.running().filter(|running| *running.id() == hint.work.deployment);
        let due = running.and_then(|running| running.due().into_iter().find(|due| due.task == *task));
        let backoff = due.map(|due| due.not_before.since(now)).filter(|wait| !wait.is_zero());
        Ok(Verdict::Later(backoff.map_or_else(|| hint.early(), |wait| wait.min(ACK_WAIT))))
    }
}

/// Whether the assignment's claim is the one that its task is done under, wanted or not.
fn in_force(service: &Service, assignment: &Assignment) -> bool {
    service.is_in_force(assignment.deployment().id(), &assignment.task, assignment.epoch.sequence)
}

/// Whether it is, and still wanted.
fn holds(service: &Service, assignment: &Assignment) -> bool {
    service.holds(assignment.deployment().id(), &assignment.task, assignment.epoch.sequence)
}

fn fact_subject(deployment: &Deployment, task: &Task, fact: &Fact) -> String {
    let (key, deployment) = (deployment.plan.key.clone(), deployment.id().clone());
    Subject::Fact { key, deployment, task: task.clone(), kind: fact.kind() }.to_string()
}

fn fact_id(deployment: &Deployment, task: &Task, attempt: u32, fact: &Fact) -> String {
    let host = task.host.as_ref().map_or("", |host| host.as_str());
    format!("{}/{}/{host}/{attempt}/{}", deployment.id(), task.stage, fact.kind().as_str())
}
