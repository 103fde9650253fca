//! One day, from a seed: a first deployment in peace, then people and trouble, then peace again, in which all must end,
//! and at last a good release, which must go live whatever was before.

use std::rc::Rc;
use std::time::Duration;

use crate::chance::{Chance, Odds};
use crate::flaw::Flaw;
use crate::host::Host;
use crate::invariant::{self, Violation};
use crate::person;
use crate::plans::host_name;
use crate::process::Role;
use crate::schedule::{Schedule, crew};
use crate::tally::Tally;
use crate::trouble::strike;
use crate::world::World;

/// How long people and trouble go on at most.
const DAY: Duration = Duration::from_secs(900);
/// How long a deployment may still go on in peace: hosts and workers may be away for 4 minutes of it.
const LIMIT: Duration = Duration::from_secs(900);

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
    let unfenced = flaw == Some(Flaw::NoFence);
    let hosts = (0..hosts).map(|number| Host::new(host_name(number), unfenced)).collect();
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
        for role in crew(&self.schedule.world) {
            self.schedule.start(role);
        }
        if !self.schedule.world.draw(|chance, _| chance.one_in(3)) {
            self.deploy_in_peace()?;
        }
        self.rough_day()?;
        self.peace()?;
        self.deploy_in_peace()?;
        let (bus, hosts) = (self.schedule.world.bus.borrow(), self.schedule.world.hosts.borrow());
        invariant::a_good_release_goes_live(&bus.service, &hosts)?;
        invariant::an_end_is_in_a_snapshot(&bus)?;
        invariant::repeats_change_nothing(&bus, &mut self.schedule.world.chance.borrow_mut())?;
        bus.snapshots
            .iter()
            .try_for_each(|snapshot| invariant::a_snapshot_and_the_rest_are_the_whole(&bus, snapshot))
    }

    /// A good release, while nothing goes wrong.
    fn deploy_in_peace(&mut self) -> Result<(), Violation> {
        let bus = self.schedule.connection(Role::Person(0));
        self.schedule.add(&bus, person::deploy(bus.clone()));
        while self.schedule.step()?.is_some() {}
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
                end = world.now().after(world.draw(|chance, _| chance.millis(0, 60_000)));
            }
        }
        world.odds.set(Odds::calm());
        world.agenda.set(0);
        world.say("day", || "from now on nothing goes wrong".to_owned());
        Ok(())
    }

    /// Whoever was stopped, killed or lost comes back; what runs comes to its end.
    fn peace(&mut self) -> Result<(), Violation> {
        let world = Rc::clone(&self.schedule.world);
        let began = world.now();
        let mut ended = began;
        while world.now().since(began) < LIMIT && self.schedule.step()?.is_some() {
            if world.bus.borrow().service.running().is_some() {
                ended = world.now();
            }
        }
        let back = world.hosts.borrow().iter().map(|host| host.lost_until).max();
        world.pass_to(back.unwrap_or_default());
        let lasted = u64::try_from(ended.since(began).as_millis()).unwrap_or(u64::MAX);
        world.tally.borrow_mut().longest_calm = lasted;
        let bus = world.bus.borrow();
        invariant::every_deployment_ends(&bus.service)?;
        invariant::an_end_is_in_a_snapshot(&bus)
    }
}
