//! What has been read of a service's log so far.

use cutover_core::{Decision, Entry, Event, Service, ServiceKey, Timestamp};

/// The fold of a service's log, and how far it has been read.
#[derive(Clone, Debug)]
pub struct ServiceLog {
    key: ServiceKey,
    service: Service,
    snapshot: u64,
}

impl ServiceLog {
    pub(crate) const fn new(key: ServiceKey, service: Service, snapshot: u64) -> Self {
        Self { key, service, snapshot }
    }

    /// The service and its destination.
    pub const fn key(&self) -> &ServiceKey {
        &self.key
    }

    /// All that the journal said of it when it was last read.
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The sequence of the last snapshot; 0: there is none.
    pub(crate) const fn snapshot(&self) -> u64 {
        self.snapshot
    }

    /// A sequence that an entry which isn't stored yet may be thought to have.
    pub(crate) const fn next(&self) -> u64 {
        self.service.sequence + 1
    }

    /// Takes an entry in; says whether it changed anything. What can't be read or can't be true is left out, and said.
    pub(crate) fn take_in(&mut self, subject: &str, sequence: u64, at: Timestamp, content: &[u8]) -> bool {
        let entry = match Entry::decode(subject, sequence, at, content) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(%subject, sequence, error = %error, "an entry of the journal can't be read");
                self.service.sequence = self.service.sequence.max(sequence);
                return false;
            }
        };
        match self.service.apply(&entry) {
            Ok(applied) => applied == cutover_core::Applied::Changed,
            Err(illegal) => {
                tracing::warn!(%subject, sequence, error = %illegal, "an entry of the journal can't be true");
                false
            }
        }
    }

    pub(crate) fn snapshot_is_at(&mut self, sequence: u64, at: Timestamp) {
        self.snapshot = sequence;
        // The snapshot's own sequence is not taken over: facts that were stored before it may not have been read yet.
        let read = self.service.sequence;
        let entry = Entry { sequence: read + 1, at, event: Event::Snapshot };
        if self.service.apply(&entry).is_ok() {
            self.service.sequence = read;
        }
    }

    /// Whether the last decision that was read says just this.
    pub(crate) fn last_decision_is(&self, decision: &Decision) -> bool {
        let Some(current) =
            self.service.current.as_ref().filter(|current| current.id() == decision.deployment())
        else {
            return false;
        };
        match decision {
            Decision::Accepted(_) => true,
            Decision::Aborted { by, .. } => current.abort.as_ref().is_some_and(|abort| abort.by == *by),
            Decision::Forgiven { host, .. } => self.service.debts_of(host).next().is_none(),
            Decision::Replayed { .. } => {
                current.round_began == self.service.last_decision && current.round > 1
            }
        }
    }
}
