//! People who deploy, abort, replay and roll back, without asking each other.

use cutover_core::{Decision, Service};

use crate::journal::DecideError;
use crate::process::{Connection, Role};
use crate::tally::Happening;
use crate::world::World;
use crate::{invariant, plans};

/// Does what comes to mind, as long as there is something on the agenda.
pub(crate) async fn person(bus: Connection) {
    let world = &bus.world;
    while world.agenda.get() > 0 {
        let longest = world.draw(|chance, _| chance.pick(&[1_000, 10_000, 40_000])).unwrap_or_default();
        world.sleep(world.draw(|chance, _| chance.millis(0, longest))).await;
        world.agenda.set(world.agenda.get().saturating_sub(1));
        let Ok(log) = bus.read().await else { continue };
        if let Some(decision) = whim(world, &name(&bus), &log.service) {
            decide(&bus, decision).await;
        }
    }
}

/// Deploys one release that is good.
pub(crate) async fn deploy(bus: Connection) {
    let plan = plans::deploy(&bus.world, &name(&bus), true);
    decide(&bus, Decision::Accepted(Box::new(plan))).await;
}

fn name(bus: &Connection) -> String {
    match bus.process.role {
        Role::Person(number) => format!("person {number}"),
        Role::Worker(..) => bus.process.name.clone(),
    }
}

fn whim(world: &World, by: &str, service: &Service) -> Option<Decision> {
    let current = service.current.as_ref().map(|current| current.id().clone());
    let runs = service.running().is_some();
    let whim = world.draw(|chance, _| chance.below(12));
    match (whim, current) {
        (0..3, Some(deployment)) if runs => Some(Decision::Aborted { deployment, by: by.to_owned() }),
        (0..7, Some(deployment)) if !runs => Some(plans::replay(world, by, &deployment)),
        (7, Some(deployment)) => Some(Decision::Aborted { deployment, by: by.to_owned() }),
        (8, Some(deployment)) => Some(plans::replay(world, by, &deployment)),
        (9, _) => {
            let kept = world.draw(|chance, _| chance.pick(&service.kept))?;
            Some(Decision::Accepted(Box::new(plans::rollback(world, by, &kept))))
        }
        _ => Some(Decision::Accepted(Box::new(plans::deploy(world, by, false)))),
    }
}

async fn decide(bus: &Connection, decision: Decision) {
    let world = &bus.world;
    bus.say(|| format!("wants: {}", describe(&decision)));
    match bus.decide(&decision).await {
        Ok(_) => {
            bus.say(|| format!("is told that it was taken: {}", describe(&decision)));
            world.hold(invariant::what_people_are_told_is_so(&world.bus.borrow(), &decision));
        }
        Err(DecideError::Refused(refused)) => {
            world.count(Happening::Refused);
            bus.say(|| format!("is refused: {refused}"));
        }
        Err(DecideError::Lost) => bus.say(|| "is told nothing".to_owned()),
    }
}

/// A decision in a few words.
pub(crate) fn describe(decision: &Decision) -> String {
    let id = decision.deployment().short();
    match decision {
        Decision::Accepted(plan) => format!("deployment {id} of {}", plan.release.version),
        Decision::Forgiven { host, .. } => format!("what {host} owes is forgiven"),
        Decision::Aborted { .. } => format!("abort of {id}"),
        Decision::Replayed { from: Some(stage), .. } => format!("replay of {id} from {stage}"),
        Decision::Replayed { from: None, .. } => format!("replay of {id}"),
    }
}
