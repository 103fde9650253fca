//! What the programs do with their tasks: each looks at what is there, and does only the rest. Every call to a host is a
//! place where the worker may be killed, the host lost, or the answer.

mod builder;
mod migrator;
mod prober;
mod shipper;
mod switcher;

use std::time::Duration;

use cutover_core::{Digest, Failure, HostName, Output, Plan, Stage};

use crate::assignment::Assignment;
use crate::host::{Container, Host};
use crate::invariant::{self, Removal};
use crate::process::Connection;
use crate::proxy::Refusal;
use crate::tally::Happening;

/// How long a host that can't be reached is waited for.
const REACH_LIMIT: Duration = Duration::from_secs(3);

/// Does one task.
pub(crate) async fn perform(bus: &Connection, assignment: &Assignment) -> Result<Output, Failure> {
    let hand = Hand { bus, assignment };
    let stage = assignment.task.stage;
    hand.take_time(0, 20).await;
    let bad = bus.world.bad.borrow().get(assignment.deployment.id()) == Some(&stage);
    let at_the_end = stage >= Stage::Retire;
    let fails = bus.world.draw(|chance, odds| chance.one_in(if at_the_end { odds.owe } else { odds.fail }));
    if bad || fails {
        return Err(Failure::lasting(format!("{stage} is broken")));
    }
    match stage {
        Stage::Build => builder::build(&hand).await,
        Stage::Expand => migrator::expand(&hand).await,
        Stage::Backfill => migrator::backfill(&hand).await,
        Stage::Contract => migrator::contract(&hand).await,
        Stage::Ship => shipper::ship(&hand).await,
        Stage::Boot => shipper::boot(&hand).await,
        Stage::Retire => shipper::retire(&hand).await,
        Stage::Cool => shipper::cool(&hand).await,
        Stage::Discard => shipper::discard(&hand).await,
        Stage::Probe => prober::probe(&hand).await,
        Stage::Soak => prober::soak(&hand).await,
        Stage::Canary => switcher::canary(&hand).await,
        Stage::Switch => switcher::switch(&hand).await,
        Stage::Restore => switcher::restore(&hand).await,
    }
}

/// A worker's hand: all that it does goes through here.
struct Hand<'a> {
    bus: &'a Connection,
    assignment: &'a Assignment,
}

impl Hand<'_> {
    fn plan(&self) -> &Plan {
        &self.assignment.deployment.plan
    }

    fn host(&self) -> Result<&HostName, Failure> {
        self.assignment.task.host.as_ref().ok_or_else(|| Failure::lasting("the plan names no such host"))
    }

    fn image(&self) -> Result<&Digest, Failure> {
        self.assignment.deployment.image().ok_or_else(|| Failure::lasting("the journal names no image"))
    }

    async fn take_time(&self, from: u64, to: u64) {
        let wait = self.bus.world.draw(|chance, _| chance.millis(from, to));
        self.bus.world.sleep(wait).await;
    }

    /// Asks a host, or changes something on it. When the answer is lost, it has happened all the same.
    async fn on<T>(&self, host: &HostName, act: impl FnOnce(&mut Host) -> T) -> Result<T, Failure> {
        let world = &self.bus.world;
        self.reach(host).await?;
        if world.draw(|chance, odds| chance.one_in(odds.stumble)) {
            return Err(Failure::passing(format!("{host} has a bad moment")));
        }
        let done = {
            let mut hosts = world.hosts.borrow_mut();
            let there = hosts.iter_mut().find(|other| other.name == *host);
            let there = there.ok_or_else(|| Failure::lasting("no such host"))?;
            let done = act(there);
            world.database.borrow_mut().written_by(there);
            world.hold(invariant::traffic_goes_to_what_runs(there));
            world.hold(invariant::traffic_is_whole(&world.bus.borrow().service, there));
            done
        };
        self.reach(host).await?;
        Ok(done)
    }

    async fn reach(&self, host: &HostName) -> Result<(), Failure> {
        self.bus.world.in_effect.set(true);
        self.take_time(0, 5).await;
        let now = self.bus.world.now();
        let is_lost = |there: &Host| there.name == *host && there.lost_until > now;
        let lost = self.bus.world.hosts.borrow().iter().any(is_lost);
        if lost {
            self.bus.world.sleep(REACH_LIMIT).await;
            return Err(Failure::passing(format!("{host} can't be reached")));
        }
        Ok(())
    }

    /// Changes something on the task's host; says so, and looks whether it may.
    async fn change<T>(&self, what: &str, act: impl FnOnce(&mut Host) -> T) -> Result<T, Failure> {
        self.change_on(self.host()?, what, act).await
    }

    /// The same on any host.
    async fn change_on<T>(
        &self,
        host: &HostName,
        what: &str,
        act: impl FnOnce(&mut Host) -> T,
    ) -> Result<T, Failure> {
        self.on(host, |there| {
            let world = &self.bus.world;
            self.bus.say(|| format!("{what} on {host}, by claim {}", self.assignment.claim));
            world.hold(invariant::an_effect_has_a_claim(&world.watch.borrow(), self.assignment));
            act(there)
        })
        .await
    }

    /// Stops and removes containers, one after the other.
    async fn remove(&self, containers: &[Container]) -> Result<u32, Failure> {
        let mut removed = 0;
        for container in containers {
            self.take_time(0, 50).await;
            let world = &self.bus.world;
            self.change(&format!("removes {}", container.replica.name), |host| {
                if host.containers.iter().any(|there| there.id == container.id) {
                    let removal = Removal { host, container, by: self.assignment };
                    let service = &world.bus.borrow().service;
                    world.hold(invariant::what_serves_is_never_removed(&removal, world.now()));
                    world.hold(invariant::what_is_removed_is_fenced_off(&world.watch.borrow(), &removal));
                    world.hold(invariant::what_others_boot_is_left_alone(service, &removal));
                    world.hold(invariant::what_is_live_stays(service, &removal));
                    world.hold(invariant::what_is_warm_stays_so(service, &removal));
                }
                host.remove(container.id);
            })
            .await?;
            // Docker waits for what it has told to stop.
            self.take_time(0, if world.draw(|chance, _| chance.one_in(5)) { 3_000 } else { 50 }).await;
            removed += 1;
        }
        Ok(removed)
    }

    /// What a refusal by a proxy means for the attempt.
    fn refused(&self, refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Stale { highest } => {
                self.bus.world.count(Happening::Fenced);
                self.bus.say(|| format!("claim {} is refused, {highest} was here", self.assignment.claim));
                let world = &self.bus.world;
                world.hold(invariant::what_is_owed_fences_off_no_later_deployment(
                    &world.bus.borrow().service,
                    &world.watch.borrow(),
                    self.assignment,
                    highest,
                ));
                Failure::lasting("something newer was decided for this service")
            }
            Refusal::NotActive => Failure::lasting("it is not the active deployment: nothing was retired"),
        }
    }
}
