//! Reading the journal: a snapshot and what came after it.

use std::collections::BTreeMap;

use cutover_core::{DeploymentId, Entry, ServiceKey, Subject, Task};
use futures_util::TryStreamExt;

use crate::admission::Order;
use crate::bus::LOG;
use crate::service_log::Taken;
use crate::stored::Stored;
use crate::{Error, Journal, ServiceLog};

/// Entries that are read one by one, from the leader, before the others are read many at once.
const FEW: usize = 3;

/// A service that somebody has named.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Named {
    /// Whether somebody has who may.
    is_service: bool,
    /// So many decisions were there when it was looked at.
    count: usize,
    /// And were read to this sequence.
    read_to: u64,
}

impl Journal {
    /// Reads all that the journal says of a service.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a snapshot that can't be read.
    pub async fn service(&self, key: &ServiceKey) -> Result<ServiceLog, Error> {
        let service =
            Box::pin(self.last_snapshot(key)).await?.map(|(_, service)| service).unwrap_or_default();
        let mut log = ServiceLog::new(key.clone(), service);
        self.catch_up(&mut log).await?;
        Ok(log)
    }

    /// Takes in what has come since. All that was acknowledged before the call is read.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn catch_up(&self, log: &mut ServiceLog) -> Result<(), Error> {
        self.read_on(log, &mut Vec::new()).await
    }

    /// Takes in what has come since, and adds it to `taken`, as far as it came where it fails. The leader has the last word:
    /// another replica may be behind.
    pub(crate) async fn read_on(&self, log: &mut ServiceLog, taken: &mut Vec<Taken>) -> Result<(), Error> {
        let filter = Subject::log_of(log.key());
        let (mut read, mut order) = (0, Order::default());
        while let Some(stored) = Stored::next(self.bus(), log.next(), &filter).await? {
            self.take_in(log, &mut order, &[stored], taken).await?;
            read += 1;
            if read >= FEW {
                let stored = Stored::many(self.bus(), log.next(), &filter).await?;
                self.take_in(log, &mut order, &stored, taken).await?;
            }
        }
        Ok(())
    }

    async fn take_in(
        &self,
        log: &mut ServiceLog,
        order: &mut Order,
        entries: &[Stored],
        taken: &mut Vec<Taken>,
    ) -> Result<(), Error> {
        let flaws = self.flaws(order, entries).await?;
        for entry in entries {
            let flaw = flaws.get(&entry.sequence);
            if flaw.is_some() {
                self.say(entry, flaw);
                log.leave_out(entry.sequence);
                continue;
            }
            // There hardly ever is one.
            Box::pin(self.go_over_gap(log, entry)).await?;
            let taken_in = log.take_in(entry);
            match &taken_in {
                None => self.count("unreadable"),
                Some(taken) if taken.applied.is_err() => self.count("illegal"),
                Some(_) => {}
            }
            taken.extend(taken_in);
        }
        Ok(())
    }

    /// Goes on from the last snapshot, where entries between what was read of the log and this one, the next, may have been
    /// purged: whoever was away for many deployments has not read them. Says whether it does.
    ///
    /// Whole deployments are purged, the oldest first. So there may be such a gap only before the first entry that is left,
    /// and that is a decision; and there is none if no snapshot covers more than what was read.
    pub(crate) async fn go_over_gap(&self, log: &mut ServiceLog, next: &Stored) -> Result<bool, Error> {
        if next.subject != Subject::Decisions(log.key().clone()).to_string() {
            return Ok(false);
        }
        let first = Stored::next(self.bus(), 1, &Subject::log_of(log.key())).await?;
        if first.is_some_and(|first| first.sequence < next.sequence) {
            return Ok(false);
        }
        let snapshot = Box::pin(self.last_snapshot(log.key())).await?;
        let Some((_, ahead)) = snapshot.filter(|(_, ahead)| ahead.sequence > log.service().sequence) else {
            return Ok(false);
        };
        log.go_on_from(ahead);
        Ok(true)
    }

    /// What was decided on a service, and what is known of one task of one of its deployments, in the order that it came in: as it
    /// was written, where a fold has only what follows from it. Of what was purged there is nothing.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn entries(
        &self,
        key: &ServiceKey,
        deployment: &DeploymentId,
        task: &Task,
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        for filter in [Subject::Decisions(key.clone()).to_string(), Subject::facts_of(key, deployment, task)]
        {
            let (mut from, mut order) = (1, Order::default());
            while let Some((next, many)) = self.part(from, &filter).await? {
                from = next;
                let flaws = self.flaws(&mut order, &many).await?;
                for stored in many {
                    // What can't be read was said when the log was read.
                    let entry = Entry::decode(&stored.subject, stored.sequence, stored.at, &stored.content);
                    entries.extend(entry.ok().filter(|entry| !flaws.contains_key(&entry.sequence)));
                }
            }
        }
        entries.sort_by_key(|entry| entry.sequence);
        Ok(entries)
    }

    /// Messages that match, from a sequence on, and the sequence to go on from; none, where there are no more.
    pub(crate) async fn part(&self, from: u64, filter: &str) -> Result<Option<(u64, Vec<Stored>)>, Error> {
        let many = Stored::part(self.bus(), LOG, from, filter).await?;
        Ok(many.last().map(|last| last.sequence + 1).map(|next| (next, many)))
    }

    /// Whether an entry is one: readable, and by one who may write it.
    pub(crate) async fn can_be(&self, stored: &Stored) -> Result<bool, Error> {
        let readable = Entry::decode(&stored.subject, stored.sequence, stored.at, &stored.content).is_ok();
        Ok(readable && self.admits(stored).await?)
    }

    /// Every service that the journal knows: of which a decision counts.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn services(&self) -> Result<Vec<ServiceKey>, Error> {
        let failed = |message: String| Error::Request { doing: "listing services", message };
        let log = self.bus().log().await?;
        let subjects = log
            .info_with_subjects("cutover.log.*.*.decisions")
            .await
            .map_err(|error| failed(error.to_string()))?;
        let named: BTreeMap<ServiceKey, usize> = subjects
            .map_err(|error| failed(error.to_string()))
            .try_filter_map(async |(subject, count)| {
                Ok(subject.parse::<Subject>().ok().map(|subject| (subject.key().clone(), count)))
            })
            .try_collect()
            .await?;
        let mut services = Vec::new();
        for (key, count) in named {
            if self.is_decided_on(&key, count).await? {
                services.push(key);
            }
        }
        Ok(services)
    }

    /// Whether one of the decisions on a service counts, of which there are so many: anybody may have named it. What was looked at
    /// once isn't looked at again.
    async fn is_decided_on(&self, key: &ServiceKey, count: usize) -> Result<bool, Error> {
        let named = self.named().get(key).copied().unwrap_or_default();
        if self.roster().is_empty() || named.is_service || named.count == count {
            return Ok(named.is_service || self.roster().is_empty());
        }
        let subject = Subject::Decisions(key.clone()).to_string();
        let mut named = Named { count, ..named };
        // The first one that counts may come after rubbish, and one that expects it to be the last.
        while let Some((next, many)) = self.part(named.read_to + 1, &subject).await? {
            named.read_to = next - 1;
            let flaws = self.flaws(&mut Order::default(), &many).await?;
            many.iter().for_each(|stored| self.say(stored, flaws.get(&stored.sequence)));
            if many.iter().any(|stored| !flaws.contains_key(&stored.sequence)) {
                named.is_service = true;
                break;
            }
        }
        self.named().insert(key.clone(), named);
        Ok(named.is_service)
    }
}
