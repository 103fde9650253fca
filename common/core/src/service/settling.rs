//! The end of a deployment: what is live then, what is warm, what is owed; and what is paid of it.

use crate::{
    Deployment, DeploymentId, Ended, Failure, KeptRelease, Obligation, Outcome, Release, Service, Stage,
    Task, Timestamp,
};

/// Ended deployments that are remembered for `history`.
const REMEMBERED: usize = 100;

impl Service {
    /// Once the current deployment has ended: what is live now, what is owed, and the line in the history.
    pub(super) fn settle(&mut self, at: Timestamp) {
        let Some(current) = self.current.take() else { return };
        if let Some(outcome) = current.outcome() {
            let all = std::mem::take(&mut self.obligations).into_iter();
            let (paid, owed): (Vec<_>, _) = all.partition(|obligation| obligation.is_paid(&current, outcome));
            self.obligations = owed;
            if matches!(outcome, Outcome::Live | Outcome::Degraded { live: true }) {
                self.go_live(&current, at);
            } else {
                // What an earlier deployment owed, a switch of this one has paid: what follows from it is left.
                for Obligation { deployment, task, .. } in &paid {
                    self.obligations.extend(self.next(deployment, task, at));
                }
            }
            self.owe(&current, at);
            self.history.insert(0, Ended::of(&current, outcome, at));
            self.history.truncate(REMEMBERED);
        }
        self.current = Some(current);
        self.forget_who_owes_nothing();
    }

    /// Writes down what is live now, and what it has replaced: that stays warm, where the new release says so.
    fn go_live(&mut self, current: &Deployment, at: Timestamp) {
        let Some(image) = current.image() else { return };
        for kept in &mut self.kept {
            kept.warm_until = None;
        }
        if let Some(replaced) =
            self.kept.first_mut().filter(|replaced| self.is_live && stays_warm(replaced, current))
        {
            let until = at.after(current.plan.release.settings.warm.0);
            replaced.warm_until = Some(until);
            let hosts = replaced.replicas.iter().flat_map(|replicas| replicas.hosts.keys());
            let cool = hosts.map(|host| Task { stage: Stage::Cool, host: Some(host.clone()) });
            let retired = |task: &Task| current.state(&task.beside(Stage::Retire)).is_finished();
            self.obligations
                .extend(cool.filter(retired).map(|task| Obligation::put_off(current, task, at, until)));
        }
        let of_same_image = || self.kept.iter().find(|kept| kept.image == *image)?.provenance.as_ref();
        let provenance = current.provenance().or_else(of_same_image).cloned();
        let live = KeptRelease {
            id: current.plan.release.id(),
            release: current.plan.release.clone(),
            image: image.clone(),
            provenance,
            sidecar_images: current.sidecar_images(),
            sealed: current.plan.sealed.only(&current.plan.release.settings.needed_secrets()),
            deployment: current.id().clone(),
            since: at,
            replicas: Some(current.replica_set()),
            hosts: current.plan.hosts.clone(),
            warm_until: None,
        };
        self.schema.go_live(&current.plan.release);
        self.owe_migrations(current, at);
        let retain = usize::try_from(current.plan.release.settings.retain).unwrap_or(usize::MAX);
        self.kept.retain(|kept| kept.id != live.id);
        self.kept.insert(0, live);
        self.kept.truncate(retain.saturating_add(1));
        self.is_live = true;
    }

    /// Writes down what is left of the migrations of what is live now. What was live before owes nothing of its own any more: a
    /// release that knows its migrations has taken that over, and one that doesn't needs the old structure.
    fn owe_migrations(&mut self, current: &Deployment, at: Timestamp) {
        self.obligations.retain(|obligation| !obligation.gives_way());
        let release = &current.plan.release;
        let owe = |stage, due| Obligation::put_off(current, Task { stage, host: None }, at, due);
        let backfills = release.backfills().any(|file| !self.schema.is_filled(&file.version));
        let contracts = release.contracts().any(|file| !self.schema.is_contracted(&file.version));
        self.obligations.extend(backfills.then(|| owe(Stage::Backfill, at)));
        let due = at.after(release.settings.contract.after.0);
        self.obligations.extend(contracts.then(|| owe(Stage::Contract, due)));
    }

