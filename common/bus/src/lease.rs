//! The leases of a duty, one for each service: their records on the bus. The rules are in the core (`Lease`).

use std::collections::{BTreeMap, HashMap};

use cutover_core::{Duty, Lease, LeaseRecord, LeaseStep, LeaseTerms, ServiceKey, Subject};
use tokio::time::Instant;

use crate::append::{Appended, Message, append};
use crate::bus::LEASE;
use crate::stored::Stored;
use crate::{Error, Journal};

/// How often a record is tried that rubbish comes before.
const TRIES: usize = 5;

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
                Written::At(sequence) => lease.stored(step, sequence, sent),
                Written::Refused => lease.refused(),
                Written::Not => {
                    tracing::warn!(duty = %self.duty, service = %key, "a lease is not written: rubbish was each time");
                }
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
        learn(&self.journal, &stored).await?;
        let mut last: HashMap<&str, &Stored> =
            stored.iter().map(|stored| (stored.subject.as_str(), stored)).collect();
        // After the answer: what it says was so before.
        let at = self.began.elapsed();
        for (lease, subject) in self.leases.values_mut().zip(&subjects) {
            let Some(stored) = last.remove(subject.as_str()) else {
                lease.see(None, at);
                continue;
            };
            match record(&self.journal, self.duty, stored, lease.known()) {
                Some(record) => lease.see(Some((stored.sequence, record)), at),
                None => lease.see_rubbish(stored.sequence, at),
            }
        }
        Ok(())
    }
}

/// What became of a record.
enum Written {
    /// It stands there, at a sequence.
    At(u64),
    /// Another's stands there.
    Refused,
    /// It does not, and no other either.
    Not,
}

/// What a message says; none, where it can't be read, is by a user who doesn't do the duty, or expects to be written after something
/// older than what is known to have stood there: then it was stored a second time.
pub(crate) fn record(journal: &Journal, duty: Duty, stored: &Stored, known: u64) -> Option<LeaseRecord> {
    let expected: u64 = stored.expected.as_ref()?.parse().ok()?;
    // What is known may be this one itself.
    let in_order = expected >= known || stored.sequence <= known;
    serde_json::from_slice(&stored.content).ok().filter(|_| in_order && is_theirs(journal, duty, stored))
}

/// Reads whose signatures count, where one of some records or notes is signed by a key that isn't known.
pub(crate) async fn learn(journal: &Journal, stored: &[Stored]) -> Result<(), Error> {
    let roster = journal.roster();
    if roster.is_empty() || stored.iter().all(|stored| roster.names_key_of(stored)) {
        return Ok(());
    }
    journal.read_roster(0).await
}

/// Whether a record or a note is by a user who does the duty.
pub(crate) fn is_theirs(journal: &Journal, duty: Duty, stored: &Stored) -> bool {
    let roster = journal.roster();
    roster.is_empty() || roster.holder(journal.id(), stored).is_ok_and(|user| user.may_hold(duty))
}

/// Writes a record where `expected` is still the last one, or rubbish that has come after it.
async fn write(
    journal: &Journal,
    duty: Duty,
    key: &ServiceKey,
    mut expected: u64,
    new: &LeaseRecord,
) -> Result<Written, Error> {
    let subject = Subject::lease_of(duty, key);
    for _ in 0..TRIES {
        let message = Message::repeatable(subject.clone(), new)?.expecting(expected);
        if let Appended::At(sequence) = append(journal, "writing a lease", vec![message]).await? {
            return Ok(Written::At(sequence));
        }
        let stored = Stored::last_of_each(journal.bus(), LEASE, std::slice::from_ref(&subject)).await?;
        learn(journal, &stored).await?;
        match stored.first() {
            Some(last) if record(journal, duty, last, expected).is_none() => expected = last.sequence,
            _ => return Ok(Written::Refused),
        }
    }
    Ok(Written::Not)
}
