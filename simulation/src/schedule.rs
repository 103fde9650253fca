//! Who is next: an executor of one thread, whose time is a number. It polls the actor that wakes first, and knows where
//! each one waits, so that it can end or stop a process between any two of its steps.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use cutover_core::{Program, Timestamp};

use crate::duty;
use crate::flaw::Flaw;
use crate::invariant::Violation;
use crate::person::person;
use crate::process::{Connection, Process, Role};
use crate::tally::Happening;
use crate::task_run::slot;
use crate::world::{Wake, World};

/// Something that a process does.
struct Actor {
    process: Rc<Process>,
    future: Pin<Box<dyn Future<Output = ()>>>,
    wake: Wake,
}

/// All that is going on.
pub(crate) struct Schedule {
    pub(crate) world: Rc<World>,
    actors: Vec<Actor>,
    /// Processes that are to come back, and when.
    gone: Vec<(Timestamp, Role)>,
    /// Process numbers that were given.
    processes: u32,
}

/// What comes next.
enum Next {
    Actor(usize),
    Return(usize),
}

impl Schedule {
    pub(crate) const fn new(world: Rc<World>) -> Self {
        Self { world, actors: Vec::new(), gone: Vec::new(), processes: 0 }
    }

    /// Starts a process.
    pub(crate) fn start(&mut self, role: Role) {
        let bus = self.connection(role);
        match role {
            Role::Person(_) => self.add(&bus, person(bus.clone())),
            Role::Worker(program, _) => {
                self.add(&bus, duty::timer(bus.clone()));
                if self.world.sweeps.get() && may_sweep(role) {
                    self.add(&bus, duty::sweep(bus.clone()));
                }
                let slots = self.world.draw(|chance, _| 1 + chance.below(2));
                for stage in program.stages() {
                    for number in 0..slots {
                        self.add(&bus, slot(bus.clone(), stage, number));
                    }
                }
            }
        }
    }

    pub(crate) fn connection(&mut self, role: Role) -> Connection {
        self.processes += 1;
        let name = match role {
            Role::Worker(program, number) => format!("{program}-{number}.{}", self.processes),
            Role::Person(number) => format!("person-{number}.{}", self.processes),
        };
        let clock = self.world.draw(|chance, _| chance.around(200));
        let process = Rc::new(Process::new(name, role, clock));
        Connection { world: Rc::clone(&self.world), process }
    }

    pub(crate) fn add(&mut self, bus: &Connection, future: impl Future<Output = ()> + 'static) {
        let (process, wake) = (Rc::clone(&bus.process), Wake::At(self.world.now()));
        self.actors.push(Actor { process, future: Box::pin(future), wake });
    }

    /// Ends a process where it stands; it comes back at that time.
    pub(crate) fn kill(&mut self, process: &Rc<Process>, back: Timestamp) {
        self.actors.retain(|actor| !Rc::ptr_eq(&actor.process, process));
        self.gone.push((back, process.role));
    }

    /// From now on the workers sweep, and those that come back.
    pub(crate) fn begin_to_sweep(&mut self) {
        if self.world.has(Flaw::NobodySweeps) || self.world.sweeps.replace(true) {
            return;
        }
        for process in self.workers().into_iter().filter(|process| may_sweep(process.role)) {
            let bus = Connection { world: Rc::clone(&self.world), process };
            self.add(&bus, duty::sweep(bus.clone()));
        }
    }

    /// The workers that are there.
    pub(crate) fn workers(&self) -> Vec<Rc<Process>> {
        let mut workers: Vec<Rc<Process>> = Vec::new();
        for Actor { process, .. } in &self.actors {
            let is_known = workers.iter().any(|known| Rc::ptr_eq(known, process));
            if matches!(process.role, Role::Worker(..)) && !is_known {
                workers.push(Rc::clone(process));
            }
        }
        workers
    }

    /// Whether all processes are there and at it.
    pub(crate) fn is_everybody_back(&self) -> bool {
        let now = self.world.now();
        self.gone.is_empty() && self.actors.iter().all(|actor| actor.process.stopped_until.get() <= now)
    }

    /// Whether people still have something to do.
    pub(crate) fn is_anybody_there(&self) -> bool {
        let person = |role: Role| matches!(role, Role::Person(_));
        self.actors.iter().any(|actor| person(actor.process.role))
            || self.gone.iter().any(|(_, role)| person(*role))
    }

    /// Makes the next step; answers with the process that has made it, none where nothing will ever happen again.
    pub(crate) fn step(&mut self) -> Result<Option<Option<Rc<Process>>>, Violation> {
        let Some((at, next)) = self.next() else { return Ok(None) };
        self.world.pass_to(at);
        self.world.count(Happening::Step);
        let process = match next {
            Next::Return(index) => {
                let (_, role) = self.gone.swap_remove(index);
                self.start(role);
                None
            }
            Next::Actor(index) => self.poll(index),
        };
        match self.world.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(Some(process)),
        }
    }

    fn poll(&mut self, index: usize) -> Option<Rc<Process>> {
        let actor = self.actors.get_mut(index)?;
        let process = Rc::clone(&actor.process);
        let ready = actor.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        match self.world.take_wake() {
            Some(wake) if !ready => actor.wake = wake,
            _ => drop(self.actors.swap_remove(index)),
        }
        Some(process)
    }

    /// The earliest; of several, chance has the choice.
    fn next(&self) -> Option<(Timestamp, Next)> {
        let bus = self.world.bus.borrow();
        let actors = self.actors.iter().enumerate().filter_map(|(index, actor)| {
            let at = match actor.wake {
                Wake::At(at) => at,
                Wake::Work(stage) => bus.next_delivery(stage)?,
                Wake::Timer => bus.next_timer()?,
            };
            Some((at.max(actor.process.stopped_until.get()), Next::Actor(index)))
        });
        let returns = self.gone.iter().enumerate().map(|(index, (at, _))| (*at, Next::Return(index)));
        let now = self.world.now();
        let (mut ties, mut first) = (0, None::<(Timestamp, Next)>);
        for (at, next) in actors.chain(returns) {
            let at = at.max(now);
            match &first {
                Some((earliest, _)) if at > *earliest => continue,
                Some((earliest, _)) if at == *earliest => ties += 1,
                _ => ties = 1,
            }
            if ties == 1 || self.world.draw(|chance, _| chance.one_in(ties)) {
                first = Some((at, next));
            }
        }
        first
    }
}

/// One process of each program takes part in the sweep: enough to be in each other's way.
const fn may_sweep(role: Role) -> bool {
    matches!(role, Role::Worker(_, 1))
}

/// The programs, each as often as it is there.
pub(crate) fn crew(world: &World) -> Vec<Role> {
    let all = Program::ALL.into_iter();
    let worker = |program| {
        let count = world.draw(|chance, _| 1 + u8::from(chance.one_in(2)));
        (1..=count).map(move |number| Role::Worker(program, number))
    };
    all.flat_map(worker).collect()
}
