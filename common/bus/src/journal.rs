//! The journal: taking decisions in it, and carrying out what follows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cutover_core::{
    Decision, Effect, Entry, Event, Illegal, JournalId, Service, ServiceKey, Subject, Timestamp, Work,
};
use cutover_telemetry::Metrics;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::append::{Appended, BATCH_LIMIT, Message, append, append_once};
use crate::duties::KEPT_DEPLOYMENTS;
use crate::published::work_id;
use crate::reading::Named;
use crate::service_log::Taken;
use crate::signature::Roster;
use crate::snapshots::Snapshots;
use crate::stored::{Stored, now};
use crate::{Bus, DecideError, Error, ServiceLog};

/// How long a decision is tried: races that are lost, and a bus that can't serve, such as in an election.
const DECIDE_LIMIT: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);
/// How often a snapshot is tried that something else comes before.
const SNAPSHOT_TRIES: usize = 10;
/// Work messages whose answers are waited for at once.
const IN_FLIGHT: usize = 32;
const DECIDING: &str = "taking a decision";

/// Which journal it is, and whose signatures it takes.
#[derive(Debug)]
struct Identity {
    id: JournalId,
    signers: RwLock<Signers>,
    named: Mutex<BTreeMap<ServiceKey, Named>>,
}

/// Whose signatures it takes, as it was read last.
#[derive(Debug)]
struct Signers {
    roster: Arc<Roster>,
    /// It was read after this sequence of the log was: it names all keys that have signed up to there.
    seen: u64,
}

/// The journal of a NATS server. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Journal {
    bus: Bus,
    identity: Arc<Identity>,
    metrics: Option<Arc<Metrics>>,
}

impl Journal {
    pub(crate) fn new(bus: Bus, id: JournalId, roster: Roster) -> Self {
        let signers = RwLock::new(Signers { roster: Arc::new(roster), seen: 0 });
        Self { bus, identity: Arc::new(Identity { id, signers, named: Mutex::default() }), metrics: None }
    }

    /// The same, which counts what it leaves out.
    pub(crate) fn counting(mut self, metrics: &Metrics) -> Self {
        self.metrics = Some(Arc::new(metrics.clone()));
        self
    }

