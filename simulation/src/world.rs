//! The world that all actors share: the time, chance, the bus, the hosts, and who watches over the invariants.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use cutover_core::{DeploymentId, Digest, Stage, Timestamp};

use crate::bus::{Appended, Bus, Message};
use crate::chance::{Chance, Odds};
use crate::consumer::Delivery;
use crate::database::Database;
use crate::flaw::Flaw;
use crate::host::Host;
use crate::invariant::Violation;
use crate::tally::{Happening, Tally};
use crate::watch::Watch;

/// What an actor waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wake {
    At(Timestamp),
    /// A work message of this stage.
    Work(Stage),
    /// The message that was scheduled.
    Timer,
}

/// The world. Everything in it changes between two waits of one actor at a time.
pub(crate) struct World {
    now: Cell<Timestamp>,
    wake: Cell<Option<Wake>>,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) chance: RefCell<Chance>,
    pub(crate) odds: Cell<Odds>,
    pub(crate) bus: RefCell<Bus>,
    pub(crate) hosts: RefCell<Vec<Host>>,
    pub(crate) database: RefCell<Database>,
    /// The images in the artifact store.
    pub(crate) store: RefCell<BTreeSet<Digest>>,
    /// Deployments of releases that are no good, and the stage that shows it.
    pub(crate) bad: RefCell<HashMap<DeploymentId, Stage>>,
    /// Whether the last step was one of an effect on a host: that is when trouble is worth the most.
    pub(crate) in_effect: Cell<bool>,
    /// Whether anybody sweeps.
    pub(crate) sweeps: Cell<bool>,
    /// Whether the last step was one in which something was decided.
    pub(crate) decided: Cell<bool>,
    /// How much people still want to do.
    pub(crate) agenda: Cell<u32>,
    /// Deployments that were thought of.
    pub(crate) plans: Cell<u32>,
    pub(crate) watch: RefCell<Watch>,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) violation: RefCell<Option<Violation>>,
    transcript: Option<RefCell<Vec<String>>>,
}

impl World {
    pub(crate) fn new(mut chance: Chance, hosts: Vec<Host>, flaw: Option<Flaw>, trace: bool) -> Self {
        let plans = Cell::new(0);
        let agenda = Cell::new(1 + u32::try_from(chance.below(11)).unwrap_or(0));
        Self {
            now: Cell::new(Timestamp(1_000_000)),
            wake: Cell::new(None),
            flaw,
            chance: RefCell::new(chance),
            odds: Cell::new(Odds::calm()),
            bus: RefCell::default(),
            watch: RefCell::default(),
            hosts: RefCell::new(hosts),
            database: RefCell::default(),
            store: RefCell::default(),
            bad: RefCell::default(),
            in_effect: Cell::new(false),
            sweeps: Cell::new(false),
            decided: Cell::new(false),
            agenda,
            plans,
            tally: RefCell::default(),
            violation: RefCell::default(),
            transcript: trace.then(RefCell::default),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    pub(crate) fn pass_to(&self, time: Timestamp) {
        self.now.set(self.now().max(time));
    }

    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Chance, Odds) -> T) -> T {
        draw(&mut self.chance.borrow_mut(), self.odds.get())
    }

    pub(crate) fn count(&self, happening: Happening) {
        self.tally.borrow_mut().count(happening);
    }

    /// A line of the transcript, where one is written.
    pub(crate) fn say(&self, who: &str, what: impl FnOnce() -> String) {
        if let Some(transcript) = &self.transcript {
            let seconds = Duration::from_millis(self.now().0 - 1_000_000).as_secs_f64();
            transcript.borrow_mut().push(format!("{seconds:9.3} s  {who:12} {}", what()));
        }
    }

    pub(crate) fn transcript(&self) -> Vec<String> {
        self.transcript.as_ref().map(RefCell::take).unwrap_or_default()
    }

    /// Keeps the first violation.
    pub(crate) fn hold(&self, held: Result<(), Violation>) {
        if let Err(violation) = held {
            self.say("INVARIANT", || violation.to_string());
            self.violation.borrow_mut().get_or_insert(violation);
        }
    }

    /// The server takes messages in.
    pub(crate) fn append(&self, who: &str, messages: &[Message]) -> Appended {
        let mut bus = self.bus.borrow_mut();
        let (before, stored) = (std::rc::Rc::clone(&bus.service), bus.entries.len());
        let appended = bus.append(messages, self.now(), &mut self.chance.borrow_mut());
        match appended {
            Appended::At(_) => {}
            Appended::Conflict => self.count(Happening::Conflict),
            Appended::Duplicate if messages.len() > 1 => self.count(Happening::BatchRefused),
            Appended::Duplicate => self.count(Happening::Duplicate),
        }
        for message in messages {
            self.say(who, || format!("appends {}: {appended:?}", message.id));
        }
        if let Some(entry) = bus.entries.get(stored) {
            let legal = !bus.illegal.contains(&entry.sequence);
            let mut watch = self.watch.borrow_mut();
            let held = watch.entry(self, entry, legal, &before, &bus.service, &mut self.hosts.borrow_mut());
            self.hold(held);
        }
        appended
    }

    /// Waits for as long.
    pub(crate) async fn sleep(&self, wait: Duration) {
        let until = self.now().after(wait);
        poll_fn(|_| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            match self.wake.get() {
                Some(Wake::At(earlier)) if earlier <= until => {}
                _ => self.wake.set(Some(Wake::At(until))),
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits for a work message.
    pub(crate) async fn delivery(&self, stage: Stage) -> Delivery {
        poll_fn(|_| {
            let mut bus = self.bus.borrow_mut();
            match bus.consumer(stage).deliver(self.now(), &mut self.chance.borrow_mut()) {
                Some(delivery) => Poll::Ready(delivery),
                None => {
                    self.wake.set(Some(Wake::Work(stage)));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for the scheduled message; answers with the time that it was scheduled for.
    pub(crate) async fn timer(&self) -> Timestamp {
        poll_fn(|_| match self.bus.borrow_mut().take_timer(self.now()) {
            Some(time) => Poll::Ready(time),
            None => {
                self.wake.set(Some(Wake::Timer));
                Poll::Pending
            }
        })
        .await
    }

    /// What the actor that was just polled waits for; from now on, the next one's.
    pub(crate) fn take_wake(&self) -> Option<Wake> {
        self.wake.take()
    }
}

/// Whichever of two ends first; the other is dropped where it stands.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for the first of two, as `tokio::select!` does: which is looked at first is left to chance.
pub(crate) async fn race<A, B>(
    world: &World,
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        let left_first = world.draw(|chance, _| chance.one_in(2));
        for turn in [left_first, !left_first] {
            if turn {
                if let Poll::Ready(ended) = left.as_mut().poll(context) {
                    return Poll::Ready(First::Left(ended));
                }
            } else if let Poll::Ready(ended) = right.as_mut().poll(context) {
                return Poll::Ready(First::Right(ended));
            }
        }
        Poll::Pending
    })
    .await
}
