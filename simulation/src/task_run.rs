//! One work message from its delivery to its acknowledgement: look, claim, read back, do, record, go on. In the words of
//! `cutover-bus`, step for step; each `await` is a place where the worker may be killed or stopped.

use std::rc::Rc;
use std::time::Duration;

use cutover_core::{
    Claim, Deployment, Event, Fact, FactKind, Failure, Permission, Service, Stage, Status, Subject, Task,
    Timestamp,
};

use crate::bus::{Appended, Content, Message};
use crate::consumer::{ACK_WAIT, Ack, Delivery};
use crate::journal::task_id;
use crate::performer::perform;
use crate::process::{Connection, Lost};
use crate::tally::Happening;
use crate::world::{First, race};
use crate::{Flaw, plans};

/// How often a worker that has a task looks whether it still should.
const LOOK: Duration = Duration::from_millis(500);

/// How long a message is put off whose task is not due yet.
const EARLY: Duration = Duration::from_secs(1);

/// A claimed task, and all that the journal says around it.
pub(crate) struct Assignment {
    pub(crate) task: Task,
    /// The claim's sequence: the epoch of all that is done for it.
    pub(crate) claim: u64,
    pub(crate) service: Rc<Service>,
    pub(crate) deployment: Deployment,
}

/// A work message in a slot.
struct TaskRun<'a> {
    bus: &'a Connection,
    stage: Stage,
    slot: usize,
    delivery: Delivery,
}

/// What is done with the message in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// All that it asked for is in the journal.
    Done,
    /// It comes again after a while.
    Later(Duration),
    /// It is another worker's by now, or will be: nothing is said of it.
    Leave,
}

/// How the work on a claimed task ended.
enum Ended {
    /// With a result to record.
    Recordable(Fact),
    /// The claim is not ours any more: nothing to record.
    Lost,
}

/// Takes one message after the other, for ever.
pub(crate) async fn slot(bus: Connection, stage: Stage, slot: usize) {
    loop {
        let delivery = bus.world.delivery(stage).await;
        TaskRun { bus: &bus, stage, slot, delivery }.run().await;
    }
}

