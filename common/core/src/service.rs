//! A service at a destination: what is live, what is kept, what is owed, and the deployment that runs or ran last.

mod deciding;
mod settling;

use serde::{Deserialize, Serialize};

use crate::obligation::SINCE_PROTOCOL;
use crate::task_state::Applied;
use crate::{
    Decision, Deployment, DeploymentId, Digest, Effect, Ended, Entry, Event, Fact, HostName, Illegal,
    KeptRelease, Model, Obligation, Permission, Release, Schema, Sidecar, SidecarImages, Stage, Task,
    TaskState, Timestamp, Work,
};
use settling::stays_warm;

/// All that the journal says of a service. Folded from its entries, from the first or from a snapshot on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The releases that can be made live again, the live one first.
    pub kept: Vec<KeptRelease>,
    /// Whether the first of `kept` is live.
    pub is_live: bool,
    /// The deployment that runs, or the last one that ran.
    pub current: Option<Deployment>,
    /// Deployments that ended, the last first.
    pub history: Vec<Ended>,
    /// What deployments that have ended still owe.
    #[serde(default)]
    pub obligations: Vec<Obligation>,
    /// Earlier deployments than the current one, as long as they owe something.
    #[serde(default)]
    pub owing: Vec<Deployment>,
    /// How far its migrations have come.
    #[serde(default, skip_serializing_if = "Schema::is_empty")]
    pub schema: Schema,
    /// The sequence of the last decision: the next one is appended expecting it.
    pub last_decision: u64,
    /// The sequence of the last entry taken in.
    pub sequence: u64,
    /// Whether a snapshot of the last end is in the journal.
    pub snapshot_taken: bool,
}

impl Service {
    /// What a host failed to do in its time.
    pub fn debts_of(&self, host: &HostName) -> impl Iterator<Item = &Obligation> {
        self.debts().filter(move |debt| debt.host() == Some(host))
    }

    /// Deployments that may still have the traffic of a host although they were taken back, as that or their discard is owed.
    /// A switch takes them back first: what it would itself be taken back to has to be the version that was live.
    pub fn to_take_back_on(&self, host: &HostName) -> impl Iterator<Item = &DeploymentId> {
        // A replay begins without the restore that the round before it owed, which may then be forgiven; its discard is owed
        // by itself, and would remove what the proxy would go back to.
        let leads_back = |debt: &&Obligation| matches!(debt.task.stage, Stage::Restore | Stage::Discard);
        self.debts_of(host).filter(leads_back).map(|debt| &debt.deployment)
    }

    /// What hosts failed to do in its time.
    pub fn debts(&self) -> impl Iterator<Item = &Obligation> {
        self.obligations.iter().filter(|obligation| obligation.is_debt())
    }

    /// The release that has the traffic.
    pub fn live(&self) -> Option<&KeptRelease> {
        self.kept.first().filter(|_| self.is_live)
    }

    /// Until when the replicas of a kept release are warm: running on all its hosts, without traffic. None: they are not.
    pub fn warm_until(&self, kept: &KeptRelease) -> Option<Timestamp> {
        let replicas = kept.replicas.as_ref()?;
        let untouched = |host: &HostName| {
            self.obligations.iter().any(|obligation| {
                obligation.task.stage == Stage::Cool
                    && obligation.host() == Some(host)
                    && !obligation.state.was_claimed()
            })
        };
        kept.warm_until.filter(|_| replicas.hosts.keys().all(untouched))
    }

    /// The deployments whose replicas a retire of `deployment` leaves running, its own not counted.
    pub fn spared(&self, deployment: &Deployment) -> Vec<&DeploymentId> {
        if self.running().is_none_or(|running| running.id() != deployment.id()) {
            return self
                .kept
                .iter()
                .filter(|kept| kept.warm_until.is_some())
                .map(KeptRelease::booted_by)
                .collect();
        }
        let replaced = self.live().filter(|live| stays_warm(live, deployment));
        replaced.map(KeptRelease::booted_by).into_iter().collect()
    }

