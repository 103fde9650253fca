//! Who watches: remembers what the invariants need to know of the past.

use std::collections::{BTreeSet, HashMap};

use cutover_core::{
    Decision, Deployment, DeploymentId, Entry, Event, Fact, HostName, Outcome, Service, Stage, Task,
};

use crate::host::Host;
use crate::invariant::{self, Violation};
use crate::person::describe;
use crate::tally::Happening;
use crate::task_run::Assignment;
use crate::world::World;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Claims that were in force when they were stored, by their sequence.
    claims: HashMap<u64, (DeploymentId, Task)>,
    /// Which slot of which process has begun to work on a claim.
    holders: HashMap<u64, (String, usize)>,
    /// Tasks whose output a replay keeps.
    pub(crate) kept: BTreeSet<Task>,
}

impl Watch {
    /// Whether a claim was in force when it was stored.
    pub(crate) fn was_in_force(&self, assignment: &Assignment) -> bool {
        let (deployment, task) = (assignment.deployment.id(), &assignment.task);
        self.claims.get(&assignment.claim).is_some_and(|(of, on)| of == deployment && on == task)
    }

    /// The last claim under which somebody has begun to switch a host to a deployment; 0: there is none.
    pub(crate) fn last_switch(&self, host: &HostName, deployment: &DeploymentId) -> u64 {
        let switch = Task { stage: Stage::Switch, host: Some(host.clone()) };
        let is_it =
            |claim: &&u64| self.claims.get(claim).is_some_and(|(of, on)| of == deployment && *on == switch);
        self.holders.keys().filter(is_it).max().copied().unwrap_or(0)
    }

    /// A slot begins with a task.
    pub(crate) fn begins(
        &mut self,
        assignment: &Assignment,
        holder: (String, usize),
    ) -> Result<(), Violation> {
        invariant::an_effect_has_a_claim(self, assignment)?;
        let first = self.holders.insert(assignment.claim, holder.clone());
        invariant::a_claim_has_one_holder(assignment, first.as_ref(), &holder)
    }

    /// An entry was stored.
    pub(crate) fn entry(
        &mut self,
        world: &World,
        entry: &Entry,
        legal: bool,
        before: &Service,
        after: &Service,
        hosts: &[Host],
    ) -> Result<(), Violation> {
        world.count(Happening::Entry);
        match &entry.event {
            Event::Decision(decision) => self.decision(world, decision, legal, before, after)?,
            Event::Fact { deployment, task, fact } => {
                let state = after.current.as_ref().filter(|current| current.id() == deployment);
                let state = state.map(|current| current.state(task)).unwrap_or_default();
                match fact {
                    Fact::Claimed(_) if state.in_force != entry.sequence => world.count(Happening::VoidClaim),
                    Fact::Claimed(claim) => {
                        if claim.attempt > 1 && is_open(before, task) {
                            world.count(Happening::TakenOver);
                        }
                        self.claims.insert(entry.sequence, (deployment.clone(), task.clone()));
                        invariant::a_replay_repeats_nothing_that_is_kept(self, task)?;
                    }
                    Fact::Progressed { claim, .. }
                    | Fact::Finished { claim, .. }
                    | Fact::Failed { claim, .. } => {
                        let changed = before.current != after.current;
                        if !changed {
                            world.count(Happening::Outlived);
                        }
                        invariant::an_outlived_worker_changes_nothing(before, task, *claim, changed)?;
                    }
                }
            }
            Event::Snapshot => {}
        }
        match (before.running(), &after.current) {
            (Some(_), Some(ended)) if ended.outcome().is_some() => end(world, after, hosts),
            _ => Ok(()),
        }
    }

    fn decision(
        &mut self,
        world: &World,
        decision: &Decision,
        legal: bool,
        before: &Service,
        after: &Service,
    ) -> Result<(), Violation> {
        if !legal {
            world.say("journal", || format!("not true any more: {}", describe(decision)));
            world.count(Happening::Overtaken);
            return Ok(());
        }
        world.say("journal", || format!("decided: {}", describe(decision)));
        match decision {
            Decision::Aborted { .. } => {
                world.count(Happening::Aborted);
                return Ok(());
            }
            Decision::Forgiven { .. } => return Ok(()),
            Decision::Accepted(plan) => {
                world.count(Happening::Accepted);
                if plan.image.is_some() {
                    world.count(Happening::RolledBack);
                }
                self.kept.clear();
            }
            Decision::Replayed { from, .. } => {
                world.count(Happening::Replayed);
                self.kept = kept(before, *from);
            }
        }
        invariant::one_deployment_at_a_time(before, after)
    }
}

/// A deployment has ended.
fn end(world: &World, after: &Service, hosts: &[Host]) -> Result<(), Violation> {
    let Some(outcome) = after.current.as_ref().and_then(Deployment::outcome) else { return Ok(()) };
    world.say("journal", || format!("ended: {outcome:?}"));
    world.count(match outcome {
        Outcome::Live => Happening::EndedLive,
        Outcome::TakenBack => Happening::EndedTakenBack,
        Outcome::Failed => Happening::EndedFailed,
        Outcome::Aborted => Happening::EndedAborted,
        Outcome::Degraded { .. } => Happening::EndedDegraded,
    });
    invariant::nothing_is_in_hand_at_the_end(after)?;
    hosts.iter().try_for_each(|host| invariant::traffic_is_whole(after, host))
}

fn is_open(service: &Service, task: &Task) -> bool {
    service.current.as_ref().is_some_and(|current| current.state(task).is_open())
}

/// The tasks that a replay has no reason to do again.
fn kept(before: &Service, from: Option<Stage>) -> BTreeSet<Task> {
    let Some(current) = &before.current else { return BTreeSet::new() };
    let kept = |task: &Task| {
        matches!(task.stage, Stage::Build | Stage::Ship | Stage::Expand)
            && from.is_none_or(|from| task.stage < from)
            && current.state(task).is_finished()
    };
    current.plan.tasks().filter(kept).collect()
}
