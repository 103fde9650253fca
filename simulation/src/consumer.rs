//! A durable pull consumer with explicit acknowledgements, as nats-server 2.15 has it.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_core::{Timestamp, Work};

use crate::chance::Chance;

/// How long a worker may be silent before its message is delivered again.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(8);

/// A message that was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) sequence: u64,
    pub(crate) work: Work,
    /// How often it was delivered by now.
    pub(crate) delivered: u32,
    /// When it was published, by the server's clock.
    pub(crate) published: Timestamp,
}

/// What a worker says of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ack {
    /// Never again.
    Done,
    /// Again after this time.
    Later(Duration),
    /// I am still at it.
    Progress,
}

#[derive(Debug)]
struct Pending {
    work: Work,
    delivered: u32,
    /// By the server's clock.
    published: Timestamp,
    /// When it may be delivered (again).
    from: Timestamp,
}

/// The messages that are not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Consumer {
    pending: BTreeMap<u64, Pending>,
}

impl Consumer {
    pub(crate) fn add(&mut self, sequence: u64, work: Work, now: Timestamp, published: Timestamp) {
        self.pending.insert(sequence, Pending { work, delivered: 0, published, from: now });
    }

    /// Whether every message was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn next_delivery(&self) -> Option<Timestamp> {
        self.pending.values().map(|pending| pending.from).min()
    }

    /// Delivers one of the messages that may be: their order is nobody's business.
    pub(crate) fn deliver(&mut self, now: Timestamp, chance: &mut Chance) -> Option<Delivery> {
        let due = |pending: &Pending| pending.from <= now;
        let count = self.pending.values().filter(|pending| due(pending)).count();
        let mut ready = self.pending.iter_mut().filter(|(_, pending)| due(pending));
        let (sequence, pending) = ready.nth(chance.below(count))?;
        pending.delivered += 1;
        pending.from = now.after(ACK_WAIT);
        let (work, published) = (pending.work.clone(), pending.published);
        Some(Delivery { sequence: *sequence, work, delivered: pending.delivered, published })
    }

    /// Takes an acknowledgement. The server goes by the message's sequence in the stream alone: what a worker says whose
    /// message was given to another in the meantime counts all the same.
    pub(crate) fn acknowledge(&mut self, sequence: u64, ack: Ack, now: Timestamp) {
        match ack {
            Ack::Done => drop(self.pending.remove(&sequence)),
            Ack::Later(wait) => self.put_off(sequence, now.after(wait)),
            Ack::Progress => self.put_off(sequence, now.after(ACK_WAIT)),
        }
    }

    fn put_off(&mut self, sequence: u64, until: Timestamp) {
        if let Some(pending) = self.pending.get_mut(&sequence) {
            pending.from = until;
        }
    }
}