    /// The deployments whose replicas a new one must leave alone: of what is live, and of what is warm.
    pub fn in_use(&self) -> Vec<&DeploymentId> {
        let used = |(index, kept): &(usize, &KeptRelease)| {
            (*index == 0 && self.is_live) || kept.warm_until.is_some()
        };
        self.kept.iter().enumerate().filter(used).map(|(_, kept)| kept.booted_by()).collect()
    }

    /// Those of them that nobody has begun to end: that which is live, and those that are warm as long as their cool wasn't claimed.
    pub fn stays_in_use(&self) -> Vec<&DeploymentId> {
        let used = |(index, kept): &(usize, &KeptRelease)| {
            (*index == 0 && self.is_live) || self.warm_until(kept).is_some()
        };
        self.kept.iter().enumerate().filter(used).map(|(_, kept)| kept.booted_by()).collect()
    }

    /// The models that the hosts are to keep where a task of `deployment` prunes: those of the kept releases, and of all
    /// deployments that anything may still happen to. None while another deployment runs: hosts may have what that one needs
    /// since a moment ago.
    pub fn models_to_keep(&self, deployment: &DeploymentId) -> Option<Vec<&Model>> {
        if self.running().is_some_and(|running| running.id() != deployment) {
            return None;
        }
        let deployments = self.current.iter().chain(&self.owing).map(|deployment| &deployment.plan.release);
        let releases = self.kept.iter().map(|kept| &kept.release).chain(deployments);
        Some(releases.flat_map(|release| &release.settings.models).collect())
    }

    /// The deployment that runs.
    pub fn running(&self) -> Option<&Deployment> {
        self.current.as_ref().filter(|deployment| deployment.outcome().is_none())
    }

