//! Who watches: remembers what the invariants need to know of the past.

use std::collections::{BTreeSet, HashMap};

use cutover_core::{
    Decision, DeploymentId, Entry, Event, Fact, HostName, Outcome, Output, Service, Stage, Task, Timestamp,
};

use crate::assignment::{Assignment, is_owed};
use crate::host::Host;
use crate::invariant::{self, Violation};
use crate::person::describe;
use crate::tally::Happening;
use crate::world::World;

/// What was claimed.
#[derive(Debug)]
struct Claimed {
    deployment: DeploymentId,
    /// The deployment that has booted what it is about.
    booted_by: DeploymentId,
    task: Task,
    /// Whether it was owed after the end of its deployment.
    owed: bool,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Claims that were in force when they were stored, by their sequence.
    claims: HashMap<u64, Claimed>,
    /// Which slot of which process has begun to work on a claim.
    holders: HashMap<u64, (String, usize)>,
    /// Who has taken the lease of the sweep last, and until when it may believe so.
    sweeper: Option<(String, Timestamp)>,
    /// Tasks whose output a replay keeps.
    pub(crate) kept: BTreeSet<Task>,
}

impl Watch {
    /// Whether a claim was in force when it was stored.
    pub(crate) fn was_in_force(&self, assignment: &Assignment) -> bool {
        let (deployment, task) = (assignment.deployment.id(), &assignment.task);
        let claimed = self.claims.get(&assignment.claim);
        claimed.is_some_and(|claimed| claimed.deployment == *deployment && claimed.task == *task)
    }

    /// Whether a claim was one of something that was owed.
    pub(crate) fn is_owed(&self, claim: u64) -> bool {
        self.claims.get(&claim).is_some_and(|claimed| claimed.owed)
    }

