//! A service whose lease is held: what a duty knows of it, and what it notes for whoever does the duty next.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_core::{Duty, JournalId, Service, ServiceKey, Subject};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::append::{Message, append_after_last};
use crate::bus::LEASE;
use crate::lease::{is_theirs, learn, record};
use crate::logs::Logs;
use crate::stored::Stored;
use crate::{Error, Journal};

/// A service whose lease is held.
pub struct Held {
    logs: Arc<Logs>,
    duty: Duty,
    key: ServiceKey,
    epoch: u64,
}

impl Held {
    pub(crate) const fn new(logs: Arc<Logs>, duty: Duty, key: ServiceKey, epoch: u64) -> Self {
        Self { logs, duty, key, epoch }
    }

    /// Which service it is.
    pub const fn key(&self) -> &ServiceKey {
        &self.key
    }

    /// The journal that it stands in.
    pub fn journal_id(&self) -> &JournalId {
        self.logs.journal().id()
    }

    /// Whether nobody has taken the lease since. To be asked before what must not be done by two: a program that was stopped for a
    /// while goes on where it was, and learns only a moment later that it has lost everything.
    ///
    /// # Errors
    /// A bus that doesn't answer: then nobody knows.
    pub async fn is_held(&self) -> Result<bool, Error> {
        let journal = self.logs.journal();
        let subject = Subject::lease_of(self.duty, &self.key);
        let stored = Stored::last_of_each(journal.bus(), LEASE, &[subject]).await?;
        learn(journal, &stored).await?;
        let last = stored.last();
        // Behind rubbish may be anything. It is gone once the lease is renewed.
        let last = last.and_then(|stored| Some((record(journal, self.duty, stored, 0)?, stored.sequence)));
        Ok(last.is_some_and(|(record, sequence)| record.is_held_under(self.epoch, sequence)))
    }

    /// All that the journal says of it now.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn service(&self) -> Result<Service, Error> {
        Ok(self.logs.read(&self.key).await?.service().clone())
    }

    /// All that the journal says now of every service that it knows, for a duty that is about all of them.
    ///
    /// # Errors
    /// A bus that doesn't answer: then nothing is known of any.
    pub async fn services(&self) -> Result<BTreeMap<ServiceKey, Service>, Error> {
        let mut services = BTreeMap::new();
        for key in self.logs.journal().services().await? {
            let service = self.logs.read(&key).await?.service().clone();
            services.insert(key, service);
        }
        Ok(services)
    }

    /// What was noted last of it, by whoever did the duty.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a note of another kind.
    pub async fn note<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.logs.journal().note(self.duty, &self.key).await
    }

    /// Notes something, in the place of what was noted before.
    ///
    /// # Errors
    /// A bus that doesn't answer: whether it is noted is not known then.
    pub async fn set_note<T: Serialize + Sync>(&self, note: &T) -> Result<(), Error> {
        let message = Message::repeatable(Subject::note_of(self.duty, &self.key), note)?;
        append_after_last(self.logs.journal(), "writing a note", LEASE, message).await.map(drop)
    }
}

impl Journal {
    /// What was noted last of a service, by whoever does the duty.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a note of another kind. One by a user who doesn't do the duty is none.
    pub async fn note<T: DeserializeOwned>(&self, duty: Duty, key: &ServiceKey) -> Result<Option<T>, Error> {
        let stored = Stored::last_of_each(self.bus(), LEASE, &[Subject::note_of(duty, key)]).await?;
        learn(self, &stored).await?;
        let unreadable = |source| Error::Content { doing: "read", source };
        let theirs = stored.last().filter(|stored| is_theirs(self, duty, stored));
        theirs.map(|stored| serde_json::from_slice(&stored.content).map_err(unreadable)).transpose()
    }
}
