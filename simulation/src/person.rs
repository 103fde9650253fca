//! People who deploy, abort, replay, roll back and forgive, without asking each other.

use cutover_core::{Decision, Outcome, Refused, Service, Stage};

use crate::journal::DecideError;
use crate::process::{Connection, Role};
use crate::tally::Happening;
use crate::world::World;
use crate::{invariant, plans};

/// Does what comes to mind, as long as there is something on the agenda. While a deployment runs, it is mostly waited for.
pub(crate) async fn person(bus: Connection) {
    let world = &bus.world;
    while world.agenda.get() > 0 {
        let paces = if world.odds.get().hasty { [1_000, 5_000, 10_000] } else { [1_000, 10_000, 40_000] };
        let longest = world.draw(|chance, _| chance.pick(&paces)).unwrap_or_default();
        world.sleep(world.draw(|chance, _| chance.millis(0, longest))).await;
        let Ok(log) = bus.read().await else { continue };
        // The day may have ended meanwhile.
        if world.agenda.get() == 0 {
            return;
        }
        if log.service.running().is_some() && !world.draw(|chance, _| chance.one_in(4)) {
            continue;
        }
        world.agenda.set(world.agenda.get().saturating_sub(1));
        if let Some(decision) = whim(world, &name(&bus), &log.service) {
            while decide(&bus, &decision).await == Told::TryAgain {
                world.sleep(world.draw(|chance, _| chance.millis(500, 5_000))).await;
            }
        }
    }
}

/// Deploys one release that is good.
pub(crate) async fn deploy(bus: Connection) {
    let plan = plans::deploy(&bus.world, &name(&bus), true);
    decide(&bus, &Decision::Accepted(Box::new(plan))).await;
}

fn name(bus: &Connection) -> String {
    match bus.process.role {
        Role::Person(number) => format!("person {number}"),
        Role::Worker(..) => bus.process.name.clone(),
    }
}

fn whim(world: &World, by: &str, service: &Service) -> Option<Decision> {
    let accept = |plan| Some(Decision::Accepted(Box::new(plan)));
    let Some(current) = &service.current else { return accept(plans::deploy(world, by, false)) };
    let abort = || Decision::Aborted { deployment: current.id().clone(), by: by.to_owned() };
    let is_live = matches!(current.outcome(), Some(Outcome::Live | Outcome::Degraded { live: true }));
    let warm = service.kept.iter().find(|kept| service.warm_until(kept).is_some());
    // What makes sense is the most likely; what doesn't is refused.
    match (world.draw(|chance, _| chance.below(12)), service.running().is_some()) {
        (0..4, true) => Some(abort()),
        (0..4, false) if !is_live => Some(plans::replay(world, by, current.id())),
        (0..5, false) if let Some(warm) = warm => accept(plans::rollback(world, by, service, warm)),
        (5 | 6, true) if current.plan.stages.contains(&Stage::Canary) => {
            let step = world.draw(|chance, _| chance.pick(&[None, Some(0), Some(1)])).flatten();
            Some(Decision::Promoted { deployment: current.id().clone(), by: by.to_owned(), step })
        }
        (7, _) if let Some(owed) = service.obligations.iter().find(|owed| owed.gives_way()) => {
            Some(Decision::Approved { deployment: owed.deployment.clone(), by: by.to_owned() })
        }
        (8, _) => Some(abort()),
        (9, _) => Some(plans::replay(world, by, current.id())),
        (10, _) => {
            let kept = world.draw(|chance, _| chance.pick(&service.kept))?;
            accept(plans::rollback(world, by, service, &kept))
        }
        (11, _) => {
            let owed = world.draw(|chance, _| chance.pick(&service.obligations))?;
            let (deployment, host) = (current.id().clone(), owed.task.host?);
            Some(Decision::Forgiven { deployment, host, by: by.to_owned() })
        }
        _ => accept(plans::deploy(world, by, false)),
    }
}

/// What a person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Yes, no, or nothing at all.
    Enough,
    /// That it may be decided in a moment.
    TryAgain,
}

async fn decide(bus: &Connection, decision: &Decision) -> Told {
    let world = &bus.world;
    bus.say(|| format!("wants: {}", describe(decision)));
    match bus.decide(decision).await {
        Ok(()) => {
            bus.say(|| format!("is told that it was taken: {}", describe(decision)));
            world.hold(invariant::what_people_are_told_is_so(&world.bus.borrow(), decision));
        }
        Err(DecideError::Refused(refused)) => {
            world.count(Happening::Refused);
            bus.say(|| format!("is refused: {refused}"));
            if let Refused::Settling { .. } = refused {
                world.count(Happening::Settling);
                return Told::TryAgain;
            }
        }
        Err(DecideError::Lost) => bus.say(|| "is told nothing".to_owned()),
    }
    Told::Enough
}

/// A decision in a few words.
pub(crate) fn describe(decision: &Decision) -> String {
    let id = decision.deployment().short();
    match decision {
        Decision::Accepted(plan) => format!("deployment {id} of {}", plan.release.version),
        Decision::Approved { .. } => format!("approval of the contract of {id}"),
        Decision::Forgiven { host, .. } => format!("what {host} owes is forgiven"),
        Decision::Promoted { .. } => format!("promotion of the canary of {id}"),
        Decision::Aborted { .. } => format!("abort of {id}"),
        Decision::Replayed { from: Some(stage), .. } => format!("replay of {id} from {stage}"),
        Decision::Replayed { from: None, .. } => format!("replay of {id}"),
    }
}
