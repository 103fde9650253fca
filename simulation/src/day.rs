//! One day, from a seed: a first deployment in peace, then people and trouble, then peace again, in which all must end and
//! all debts be paid, and at last a good release, which must go live whatever was before.

use std::rc::Rc;
use std::time::Duration;

use cutover_core::Stage;

use crate::chance::{Chance, Odds};
use crate::flaw::Flaw;
use crate::host::Host;
use crate::invariant::{self, Violation};
use crate::person;
use crate::plans::host_name;
use crate::process::Role;
use crate::proxy::Proxy;
use crate::schedule::{Schedule, crew};
use crate::tally::Tally;
use crate::trouble::strike;
use crate::world::World;

/// How long people and trouble go on at most.
const DAY: Duration = Duration::from_secs(900);
/// How long a deployment may still go on in peace: hosts and workers may be away for 8 minutes of it.
const LIMIT: Duration = Duration::from_secs(900);
/// How long debts may still be owed in peace: after 8 minutes at most all hosts are back, and after 10 more all was tried.
const PAY_LIMIT: Duration = Duration::from_secs(2400);

/// What a seed has come to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What has happened.
    pub tally: Tally,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// What happened, line by line, where it was asked for.
    pub transcript: Vec<String>,
}

/// Plays a seed, as it is or with a flaw.
pub fn run(seed: u64, flaw: Option<Flaw>, trace: bool) -> Report {
    let mut chance = Chance::new(seed);
    let hosts = 1 + chance.below(4);
    let proxy = || Proxy {
        unfenced: flaw == Some(Flaw::NoFence),
        keeps_canaries: flaw == Some(Flaw::CanaryStays),
        ..Proxy::default()
    };
    let hosts = (0..hosts).map(|number| Host::new(host_name(number), proxy())).collect();
    let mut day = Day { schedule: Schedule::new(Rc::new(World::new(chance, hosts, flaw, trace))) };
    let violation = day.pass().err();
    let world = &day.schedule.world;
    Report { seed, tally: world.tally.borrow().clone(), violation, transcript: world.transcript() }
}

struct Day {
    schedule: Schedule,
}

impl Day {
    fn pass(&mut self) -> Result<(), Violation> {
        // Where nobody sweeps until the end of the day, messages alone must bring every deployment to its end.
        if self.schedule.world.draw(|chance, _| chance.one_in(2)) {
            self.schedule.begin_to_sweep();
        }
        for role in crew(&self.schedule.world) {
            self.schedule.start(role);
        }
        for _ in 0..self.schedule.world.draw(|chance, _| chance.below(3)) {
            self.deploy_in_peace()?;
        }
        self.rough_day()?;
        self.peace()?;
        self.pay()?;
        self.deploy_in_peace()?;
        let world = Rc::clone(&self.schedule.world);
        invariant::a_good_release_goes_live(&world.bus.borrow().service, &world.hosts.borrow())?;
        self.pay()?;
        let (bus, mut chance) = (world.bus.borrow(), world.chance.borrow_mut());
        invariant::an_end_is_in_a_snapshot(&bus)?;
        // Whole logs are folded for this: one part of the days is enough.
        if chance.one_in(3) {
            invariant::repeats_change_nothing(&bus, &mut chance)?;
        }
        match chance.pick(&bus.snapshots) {
            Some(snapshot) => invariant::a_snapshot_and_the_rest_are_the_whole(&bus, &snapshot),
            None => Ok(()),
        }
    }

    /// Lets time pass until something is so, or for a time, or until nothing will ever happen any more.
    fn until(&mut self, limit: Duration, is_so: impl Fn(&Schedule) -> bool) -> Result<(), Violation> {
        let end = self.schedule.world.now().after(limit);
        while self.schedule.world.now() < end && !is_so(&self.schedule) && self.schedule.step()?.is_some() {}
        Ok(())
    }

