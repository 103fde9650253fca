//! The bus as a model: one JetStream stream with the journal's subjects, as nats-server 2.15 keeps it.
//!
//! Message ids make duplicates within a window; an expected last sequence of a subject makes conflicts; a batch is stored
//! as a whole or not at all. The fold of the log stands beside it, so that reading to the end costs nothing.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use cutover_core::{Entry, Event, LeaseRecord, Service, Stage, Timestamp, Work};

use crate::chance::Chance;
use crate::consumer::Consumer;

/// How long a message id is remembered.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A message to append.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) id: String,
    /// Stored only if the last message on its subject has this sequence.
    pub(crate) expecting: Option<u64>,
    pub(crate) content: Content,
}

/// What a message says.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Entry(Event),
    Snapshot(Rc<Service>),
    Work(Work),
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Stored; the sequence of the first message.
    At(u64),
    /// A message of that id is there: nothing was stored.
    Duplicate,
    /// Its subject has gone on: nothing was stored.
    Conflict,
}

/// The last message of a subject.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) sequence: u64,
    pub(crate) id: String,
}

/// A snapshot as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) sequence: u64,
    pub(crate) service: Rc<Service>,
}

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    sequence: u64,
    last_by_subject: HashMap<String, Last>,
    ids: HashMap<String, Timestamp>,
    /// The log.
    pub(crate) entries: Vec<Entry>,
    /// Its fold.
    pub(crate) service: Rc<Service>,
    /// Whether a deployment runs.
    pub(crate) runs: bool,
    /// Entries that the fold refused.
    pub(crate) illegal: BTreeSet<u64>,
    pub(crate) snapshots: Vec<Snapshot>,
    consumers: [Consumer; Stage::ALL.len()],
    /// The message that is to be delivered at a time by the server's clock: one for the service, the last that was asked for.
    timer: Option<Timestamp>,
    /// The last record of the lease of the sweep.
    lease: Option<(u64, LeaseRecord)>,
    /// How far the server's clock is off, in milliseconds.
    pub(crate) clock: i64,
}

impl Bus {
    /// Appends all messages, or none.
    pub(crate) fn append(&mut self, messages: &[Message], now: Timestamp, chance: &mut Chance) -> Appended {
        for message in messages {
            let stored = self.ids.get(&message.id);
            let duplicate = stored.is_some_and(|at| now.since(*at) < DUPLICATE_WINDOW);
            let last = self.last(&message.subject).map_or(0, |last| last.sequence);
            let conflict = message.expecting.is_some_and(|expected| expected != last);
            match (duplicate, conflict) {
                (false, false) => {}
                (true, false) => return Appended::Duplicate,
                (false, true) => return Appended::Conflict,
                // A single node looks at the sequence first, a cluster at the id.
                (true, true) if chance.one_in(2) => return Appended::Duplicate,
                (true, true) => return Appended::Conflict,
            }
        }
        let first = self.sequence + 1;
        for message in messages {
            self.store(message, now);
        }
        Appended::At(first)
    }

    fn store(&mut self, message: &Message, now: Timestamp) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.ids.insert(message.id.clone(), now);
        let last = Last { sequence, id: message.id.clone() };
        self.last_by_subject.insert(message.subject.clone(), last);
        match &message.content {
            Content::Entry(event) => {
                let at = self.clock_at(now);
                let entry = Entry { sequence, at, event: event.clone() };
                if Rc::make_mut(&mut self.service).apply(&entry).is_err() {
                    self.illegal.insert(sequence);
                }
                self.runs = self.service.running().is_some();
                self.entries.push(entry);
            }
            Content::Snapshot(service) => {
                self.snapshots.push(Snapshot { sequence, service: Rc::clone(service) });
            }
            Content::Work(work) => {
                let published = self.clock_at(now);
                self.consumer(work.task.stage).add(sequence, work.clone(), now, published);
            }
        }
    }

    /// The server's clock.
    pub(crate) const fn clock_at(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.clock))
    }

    /// The last message of a subject.
    pub(crate) fn last(&self, subject: &str) -> Option<&Last> {
        self.last_by_subject.get(subject)
    }

    /// The durable consumer that the workers of a stage share.
    pub(crate) const fn consumer(&mut self, stage: Stage) -> &mut Consumer {
        &mut self.consumers[stage as usize]
    }

    /// When the next message of a stage may be delivered.
    pub(crate) fn next_delivery(&self, stage: Stage) -> Option<Timestamp> {
        self.consumers[stage as usize].next_delivery()
    }

    /// Whether every work message was acknowledged, but for those of one stage.
    pub(crate) fn is_idle_but(&self, stage: Stage) -> bool {
        let others = Stage::ALL.into_iter().filter(|other| *other != stage);
        others.into_iter().all(|other| self.consumers[other as usize].is_empty())
    }

    /// Schedules a message.
    pub(crate) const fn set_timer(&mut self, time: Timestamp) {
        self.timer = Some(time);
    }

    /// When the scheduled message is delivered.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timer.map(|time| Timestamp(time.0.saturating_add_signed(-self.clock)))
    }

    /// Delivers the scheduled message, once and to one: it is not acknowledged.
    pub(crate) fn take_timer(&mut self, now: Timestamp) -> Option<Timestamp> {
        let clock = self.clock_at(now);
        self.timer.take_if(|time| *time <= clock)
    }

    /// The last record of the lease of the sweep.
    pub(crate) const fn lease(&self) -> Option<&(u64, LeaseRecord)> {
        self.lease.as_ref()
    }

    /// Stores a record of the lease where another is still the last; none: it isn't.
    pub(crate) fn write_lease(&mut self, expected: u64, record: LeaseRecord) -> Option<u64> {
        let last = self.lease.as_ref().map_or(0, |(sequence, _)| *sequence);
        (last == expected).then(|| {
            self.sequence += 1;
            self.lease = Some((self.sequence, record));
            self.sequence
        })
    }
}
