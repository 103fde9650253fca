//! A journal, its work messages and its hosts, and all that may happen to them.

use std::time::Duration;

use cutover_core::{
    Applied, Deployment, DeploymentId, Event, Fact, Failure, KeptRelease, Permission, Plan, Service, Span,
    Stage, Status, Task, Timestamp, Work,
};

use crate::hosts::{Hosts, Went};
use crate::journal::{Journal, host_name, keeping_warm, output, plan, rollback, warm_rollback};
use crate::messages::Messages;

/// What may happen next; the number picks the task.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A worker gets a message.
    Deliver(usize),
    /// A worker gets a message, looks what it may do, and falls asleep.
    Look(usize),
    /// One that was asleep claims what it might do then.
    LateClaim(usize),
    Finish(usize),
    Fail(usize),
    /// A task fails for good whose failure is a debt, or what is owed already.
    FailLate(usize),
    Stumble(usize),
    /// The worker is gone, or is thought to be, and its message is delivered again.
    Crash(usize),
    /// A claim by somebody who has not read the journal to its end: of what is settled, or with no decision seen.
    StaleClaim(usize),
    /// The same of what is owed: while a deployment runs, with no decision seen, or for a message of an attempt that is over.
    VoidClaim(usize),
    /// An earlier fact is published again.
    Repeat(usize),
    Abort,
    Replay(usize),
    Accept(usize),
    WarmRollback(usize),
    Forgive(usize),
    Snapshot,
    Wait(u64),
}

/// A task, and whose it is.
pub type Whose = (DeploymentId, Task);

/// All tasks that a deployment may ever have.
fn all_tasks(deployment: &Deployment) -> Vec<Whose> {
    let plan = &deployment.plan;
    let later = [Stage::Cool, Stage::Restore, Stage::Discard].into_iter();
    let tasks = plan.tasks().chain(later.flat_map(|stage| plan.tasks_of(stage)));
    tasks.map(|task| (deployment.id().clone(), task)).collect()
}

/// The deployments that anything may happen to.
pub fn known(service: &Service) -> impl Iterator<Item = &Deployment> {
    service.current.iter().chain(&service.owing)
}

fn pick<T: Clone>(items: &[T], number: usize) -> Option<T> {
    items.get(number.checked_rem(items.len())?).cloned()
}

/// A random walk so far.
#[derive(Clone)]
pub struct Walk {
    pub journal: Journal,
    pub hosts: Hosts,
    pub messages: Messages,
    pub snapshots: Vec<Service>,
    asleep: Vec<Asleep>,
}

/// A worker that has looked, and has not claimed yet.
#[derive(Clone)]
struct Asleep {
    work: Work,
    hint: u64,
    permission: Permission,
    /// The last decision that it has seen.
    decision: u64,
}

impl Walk {
    pub fn new() -> Self {
        let journal = Journal::with(keeping_warm(plan(1, &["a", "b"]), Span::seconds(600)));
        let (hosts, messages) = (Hosts::default(), Messages::default());
        Self { journal, hosts, messages, snapshots: Vec::new(), asleep: Vec::new() }
    }

    pub fn service(&self) -> &Service {
        &self.journal.service
    }

    pub fn all(&self) -> Vec<Whose> {
        known(self.service()).flat_map(all_tasks).collect()
    }

    pub fn open(&self) -> Vec<Whose> {
        let is_open = |(id, task): &Whose| self.service().state(id, task).is_open();
        self.all().into_iter().filter(is_open).collect()
    }

    /// The message that an open task was claimed for.
    fn hint(&self, id: &DeploymentId, task: &Task) -> Option<u64> {
        match self.service().state(id, task).status {
            Status::Claimed { claim, .. } => Some(claim.hint),
            _ => None,
        }
    }

    fn publish(&mut self) {
        let service = self.journal.service.clone();
        self.messages.publish(&mut self.journal, &service);
    }

