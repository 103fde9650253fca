//! Which decisions may be taken, and what they change.

use crate::{
    Decision, Deployment, DeploymentId, KeptRelease, Obligation, Outcome, Plan, Promotion, Refused, Service,
    Stage, Timestamp,
};

impl Service {
    /// Whether a decision may be taken now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, decision: &Decision) -> Result<(), Refused> {
        if let Decision::Accepted(plan) = decision {
            return self.check_plan(plan);
        }
        if let Decision::Forgiven { host, .. } = decision {
            let on_host = |obligation: &&Obligation| obligation.host() == Some(host);
            return match self.in_hand().find(on_host) {
                Some(obligation) => Err(settling(obligation)),
                None if self.obligations.iter().any(|obligation| on_host(&obligation)) => Ok(()),
                None => Err(Refused::OwesNothing(host.clone())),
            };
        }
        let id = decision.deployment();
        if let Decision::Approved { .. } = decision {
            let waits = self.contract_of(id).is_some_and(|contract| contract.approved_by.is_none());
            return if waits { Ok(()) } else { Err(Refused::NothingToApprove(id.clone())) };
        }
        let Some(current) = self.current.as_ref().filter(|current| current.id() == id) else {
            return Err(Refused::NotCurrent(id.clone()));
        };
        match (decision, current.outcome()) {
            (Decision::Aborted { .. }, Some(_)) => Err(Refused::HasEnded(id.clone())),
            (Decision::Aborted { .. }, None) if current.is_past_return() => {
                Err(Refused::PastReturn(id.clone()))
            }
            (Decision::Promoted { step, .. }, _) if !current.is_promotable(*step) => {
                Err(Refused::NothingToPromote(id.clone()))
            }
            (Decision::Replayed { .. }, None) => Err(Refused::StillRuns(id.clone())),
            (Decision::Replayed { .. }, Some(Outcome::Live | Outcome::Degraded { live: true })) => {
                Err(Refused::IsLive(id.clone()))
            }
            (Decision::Replayed { .. }, Some(_)) => self.check_replay(current),
            _ => Ok(()),
        }
    }

    fn check_plan(&self, plan: &Plan) -> Result<(), Refused> {
        plan.check()?;
        if let Some(running) = self.running() {
            return Err(Refused::Running {
                deployment: running.id().clone(),
                key: running.plan.key.clone(),
                by: running.plan.by.clone(),
                since: running.accepted,
            });
        }
        let migrations = self.schema.unknown_to(&plan.release);
        if !migrations.is_empty() {
            return Err(Refused::Contracted { version: plan.release.version.clone(), migrations });
        }
        let release = plan.release.id();
        let is_it = |kept: &&KeptRelease| kept.id == release && kept.replicas == plan.warm;
        match &plan.warm {
            Some(_) if self.kept.iter().find(is_it).and_then(|kept| self.warm_until(kept)).is_none() => {
                Err(Refused::NotWarm(release))
            }
            _ => Ok(()),
        }
    }

    /// The contract that a deployment owes.
    fn contract_of(&self, id: &DeploymentId) -> Option<&Obligation> {
        let is_it = |owed: &&Obligation| owed.task.stage == Stage::Contract && owed.deployment == *id;
        self.obligations.iter().find(is_it)
    }

    /// A worker that still removes what an earlier round has left would remove what the next one boots: names are the same.
    /// And what was warm may have been stopped since.
    fn check_replay(&self, current: &Deployment) -> Result<(), Refused> {
        match self.in_hand().next() {
            Some(obligation) => Err(settling(obligation)),
            None => self.check_plan(&current.plan),
        }
    }

    /// What the last deployment owes and a worker is at: it can't be forgotten now, as a replay must not come upon it.
    fn in_hand(&self) -> impl Iterator<Item = &Obligation> {
        let id = self.current.as_ref().map(Deployment::id);
        let is_its = move |obligation: &&Obligation| Some(&obligation.deployment) == id;
        self.obligations.iter().filter(is_its).filter(|obligation| obligation.state.is_open())
    }

    pub(super) fn decide(&mut self, sequence: u64, after: u64, at: Timestamp, decision: &Decision) {
        match (decision, self.current.as_mut()) {
            (Decision::Accepted(plan), _) => {
                let next = Deployment::new(plan.as_ref().clone(), sequence, after, at);
                self.owing.extend(self.current.replace(next));
                self.forget_who_owes_nothing();
            }
            (Decision::Aborted { by, .. }, Some(current)) if current.abort.is_none() => {
                current.abort(sequence, by)
            }
            (Decision::Promoted { by, step, .. }, Some(current)) => {
                current.promotions.push(Promotion { by: by.clone(), step: *step });
            }
            (Decision::Replayed { from, .. }, Some(current)) => current.replay(sequence, after, at, *from),
            (Decision::Approved { deployment, by }, _) => {
                let is_it = |owed: &&mut Obligation| {
                    owed.task.stage == Stage::Contract && owed.deployment == *deployment
                };
                if let Some(contract) = self.obligations.iter_mut().find(is_it) {
                    contract.due = at;
                    contract.approved_by = Some(by.clone());
                }
            }
            (Decision::Forgiven { host, .. }, _) => {
                self.obligations.retain(|obligation| obligation.host() != Some(host));
                self.forget_who_owes_nothing();
            }
            _ => {}
        }
        self.snapshot_taken = false;
    }
}

fn settling(obligation: &Obligation) -> Refused {
    Refused::Settling { deployment: obligation.deployment.clone(), task: obligation.task.clone() }
}