    /// The deployment of that id, as long as anything may happen to it: it runs, ran last, or owes something.
    pub fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.current.iter().chain(&self.owing).find(|deployment| deployment.id() == id)
    }

    fn deployment_mut(&mut self, id: &DeploymentId) -> Option<&mut Deployment> {
        self.current.iter_mut().chain(&mut self.owing).find(|deployment| deployment.id() == id)
    }

    /// The deployment as the worker of a task sees it: while it runs as it is, afterwards with what it owes.
    pub fn assigned(&self, id: &DeploymentId, task: &Task) -> Option<Deployment> {
        let deployment = self.deployment(id)?;
        Some(match self.obligation(id, task) {
            Some(obligation) => deployment.owing(obligation),
            None => deployment.clone(),
        })
    }

    /// What a deployment owes: none while it runs.
    fn obligation(&self, id: &DeploymentId, task: &Task) -> Option<&Obligation> {
        let obligation = self.obligations.iter().find(|obligation| obligation.is(id, task))?;
        self.running().is_none_or(|running| running.id() != id).then_some(obligation)
    }

    /// Where a task stands: in its deployment while that runs, as an obligation afterwards.
    pub fn state(&self, id: &DeploymentId, task: &Task) -> TaskState {
        match self.obligation(id, task) {
            Some(obligation) => obligation.state.clone(),
            None => self.deployment(id).map(|deployment| deployment.state(task)).unwrap_or_default(),
        }
    }

    /// What the worker that was handed the work message `hint` (its sequence) may do, at a time.
    pub fn permission(&self, work: &Work, hint: u64, now: Timestamp) -> Permission {
        match self.obligation(&work.deployment, &work.task) {
            Some(obligation) if self.running().is_some() && obligation.needs(work, hint) => {
                Permission::NotNow
            }
            Some(obligation) if !self.is_admitted(obligation) && obligation.needs(work, hint) => {
                Permission::NotNow
            }
            Some(obligation) => obligation.permission(work, hint, now),
            None => self
                .deployment(&work.deployment)
                .map_or(Permission::Nothing, |deployment| deployment.permission(&work.task, hint, now)),
        }
    }

    /// Whether the work message `hint` must not be acknowledged yet.
    pub fn needs(&self, work: &Work, hint: u64) -> bool {
        match self.obligation(&work.deployment, &work.task) {
            Some(obligation) => obligation.needs(work, hint),
            None => {
                let deployment = self.deployment(&work.deployment);
                deployment.is_some_and(|deployment| deployment.needs(&work.task, hint))
                    || self.comes_later(work, hint)
            }
        }
    }

    /// Whether it follows from something that is still owed: it may have been published together with a result that another
    /// worker was faster than. Its message, once forgotten, could not be published again, as that would be a duplicate.
    fn comes_later(&self, work: &Work, hint: u64) -> bool {
        let before = match work.task.stage {
            Stage::Discard => Stage::Restore,
            Stage::Cool => Stage::Retire,
            _ => return false,
        };
        let is_of_this_round = |owing: &Deployment| hint > owing.round_began;
        self.obligation(&work.deployment, &work.task.beside(before)).is_some()
            && self.deployment(&work.deployment).is_some_and(is_of_this_round)
    }

    /// Whether the claim of that sequence is the one in force, wanted or not.
    pub fn is_in_force(&self, id: &DeploymentId, task: &Task, claim: u64) -> bool {
        let state = self.state(id, task);
        state.is_open() && state.in_force == claim
    }

    /// Whether the claim of that sequence is the one in force, and what it was made for still wanted.
    pub fn holds(&self, id: &DeploymentId, task: &Task, claim: u64) -> bool {
        match self.obligation(id, task) {
            Some(obligation) if obligation.gives_way() && self.running().is_some() => false,
            Some(_) => self.is_in_force(id, task, claim),
            None => self.deployment(id).is_some_and(|deployment| deployment.holds(task, claim)),
        }
    }

    /// Takes an entry in. Entries come in the order of their sequences; one that was taken in changes nothing.
    ///
    /// # Errors
    /// An entry that can't be true; the state is as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, Illegal> {
        if entry.sequence <= self.sequence {
            return Ok(Applied::Nothing);
        }
        self.sequence = entry.sequence;
        match &entry.event {
            Event::Decision(decision) => {
                let before = std::mem::replace(&mut self.last_decision, entry.sequence);
                self.check(decision)?;
                self.decide(entry.sequence, before, entry.at, decision);
                if matches!(decision, Decision::Forgiven { .. } | Decision::Approved { .. }) {
                    // No deployment has ended by it.
                    return Ok(Applied::Changed);
                }
            }
            Event::Fact { deployment, task, fact } => {
                if self.obligation(deployment, task).is_some() {
                    return self.take_in(entry, deployment, task, fact);
                }
                let Some(known) = self.deployment_mut(deployment) else { return Ok(Applied::Nothing) };
                let applied = known.apply(entry.sequence, entry.at, task, fact);
                let illegal =
                    |source| Illegal::Fact { deployment: deployment.clone(), task: task.clone(), source };
                if applied.map_err(illegal)? == Applied::Nothing {
                    return Ok(Applied::Nothing);
                }
            }
            Event::Snapshot => {
                self.snapshot_taken = true;
                return Ok(Applied::Nothing);
            }
        }
        self.settle(entry.at);
        Ok(Applied::Changed)
    }

    /// Takes in a fact of an obligation. A claim is void while a deployment runs, after a decision that it has not seen, or for
    /// a message of an attempt that is over.
    fn take_in(
        &mut self,
        entry: &Entry,
        id: &DeploymentId,
        task: &Task,
        fact: &Fact,
    ) -> Result<Applied, Illegal> {
        let runs = self.running().is_some();
        let admitted = self.obligation(id, task).is_some_and(|obligation| self.is_admitted(obligation));
        if matches!(fact, Fact::Claimed(_))
            && let Some(owing) = self.deployment_mut(id)
        {
            owing.count_later_claim(task, entry.sequence);
        }
        let Some(obligation) = self.obligations.iter_mut().find(|obligation| obligation.is(id, task)) else {
            return Ok(Applied::Nothing);
        };
        if let Fact::Claimed(claim) = fact
            && (runs || !admitted || claim.decision < self.last_decision || claim.hint < obligation.follows)
        {
            obligation.state.count_void_claim(entry.sequence);
            return Ok(Applied::Nothing);
        }
        let illegal = |source| Illegal::Fact { deployment: id.clone(), task: task.clone(), source };
        let applied = obligation.state.apply(entry.sequence, entry.at, fact).map_err(illegal)?;
        if applied == Applied::Changed {
            match fact {
                Fact::Failed { failure, .. } => {
                    obligation.follows = entry.sequence;
                    // What was put off is a debt from now on: it could not be done in its time either. What has given way to a
                    // deployment was only put off once more.
                    if !(runs && obligation.gives_way()) {
                        obligation.reason = Some(failure.message.clone());
                    }
                }
                Fact::Claimed(_) if task.stage == Stage::Contract => {
                    let begun = obligation.clone();
                    self.begin_contract(&begun);
                }
                Fact::Finished { claim, .. } => self.pay(id, task, *claim, entry.at),
                _ => {}
            }
        }
        Ok(applied)
    }

    /// What follows from the state. Whoever has changed it, or finds it so, carries it out; doing it twice does no harm.
    /// Work that is not due yet is left out.
    pub fn effects(&self, now: Timestamp) -> Vec<Effect> {
        let Some(current) = &self.current else { return Vec::new() };
        let work = |protocol, deployment: &Deployment, task: &Task, attempt| {
            Effect::Run(Work { protocol, deployment: deployment.id().clone(), task: task.clone(), attempt })
        };
        if current.outcome().is_none() {
            let due = current.due().into_iter().filter(|due| due.not_before <= now);
            return due.map(|due| work(current.plan.protocol, current, &due.task, due.attempt)).collect();
        }
        let idle = || self.obligations.iter().filter(|obligation| !obligation.state.is_open());
        let is_due =
            |obligation: &&Obligation| obligation.not_before() <= now && self.is_admitted(obligation);
        let due = idle().filter(is_due).filter_map(|obligation| {
            let owing = self.deployment(&obligation.deployment)?;
            let protocol = owing.plan.protocol.max(SINCE_PROTOCOL);
            Some(work(protocol, owing, &obligation.task, obligation.state.claims + 1))
        });
        let later = idle().map(Obligation::not_before).filter(|time| *time > now).min();
        let snapshot = (!self.snapshot_taken).then_some(Effect::Snapshot);
        snapshot.into_iter().chain(due).chain(later.map(Effect::Wake)).collect()
    }

    /// The sequence below which nothing of the service is needed any more, so that `remembered` ended deployments keep their
    /// entries, and all that still owe something. None: all is needed. What a snapshot doesn't cover, always is.
    pub fn needless_below(&self, remembered: usize) -> Option<u64> {
        // A line of the history is a round.
        let mut ended: Vec<u64> = self.history.iter().map(|ended| ended.sequence).collect();
        ended.dedup();
        let oldest = *ended.get(remembered.checked_sub(1)?)?;
        let needed = self.owing.iter().chain(&self.current).map(|deployment| deployment.sequence);
        Some(needed.fold(oldest, u64::min)).filter(|sequence| self.snapshot_taken && *sequence > 0)
    }

    /// The image of the kept release that was made of the same source: it needs no build.
    pub fn built(&self, release: &Release) -> Option<&Digest> {
        let same = |kept: &&KeptRelease| kept.release.source.makes_the_same(&release.source);
        self.kept.iter().find(same).map(|kept| &kept.image)
    }

    /// The same of the sidecars, as far as there are such.
    pub fn built_sidecars(&self, release: &Release) -> SidecarImages {
        let of = |wanted: &Sidecar| {
            let has = |kept: &&KeptRelease| {
                let mut sidecars = kept.release.settings.sidecars.iter();
                sidecars.any(|known| known.name == wanted.name && known.source.makes_the_same(&wanted.source))
            };
            let kept = self.kept.iter().find(has)?;
            Some((wanted.name.clone(), kept.sidecar_images.get(&wanted.name)?.clone()))
        };
        release.settings.sidecars.iter().filter_map(of).collect()
    }

    /// The stage that a replay of the current deployment would enter at.
    pub fn replay_entry(&self, from: Option<Stage>) -> Option<Stage> {
        let mut next = self.current.clone()?;
        next.replay(self.sequence + 1, self.last_decision, Timestamp::default(), from);
        next.due().first().map(|due| due.task.stage)
    }
}