    /// A good release, while nothing goes wrong.
    fn deploy_in_peace(&mut self) -> Result<(), Violation> {
        let bus = self.schedule.connection(Role::Person(0));
        self.schedule.add(&bus, person::deploy(bus.clone()));
        self.until(LIMIT, |schedule| !schedule.is_anybody_there() && is_quiet(&schedule.world))?;
        invariant::every_deployment_ends(&self.schedule.world.bus.borrow().service)
    }

    /// One or two people and the trouble of this seed, until they have done what they wanted, and a while longer.
    fn rough_day(&mut self) -> Result<(), Violation> {
        let world = Rc::clone(&self.schedule.world);
        let people = world.draw(|chance, _| 1 + u8::from(chance.one_in(2)));
        for number in 1..=people {
            self.schedule.start(Role::Person(number));
        }
        world.odds.set(Odds::draw(&mut world.chance.borrow_mut()));
        world.say("day", || format!("{:?}", world.odds.get()));
        let mut end = world.now().after(DAY);
        let mut over = false;
        while world.now() < end {
            match self.schedule.step()? {
                None => break,
                Some(Some(process)) => strike(&mut self.schedule, &process),
                Some(None) => {}
            }
            if !over && !self.schedule.is_anybody_there() {
                over = true;
                let longest =
                    world.draw(|chance, _| chance.pick(&[10_000, 60_000, 300_000])).unwrap_or_default();
                end = world.now().after(world.draw(|chance, _| chance.millis(0, longest)));
            }
        }
        world.odds.set(Odds::calm());
        world.agenda.set(0);
        world.say("day", || "from now on nothing goes wrong".to_owned());
        Ok(())
    }

    /// Whoever was stopped or killed comes back; what runs comes to its end.
    fn peace(&mut self) -> Result<(), Violation> {
        let world = Rc::clone(&self.schedule.world);
        let began = world.now();
        self.until(LIMIT, |schedule| !schedule.world.bus.borrow().runs)?;
        world.tally.borrow_mut().longest_calm = millis(world.now().since(began));
        self.until(LIMIT, |schedule| schedule.is_everybody_back() && is_quiet(&schedule.world))?;
        let bus = world.bus.borrow();
        invariant::every_deployment_ends(&bus.service)?;
        invariant::an_end_is_in_a_snapshot(&bus)
    }

    /// Hosts that were lost come back; what is owed is done, and then nothing is left behind.
    fn pay(&mut self) -> Result<(), Violation> {
        self.schedule.begin_to_sweep();
        let world = Rc::clone(&self.schedule.world);
        let began = world.now();
        let later = began.after(PAY_LIMIT / 2);
        self.until(PAY_LIMIT, |schedule| {
            let world = &schedule.world;
            let are_back = world.hosts.borrow().iter().all(|host| host.lost_until <= world.now());
            are_back
                && is_quiet(world)
                && invariant::left(&world.bus.borrow().service, later).next().is_none()
        })?;
        let back = world.hosts.borrow().iter().map(|host| host.lost_until).max();
        world.pass_to(back.unwrap_or_default());
        let lasted = millis(world.now().since(began));
        let mut tally = world.tally.borrow_mut();
        tally.longest_debt = tally.longest_debt.max(lasted);
        let (service, hosts) = (&world.bus.borrow().service, world.hosts.borrow());
        invariant::all_that_is_owed_is_done(service, later)?;
        invariant::what_is_warm_runs(service, &hosts)?;
        hosts.iter().try_for_each(|host| {
            invariant::a_host_that_came_back_serves_what_is_live(service, host)?;
            invariant::nothing_is_left_behind(service, host)
        })
    }
}

/// Whether nothing runs, and no work message waits, but for those of what is put off until later.
fn is_quiet(world: &World) -> bool {
    let bus = world.bus.borrow();
    bus.is_idle_but(Stage::Cool) && !bus.runs
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
