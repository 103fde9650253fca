//! The leases of a duty, one for each service: their records on the bus. The rules are in the core (`Lease`).

use std::collections::{BTreeMap, HashMap};

use cutover_core::{Duty, Lease, LeaseRecord, LeaseStep, LeaseTerms, ServiceKey, Subject};
use tokio::time::Instant;

use crate::append::{Appended, Message, append};
use crate::bus::LEASE;
use crate::stored::Stored;
use crate::{Error, Journal};

/// The leases of one duty, as one candidate knows them.
pub(crate) struct Leases {
    journal: Journal,
    duty: Duty,
    /// The candidate's name, which no other has.
    me: String,
    terms: LeaseTerms,
    /// Where its clock begins.
    began: Instant,
    leases: BTreeMap<ServiceKey, Lease>,
}

impl Leases {
    /// Of no services yet. `name` is for people.
    pub(crate) fn new(journal: Journal, duty: Duty, name: &str, terms: LeaseTerms) -> Self {
        let me = format!("{name} {}", journal.bus().unique());
        Self { journal, duty, me, terms, began: Instant::now(), leases: BTreeMap::new() }
    }

    /// Takes part in the leases of these services, and of no others.
    pub(crate) fn take_part(&mut self, services: Vec<ServiceKey>) {
        let mut known = std::mem::take(&mut self.leases);
        for key in services {
            let lease = known.remove(&key).unwrap_or_else(|| Lease::new(self.me.clone(), self.terms));
            self.leases.insert(key, lease);
        }
    }

    /// The services whose lease is held now, each with the epoch.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&ServiceKey, u64)> {
        let at = self.began.elapsed();
        self.leases.iter().filter_map(move |(key, lease)| Some((key, lease.epoch(at)?)))
    }

    /// Looks at all leases, renews those that are held, and takes those that are free or whose holder is gone.
    ///
    /// # Errors
    /// A bus that doesn't answer. What was held is held as long as that is sure.
    pub(crate) async fn look(&mut self) -> Result<(), Error> {
        self.read().await?;
        for (key, lease) in &mut self.leases {
            let sent = self.began.elapsed();
            let step = lease.step(sent);
            if step == LeaseStep::Lost {
                tracing::warn!(duty = %self.duty, service = %key, "a lease is lost: another has it, or may have it");
            }
            let Some((expected, record)) = lease.record(step) else { continue };
            match write(&self.journal, self.duty, key, expected, &record).await? {
                Some(sequence) => lease.stored(step, sequence, sent),
                None => lease.refused(),
            }
            if let (LeaseStep::Take { .. }, Some(epoch)) = (step, lease.epoch(self.began.elapsed())) {
                tracing::info!(duty = %self.duty, service = %key, epoch, "a lease is taken");
            }
        }
        Ok(())
    }

    /// Gives back what is held, so that others need not wait.
    ///
    /// # Errors
    /// A bus that doesn't answer: then the leases run out.
    pub(crate) async fn give_back(mut self) -> Result<(), Error> {
        // A renewal may have been stored whose answer was not waited for.
        self.read().await?;
        for (key, lease) in &mut self.leases {
            if let Some((expected, record)) = lease.give_back() {
                write(&self.journal, self.duty, key, expected, &record).await?;
            }
        }
        Ok(())
    }

    /// Reads the last record of each.
    async fn read(&mut self) -> Result<(), Error> {
        let subjects: Vec<String> = self.leases.keys().map(|key| Subject::lease_of(self.duty, key)).collect();
        let stored = Stored::last_of_each(self.journal.bus(), LEASE, &subjects).await?;
        let mut last: HashMap<&str, &Stored> =
            stored.iter().map(|stored| (stored.subject.as_str(), stored)).collect();
        // After the answer: what it says was so before.
        let at = self.began.elapsed();
        for (lease, subject) in self.leases.values_mut().zip(&subjects) {
            lease.see(
                last.remove(subject.as_str())
                    .map(|stored| (stored.sequence, record(&self.journal, self.duty, stored))),
                at,
            );
        }
        Ok(())
    }
}

/// What can't be read, or is by a user who doesn't do the duty, was written by nobody who renews it.
pub(crate) fn record(journal: &Journal, duty: Duty, stored: &Stored) -> LeaseRecord {
    let record = serde_json::from_slice(&stored.content).ok().filter(|_| is_theirs(journal, duty, stored));
    record.unwrap_or_else(|| LeaseRecord { holder: Some(String::new()), epoch: None })
}

/// Whether a record or a note is by a user who does the duty.
pub(crate) fn is_theirs(journal: &Journal, duty: Duty, stored: &Stored) -> bool {
    let roster = journal.roster();
    roster.is_empty() || roster.author(journal.id(), stored).is_ok_and(|user| user.may_hold(duty))
}

/// Writes a record where `expected` is still the last one; none: it isn't.
async fn write(
    journal: &Journal,
    duty: Duty,
    key: &ServiceKey,
    expected: u64,
    record: &LeaseRecord,
) -> Result<Option<u64>, Error> {
    let message = Message::repeatable(Subject::lease_of(duty, key), record)?.expecting(expected);
    match append(journal, "writing a lease", vec![message]).await? {
        Appended::At(sequence) => Ok(Some(sequence)),
        Appended::Duplicate | Appended::Conflict => Ok(None),
    }
}