    pub fn take(&mut self, step: Step) {
        match step {
            Step::Deliver(number) => {
                if let Some((work, hint)) = self.any_message(number) {
                    self.deliver(&work, hint);
                }
            }
            Step::Look(number) => {
                if let Some((work, hint)) = self.any_message(number) {
                    let (permission, decision) = (self.permission(&work, hint), self.service().last_decision);
                    self.asleep.push(Asleep { work, hint, permission, decision });
                }
            }
            Step::LateClaim(number) => {
                if let Some(index) = number.checked_rem(self.asleep.len()) {
                    let asleep = self.asleep.swap_remove(index);
                    self.late_claim(&asleep);
                }
            }
            Step::Finish(number) => {
                if let Some(open) = pick(&self.open(), number) {
                    self.finish(&open);
                }
            }
            Step::Fail(number) | Step::FailLate(number) | Step::Stumble(number) => {
                let mut open = self.open();
                open.retain(|(_, task)| !matches!(step, Step::FailLate(_)) || task.stage >= Stage::Retire);
                if let Some((id, task)) = pick(&open, number) {
                    self.half(number, &id, &task);
                    let retry = matches!(step, Step::Stumble(_));
                    self.fail(&id, &task, Failure { retry, ..Failure::lasting("broken") });
                }
            }
            Step::Crash(number) => {
                if let Some(open) = pick(&self.open(), number) {
                    self.crash(number, &open);
                }
            }
            Step::StaleClaim(number) => self.stale_claim(&self.all(), number),
            Step::VoidClaim(number) => {
                let owed = self.service().obligations.iter();
                let owed = owed.map(|owed| (owed.deployment.clone(), owed.task.clone()));
                self.stale_claim(&owed.collect::<Vec<_>>(), number);
            }
            Step::Repeat(number) => self.repeat(number),
            Step::Abort => drop(self.journal.abort()),
            Step::Replay(number) => {
                let from = pick(&Stage::ALL, number).filter(|stage| stage.is_planned());
                drop(self.journal.replay(from));
            }
            Step::Accept(number) => {
                let plan = self.some_plan(number);
                let _ = self.journal.accept(&plan);
            }
            Step::WarmRollback(number) => self.warm_rollback(number),
            Step::Forgive(number) => {
                let host = ["a", "b"][number % 2];
                if self.journal.forgive(host).is_ok() {
                    self.hosts.forgive(&host_name(host));
                }
            }
            Step::Snapshot => {
                if !self.service().snapshot_taken && self.service().running().is_none() {
                    self.snapshots.push(self.service().clone());
                    self.journal.append(Event::Snapshot).unwrap();
                }
            }
            Step::Wait(seconds) => {
                self.journal.now = self.journal.now.after(Duration::from_secs(seconds));
            }
        }
    }

    /// Somebody carries out what follows from the log, and a worker gets one of the messages that nobody works on.
    fn any_message(&mut self, number: usize) -> Option<(Work, u64)> {
        self.publish();
        let busy: Vec<u64> = self.open().iter().filter_map(|(id, task)| self.hint(id, task)).collect();
        let mut idle = self.messages.pending.clone();
        idle.retain(|(_, hint)| !busy.contains(hint));
        pick(&idle, number)
    }

    /// What a worker may do. The backoff of a deployment that runs is over when its message comes again.
    fn permission(&self, work: &Work, hint: u64) -> Permission {
        let runs = self.service().running().is_some_and(|running| *running.id() == work.deployment);
        let now = if runs { Timestamp(u64::MAX) } else { self.journal.now };
        self.service().permission(work, hint, now)
    }

    /// The server takes no claim that doesn't expect the last one; one that it takes is void if it has come too late.
    fn late_claim(&mut self, Asleep { work, hint, permission, decision }: &Asleep) {
        let (id, task) = (&work.deployment, &work.task);
        let (Permission::Perform { expected, .. } | Permission::Close { expected, .. }) = permission else {
            return;
        };
        let last = self.journal.claims.get(&(id.clone(), task.clone())).copied().unwrap_or_default();
        if last != *expected {
            return;
        }
        let claim = self.journal.claim_of_as(id, task, *decision, *hint);
        if !self.service().is_in_force(id, task, claim) {
            self.publish();
            self.messages.acknowledge(&self.journal.service, *hint);
        } else if let Permission::Close { failure, .. } = permission {
            self.fail(id, task, failure.clone());
        } else if !self.service().holds(id, task, claim) {
            self.fail(id, task, Failure::lasting("stopped"));
        }
    }

