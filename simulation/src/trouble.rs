//! Trouble: what befalls processes, hosts and clocks between two steps.

use std::rc::Rc;
use std::time::Duration;

use cutover_core::{Deployment, PROTOCOL, Stage, Task, Work};

use crate::chance::Chance;
use crate::process::Process;
use crate::schedule::Schedule;
use crate::tally::Happening;
use crate::world::World;
use crate::{journal, plans};

/// What may befall the process that has just made a step, and the world around it.
pub(crate) fn strike(schedule: &mut Schedule, process: &Rc<Process>) {
    let world = Rc::clone(&schedule.world);
    let odds = world.odds.get();
    let strikes = |n: u32| world.draw(|chance, _| chance.one_in(n));
    let in_effect = world.in_effect.take();
    if strikes(if in_effect { odds.stop_in_effect } else { odds.stop }) {
        stop(&world, process);
    }
    // What is decided is decided over the heads of those that are asleep.
    if world.decided.take() && strikes(odds.stop_at_decision) {
        for worker in schedule.workers() {
            if strikes(2) {
                stop(&world, &worker);
            }
        }
    }
    if strikes(odds.cut) {
        let wait = while_(&world, &[2_000, 20_000]);
        world.count(Happening::Cut);
        world.say(&process.name, || format!("can't reach the bus for {wait:?}"));
        process.cut_until.set(world.now().after(wait));
    }
    if strikes(odds.lose_host) {
        lose_host(&world);
    }
    if strikes(odds.set_clock) {
        set_clock(&world, process);
    }
    if strikes(odds.forge) {
        forge(&world);
    }
    if strikes(if in_effect { odds.kill.div_ceil(4) } else { odds.kill }) {
        let wait = while_(&world, &[100, 5_000, 30_000]);
        world.count(Happening::Killed);
        world.say(&process.name, || format!("is killed, and another comes in {wait:?}"));
        schedule.kill(process, world.now().after(wait));
    }
}

fn stop(world: &World, process: &Process) {
    let wait = while_(world, &[3_000, 20_000, 150_000]);
    world.count(Happening::Stopped);
    world.say(&process.name, || format!("is stopped for {wait:?}"));
    process.stopped_until.set(world.now().after(wait));
}

/// Up to one of these times.
fn while_(world: &World, longest: &[u64]) -> Duration {
    world.draw(|chance, _| {
        let longest = chance.pick(longest).unwrap_or_default();
        chance.millis(0, longest)
    })
}

fn lose_host(world: &World) {
    let wait = while_(world, &[5_000, 30_000, 120_000, 480_000]);
    let mut hosts = world.hosts.borrow_mut();
    let index = world.draw(|chance, _| chance.below(hosts.len()));
    if let Some(host) = hosts.get_mut(index) {
        world.count(Happening::HostLost);
        world.say(host.name.as_str(), || format!("is lost for {wait:?}"));
        host.lost_until = world.now().after(wait);
    }
}

/// By seconds, or, where nobody looks after it, by a minute.
fn set_clock(world: &World, process: &Process) {
    let by = world.draw(|chance, _| {
        let spread = if chance.one_in(5) { 60_000 } else { 3_000 };
        chance.around(spread)
    });
    world.count(Happening::ClockSet);
    if world.draw(|chance, _| chance.one_in(4)) {
        world.say("server", || format!("has its clock set, {by} ms off"));
        world.bus.borrow_mut().clock = by;
    } else {
        world.say(&process.name, || format!("has its clock set, {by} ms off"));
        process.clock.set(by);
    }
}

/// A work message with any task in it, of the deployment that runs or ran last, or of one that owes something.
fn forge(world: &World) {
    let service = Rc::clone(&world.bus.borrow().service);
    let known: Vec<&Deployment> = service.current.iter().chain(&service.owing).collect();
    let draw = |chance: &mut Chance| {
        let deployment = chance.pick(&known)?;
        let stage = chance.pick(&Stage::ALL)?;
        let host = chance.pick(&deployment.plan.hosts).filter(|_| stage.per_host()).map(|host| host.name);
        let task = Task { stage, host };
        // Every other one is of the attempt that would be next.
        let attempt = match chance.below(6) {
            number @ 0..3 => u32::try_from(number).ok()?,
            _ => service.state(deployment.id(), &task).claims + 1,
        };
        let work = Work { protocol: PROTOCOL, deployment: deployment.id().clone(), task, attempt };
        Some((work, chance.below(usize::MAX)))
    };
    let Some((work, id)) = world.draw(|chance, _| draw(chance)) else { return };
    world.count(Happening::Forged);
    let message = journal::forged(&plans::key(), work.task.stage, format!("forged/{id}"), work);
    world.append("somebody", &[message]);
}
