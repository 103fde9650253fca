//! The journal as programs use it: decisions, and what follows from the state of a service. In the words of `cutover-bus`.

use cutover_core::{
    Decision, Effect, Entry, Event, Refused, Service, ServiceKey, Stage, Subject, Task, Work,
};

use crate::Flaw;
use crate::bus::{Appended, Content, Message};
use crate::plans;
use crate::process::{Connection, Log, Lost};

/// A decision that loses the race this often is given up.
const RACES: usize = 20;

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
    pub(crate) async fn decide(&self, decision: Decision) -> Result<(), DecideError> {
        let subject = Subject::Decisions(plans::key()).to_string();
        let mut log = self.read().await?;
        for _ in 0..RACES {
            log.service.check(&decision).map_err(DecideError::Refused)?;
            let expected = log.service.last_decision;
            let message = Message {
                subject: subject.clone(),
                id: format!("{}/{expected}/decision", decision.deployment()),
                expecting: Some(expected),
                content: Content::Entry(Event::Decision(decision.clone())),
            };
            let event = Event::Decision(decision.clone());
            let mut messages = vec![message.clone()];
            messages.extend(self.predicted_work(&log, event));
            let mut appended = self.append(&messages).await?;
            if appended == Appended::Duplicate && messages.len() > 1 {
                appended = self.append(&[message]).await?;
            }
            log = self.read().await?;
            if self.was_taken(appended, &decision) {
                return Ok(self.carry_out(&log).await?);
            }
        }
        Err(DecideError::Lost)
    }

    /// Whether a decision is in force. Stored is not taken: a fact may have come before it that forbids it, such as the
    /// end. And one that was stored, but whose answer was lost, looks like a conflict when it is sent again.
    fn was_taken(&self, appended: Appended, decision: &Decision) -> bool {
        let bus = self.world.bus.borrow();
        match appended {
            Appended::At(_) if self.world.has(Flaw::StoredIsTaken) => true,
            Appended::At(sequence) => !bus.illegal.contains(&sequence),
            Appended::Duplicate | Appended::Conflict => {
                let legal = bus.entries.iter().rev().filter(|entry| !bus.illegal.contains(&entry.sequence));
                let mut decisions = legal.filter_map(|entry| match &entry.event {
                    Event::Decision(decision) => Some(decision),
                    Event::Fact { .. } | Event::Snapshot => None,
                });
                decisions.next() == Some(decision)
            }
        }
    }

    /// Does what follows from the state of a service: publishes the work that is due, writes the snapshot of an end.
    /// Doing it again does no harm: ids make it a duplicate.
    pub(crate) async fn carry_out(&self, log: &Log) -> Result<(), Lost> {
        for effect in log.service.effects(self.now()) {
            match effect {
                Effect::Run(work) => drop(self.append(&[self.work_message(&log.service, work)]).await?),
                Effect::Snapshot if log.snapshot_taken => {}
                Effect::Snapshot => {
                    if let Appended::At(sequence) = self.append(&[snapshot_message(log)]).await? {
                        self.snapshot_is_at(sequence);
                    }
                }
            }
        }
        Ok(())
    }

    /// The work that would follow from an entry, so that it can be stored together with it.
    pub(crate) fn predicted_work(&self, log: &Log, event: Event) -> Vec<Message> {
        let mut next = Service::clone(&log.service);
        let entry = Entry { sequence: next.sequence + 1, at: self.now(), event };
        if next.apply(&entry).is_err() {
            return Vec::new();
        }
        let effects = next.effects(self.now()).into_iter();
        let work = effects.filter_map(|effect| match effect {
            Effect::Run(work) => Some(self.work_message(&next, work)),
            Effect::Snapshot => None,
        });
        work.collect()
    }

    fn work_message(&self, service: &Service, work: Work) -> Message {
        let round = service.current.as_ref().map_or(0, |current| current.round);
        let round = if self.world.has(Flaw::WorkIdWithoutRound) { 0 } else { round };
        let task = task_id(&work.task);
        Message {
            subject: Subject::Run { stage: work.task.stage, key: plans::key() }.to_string(),
            id: format!("{}/{round}/{task}/{}/run", work.deployment, work.attempt),
            expecting: None,
            content: Content::Work(work),
        }
    }
}

fn snapshot_message(log: &Log) -> Message {
    let decision = log.service.last_decision;
    let current = log.service.current.as_ref();
    let state = current.map(|current| format!("{}/{}/{decision}", current.id(), current.round));
    Message {
        subject: Subject::State(plans::key()).to_string(),
        id: format!("{}/snapshot", state.unwrap_or_default()),
        expecting: Some(log.snapshot),
        content: Content::Snapshot(std::rc::Rc::clone(&log.service)),
    }
}

/// A task in message ids: `boot/h1`.
pub(crate) fn task_id(task: &Task) -> String {
    let host = task.host.as_ref().map_or("", |host| host.as_str());
    format!("{}/{host}", task.stage)
}

/// A work message that nobody has derived from the log.
pub(crate) fn forged(key: &ServiceKey, stage: Stage, id: String, work: Work) -> Message {
    let subject = Subject::Run { stage, key: key.clone() }.to_string();
    Message { subject, id, expecting: None, content: Content::Work(work) }
}
