//! The journal as programs use it: decisions, and what follows from the state of a service. In the words of `cutover-bus`.

use std::rc::Rc;
use std::time::Duration;

use cutover_core::{
    Decision, Deployment, DeploymentId, Effect, Entry, Event, Fact, Refused, Service, ServiceKey, Stage,
    Subject, Task, Timestamp, Work,
};

use crate::Flaw;
use crate::bus::{Appended, Content, Message};
use crate::plans;
use crate::process::{Connection, Log, Lost};

/// How long a decision is tried: races that are lost, and a bus that can't serve.
const DECIDE_LIMIT: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

/// Why a decision was not taken, or may not have been.
#[derive(Clone, Debug)]
pub(crate) enum DecideError {
    Refused(Refused),
    Lost,
}

impl From<Lost> for DecideError {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl Connection {
    /// Takes a decision, if it may be taken, and publishes the work that follows from it. One writer wins: who loses the
    /// race reads again what has come, and decides on that.
    pub(crate) async fn decide(&self, decision: &Decision) -> Result<(), DecideError> {
        let begun = self.world.now();
        // From here on the log is searched for the decision: an earlier try may have stored it, though no answer came.
        let mut sent_after = None;
        loop {
            match self.try_to_decide(decision, &mut sent_after).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(DecideError::Lost) => self.world.sleep(AGAIN).await,
                Err(refused) => return Err(refused),
            }
            if self.world.now().since(begun) >= DECIDE_LIMIT {
                return Err(DecideError::Lost);
            }
        }
    }

    /// One try, from reading to writing; `true`: it is decided, `false`: another was faster.
    async fn try_to_decide(
        &self,
        decision: &Decision,
        sent_after: &mut Option<u64>,
    ) -> Result<bool, DecideError> {
        let log = self.read().await?;
        if let Some(sequence) = sent_after
            && self.is_decided(&log, decision, *sequence).await?
        {
            return Ok(true);
        }
        log.service.check(decision).map_err(DecideError::Refused)?;
        self.world.sleep(self.world.draw(|chance, odds| chance.millis(0, odds.hesitate.into()))).await;
        let expected = log.service.last_decision;
        let message = Message {
            subject: Subject::Decisions(plans::key()).to_string(),
            id: format!("{}/{expected}/decision", decision.deployment()),
            expecting: Some(expected),
            content: Content::Entry(Event::Decision(decision.clone())),
        };
        let sequence = *sent_after.get_or_insert(log.service.sequence);
        let appended = self.append_with_work(&log, message, decision).await?;
        if self.world.has(Flaw::StoredIsTaken) && matches!(appended, Appended::At(_)) {
            return Ok(true);
        }
        let log = self.read().await?;
        self.is_decided(&log, decision, sequence).await
    }

    /// Whether the decision is among the entries after a sequence, and what follows from it published. Stored is not taken:
    /// a fact may have come before it that forbids it, such as the end.
    async fn is_decided(&self, log: &Log, decision: &Decision, after: u64) -> Result<bool, DecideError> {
        let found = {
            let bus = self.world.bus.borrow();
            let read = bus.entries.iter().rev().take_while(|entry| entry.sequence > after);
            let mut read = read.filter(|entry| entry.sequence <= log.service.sequence);
            let is_it =
                |entry: &&Entry| matches!(&entry.event, Event::Decision(stored) if stored == decision);
            read.find(is_it).map(|entry| !bus.illegal.contains(&entry.sequence))
        };
        match found {
            None => Ok(false),
            Some(true) => {
                self.carry_out(log, self.now()).await?;
                Ok(true)
            }
            Some(false) => match log.service.check(decision) {
                Err(refused) => Err(DecideError::Refused(refused)),
                Ok(()) => Ok(false),
            },
        }
    }

    /// Appends a message that says `decision`, and with it, at once, the work that follows.
    async fn append_with_work(
        &self,
        log: &Log,
        message: Message,
        decision: &Decision,
    ) -> Result<Appended, Lost> {
        let mut next = Service::clone(&log.service);
        let event = Event::Decision(decision.clone());
        let entry = Entry { sequence: next.sequence + 1, at: self.now(), event };
        let work = match next.apply(&entry) {
            Ok(_) => self.unpublished(&next, &next.effects(self.now())),
            Err(_) => Vec::new(),
        };
        let messages: Vec<Message> = std::iter::once(message.clone()).chain(work.iter().cloned()).collect();
        let appended = self.append(&messages).await?;
        match (appended, &next.current) {
            // Work that another has published already makes the whole batch a duplicate: then the message goes alone, and
            // what follows is derived from the log.
            (Appended::Duplicate, _) if !work.is_empty() => return self.append(&[message]).await,
            (Appended::At(_), Some(deployment)) => {
                self.process.publishes(deployment, work.into_iter().map(|message| message.id));
            }
            _ => {}
        }
        Ok(appended)
    }

