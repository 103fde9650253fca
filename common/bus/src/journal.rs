//! The journal: reading it, and taking decisions in it.

use std::collections::BTreeSet;
use std::time::SystemTime;

use async_nats::HeaderMap;
use cutover_core::{
    Decision, Effect, Entry, Event, JournalId, Service, ServiceKey, Subject, Timestamp, Work,
};
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::append::{ANSWER_LIMIT, Appended, BATCH_LIMIT, Message, append};
use crate::bus::LOG;
use crate::{Bus, DecideError, Error, ServiceLog};

/// Entries read by one request.
const READ_LIMIT: u32 = 500;

/// A decision that loses the race this often is given up: somebody else decides faster than can be read.
const RACES: usize = 20;

/// The journal of a NATS server. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Journal {
    bus: Bus,
    id: JournalId,
}

/// A request for many messages at once (NATS ADR-31, batch direct get).
#[derive(Serialize)]
struct DirectGet<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
}

/// A message as it is stored.
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) content: bytes::Bytes,
}

impl Journal {
    pub(crate) const fn new(bus: Bus, id: JournalId) -> Self {
        Self { bus, id }
    }

    /// The journal's id.
    pub const fn id(&self) -> &JournalId {
        &self.id
    }

    /// The connection.
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Reads all that the journal says of a service.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a snapshot that can't be read.
    pub async fn service(&self, key: &ServiceKey) -> Result<ServiceLog, Error> {
        let snapshot = self.read(None, &Subject::State(key.clone()).to_string(), None).await?;
        let service = match snapshot.first() {
            Some(stored) => serde_json::from_slice::<Service>(&stored.content)
                .map(|service| Service { snapshot_taken: true, ..service })
                .map_err(|source| Error::Content { doing: "read", source })?,
            None => Service::default(),
        };
        let mut log =
            ServiceLog::new(key.clone(), service, snapshot.first().map_or(0, |stored| stored.sequence));
        self.catch_up(&mut log).await?;
        Ok(log)
    }

