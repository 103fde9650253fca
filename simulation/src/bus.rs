//! The bus as a model: one JetStream stream with the journal's subjects, as nats-server 2.15 keeps it.
//!
//! Message ids make duplicates within a window; an expected last sequence of a subject makes conflicts; a batch is stored
//! as a whole or not at all. The fold of the log stands beside it, so that reading to the end costs nothing.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use cutover_core::{Entry, Event, Service, Stage, Timestamp, Work};

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
    /// Entries that the fold refused.
    pub(crate) illegal: BTreeSet<u64>,
    pub(crate) snapshots: Vec<Snapshot>,
    consumers: [Consumer; Stage::ALL.len()],
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
                let at = Timestamp(now.0.saturating_add_signed(self.clock));
                let entry = Entry { sequence, at, event: event.clone() };
                if Rc::make_mut(&mut self.service).apply(&entry).is_err() {
                    self.illegal.insert(sequence);
                }
                self.entries.push(entry);
            }
            Content::Snapshot(service) => {
                self.snapshots.push(Snapshot { sequence, service: Rc::clone(service) });
            }
            Content::Work(work) => self.consumer(work.task.stage).add(sequence, work.clone(), now),
        }
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
}