    /// Does what follows from the state of a service at a time: publishes the work that is due, writes the snapshot of an
    /// end, sees to it that somebody looks again. Doing it again does no harm: ids make it a duplicate.
    pub(crate) async fn carry_out(&self, log: &Log, now: Timestamp) -> Result<(), Lost> {
        let Some(deployment) = &log.service.current else { return Ok(()) };
        let effects = log.service.effects(now);
        for message in self.unpublished(&log.service, &effects) {
            self.append(std::slice::from_ref(&message)).await?;
            self.process.publishes(deployment, [message.id]);
        }
        if effects.contains(&Effect::Snapshot) && !log.snapshot_taken {
            self.write_snapshot(log).await?;
        }
        let wake = effects.iter().find_map(|effect| match effect {
            Effect::Wake(time) => Some(*time),
            Effect::Run(_) | Effect::Snapshot => None,
        });
        match wake {
            Some(time) => self.schedule(time).await,
            None => Ok(()),
        }
    }

    /// Writes what is known of a service after its last end, unless somebody has. Another may have written that of an earlier
    /// one in the meantime, having been asleep: then it is looked at again.
    async fn write_snapshot(&self, log: &Log) -> Result<(), Lost> {
        let decision = log.service.last_decision;
        let deployment = log.service.current.as_ref().map(Deployment::id);
        // The last decision has led to this end: there is one snapshot for each.
        let id = match deployment {
            Some(deployment) if self.world.has(Flaw::SnapshotOncePerDeployment) => {
                format!("{deployment}/snapshot")
            }
            _ => format!("{decision}/snapshot"),
        };
        loop {
            let last = self.last_snapshot().await?;
            if last.as_ref().is_some_and(|last| last.service.last_decision >= decision) {
                return Ok(());
            }
            let message = Message {
                subject: Subject::State(plans::key()).to_string(),
                id: id.clone(),
                expecting: Some(last.map_or(0, |last| last.sequence)),
                content: Content::Snapshot(Rc::clone(&log.service)),
            };
            if self.append(&[message]).await? != Appended::Conflict {
                return Ok(());
            }
        }
    }

    /// The work among effects that isn't known to be in the log.
    fn unpublished(&self, service: &Service, effects: &[Effect]) -> Vec<Message> {
        let work = effects.iter().filter_map(|effect| match effect {
            Effect::Run(work) => Some(self.work_message(service.deployment(&work.deployment)?, work)),
            Effect::Snapshot | Effect::Wake(_) => None,
        });
        work.filter(|message| !self.process.has_published(&message.id)).collect()
    }

    /// A work message. The round of the deployment that it is of is part of its id, by the decision before the one that began
    /// it: attempts are counted by claims, and work that was published but never claimed before an abort has the same number
    /// in the replay.
    fn work_message(&self, deployment: &Deployment, work: &Work) -> Message {
        let round = match self.world.has(Flaw::WorkIdWithoutRound) {
            true => 0,
            false if self.world.has(Flaw::WorkIdByRoundNumber) => u64::from(deployment.round),
            false => deployment.round_after,
        };
        let task = task_id(&work.task);
        Message {
            subject: Subject::Run { stage: work.task.stage, key: plans::key() }.to_string(),
            id: format!("{}/{task}/{round}.{}/run", work.deployment, work.attempt),
            expecting: None,
            content: Content::Work(work.clone()),
        }
    }
}

/// A task in message ids: `boot/h1`.
fn task_id(task: &Task) -> String {
    let host = task.host.as_ref().map_or("", |host| host.as_str());
    format!("{}/{host}", task.stage)
}

/// A fact of a task.
pub(crate) fn fact_message(deployment: &DeploymentId, task: &Task, attempt: u32, fact: Fact) -> Message {
    let kind = fact.kind();
    let subject =
        Subject::Fact { key: plans::key(), deployment: deployment.clone(), task: task.clone(), kind };
    Message {
        subject: subject.to_string(),
        id: format!("{deployment}/{}/{attempt}/{}", task_id(task), kind.as_str()),
        expecting: None,
        content: Content::Entry(Event::Fact { deployment: deployment.clone(), task: task.clone(), fact }),
    }
}

/// A work message that nobody has derived from the log.
pub(crate) fn forged(key: &ServiceKey, stage: Stage, id: String, work: Work) -> Message {
    let subject = Subject::Run { stage, key: key.clone() }.to_string();
    Message { subject, id, expecting: None, content: Content::Work(work) }
}