    /// Writes down what could not be done. What was owed by an earlier round of the deployment is owed in its new state.
    fn owe(&mut self, current: &Deployment, at: Timestamp) {
        let failed = current.debts().into_iter().filter(|(task, _)| task.host.is_some());
        let debt = |(task, failure): (Task, Failure)| {
            Obligation::debt(current, task, failure.message, self.sequence, at)
        };
        let debts: Vec<Obligation> = failed.map(debt).collect();
        self.obligations.retain(|known| !debts.iter().any(|debt| debt.is(&known.deployment, &known.task)));
        for obligation in self.obligations.iter_mut().filter(|known| known.deployment == *current.id()) {
            obligation.state = current.state(&obligation.task).in_new_round();
            obligation.follows = current.round_began;
        }
        self.obligations.extend(debts);
    }

    /// Crosses off what was done by a claim, and what is done with it; writes down what is to be done next on that host.
    pub(super) fn pay(&mut self, id: &DeploymentId, task: &Task, claim: u64, at: Timestamp) {
        self.obligations.retain(|obligation| !obligation.is(id, task));
        if let Some(owing) = self.current.iter().chain(&self.owing).find(|owing| owing.id() == id) {
            self.schema.pay(&owing.plan.release, task.stage);
        }
        if task.stage == Stage::Retire {
            // A host that went all the way has nothing left of what came before. What a deployment has left there that has
            // begun since the claim, and has ended by now, its worker may not have seen.
            let known = self.current.iter().chain(&self.owing);
            let later =
                known.filter(|deployment| deployment.round_began > claim).map(|later| later.id().clone());
            let later: Vec<DeploymentId> = later.collect();
            let is_later = |obligation: &Obligation| later.contains(&obligation.deployment);
            self.obligations
                .retain(|obligation| obligation.host() != task.host.as_ref() || is_later(obligation));
        }
        self.obligations.extend(self.next(id, task, at));
        self.forget_who_owes_nothing();
    }

    /// What follows on a host from what an ended deployment owed there, unless it is owed already.
    fn next(&self, id: &DeploymentId, task: &Task, at: Timestamp) -> Option<Obligation> {
        let owing = self.deployment(id)?;
        let (stage, due) = match task.stage {
            Stage::Restore => {
                // In whichever round.
                let booted = owing.state(&task.beside(Stage::Boot)).claims > 0;
                let is_left = booted && !owing.state(&task.beside(Stage::Discard)).is_finished();
                is_left.then_some((Stage::Discard, at))?
            }
            Stage::Retire => {
                let on_host = |kept: &&KeptRelease| {
                    let replicas = kept.replicas.as_ref().zip(task.host.as_ref());
                    replicas.is_some_and(|(replicas, host)| replicas.hosts.contains_key(host))
                };
                (Stage::Cool, self.kept.iter().filter(on_host).find_map(|kept| kept.warm_until)?)
            }
            // Of several migrations, some may still wait.
            Stage::Contract => {
                let release = &owing.plan.release;
                let is_left = release.contracts().any(|file| !self.schema.is_contracted(&file.version));
                is_left.then_some((Stage::Contract, at))?
            }
            _ => return None,
        };
        let next = task.beside(stage);
        let is_owed = self.obligations.iter().any(|obligation| obligation.is(id, &next));
        (!is_owed).then(|| Obligation::put_off(owing, next, at, due))
    }

    pub(super) fn forget_who_owes_nothing(&mut self) {
        let obligations = &self.obligations;
        self.owing.retain(|owing| obligations.iter().any(|obligation| obligation.deployment == *owing.id()));
    }
}

/// Whether the replicas of a release that was live stay warm when `by` replaces it. Of the same release, or of one that isn't
/// kept, there is nothing to go back to.
pub(super) fn stays_warm(replaced: &KeptRelease, by: &Deployment) -> bool {
    let Release { settings, .. } = &by.plan.release;
    let wanted = !settings.warm.is_zero() && settings.retain > 0;
    wanted && replaced.replicas.is_some() && replaced.id != by.plan.release.id()
}
