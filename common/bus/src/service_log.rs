//! What has been read of a service's log so far.

use cutover_core::{Applied, Entry, Event, Illegal, Service, ServiceKey, Timestamp};

use crate::published::Published;
use crate::stored::Stored;

/// The fold of a service's log, and how far it has been read.
#[derive(Clone, Debug)]
pub struct ServiceLog {
    key: ServiceKey,
    service: Service,
    published: Published,
}

/// An entry that was read, and what it did.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) entry: Entry,
    pub(crate) applied: Result<Applied, Illegal>,
}

impl Taken {
    pub(crate) fn has_changed(&self) -> bool {
        self.applied == Ok(Applied::Changed)
    }
}

impl ServiceLog {
    pub(crate) fn new(key: ServiceKey, service: Service) -> Self {
        Self { key, service, published: Published::default() }
    }

    /// The service and its destination.
    pub const fn key(&self) -> &ServiceKey {
        &self.key
    }

    /// All that the journal said of it when it was last read.
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The work that is known to be in the log, and the timer that is set.
    pub(crate) const fn published(&self) -> &Published {
        &self.published
    }

    /// A sequence that an entry which isn't stored yet may be thought to have.
    pub(crate) const fn next(&self) -> u64 {
        self.service.sequence + 1
    }

    /// Takes an entry in. What can't be read or can't be true is left out, and said.
    pub(crate) fn take_in(&mut self, stored: &Stored) -> Option<Taken> {
        let (subject, sequence) = (&stored.subject, stored.sequence);
        let entry = match Entry::decode(subject, sequence, stored.at, &stored.content) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(%subject, sequence, error = %error, "an entry of the journal can't be read");
                self.leave_out(sequence);
                return None;
            }
        };
        let applied = self.service.apply(&entry);
        if let Err(illegal) = &applied {
            tracing::warn!(%subject, sequence, error = %illegal, "an entry of the journal can't be true");
        }
        Some(Taken { entry, applied })
    }

    /// Goes over an entry that says nothing.
    pub(crate) fn leave_out(&mut self, sequence: u64) {
        self.service.sequence = self.service.sequence.max(sequence);
    }

    /// Goes on from a snapshot that is ahead.
    pub(crate) fn go_on_from(&mut self, snapshot: Service) {
        self.service = snapshot;
    }

    pub(crate) fn snapshot_is_taken(&mut self, at: Timestamp) {
        // The snapshot's own sequence is not taken over: facts that were stored before it may not have been read yet.
        let read = self.service.sequence;
        let entry = Entry { sequence: read + 1, at, event: Event::Snapshot };
        if self.service.apply(&entry).is_ok() {
            self.service.sequence = read;
        }
    }
}
