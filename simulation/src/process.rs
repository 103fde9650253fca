//! A process: what is gone when it is killed, and its connection to the bus.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use cutover_core::{Deployment, DeploymentId, LeaseRecord, Program, Service, Timestamp};

use crate::bus::{Appended, Last, Message, Snapshot};
use crate::consumer::Ack;
use crate::flaw::Flaw;
use crate::invariant;
use crate::tally::Happening;
use crate::world::World;

/// How long an answer of the server is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The work of a program, beside others of its kind.
    Worker(Program, u8),
    /// The commands of a person.
    Person(u8),
}

/// A process of a machine.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// How far the machine's clock is off, in milliseconds.
    pub(crate) clock: Cell<i64>,
    /// It can't reach the bus before.
    pub(crate) cut_until: Cell<Timestamp>,
    /// It makes no step before.
    pub(crate) stopped_until: Cell<Timestamp>,
    /// The time that it has had a message scheduled for.
    pub(crate) scheduled: Cell<Option<Timestamp>>,
    log: RefCell<Option<Log>>,
    published: RefCell<Published>,
}

/// What has been read of the service's log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) service: Rc<Service>,
    /// Whether a snapshot of the last end is known to be there.
    pub(crate) snapshot_taken: bool,
}

/// The ids of work of one round that is known to be in the log, so that it isn't published again with every fact.
#[derive(Debug, Default)]
struct Published {
    round: Option<(DeploymentId, u32)>,
    ids: HashSet<String>,
}

/// An answer that didn't come. What was asked for may have happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost;

/// A process's connection to the bus.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) world: Rc<World>,
    pub(crate) process: Rc<Process>,
}

impl Process {
    pub(crate) fn new(name: String, role: Role, clock: i64) -> Self {
        let never = || Cell::new(Timestamp(0));
        Self {
            name,
            role,
            clock: Cell::new(clock),
            cut_until: never(),
            stopped_until: never(),
            scheduled: Cell::default(),
            log: RefCell::default(),
            published: RefCell::default(),
        }
    }

    pub(crate) fn has_published(&self, id: &str) -> bool {
        self.published.borrow().ids.contains(id)
    }

    /// Work of a round was published; what was known of another round is forgotten.
    pub(crate) fn publishes(&self, deployment: &Deployment, ids: impl IntoIterator<Item = String>) {
        let mut published = self.published.borrow_mut();
        let round = Some((deployment.id().clone(), deployment.round));
        if published.round != round {
            *published = Published { round, ids: HashSet::new() };
        }
        published.ids.extend(ids);
    }
}

impl Connection {
    /// This machine's clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.world.now().0.saturating_add_signed(self.process.clock.get()))
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        self.world.say(&self.process.name, what);
    }

    /// One way between the process and the server.
    async fn travel(&self) -> Result<(), Lost> {
        let lost = self.process.cut_until.get() > self.world.now()
            || self.world.draw(|chance, odds| chance.one_in(odds.lose));
        if lost {
            self.world.count(Happening::Lost);
            self.say(|| "gets no answer".to_owned());
            self.world.sleep(ANSWER_LIMIT).await;
            return Err(Lost);
        }
        self.world.sleep(self.world.draw(|chance, odds| chance.millis(0, odds.slow))).await;
        Ok(())
    }

    /// Appends all messages, or none.
    pub(crate) async fn append(&self, messages: &[Message]) -> Result<Appended, Lost> {
        self.travel().await?;
        let appended = self.world.append(&self.process.name, messages);
        self.travel().await?;
        Ok(appended)
    }

    /// What the log says now. What was read before is gone on from; a new process begins with the last snapshot.
    pub(crate) async fn read(&self) -> Result<Log, Lost> {
        self.travel().await?;
        let log = {
            let bus = self.world.bus.borrow();
            let known = self.process.log.borrow_mut().take();
            let (read_to, snapshot_taken) = match (known, bus.snapshots.last()) {
                (Some(log), _) => (log.service.sequence, log.snapshot_taken),
                (None, Some(snapshot)) => {
                    self.world.count(Happening::FreshRead);
                    self.world.hold(invariant::a_snapshot_and_the_rest_are_the_whole(&bus, snapshot));
                    (snapshot.service.sequence, true)
                }
                (None, None) => (0, false),
            };
            let service = Rc::clone(&bus.service);
            let snapshot_taken = snapshot_taken && service.last_decision <= read_to;
            Log { service, snapshot_taken }
        };
        *self.process.log.borrow_mut() = Some(log.clone());
        self.travel().await?;
        Ok(log)
    }

    /// The last message of a subject.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Last>, Lost> {
        self.travel().await?;
        let last = self.world.bus.borrow().last(subject).cloned();
        self.travel().await?;
        Ok(last)
    }

    /// The last snapshot.
    pub(crate) async fn last_snapshot(&self) -> Result<Option<Snapshot>, Lost> {
        self.travel().await?;
        let last = self.world.bus.borrow().snapshots.last().cloned();
        self.travel().await?;
        Ok(last)
    }

    /// Has a message scheduled for a time by the server's clock, at which somebody looks again. One that it has asked for
    /// isn't asked for again.
    pub(crate) async fn schedule(&self, time: Timestamp) -> Result<(), Lost> {
        if self.process.scheduled.get() == Some(time) {
            return Ok(());
        }
        self.travel().await?;
        let lost = self.world.draw(|chance, odds| chance.one_in(odds.lose_timer));
        if lost || self.world.has(Flaw::NobodySweeps) {
            self.world.count(Happening::TimerLost);
        } else {
            self.world.bus.borrow_mut().set_timer(time);
        }
        self.process.scheduled.set(Some(time));
        self.travel().await
    }

    /// The last record of the lease of the sweep.
    pub(crate) async fn lease(&self) -> Result<Option<(u64, LeaseRecord)>, Lost> {
        self.travel().await?;
        let last = self.world.bus.borrow().lease().cloned();
        self.travel().await?;
        Ok(last)
    }

    /// Writes a record of the lease where another is still the last; none: it isn't.
    pub(crate) async fn write_lease(&self, expected: u64, record: LeaseRecord) -> Result<Option<u64>, Lost> {
        self.travel().await?;
        let stored = self.world.bus.borrow_mut().write_lease(expected, record);
        self.travel().await?;
        Ok(stored)
    }

    /// Says what to do with a work message.
    pub(crate) async fn acknowledge(&self, stage: cutover_core::Stage, message: u64, ack: Ack) {
        if self.world.draw(|chance, odds| chance.one_in(odds.lose_ack)) {
            self.world.count(Happening::AckLost);
            self.say(|| format!("loses its acknowledgement of #{message} ({ack:?})"));
            return;
        }
        if self.travel().await.is_ok() {
            self.say(|| format!("says of #{message}: {ack:?}"));
            self.world.bus.borrow_mut().consumer(stage).acknowledge(message, ack, self.world.now());
        }
    }
}