    /// What a worker does first that a message is delivered to.
    fn deliver(&mut self, work: &Work, hint: u64) {
        let (id, task) = (&work.deployment, &work.task);
        match self.permission(work, hint) {
            Permission::NotBefore(_) | Permission::NotNow => assert!(self.service().needs(work, hint)),
            Permission::Nothing => {
                self.publish();
                self.messages.acknowledge(&self.journal.service, hint);
            }
            Permission::Close { failure, .. } => {
                self.journal.claim_of_as(id, task, self.service().last_decision, hint);
                self.fail(id, task, failure);
            }
            permission @ Permission::Perform { .. } => {
                assert_eq!(permission, self.journal.next_claim(id, task), "{task} of {id}");
                let claim = self.journal.claim_of_as(id, task, self.service().last_decision, hint);
                assert!(self.service().holds(id, task, claim));
            }
        }
    }

    /// The worker does its work, and says so.
    fn finish(&mut self, (id, task): &Whose) {
        let (hint, claim) = (self.hint(id, task).unwrap(), self.service().state(id, task).in_force);
        match self.perform(id, task) {
            Went::Well => {
                assert_eq!(self.journal.finish_of(id, task, claim), Ok(Applied::Changed));
                self.messages.acknowledge(&self.journal.service, hint);
            }
            Went::Stale | Went::Refused => self.fail(id, task, Failure::passing("refused")),
        }
    }

    fn perform(&mut self, id: &DeploymentId, task: &Task) -> Went {
        let service = &self.journal.service;
        let went = self.hosts.perform(service, id, task, service.state(id, task).in_force);
        // What must be taken back first, or was taken over by a deployment that runs, can't be done.
        let mut in_the_way = service.obligations.iter().filter(|owed| owed.task.stage == Stage::Restore);
        let may_be_refused = task.host.as_ref().is_some_and(|host| self.hosts.is_forgiven(host))
            || service.running().is_some_and(|running| running.id() != id)
            || in_the_way.any(|owed| owed.host() == task.host.as_ref());
        assert!(went != Went::Refused || may_be_refused, "{task} of {id} is refused");
        went
    }

    fn fail(&mut self, id: &DeploymentId, task: &Task, failure: Failure) {
        let (hint, claim) = (self.hint(id, task).unwrap(), self.service().state(id, task).in_force);
        let failed = self.journal.fact_of(id, task, Fact::Failed { claim, failure });
        assert_eq!(failed, Ok(Applied::Changed));
        self.messages.acknowledge(&self.journal.service, hint);
    }

    /// Some workers have done their work before they fail or are gone.
    fn half(&mut self, number: usize, id: &DeploymentId, task: &Task) {
        if number % 4 < 2 {
            self.perform(id, task);
        }
    }

    /// Another worker goes on. Some workers are not gone, but slow: what they thought would follow is published.
    fn crash(&mut self, number: usize, (id, task): &Whose) {
        let (hint, claim) = (self.hint(id, task).unwrap(), self.service().state(id, task).in_force);
        self.half(number, id, task);
        let mut thought = self.service().clone();
        let finished = Fact::Finished { claim, output: output(id, task) };
        let event = Event::Fact { deployment: id.clone(), task: task.clone(), fact: finished.clone() };
        let (sequence, at) = (self.journal.sequence() + 1, self.journal.now);
        thought.apply(&cutover_core::Entry { sequence, at, event }).unwrap();
        let pending = self.messages.pending.iter().find(|(_, sequence)| *sequence == hint);
        let (work, _) = pending.unwrap_or_else(|| panic!("nobody will go on with {task} of {id}")).clone();
        assert!(self.service().needs(&work, hint));
        self.deliver(&work, hint);
        if number % 8 < 4 && self.service().state(id, task).in_force != claim {
            assert_eq!(self.journal.fact_of(id, task, finished), Ok(Applied::Nothing));
            self.messages.publish(&mut self.journal, &thought);
        }
    }

