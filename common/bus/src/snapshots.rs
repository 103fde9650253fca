//! The snapshots of a service, and whatever else stands in their place.

use cutover_core::{Service, ServiceKey, Subject};

use crate::admission::Order;
use crate::stored::Stored;
use crate::{Error, Journal};

/// The last snapshot of a service, by what was read so far.
pub(crate) struct Snapshots<'a> {
    journal: &'a Journal,
    subject: String,
    /// The last message in their place that was read, a snapshot or not; 0: there is none.
    read: u64,
    order: Order,
    last: Option<(u64, Service)>,
}

impl Journal {
    /// The service as it was when its last snapshot was written, and the sequence of that.
    pub(crate) async fn last_snapshot(&self, key: &ServiceKey) -> Result<Option<(u64, Service)>, Error> {
        let mut snapshots = Snapshots::of(self, key);
        Box::pin(snapshots.read_on()).await?;
        Ok(snapshots.last)
    }
}

impl<'a> Snapshots<'a> {
    /// Nothing is read yet.
    pub(crate) fn of(journal: &'a Journal, key: &ServiceKey) -> Self {
        let subject = Subject::State(key.clone()).to_string();
        Self { journal, subject, read: 0, order: Order::default(), last: None }
    }

    /// The sequence of the last message that stands in their place, be it rubbish: the next one is to follow it.
    pub(crate) const fn read(&self) -> u64 {
        self.read
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<&Service> {
        self.last.as_ref().map(|(_, service)| service)
    }

    /// Reads what has come since.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub(crate) async fn read_on(&mut self) -> Result<(), Error> {
        if self.read == 0 {
            let bus = self.journal.bus();
            let Some(last) = Stored::last(bus, &self.subject).await? else { return Ok(()) };
            if self.journal.admits(&last).await?
                && let Some(service) = self.snapshot(&last)
            {
                (self.read, self.last) = (last.sequence, Some((last.sequence, service)));
                return Ok(());
            }
            // Something else stands in its place: it is the one before. That is rare, and takes much state.
        }
        Box::pin(self.read_all()).await
    }

    async fn read_all(&mut self) -> Result<(), Error> {
        while let Some((_, many)) = self.journal.part(self.read + 1, &self.subject).await? {
            let flaws = self.journal.flaws(&mut self.order, &many).await?;
            let good = many.iter().rev().filter(|stored| !flaws.contains_key(&stored.sequence));
            let found = good.filter_map(|stored| Some((stored.sequence, self.snapshot(stored)?))).next();
            self.read = many.last().map_or(self.read, |last| last.sequence);
            self.last = found.or_else(|| self.last.take());
        }
        Ok(())
    }

    /// What a snapshot says, where it can be read.
    fn snapshot(&self, stored: &Stored) -> Option<Service> {
        let read = stored.snapshot();
        if let Err(error) = &read {
            let (subject, sequence) = (&stored.subject, stored.sequence);
            tracing::warn!(%subject, sequence, %error, "a snapshot can't be read");
            self.journal.count("unreadable");
        }
        read.ok()
    }
}