    /// Takes in what has come since.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn catch_up(&self, log: &mut ServiceLog) -> Result<bool, Error> {
        let filter = Subject::log_of(log.key());
        let mut changed = false;
        loop {
            let stored = self.read(Some(log.service().sequence + 1), &filter, Some(READ_LIMIT)).await?;
            let complete = stored.len() < READ_LIMIT as usize;
            for message in stored {
                changed |= log.take_in(&message.subject, message.sequence, message.at, &message.content);
            }
            if complete {
                break;
            }
        }
        let service = log.service();
        if !service.snapshot_taken
            && service.current.as_ref().is_some_and(|current| current.outcome().is_some())
        {
            let state = Subject::State(log.key().clone()).to_string();
            if let Some(stored) = self.read(None, &state, None).await?.first()
                && stored.sequence > log.service().sequence
            {
                log.snapshot_is_at(stored.sequence, stored.at);
            }
        }
        Ok(changed)
    }

    /// Takes a decision, if it may be taken, and publishes the work that follows from it. One writer wins: who loses the
    /// race reads again what has come, and decides on that.
    ///
    /// # Errors
    /// [`DecideError::Refused`] says why it can't be taken; `log` then holds what it was refused on.
    pub async fn decide(&self, log: &mut ServiceLog, decision: Decision) -> Result<(), DecideError> {
        let subject = Subject::Decisions(log.key().clone()).to_string();
        self.catch_up(log).await?;
        for _ in 0..RACES {
            log.service().check(&decision)?;
            let expected = log.service().last_decision;
            let id = format!("{}/{}/decision", decision.deployment(), expected);
            let message = Message::new(subject.clone(), &id, &decision)?.expecting(expected);
            let entry = Entry { sequence: log.next(), at: now(), event: Event::Decision(decision.clone()) };
            let mut messages = vec![message];
            messages.extend(self.predicted_work(log, &entry)?);
            let alone = messages.first().cloned();
            let mut appended = append(&self.bus.client, "taking a decision", messages).await?;
            if appended == Appended::Duplicate {
                appended = append(&self.bus.client, "taking a decision", alone.into_iter().collect()).await?;
            }
            self.catch_up(log).await?;
            // A decision that was stored, but whose answer was lost, looks like a conflict when it is sent again.
            if matches!(appended, Appended::At(_)) || log.last_decision_is(&decision) {
                self.carry_out(log).await?;
                return Ok(());
            }
        }
        Err(Error::Timeout { doing: "taking a decision", seconds: ANSWER_LIMIT.as_secs() }.into())
    }

    /// Does what follows from the state of a service: publishes the work that is due, writes the snapshot of an end.
    /// Doing it again does no harm: ids make it a duplicate.
    pub(crate) async fn carry_out(&self, log: &mut ServiceLog) -> Result<(), Error> {
        for effect in log.service().effects(now()) {
            let message = match &effect {
                Effect::Run(work) => work_message(log.key(), work)?,
                Effect::Snapshot => self.snapshot_message(log)?,
            };
            match append(&self.bus.client, "publishing what is due", vec![message]).await? {
                Appended::At(sequence) if effect == Effect::Snapshot => log.snapshot_is_at(sequence, now()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The work that would follow from an entry, so that it can be stored together with it.
    pub(crate) fn predicted_work(&self, log: &ServiceLog, entry: &Entry) -> Result<Vec<Message>, Error> {
        let mut next = log.service().clone();
        if next.apply(entry).is_err() {
            return Ok(Vec::new());
        }
        next.effects(now())
            .iter()
            .filter_map(|effect| match effect {
                Effect::Run(work) => Some(work_message(log.key(), work)),
                Effect::Snapshot => None,
            })
            .take(BATCH_LIMIT)
            .collect()
    }

    fn snapshot_message(&self, log: &ServiceLog) -> Result<Message, Error> {
        let service = log.service();
        let state = service.current.as_ref().map_or_else(String::new, |deployment| {
            format!("{}/{}/{}", deployment.id(), deployment.round, service.last_decision)
        });
        let subject = Subject::State(log.key().clone()).to_string();
        Ok(Message::new(subject, &format!("{state}/snapshot"), service)?.expecting(log.snapshot()))
    }

    /// Every service that the journal knows.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn services(&self) -> Result<Vec<ServiceKey>, Error> {
        let failed = |message: String| Error::Request { doing: "listing services", message };
        let stream = self.bus.jetstream.get_stream(LOG).await.map_err(|error| failed(error.to_string()))?;
        let subjects = stream
            .info_with_subjects("cutover.log.*.*.decisions")
            .await
            .map_err(|error| failed(error.to_string()))?;
        let keys: BTreeSet<ServiceKey> = subjects
            .map(|subject| subject.map(|(subject, _)| subject))
            .map_err(|error| failed(error.to_string()))
            .try_filter_map(async |subject| {
                Ok(subject.parse::<Subject>().ok().map(|subject| subject.key().clone()))
            })
            .try_collect()
            .await?;
        Ok(keys.into_iter().collect())
    }

    /// Reads stored messages: the last of a subject, or many from a sequence on that match a filter.
    async fn read(
        &self,
        from: Option<u64>,
        subjects: &str,
        batch: Option<u32>,
    ) -> Result<Vec<Stored>, Error> {
        const DOING: &str = "reading the journal";
        let failed = |message: String| Error::Request { doing: DOING, message };
        let request = DirectGet {
            seq: from,
            next_by_subj: from.map(|_| subjects),
            last_by_subj: from.is_none().then_some(subjects),
            batch,
        };
        let payload =
            serde_json::to_vec(&request).map_err(|source| Error::Content { doing: "written", source })?;
        let inbox = self.bus.client.new_inbox();
        let mut answers =
            self.bus.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        self.bus
            .client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{LOG}"), inbox, payload.into())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut stored = Vec::new();
        let timeout = || Error::Timeout { doing: DOING, seconds: ANSWER_LIMIT.as_secs() };
        while let Some(answer) =
            tokio::time::timeout(ANSWER_LIMIT, answers.next()).await.map_err(|_| timeout())?
        {
            match answer.status.map(|status| status.as_u16()) {
                // End of the batch; nothing found.
                Some(204 | 404) => break,
                Some(503) => return Err(Error::NotSetUp),
                Some(status) => {
                    let description = answer.description.as_deref().unwrap_or_default().to_owned();
                    return Err(Error::JetStream { doing: DOING, code: u64::from(status), description });
                }
                None => {
                    stored.push(message(answer.headers.as_ref(), answer.payload).ok_or_else(|| {
                        failed("an answer without the headers of a stored message".to_owned())
                    })?)
                }
            }
            if batch.is_none() {
                break;
            }
        }
        Ok(stored)
    }
}

fn message(headers: Option<&HeaderMap>, content: bytes::Bytes) -> Option<Stored> {
    let header = |name: &str| headers?.get(name).map(|value| value.as_str().to_owned());
    let at = humantime::parse_rfc3339(&header("Nats-Time-Stamp")?).ok()?;
    Some(Stored {
        subject: header("Nats-Subject")?,
        sequence: header("Nats-Sequence")?.parse().ok()?,
        at: timestamp(at),
        content,
    })
}

fn work_message(key: &ServiceKey, work: &Work) -> Result<Message, Error> {
    let host = work.task.host.as_ref().map_or("", |host| host.as_str());
    let id = format!("{}/{}/{host}/{}/run", work.deployment, work.task.stage, work.attempt);
    Message::new(Subject::Run { stage: work.task.stage, key: key.clone() }.to_string(), &id, work)
}

fn timestamp(time: SystemTime) -> Timestamp {
    let elapsed = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(elapsed)
}

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}
