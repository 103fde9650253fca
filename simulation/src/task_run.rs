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

/// How long a message that came before its time is put off at first.
const EARLY: Duration = Duration::from_millis(250);

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
    hint: Delivery,
    begun: Timestamp,
}

/// What is done with the message in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// All that it asked for is in the journal.
    Done,
    /// It comes again after a while.
    Later(Duration),
    /// Another worker has the task by the same message, or may have: an answer would take it from them.
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
        let hint = bus.world.delivery(stage).await;
        TaskRun { bus: &bus, stage, slot, hint, begun: bus.world.now() }.run().await;
    }
}

impl TaskRun<'_> {
    async fn run(self) {
        let Delivery { sequence, work, delivered } = &self.hint;
        self.bus.say(|| format!("gets #{sequence}, {}, for the {delivered}. time", work.task));
        if *delivered > 1 {
            self.bus.world.count(Happening::Redelivered);
        }
        match self.verdict().await {
            Ok(Verdict::Done) => self.acknowledge(Ack::Done).await,
            Ok(Verdict::Later(wait)) => self.acknowledge(Ack::Later(wait)).await,
            Ok(Verdict::Leave) => self.bus.say(|| format!("leaves #{sequence} to others")),
            Err(Lost) if self.may_be_others() => {}
            Err(Lost) => self.acknowledge(Ack::Later(Duration::from_secs(1))).await,
        }
    }

    async fn acknowledge(&self, ack: Ack) {
        self.bus.acknowledge(self.stage, self.hint.sequence, ack).await;
    }

    /// Whether the message may have been delivered to another worker by now.
    fn may_be_others(&self) -> bool {
        self.bus.world.now().since(self.begun) >= ACK_WAIT
    }

    async fn verdict(&self) -> Result<Verdict, Lost> {
        let Delivery { sequence: hint, work, delivered } = &self.hint;
        let task = &work.task;
        // A message that was put off comes again after its time by the server's clock, whatever this machine's says.
        let now = if *delivered > 1 { Timestamp(u64::MAX) } else { self.bus.now() };
        loop {
            let log = self.bus.read().await?;
            let known = log.service.current.as_ref().filter(|current| *current.id() == work.deployment);
            let Some(current) = known else { return Ok(Verdict::Done) };
            let (expected, attempt, failure) = match current.permission(task, *hint, now) {
                Permission::Perform { expected, attempt } => (expected, attempt, None),
                Permission::Close { expected, attempt, failure } => (expected, attempt, Some(failure)),
                Permission::NotBefore(time) => return Ok(Verdict::Later(time.since(now).min(ACK_WAIT))),
                Permission::Taken => return Ok(Verdict::Later(ACK_WAIT / 2)),
                Permission::Nothing => return self.go_on().await,
            };
            let worker = self.bus.process.name.clone();
            let claim = Claim { attempt, worker, decision: log.service.last_decision, hint: *hint };
            let Some(sequence) = self.claim(current, &claim, expected).await? else { continue };
            let Some(assignment) = self.assignment(sequence).await? else { return self.go_on().await };
            self.bus.say(|| format!("has {task} by claim {sequence}, attempt {attempt}"));
            let ended = match failure {
                Some(failure) => {
                    self.bus.world.count(Happening::Closed);
                    Ended::Recordable(Fact::Failed { claim: sequence, failure })
                }
                None => self.perform(&assignment).await,
            };
            return match ended {
                Ended::Recordable(fact) => self.record(&assignment, fact).await,
                Ended::Lost if self.bus.world.has(Flaw::AckForOthers) => Ok(Verdict::Done),
                Ended::Lost => Ok(Verdict::Leave),
            };
        }
    }

    /// Appends a claim; none when another was faster. One whose answer was lost is known by its message's id, which no other
    /// claim has, be it of the same worker for the same message.
    async fn claim(&self, current: &Deployment, claim: &Claim, expected: u64) -> Result<Option<u64>, Lost> {
        let message =
            fact_message(current, &self.hint.work.task, claim.attempt, Fact::Claimed(claim.clone()));
        let unique = match self.bus.world.has(Flaw::ClaimsWithoutId) {
            true => 0,
            false => self.bus.world.draw(|chance, _| chance.below(usize::MAX)),
        };
        let id = format!("{}/{unique:x}", message.id);
        let message = Message { id, expecting: Some(expected), ..message };
        loop {
            let tried = async {
                match self.bus.append(std::slice::from_ref(&message)).await? {
                    Appended::At(sequence) => Ok(Some(sequence)),
                    Appended::Duplicate | Appended::Conflict => {
                        let last = self.bus.last(&message.subject).await?;
                        Ok(last.filter(|last| last.id == message.id).map(|last| last.sequence))
                    }
                }
            };
            match tried.await {
                // As long as nobody else may have been handed the message.
                Err(Lost) if self.bus.world.now().since(self.begun) < ACK_WAIT * 3 / 4 => {
                    self.bus.world.sleep(LOOK).await;
                }
                done => return done,
            }
        }
    }

    /// The claimed task, if the claim is in force: it is void when a decision has come between looking and claiming.
    async fn assignment(&self, claim: u64) -> Result<Option<Assignment>, Lost> {
        let service = self.bus.read().await?.service;
        let task = self.hint.work.task.clone();
        let Some(deployment) = service.current.clone() else { return Ok(None) };
        let is_ours = in_force(&deployment, &task, claim) || self.bus.world.has(Flaw::NoReadBack);
        Ok(is_ours.then_some(Assignment { task, claim, service, deployment }))
    }

    /// Does the task, saying all the time that it is alive, and looking whether it still should.
    async fn perform(&self, assignment: &Assignment) -> Ended {
        let claim = assignment.claim;
        let stopped = || {
            let failure = Failure::lasting("stopped, as the deployment is taken back");
            Ended::Recordable(Fact::Failed { claim, failure })
        };
        // What it was claimed for may be over by now; the claim is in force, and has to be closed.
        if !assignment.deployment.holds(&assignment.task, claim) && !self.bus.world.has(Flaw::NoReadBack) {
            return stopped();
        }
        let holder = (self.bus.process.name.clone(), self.slot);
        let held = self.bus.world.watch.borrow_mut().begins(assignment, holder);
        self.bus.world.hold(held);
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
                self.acknowledge(Ack::Progress).await;
                told = world.now();
            }
        }
    }

    /// Records the result together with the work that follows from it.
    async fn record(&self, assignment: &Assignment, fact: Fact) -> Result<Verdict, Lost> {
        let (deployment, task) = (&assignment.deployment, &assignment.task);
        if self.bus.world.has(Flaw::AckEarly) {
            self.acknowledge(Ack::Done).await;
        }
        let message = fact_message(deployment, task, deployment.state(task).claims, fact.clone());
        let event = Event::Fact { deployment: deployment.id().clone(), task: task.clone(), fact };
        let begun = self.bus.world.now();
        loop {
            let tried = async {
                let log = self.bus.read().await?;
                self.bus.append_with_work(&log, message.clone(), event.clone()).await
            };
            match tried.await {
                Ok(_) => return self.go_on().await,
                // The task is done: as long as nobody else may have taken it over, its result is worth another try.
                Err(Lost) if self.bus.world.now().since(begun) < ACK_WAIT => self.bus.world.sleep(LOOK).await,
                Err(Lost) => return Err(Lost),
            }
        }
    }

    /// Derives from the log what is due and publishes what isn't there yet; says what to do with the message.
    async fn go_on(&self) -> Result<Verdict, Lost> {
        let log = self.bus.read().await?;
        let (task, now) = (&self.hint.work.task, self.bus.now());
        self.bus.carry_out(&log).await?;
        let running = log.service.running().filter(|running| *running.id() == self.hint.work.deployment);
        let Some(current) = running else { return Ok(Verdict::Done) };
        // Whoever has the task now needs the message that the claim was made for: an acknowledgement counts for every
        // delivery of a message.
        let state = current.state(task);
        if matches!(&state.status, Status::Claimed { claim, .. } if claim.hint == self.hint.sequence) {
            let flawed = self.bus.world.has(Flaw::AckForOthers);
            return Ok(if flawed { Verdict::Done } else { Verdict::Leave });
        }
        if !current.needs(task, self.hint.sequence) {
            return Ok(Verdict::Done);
        }
        // A failed attempt is repeated by the same message, after its backoff. What isn't due yet was published together
        // with an entry from which it seemed to follow, but others were stored in between; it isn't published twice.
        let due = current.due().into_iter().find(|due| due.task == *task);
        let backoff = due.map(|due| due.not_before.since(now)).filter(|wait| !wait.is_zero());
        Ok(match backoff {
            None if self.bus.world.has(Flaw::EarlyIsForgotten) => Verdict::Done,
            backoff => Verdict::Later(backoff.map_or_else(|| self.early(), |wait| wait.min(ACK_WAIT))),
        })
    }

    /// How long a message is put off that came before its time.
    fn early(&self) -> Duration {
        EARLY * self.hint.delivered.clamp(1, 8)
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