    /// Whose signatures it takes.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        let signers = self.identity.signers.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&signers.roster)
    }

    /// The sequence of the log up to which the roster that is known names everybody.
    pub(crate) fn roster_seen_at(&self) -> u64 {
        self.identity.signers.read().unwrap_or_else(PoisonError::into_inner).seen
    }

    /// What is known of services that somebody has named.
    pub(crate) fn named(&self) -> MutexGuard<'_, BTreeMap<ServiceKey, Named>> {
        self.identity.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads anew whose signatures it takes; `seen`: a sequence of the log that was read before.
    ///
    /// # Errors
    /// A bus that doesn't answer; [`Error::OtherJournal`], where the server has another one by now.
    pub(crate) async fn read_roster(&self, seen: u64) -> Result<(), Error> {
        let (now, roster) = self.bus.identity("looking whose signatures the journal takes").await?;
        if now != *self.id() {
            return Err(Error::OtherJournal { before: self.id().clone(), now });
        }
        let mut signers = self.identity.signers.write().unwrap_or_else(PoisonError::into_inner);
        if roster.is_empty() && !signers.roster.is_empty() {
            // No operator takes them away, and without them everybody's word would count.
            tracing::error!(
                "the names of those whose signatures the journal takes are gone: those that were known still count"
            );
            signers.seen = signers.seen.max(seen);
            return Ok(());
        }
        if *signers.roster != roster {
            tracing::info!("the journal takes the signatures of other keys from now on");
        }
        *signers = Signers { roster: Arc::new(roster), seen: signers.seen.max(seen) };
        Ok(())
    }

    /// Counts something that is left out.
    pub(crate) fn count(&self, reason: &str) {
        if let Some(metrics) = &self.metrics {
            metrics.refused(reason);
        }
    }

    /// The journal's id.
    pub fn id(&self) -> &JournalId {
        &self.identity.id
    }

    /// The connection.
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Takes a decision, if it may be taken, and publishes the work that follows from it. One writer wins: who loses the
    /// race reads again what has come, and decides on that. A bus that can't serve is waited for, for at most 20 s.
    ///
    /// # Errors
    /// [`DecideError::Refused`] says why it can't be taken; `log` then holds what it was refused on.
    pub async fn decide(&self, log: &mut ServiceLog, decision: Decision) -> Result<(), DecideError> {
        let begun = Instant::now();
        let (mut since_sent, mut is_tidy) = (None, !self.bus.administers_alone());
        loop {
            let error = match self.tidy_and_decide(log, &decision, &mut is_tidy, &mut since_sent).await {
                Ok(true) => return Ok(()),
                Ok(false) => Error::Timeout { doing: DECIDING, seconds: DECIDE_LIMIT.as_secs() },
                Err(DecideError::Bus(error)) if error.retryable() && !matches!(error, Error::Full) => {
                    tokio::time::sleep(AGAIN).await;
                    error
                }
                Err(error) => return Err(error),
            };
            if begun.elapsed() >= DECIDE_LIMIT {
                return Err(error.into());
            }
        }
    }

    /// One try, after what comes before it.
    async fn tidy_and_decide(
        &self,
        log: &mut ServiceLog,
        decision: &Decision,
        is_tidy: &mut bool,
        since_sent: &mut Option<Vec<Taken>>,
    ) -> Result<bool, DecideError> {
        if !*is_tidy {
            self.tidy(log).await?;
            *is_tidy = true;
        }
        self.try_to_decide(log, decision, since_sent).await
    }

    /// Writes the snapshot of what has ended, and purges what it covers and nobody needs: where programs may not, whoever decides
    /// does it before. A purge that fails fails nothing.
    async fn tidy(&self, log: &mut ServiceLog) -> Result<(), Error> {
        self.read_on(log, &mut Vec::new()).await?;
        if log.service().effects(now()).contains(&Effect::Snapshot) {
            self.write_snapshot(log).await?;
            if let Err(error) = self.purge(log.key(), KEPT_DEPLOYMENTS).await {
                tracing::warn!(service = %log.key(), %error, "what nobody needs was not purged");
            }
        }
        Ok(())
    }

    /// One try, from reading to writing; `true`: it is decided, `false`: another was faster. What an earlier try has sent,
    /// though no answer came, is among the entries that were read since.
    async fn try_to_decide(
        &self,
        log: &mut ServiceLog,
        decision: &Decision,
        since_sent: &mut Option<Vec<Taken>>,
    ) -> Result<bool, DecideError> {
        self.read_on(log, since_sent.as_mut().unwrap_or(&mut Vec::new())).await?;
        if let Some(taken) = since_sent
            && self.is_decided(log, decision, taken).await?
        {
            return Ok(true);
        }
        log.service().check(decision)?;
        let id = format!("{}/{}/decision", decision.deployment(), log.service().last_decision);
        let subject = Subject::Decisions(log.key().clone()).to_string();
        // It may be no decision: what is on the subject that can't be read, or whose author may not write it, was read as well.
        let last = Stored::last(&self.bus, &subject).await?.map_or(0, |last| last.sequence);
        if last > log.service().sequence {
            return Ok(false);
        }
        let message = Message::new(subject, &id, decision)?.expecting(last);
        let taken = since_sent.get_or_insert_default();
        self.append_with_work(log, message, decision).await?;
        self.read_on(log, taken).await?;
        self.is_decided(log, decision, taken).await
    }

    /// Whether the decision is among the entries that were read, and what follows from it published. Stored is not taken: a
    /// fact may have come before it that forbids it, such as the end.
    async fn is_decided(
        &self,
        log: &mut ServiceLog,
        decision: &Decision,
        taken: &[Taken],
    ) -> Result<bool, DecideError> {
        let ours =
            |taken: &&Taken| matches!(&taken.entry.event, Event::Decision(stored) if stored == decision);
        match taken.iter().find(ours).map(|taken| &taken.applied) {
            None => Ok(false),
            Some(Err(Illegal::Decision(refused))) => Err(refused.clone().into()),
            Some(_) => {
                self.carry_out(log, now()).await?;
                Ok(true)
            }
        }
    }

    /// Appends a message that says `decision`, and with it, at once, the work that follows: whoever decides may be gone at any
    /// moment, and holds no message that would come again.
    async fn append_with_work(
        &self,
        log: &ServiceLog,
        message: Message,
        decision: &Decision,
    ) -> Result<(), Error> {
        let mut next = log.service().clone();
        let entry = Entry { sequence: log.next(), at: now(), event: Event::Decision(decision.clone()) };
        let work = match next.apply(&entry) {
            Ok(_) => unpublished(log, &next, &next.effects(now()))?,
            Err(_) => Vec::new(),
        };
        let work: Vec<_> = work.into_iter().take(BATCH_LIMIT).collect();
        let messages = std::iter::once(message.clone()).chain(work.iter().map(|(_, work)| work.clone()));
        match append(self, DECIDING, messages.collect()).await? {
            // Work that another has published already makes the whole batch a duplicate, and others' batches may leave no room for it:
            // then the message goes alone, and what follows is derived from the log.
            Appended::Duplicate { .. } | Appended::NoBatch => {
                append_once(self, DECIDING, message).await?;
            }
            Appended::At(_) => {
                if let Some(current) = &next.current {
                    log.published().add(current, work.into_iter().map(|(id, _)| id));
                }
            }
            Appended::Conflict => {}
        }
        Ok(())
    }

    /// Does what follows from the state of a service at a time: publishes the work that is due, writes the snapshot of an
    /// end, sets the timer for what is due later. Doing it again does no harm: ids make it a duplicate.
    pub(crate) async fn carry_out(&self, log: &mut ServiceLog, now: Timestamp) -> Result<(), Error> {
        const DOING: &str = "publishing what is due";
        let Some(current) = &log.service().current else { return Ok(()) };
        let effects = log.service().effects(now);
        let work = unpublished(log, log.service(), &effects)?.into_iter();
        let sent = work.map(async |(id, message)| append_once(self, DOING, message).await.map(|_| id));
        let ids: Vec<String> = stream::iter(sent).buffer_unordered(IN_FLIGHT).try_collect().await?;
        log.published().add(current, ids);
        if effects.contains(&Effect::Snapshot) && self.bus.administers() {
            self.write_snapshot(log).await?;
        }
        for effect in effects {
            if let Effect::Wake(time) = effect {
                self.set_timer(log, time).await;
            }
        }
        Ok(())
    }

    /// Writes what is known of a service after its last end, unless somebody has. Where something else comes before it each time, it
    /// is left for another time: it saves reading, and nothing else.
    async fn write_snapshot(&self, log: &mut ServiceLog) -> Result<(), Error> {
        let subject = Subject::State(log.key().clone()).to_string();
        let mut known = Snapshots::of(self, log.key());
        for _ in 0..SNAPSHOT_TRIES {
            let service = log.service();
            // What was read before isn't read again: rubbish that comes all the time has to be faster than one look.
            known.read_on().await?;
            if known.last().is_none_or(|known| known.last_decision < service.last_decision) {
                // The last decision has led to this end: there is one snapshot for each.
                let id = format!("{}/{}/snapshot", log.key(), service.last_decision);
                let message = Message::new(subject.clone(), &id, service)?.expecting(known.read());
                // In a conflict somebody has written one, maybe of an end before, or rubbish.
                if append_once(self, "writing a snapshot", message).await? == Appended::Conflict {
                    continue;
                }
            }
            log.snapshot_is_taken(now());
            return Ok(());
        }
        tracing::warn!(service = %log.key(), "a snapshot is not written: something else was each time");
        Ok(())
    }
}

/// The work among the effects of a state that isn't known to be in the log, each message with its id. It may be of an earlier
/// deployment than the current one, that still owes it.
fn unpublished(
    log: &ServiceLog,
    service: &Service,
    effects: &[Effect],
) -> Result<Vec<(String, Message)>, Error> {
    let work = effects.iter().filter_map(|effect| match effect {
        Effect::Run(work) => Some((work_id(service.deployment(&work.deployment)?, work), work)),
        Effect::Snapshot | Effect::Wake(_) => None,
    });
    work.filter(|(id, _)| !log.published().has(id))
        .map(|(id, work)| Ok((id.clone(), work_message(log.key(), &id, work)?)))
        .collect()
}

fn work_message(key: &ServiceKey, id: &str, work: &Work) -> Result<Message, Error> {
    Message::new(Subject::Run { stage: work.task.stage, key: key.clone() }.to_string(), id, work)
}