    /// The last claim under which somebody has begun to send traffic of a host to what a deployment has booted; 0: there is none.
    pub(crate) fn last_switch(&self, host: &HostName, deployment: &DeploymentId) -> u64 {
        let switch = Task { stage: Stage::Switch, host: Some(host.clone()) };
        let canary = switch.beside(Stage::Canary);
        let is_it = |claim: &&u64| {
            let claimed = self.claims.get(claim);
            claimed.is_some_and(|claimed| {
                claimed.booted_by == *deployment && (claimed.task == switch || claimed.task == canary)
            })
        };
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

    /// A process has taken the lease of the sweep, or renewed it, for so long.
    pub(crate) fn sweeps(
        &mut self,
        process: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), Violation> {
        let before = self.sweeper.replace((process.to_owned(), until));
        invariant::a_lease_has_one_holder(before.as_ref(), process, now)
    }

    /// An entry was stored.
    pub(crate) fn entry(
        &mut self,
        world: &World,
        entry: &Entry,
        legal: bool,
        before: &Service,
        after: &Service,
        hosts: &mut [Host],
    ) -> Result<(), Violation> {
        world.count(Happening::Entry);
        match &entry.event {
            Event::Decision(decision) => self.decision(world, decision, legal, before, after, hosts)?,
            Event::Fact { deployment, task, fact } => match fact {
                Fact::Claimed(_) if after.state(deployment, task).in_force != entry.sequence => {
                    world.count(Happening::VoidClaim);
                }
                Fact::Claimed(_) => self.claim(world, entry, deployment, task, before)?,
                Fact::Progressed { claim, .. }
                | Fact::Finished { claim, .. }
                | Fact::Failed { claim, .. } => {
                    let changed = before.current != after.current || before.obligations != after.obligations;
                    if !changed {
                        world.count(Happening::Outlived);
                    }
                    if changed && is_owed(before, deployment, task) && !is_owed(after, deployment, task) {
                        paid(world, task, hosts);
                    }
                    if changed {
                        booted(after, task, fact, hosts)?;
                    }
                    invariant::an_outlived_worker_changes_nothing(before, deployment, task, *claim, changed)?;
                }
            },
            Event::Snapshot => {}
        }
        match (before.running(), &after.current) {
            (Some(_), Some(ended)) if ended.outcome().is_some() => end(world, after, hosts),
            _ => Ok(()),
        }
    }

    /// A claim was stored that is in force.
    fn claim(
        &mut self,
        world: &World,
        entry: &Entry,
        deployment: &DeploymentId,
        task: &Task,
        before: &Service,
    ) -> Result<(), Violation> {
        if before.state(deployment, task).is_open() {
            world.count(Happening::TakenOver);
        }
        let owed = is_owed(before, deployment, task);
        if owed {
            world.count(Happening::OwedClaimed);
        }
        let owner = before.deployment(deployment);
        let booted_by = owner.map_or(deployment, |owner| owner.plan.booted_by()).clone();
        let claimed = Claimed { deployment: deployment.clone(), booted_by, task: task.clone(), owed };
        self.claims.insert(entry.sequence, claimed);
        if !owed {
            invariant::a_replay_repeats_nothing_that_is_kept(self, task)?;
        }
        invariant::nothing_owed_is_begun_while_a_deployment_runs(before, deployment, task)?;
        invariant::nothing_cools_before_its_time(before, entry, deployment, task)
    }

    fn decision(
        &mut self,
        world: &World,
        decision: &Decision,
        legal: bool,
        before: &Service,
        after: &Service,
        hosts: &mut [Host],
    ) -> Result<(), Violation> {
        if !legal {
            world.say("journal", || format!("not true any more: {}", describe(decision)));
            world.count(Happening::Overtaken);
            return Ok(());
        }
        world.decided.set(true);
        world.say("journal", || format!("decided: {}", describe(decision)));
        match decision {
            Decision::Aborted { .. } => {
                world.count(Happening::Aborted);
                return Ok(());
            }
            Decision::Approved { .. } => {
                world.count(Happening::Approved);
                return Ok(());
            }
            Decision::Promoted { .. } => {
                world.count(Happening::Promoted);
                return Ok(());
            }
            Decision::Forgiven { host, .. } => {
                world.count(Happening::Forgiven);
                for host in hosts.iter_mut().filter(|other| other.name == *host) {
                    host.forgiven = true;
                }
                return Ok(());
            }
            Decision::Accepted(plan) => {
                world.count(Happening::Accepted);
                if plan.image.is_some() {
                    world.count(Happening::RolledBack);
                }
                if plan.warm.is_some() {
                    world.count(Happening::RolledBackWarm);
                    invariant::a_warm_rollback_finds_its_replicas(plan, hosts)?;
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
fn end(world: &World, after: &Service, hosts: &mut [Host]) -> Result<(), Violation> {
    let Some(ended) = &after.current else { return Ok(()) };
    let Some(outcome) = ended.outcome() else { return Ok(()) };
    for host in &mut *hosts {
        let retire = Task { stage: Stage::Retire, host: Some(host.name.clone()) };
        host.forgiven &= !ended.state(&retire).is_finished();
    }
    world.say("journal", || format!("ended: {outcome:?}"));
    world.count(match outcome {
        Outcome::Live => Happening::EndedLive,
        Outcome::TakenBack => Happening::EndedTakenBack,
        Outcome::Failed => Happening::EndedFailed,
        Outcome::Aborted => Happening::EndedAborted,
        Outcome::Degraded { .. } => Happening::EndedDegraded,
    });
    invariant::nothing_is_in_hand_at_the_end(after)?;
    invariant::what_is_warm_runs(after, hosts)?;
    hosts.iter().try_for_each(|host| invariant::traffic_is_whole(after, host))
}

/// Something was booted, if that is what the fact says.
fn booted(after: &Service, task: &Task, fact: &Fact, hosts: &[Host]) -> Result<(), Violation> {
    let Fact::Finished { output: Output::Booted { replicas }, .. } = fact else { return Ok(()) };
    let host = hosts.iter().find(|host| task.host.as_ref() == Some(&host.name));
    let booted = after.running().zip(host);
    booted.map_or(Ok(()), |(running, host)| {
        invariant::what_a_round_boots_is_made_in_it(running, replicas, host)
    })
}

/// What was owed is done.
fn paid(world: &World, task: &Task, hosts: &mut [Host]) {
    world.count(match task.stage {
        Stage::Cool => Happening::Cooled,
        Stage::Backfill | Stage::Contract => Happening::Migrated,
        _ => Happening::Paid,
    });
    let is_it = |host: &&mut Host| task.stage == Stage::Retire && task.host.as_ref() == Some(&host.name);
    for host in hosts.iter_mut().filter(is_it) {
        host.forgiven = false;
    }
}

/// The tasks that a replay has no reason to do again.
fn kept(before: &Service, from: Option<Stage>) -> BTreeSet<Task> {
    let Some(current) = &before.current else { return BTreeSet::new() };
    let kept = |task: &Task| {
        task.stage.output_is_kept()
            && from.is_none_or(|from| task.stage < from)
            && current.state(task).is_finished()
    };
    current.plan.tasks().filter(kept).collect()
}