impl TaskRun<'_> {
    async fn run(self) {
        let message = self.delivery.sequence;
        self.bus.say(|| {
            format!("gets #{message}, {}, for the {}. time", self.delivery.work.task, self.delivery.delivered)
        });
        if self.delivery.delivered > 1 {
            self.bus.world.count(Happening::Redelivered);
        }
        match self.verdict().await {
            Ok(Verdict::Done) => self.bus.acknowledge(self.stage, message, Ack::Done).await,
            Ok(Verdict::Later(wait)) => self.bus.acknowledge(self.stage, message, Ack::Later(wait)).await,
            Ok(Verdict::Leave) => self.bus.say(|| format!("leaves #{message} to another")),
            Err(Lost) => {
                self.bus.acknowledge(self.stage, message, Ack::Later(Duration::from_secs(1))).await;
            }
        }
    }

    async fn verdict(&self) -> Result<Verdict, Lost> {
        let (hint, work) = (self.delivery.sequence, &self.delivery.work);
        // A message that was put off comes again after its time by the server's clock, whatever this machine's says.
        let now = if self.delivery.delivered > 1 { Timestamp(u64::MAX) } else { self.bus.now() };
        loop {
            let log = self.bus.read().await?;
            let running = log.service.current.as_ref().filter(|current| *current.id() == work.deployment);
            let Some(current) = running else { return Ok(Verdict::Done) };
            let (expected, attempt, failure) = match current.permission(&work.task, hint, now) {
                Permission::Perform { expected, attempt } => (expected, attempt, None),
                Permission::Close { expected, attempt, failure } => (expected, attempt, Some(failure)),
                Permission::NotBefore(time) => return Ok(Verdict::Later(time.since(now).min(ACK_WAIT))),
                Permission::Taken => return Ok(Verdict::Later(ACK_WAIT / 2)),
                Permission::Nothing => return self.go_on(&work.task).await,
            };
            let claim = Claim { attempt, worker: self.name(), decision: log.service.last_decision, hint };
            let Some(sequence) = self.claim(current, &work.task, &claim, expected).await? else { continue };
            let Some(assignment) = self.assignment(&work.task, sequence, failure.is_some()).await? else {
                return self.go_on(&work.task).await;
            };
            self.bus.say(|| format!("has {} by claim {sequence}, attempt {attempt}", work.task));
            let ended = match failure {
                Some(failure) => {
                    self.bus.world.count(Happening::Closed);
                    Ended::Recordable(Fact::Failed { claim: sequence, failure })
                }
                None => self.perform(&assignment).await,
            };
            return match ended {
                Ended::Recordable(fact) => self.record(&assignment, fact).await,
                Ended::Lost => self.go_on(&work.task).await,
            };
        }
    }

    /// The worker's name in claims: no two slots share one.
    fn name(&self) -> String {
        let process = &self.bus.process.name;
        if self.bus.world.has(Flaw::SlotsWithoutName) {
            process.clone()
        } else {
            format!("{process}/{}", self.slot)
        }
    }

    /// Appends a claim; none when another was faster.
    async fn claim(
        &self,
        current: &Deployment,
        task: &Task,
        claim: &Claim,
        expected: u64,
    ) -> Result<Option<u64>, Lost> {
        let message = fact_message(current, task, claim.attempt, Fact::Claimed(claim.clone()));
        let message = Message { expecting: Some(expected), ..message };
        match self.bus.append(&[message]).await? {
            Appended::At(sequence) => Ok(Some(sequence)),
            Appended::Duplicate | Appended::Conflict => {
                // A claim whose answer was lost is found in the log.
                let log = self.bus.read().await?;
                let state =
                    log.service.current.as_ref().map(|current| current.state(task)).unwrap_or_default();
                let ours = matches!(&state.status, Status::Claimed { claim: stored, .. } if stored == claim);
                Ok(ours.then_some(state.in_force))
            }
        }
    }

    /// The claimed task, if the claim is in force: an abort may have come between looking and claiming.
    async fn assignment(&self, task: &Task, claim: u64, closing: bool) -> Result<Option<Assignment>, Lost> {
        let service = self.bus.read().await?.service;
        let Some(deployment) = service.current.clone() else { return Ok(None) };
        let holds = deployment.holds(task, claim)
            || (closing && in_force(&deployment, task, claim))
            || self.bus.world.has(Flaw::NoReadBack);
        Ok(holds.then(|| Assignment { task: task.clone(), claim, service, deployment }))
    }

    /// Does the task, saying all the time that it is alive, and looking whether it still should.
    async fn perform(&self, assignment: &Assignment) -> Ended {
        let holder = (self.bus.process.name.clone(), self.slot);
        let held = self.bus.world.watch.borrow_mut().begins(assignment, holder);
        self.bus.world.hold(held);
        let claim = assignment.claim;
        let stopped = || {
            let failure = Failure::lasting("stopped, as the deployment is taken back");
            Ended::Recordable(Fact::Failed { claim, failure })
        };
        let ended = race(&self.bus.world, perform(self.bus, assignment), self.keep_claim(assignment)).await;
        match ended {
            First::Right(true) => stopped(),
            First::Right(false) => Ended::Lost,
            First::Left(Ok(output)) => Ended::Recordable(Fact::Finished { claim, output }),
            // What fails because it is being taken back, under its hands, is no cause of its own.
            First::Left(Err(_)) if self.is_taken_back(assignment).await => stopped(),
            First::Left(Err(failure)) => {
                self.bus.say(|| format!("fails at {}: {}", assignment.task, failure.message));
                Ended::Recordable(Fact::Failed { claim, failure })
            }
        }
    }

    /// Whether the journal says by now that the deployment is taken back, while the claim is still ours.
    async fn is_taken_back(&self, assignment: &Assignment) -> bool {
        let Ok(log) = self.bus.read().await else { return false };
        let (task, claim) = (&assignment.task, assignment.claim);
        let current = log.service.current.as_ref();
        current.is_some_and(|current| in_force(current, task, claim) && !current.holds(task, claim))
    }

    /// Returns once the task must be dropped: `true` when the deployment is taken back while the claim is still ours,
    /// `false` when the claim is lost, or may be, as the bus could not be reached for as long as a worker may be silent.
    async fn keep_claim(&self, assignment: &Assignment) -> bool {
        let world = &self.bus.world;
        let (mut reached, mut told) = (world.now(), world.now());
        loop {
            world.sleep(LOOK).await;
            let limit = world.sleep(ACK_WAIT / 4);
            if let First::Left(Ok(log)) = race(world, self.bus.read(), limit).await {
                reached = world.now();
                let Some(current) = &log.service.current else { return false };
                if !current.holds(&assignment.task, assignment.claim) {
                    return in_force(current, &assignment.task, assignment.claim);
                }
            }
            if world.now().since(reached) > ACK_WAIT * 3 / 4 {
                return false;
            }
            if world.now().since(told) >= ACK_WAIT / 4 {
                self.bus.acknowledge(self.stage, self.delivery.sequence, Ack::Progress).await;
                told = world.now();
            }
        }
    }

    /// Records the result together with the work that follows from it.
    async fn record(&self, assignment: &Assignment, fact: Fact) -> Result<Verdict, Lost> {
        let (deployment, task) = (&assignment.deployment, &assignment.task);
        if self.bus.world.has(Flaw::AckEarly) {
            self.bus.acknowledge(self.stage, self.delivery.sequence, Ack::Done).await;
        }
        let message = fact_message(deployment, task, deployment.state(task).claims, fact.clone());
        let log = self.bus.read().await?;
        let event = Event::Fact { deployment: deployment.id().clone(), task: task.clone(), fact };
        let mut messages = vec![message.clone()];
        messages.extend(self.bus.predicted_work(&log, event));
        let begun = self.bus.world.now();
        loop {
            // Work that another worker has published already makes the whole batch a duplicate: then the fact goes alone,
            // and what follows is derived from the log.
            let appended = match self.bus.append(&messages).await {
                Ok(Appended::Duplicate) => self.bus.append(std::slice::from_ref(&message)).await,
                other => other,
            };
            match appended {
                Ok(_) => return self.go_on(task).await,
                Err(Lost) if self.bus.world.now().since(begun) < ACK_WAIT => {
                    self.bus.world.sleep(LOOK).await;
                }
                Err(Lost) => return Err(Lost),
            }
        }
    }

    /// Derives from the log what is due and publishes what isn't there yet; says what to do with the message.
    async fn go_on(&self, task: &Task) -> Result<Verdict, Lost> {
        let log = self.bus.read().await?;
        self.bus.carry_out(&log).await?;
        let message = self.delivery.sequence;
        let Some(current) = log.service.running().filter(|current| current.needs(task, message)) else {
            return Ok(Verdict::Done);
        };
        // Whoever has the task now, or takes it over from us, needs the message that the claim was made for: an
        // acknowledgement counts for every delivery of a message.
        if let Status::Claimed { claim, .. } = &current.state(task).status {
            return Ok(match claim.hint == message {
                true if self.bus.world.has(Flaw::AckForOthers) => Verdict::Done,
                true => Verdict::Leave,
                false => Verdict::Later(ACK_WAIT / 2),
            });
        }
        // A failed attempt is repeated by the same message, after its backoff; what isn't due yet may be so soon, and its
        // message, once acknowledged, could not be published again.
        let due = current.due().into_iter().find(|due| due.task == *task);
        let wait = due.map_or(EARLY, |due| due.not_before.since(self.bus.now()).min(ACK_WAIT));
        let forget = self.bus.world.has(Flaw::EarlyIsForgotten) && (wait == EARLY || wait.is_zero());
        Ok(if forget { Verdict::Done } else { Verdict::Later(wait) })
    }
}

/// Whether a claim is the one that the task is done under, wanted or not.
fn in_force(deployment: &Deployment, task: &Task, claim: u64) -> bool {
    let state = deployment.state(task);
    state.is_open() && state.in_force == claim
}

fn fact_message(deployment: &Deployment, task: &Task, attempt: u32, fact: Fact) -> Message {
    let kind: FactKind = fact.kind();
    let subject =
        Subject::Fact { key: plans::key(), deployment: deployment.id().clone(), task: task.clone(), kind };
    Message {
        subject: subject.to_string(),
        id: format!("{}/{}/{attempt}/{}", deployment.id(), task_id(task), kind.as_str()),
        expecting: None,
        content: Content::Entry(Event::Fact {
            deployment: deployment.id().clone(),
            task: task.clone(),
            fact,
        }),
    }
}
