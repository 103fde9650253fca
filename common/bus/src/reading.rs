//! Reading the journal: a snapshot and what came after it.

use std::collections::BTreeSet;

use cutover_core::{DeploymentId, Entry, Service, ServiceKey, Subject, Task};
use futures_util::{StreamExt, TryStreamExt};

use crate::service_log::Taken;
use crate::stored::Stored;
use crate::{Error, Journal, ServiceLog};

/// Entries that are read one by one, from the leader, before the others are read many at once.
const FEW: usize = 3;

impl Journal {
    /// Reads all that the journal says of a service.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a snapshot that can't be read.
    pub async fn service(&self, key: &ServiceKey) -> Result<ServiceLog, Error> {
        let service = Box::pin(self.last_snapshot(key)).await?.unwrap_or_default();
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
        let mut read = 0;
        while let Some(stored) = Stored::next(self.bus(), log.next(), &filter).await? {
            self.take_in(log, &[stored], taken).await?;
            read += 1;
            if read >= FEW {
                let stored = Stored::many(self.bus(), log.next(), &filter).await?;
                self.take_in(log, &stored, taken).await?;
            }
        }
        Ok(())
    }

    async fn take_in(
        &self,
        log: &mut ServiceLog,
        entries: &[Stored],
        taken: &mut Vec<Taken>,
    ) -> Result<(), Error> {
        for entry in entries {
            if !self.admits(entry) {
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
        let Some(ahead) = snapshot.filter(|snapshot| snapshot.sequence > log.service().sequence) else {
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
            let mut from = 1;
            while let Some(stored) = Stored::next(self.bus(), from, &filter).await? {
                // As far as whichever replica answers has them; the leader says whether there are more.
                let mut many = Stored::many(self.bus(), stored.sequence, &filter).await?;
                if many.is_empty() {
                    many.push(stored);
                }
                for stored in many {
                    from = stored.sequence + 1;
                    // What can't be read was said when the log was read.
                    let entry = Entry::decode(&stored.subject, stored.sequence, stored.at, &stored.content);
                    let admitted = self.roster().admits(self.id(), &stored).is_ok();
                    entries.extend(entry.ok().filter(|_| admitted));
                }
            }
        }
        entries.sort_by_key(|entry| entry.sequence);
        Ok(entries)
    }

    /// The service as it was when its last snapshot was written.
    pub(crate) async fn last_snapshot(&self, key: &ServiceKey) -> Result<Option<Service>, Error> {
        let subject = Subject::State(key.clone()).to_string();
        let Some(last) = Stored::last(self.bus(), &subject).await? else { return Ok(None) };
        if let Some(service) = self.snapshot(&last) {
            return Ok(Some(service));
        }
        // Something else stands in its place: it is the one before. That is rare, and takes much state.
        Box::pin(self.last_among_snapshots(&subject)).await
    }

    async fn last_among_snapshots(&self, subject: &str) -> Result<Option<Service>, Error> {
        let (mut from, mut found) = (1, None);
        while let Some(stored) = Stored::next(self.bus(), from, subject).await? {
            from = stored.sequence + 1;
            found = self.snapshot(&stored).or(found);
        }
        Ok(found)
    }

    /// What a snapshot says, where it is one.
    pub(crate) fn snapshot(&self, stored: &Stored) -> Option<Service> {
        if !self.admits(stored) {
            return None;
        }
        let read = stored.snapshot();
        if let Err(error) = &read {
            let (subject, sequence) = (&stored.subject, stored.sequence);
            tracing::warn!(%subject, sequence, %error, "a snapshot can't be read");
            self.count("unreadable");
        }
        read.ok()
    }

    /// Whether an entry is one: readable, and by one who may write it.
    pub(crate) fn can_be(&self, stored: &Stored) -> bool {
        let readable = Entry::decode(&stored.subject, stored.sequence, stored.at, &stored.content).is_ok();
        readable && self.roster().admits(self.id(), stored).is_ok()
    }

    /// Every service that the journal knows.
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
}