    fn stale_claim(&mut self, tasks: &[Whose], number: usize) {
        let Some((id, task)) = pick(tasks, number) else { return };
        let (service, last) = (self.service(), self.service().last_decision);
        let runs = service.running().is_some_and(|running| *running.id() == id);
        let owed = service.obligations.iter().find(|owed| owed.deployment == id && owed.task == task);
        let (decision, hint) = match owed {
            _ if runs => (if service.state(&id, &task).is_settled(task.stage) { last } else { 0 }, None),
            None => (last, None),
            Some(_) if service.running().is_some() => (last, None),
            Some(owed) if number.is_multiple_of(2) => (last, Some(owed.follows - 1)),
            Some(_) => (0, None),
        };
        let hint = hint.unwrap_or_else(|| self.journal.hint());
        // What is owed may become due meanwhile: its time is the same.
        let all = |walk: &Self| {
            let due = walk.journal.current().due().into_iter().map(|due| (due.task, due.not_before));
            let owed = walk.service().obligations.iter().map(|owed| (owed.task.clone(), owed.not_before()));
            (due.chain(owed).collect::<Vec<_>>(), walk.open())
        };
        let before = all(self);
        let claim = self.journal.claim_of_as(&id, &task, decision, hint);
        assert!(!self.service().holds(&id, &task, claim));
        assert_eq!(all(self), before);
    }

    fn repeat(&mut self, number: usize) {
        let Some(entry) = pick(&self.journal.entries, number) else { return };
        let before = self.service().clone();
        assert_eq!(self.journal.service.apply(&entry), Ok(Applied::Nothing));
        assert_eq!(*self.service(), before);
        if matches!(&entry.event, Event::Fact { fact, .. } if !matches!(fact, Fact::Claimed(_))) {
            assert_ne!(self.journal.append(entry.event), Ok(Applied::Changed));
            assert_eq!(Service { sequence: before.sequence, ..self.service().clone() }, before);
        }
    }

    /// A new deployment to both hosts or to one of them, or a rollback; of a release that keeps what it replaces warm, or not.
    fn some_plan(&self, number: usize) -> Plan {
        let hosts: &[&str] = match number % 8 {
            0 => &["a"],
            1 => &["b"],
            _ => &["a", "b"],
        };
        let kept = pick(&self.service().kept, number / 8);
        let plan = match kept {
            Some(kept) if (number / 8).is_multiple_of(4) => {
                Plan { release: kept.release, ..rollback(self.next(), 1, hosts) }
            }
            _ => plan(self.next(), hosts),
        };
        let warm = if (number / 64).is_multiple_of(4) { Span::default() } else { Span::seconds(600) };
        let mut plan = keeping_warm(plan, warm);
        plan.release.settings.retain = u32::try_from(number / 512 % 4).unwrap();
        plan
    }

    /// The number of the next deployment.
    fn next(&self) -> u8 {
        u8::try_from(self.service().history.len() + 2).unwrap()
    }

    /// Back to a kept release as if its replicas were warm: it is refused where they are not.
    fn warm_rollback(&mut self, number: usize) {
        let is_warm = |kept: &KeptRelease| self.service().warm_until(kept).is_some();
        let warm = self.service().kept.iter().find(|kept| is_warm(kept)).cloned();
        let kept = if number.is_multiple_of(4) { None } else { warm };
        let Some(kept) = kept.or_else(|| pick(&self.service().kept, number)) else { return };
        let may = is_warm(&kept) && self.service().running().is_none();
        let plan = warm_rollback(self.next(), &kept);
        assert_eq!(self.journal.accept(&plan).is_ok(), may);
    }

    /// Left alone with workers that do their work, it comes to its end, and everything that is owed is paid, by nothing but the
    /// messages that are there; in the end none is left.
    pub fn leave_alone(&mut self) {
        for _ in 0..200 {
            self.publish();
            for (work, hint) in self.messages.pending.clone() {
                self.deliver(&work, hint);
            }
            for open in self.open() {
                // The one before it may have paid it.
                if self.service().state(&open.0, &open.1).is_open() {
                    self.finish(&open);
                }
            }
            self.check();
            if self.service().running().is_none() && self.open().is_empty() {
                match self.journal.effects() {
                    (due, _) if !due.is_empty() => {}
                    (_, Some(wake)) => self.journal.now = wake,
                    (_, None) if self.messages.pending.is_empty() => break,
                    (_, None) => {}
                }
            }
        }
        assert!(self.service().running().is_none(), "it doesn't end");
        assert_eq!(self.service().obligations, []);
        assert_eq!(self.messages.pending, [], "never acknowledged");
        self.hosts.check_paid();
    }
}
