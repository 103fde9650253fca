//! One work message from its delivery to its acknowledgement: look, claim, read back, do, record, go on. In the words of
//! `cutover-bus`, step for step; each `await` is a place where the worker may be killed or stopped.

use std::time::Duration;

use cutover_core::{Claim, Deployment, Fact, Failure, Permission, Service, Stage, Status, Timestamp};

use crate::Flaw;
use crate::assignment::{Assignment, is_owed};
use crate::bus::{Appended, Message};
use crate::consumer::{ACK_WAIT, Ack, Delivery};
use crate::journal::fact_message;
use crate::performer::perform;
use crate::process::{Connection, Lost};
use crate::tally::Happening;
use crate::world::{First, race};

/// How often a worker that has a task looks whether it still should.
const LOOK: Duration = Duration::from_millis(500);

/// How long a message that came before its time is put off at first.
const EARLY: Duration = Duration::from_millis(250);

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
        let Delivery { sequence, work, delivered, .. } = &self.hint;
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
        let Delivery { sequence: hint, work, .. } = &self.hint;
        let task = &work.task;
        loop {
            let log = self.bus.read().await?;
            let Some(deployment) = log.service.deployment(&work.deployment) else { return Ok(Verdict::Done) };
            let now = self.now(&log.service);
            let (expected, attempt, failure) = match self.permission(&log.service, now) {
                Permission::Perform { expected, attempt } => (expected, attempt, None),
                Permission::Close { expected, attempt, failure } => (expected, attempt, Some(failure)),
                Permission::NotBefore(time) => return Ok(Verdict::Later(time.since(now).min(ACK_WAIT))),
                Permission::NotNow => return Ok(Verdict::Later(ACK_WAIT / 2)),
                Permission::Nothing => return self.go_on().await,
            };
            let worker = self.bus.process.name.clone();
            let claim = Claim { attempt, worker, decision: log.service.last_decision, hint: *hint };
            let Some(sequence) = self.claim(deployment, &claim, expected).await? else { continue };
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

    /// The time that the task's own times are compared with. A task of a deployment that runs was put off by its own backoff,
    /// and comes again after that by the server's clock, whatever this machine's says. What is owed may be due in hours, and
    /// was published once it was due: only a clock says so, the server's at the latest.
    fn now(&self, service: &Service) -> Timestamp {
        let runs = service.running().is_some_and(|running| *running.id() == self.hint.work.deployment);
        if self.hint.delivered > 1 && (runs || self.bus.world.has(Flaw::RedeliveredIsDue)) {
            return Timestamp(u64::MAX);
        }
        self.bus.now().max(self.hint.published)
    }

    fn permission(&self, service: &Service, now: Timestamp) -> Permission {
        let Delivery { sequence, work, .. } = &self.hint;
        let permission = service.permission(work, *sequence, now);
        let flawed =
            self.bus.world.has(Flaw::OwedWorkAnyTime) && is_owed(service, &work.deployment, &work.task);
        if permission == Permission::NotNow && flawed && service.running().is_some() {
            let state = service.state(&work.deployment, &work.task);
            return Permission::Perform { expected: state.last_claim, attempt: state.claims + 1 };
        }
        permission
    }

    /// Appends a claim; none when another was faster. One whose answer was lost is known by its message's id, which no other
    /// claim has, be it of the same worker for the same message.
    async fn claim(
        &self,
        deployment: &Deployment,
        claim: &Claim,
        expected: u64,
    ) -> Result<Option<u64>, Lost> {
        let (task, fact) = (&self.hint.work.task, Fact::Claimed(claim.clone()));
        let message = fact_message(deployment.id(), task, claim.attempt, fact);
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
        let Some(deployment) = service.assigned(&self.hint.work.deployment, &task) else { return Ok(None) };
        let assignment = Assignment { task, claim, service, deployment };
        Ok((assignment.is_in_force(&assignment.service) || self.is_blind(&assignment)).then_some(assignment))
    }

    /// Whether the worker doesn't look whether its claim is in force: a mistake.
    fn is_blind(&self, assignment: &Assignment) -> bool {
        self.bus.world.has(Flaw::NoReadBack)
            || (self.bus.world.has(Flaw::CoolBlindly) && assignment.task.stage == Stage::Cool)
            || (self.bus.world.has(Flaw::OwedWorkAnyTime) && assignment.is_owed())
    }

    /// Does the task, saying all the time that it is alive, and looking whether it still should.
    async fn perform(&self, assignment: &Assignment) -> Ended {
        let claim = assignment.claim;
        let stopped = || {
            let failure = Failure::lasting("stopped, as the deployment is taken back");
            Ended::Recordable(Fact::Failed { claim, failure })
        };
        // What it was claimed for may be over by now; the claim is in force, and has to be closed.
        if !assignment.holds(&assignment.service) && !self.is_blind(assignment) {
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
        assignment.is_in_force(&log.service) && !assignment.holds(&log.service)
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
                if !assignment.holds(&log.service) && !self.is_blind(assignment) {
                    return assignment.is_in_force(&log.service);
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

    /// Records the result, and goes on from there.
    async fn record(&self, assignment: &Assignment, fact: Fact) -> Result<Verdict, Lost> {
        let (deployment, task) = (&assignment.deployment, &assignment.task);
        let owed_early = self.bus.world.has(Flaw::AckOwedEarly) && assignment.is_owed();
        if self.bus.world.has(Flaw::AckEarly) || owed_early {
            self.acknowledge(Ack::Done).await;
        }
        let message = fact_message(deployment.id(), task, deployment.state(task).claims, fact);
        let begun = self.bus.world.now();
        loop {
            match self.bus.append(std::slice::from_ref(&message)).await {
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
        let (Delivery { sequence: hint, work, .. }, now) = (&self.hint, self.bus.now());
        self.bus.carry_out(&log, now).await?;
        if !log.service.needs(work, *hint) {
            return Ok(Verdict::Done);
        }
        // Whoever has the task now needs the message that the claim was made for: an acknowledgement counts for every
        // delivery of a message.
        let state = log.service.state(&work.deployment, &work.task);
        if matches!(&state.status, Status::Claimed { claim, .. } if claim.hint == *hint) {
            let flawed = self.bus.world.has(Flaw::AckForOthers);
            return Ok(if flawed { Verdict::Done } else { Verdict::Leave });
        }
        // A failed attempt of a deployment that runs is repeated by the same message, after its backoff. What isn't due yet
        // was published together with an entry from which it seemed to follow, but others were stored in between; it isn't
        // published twice.
        let running = log.service.running().filter(|running| *running.id() == work.deployment);
        let due = running.and_then(|running| running.due().into_iter().find(|due| due.task == work.task));
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
