//! A process: what is gone when it is killed, and its connection to the bus.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use cutover_core::{Program, Service, Timestamp};

use crate::bus::{Appended, Message};
use crate::consumer::Ack;
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
    log: RefCell<Option<Log>>,
}

/// What has been read of the service's log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) service: Rc<Service>,
    /// The sequence of the last snapshot that is known; 0: none.
    pub(crate) snapshot: u64,
    /// Whether that is one of the last end.
    pub(crate) snapshot_taken: bool,
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
        let (cut_until, stopped_until) = (never(), never());
        Self { name, role, clock: Cell::new(clock), cut_until, stopped_until, log: RefCell::default() }
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
            let (mut log, from) = match (known, bus.snapshots.last()) {
                (Some(log), _) => {
                    let from = log.service.sequence;
                    (log, from)
                }
                (None, Some(snapshot)) => {
                    self.world.count(Happening::FreshRead);
                    self.world.hold(invariant::a_snapshot_and_the_rest_are_the_whole(&bus, snapshot));
                    let log = Log {
                        service: Rc::clone(&bus.service),
                        snapshot: snapshot.sequence,
                        snapshot_taken: true,
                    };
                    (log, snapshot.service.sequence)
                }
                (None, None) => {
                    (Log { service: Rc::clone(&bus.service), snapshot: 0, snapshot_taken: false }, 0)
                }
            };
            log.service = Rc::clone(&bus.service);
            log.snapshot_taken &= log.service.last_decision <= from;
            let ended = log.service.current.as_ref().is_some_and(|current| current.outcome().is_some());
            if let Some(stored) = bus.snapshots.last()
                && !log.snapshot_taken
                && ended
            {
                let is_new = stored.sequence > log.service.sequence;
                log.snapshot_taken = is_new;
                if is_new || !self.world.has(crate::Flaw::SnapshotExpectsOwn) {
                    log.snapshot = stored.sequence;
                }
            }
            log
        };
        *self.process.log.borrow_mut() = Some(log.clone());
        self.travel().await?;
        Ok(log)
    }

    /// A snapshot was stored at this sequence.
    pub(crate) fn snapshot_is_at(&self, sequence: u64) {
        if let Some(log) = self.process.log.borrow_mut().as_mut() {
            log.snapshot = sequence;
            log.snapshot_taken = true;
        }
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
