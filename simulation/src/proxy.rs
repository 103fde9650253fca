//! The proxy on a host, as far as control calls reach: the fence, the active set, the way back, and what drains.

use cutover_core::{DeploymentId, Replica, Timestamp};

/// The replicas of a deployment that have, or had, the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) deployment: DeploymentId,
    pub(crate) targets: Vec<Replica>,
    /// When the last request that was in flight when the set was displaced has ended.
    pub(crate) busy_until: Timestamp,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A later claim has called.
    Stale {
        highest: u64,
    },
    NotActive,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Proxy {
    pub(crate) fence: u64,
    pub(crate) active: Option<Set>,
    pub(crate) previous: Option<Set>,
    pub(crate) draining: Vec<Set>,
    /// What has a share beside the active set.
    pub(crate) canary: Option<Set>,
    /// Whether a restore leaves a canary where it is.
    pub(crate) keeps_canaries: bool,
    /// Whether stale claims pass.
    pub(crate) unfenced: bool,
}

impl Proxy {
    fn raise(&mut self, claim: u64) -> Result<(), Refusal> {
        if claim < self.fence && !self.unfenced {
            return Err(Refusal::Stale { highest: self.fence });
        }
        self.fence = self.fence.max(claim);
        Ok(())
    }

    pub(crate) fn serving(&self) -> Option<&DeploymentId> {
        self.active.as_ref().map(|active| &active.deployment)
    }

    /// Makes a deployment active; requests to the former one go on until `busy_until`.
    pub(crate) fn switch(
        &mut self,
        claim: u64,
        deployment: &DeploymentId,
        targets: &[Replica],
        busy_until: Timestamp,
    ) -> Result<Option<DeploymentId>, Refusal> {
        self.raise(claim)?;
        // It is promoted, or another one displaces it.
        let tried = self.canary.take().filter(|set| set.deployment != *deployment);
        self.draining.extend(tried.map(|set| Set { busy_until, ..set }));
        let next = Set { deployment: deployment.clone(), targets: targets.to_vec(), busy_until };
        match &mut self.active {
            Some(active) if active.deployment == *deployment => {
                let mut removed = std::mem::replace(active, next);
                removed.targets.retain(|target| !targets.contains(target));
                self.draining.push(Set { busy_until, ..removed });
            }
            active => {
                let displaced = active.replace(next).map(|set| Set { busy_until, ..set });
                self.draining.extend(std::mem::replace(&mut self.previous, displaced));
            }
        }
        Ok(self.previous.as_ref().map(|previous| previous.deployment.clone()))
    }

    /// Gives a deployment a share beside the active one. Answers whether there is one beside which it could be.
    pub(crate) fn canary(
        &mut self,
        claim: u64,
        deployment: &DeploymentId,
        targets: &[Replica],
        busy_until: Timestamp,
    ) -> Result<bool, Refusal> {
        self.raise(claim)?;
        if self.serving().is_none_or(|serving| serving == deployment) {
            return Ok(false);
        }
        let next = Set { deployment: deployment.clone(), targets: targets.to_vec(), busy_until };
        let displaced = self.canary.replace(next).filter(|set| set.deployment != *deployment);
        self.draining.extend(displaced.map(|set| Set { busy_until, ..set }));
        Ok(true)
    }

    /// Takes a deployment back, if it is active or a canary; raises the fence in any case.
    pub(crate) fn restore(
        &mut self,
        claim: u64,
        deployment: &DeploymentId,
        busy_until: Timestamp,
    ) -> Result<Option<DeploymentId>, Refusal> {
        self.raise(claim)?;
        if !self.keeps_canaries {
            let tried = self.canary.take_if(|set| set.deployment == *deployment);
            self.draining.extend(tried.map(|set| Set { busy_until, ..set }));
        }
        if self.serving() == Some(deployment) {
            let taken_back = std::mem::replace(&mut self.active, self.previous.take());
            self.draining.extend(taken_back.map(|set| Set { busy_until, ..set }));
        }
        Ok(self.serving().cloned())
    }

    /// Gives up the way back from a deployment that is active.
    pub(crate) fn retire(&mut self, claim: u64, deployment: &DeploymentId) -> Result<(), Refusal> {
        self.raise(claim)?;
        if self.serving() != Some(deployment) {
            return Err(Refusal::NotActive);
        }
        self.draining.extend(self.previous.take());
        Ok(())
    }

    pub(crate) fn serves(&self, replica: &Replica) -> bool {
        self.active.iter().chain(&self.canary).any(|set| set.targets.contains(replica))
    }

    /// Whether a replica that was displaced for good still has requests in flight.
    pub(crate) fn drains(&self, replica: &Replica, now: Timestamp) -> bool {
        self.draining.iter().any(|set| set.busy_until > now && set.targets.contains(replica))
    }

    /// Whether a stop of this replica would be noticed: it serves, or has requests in flight.
    pub(crate) fn needs(&self, replica: &Replica, now: Timestamp) -> bool {
        let displaced = self.previous.iter().chain(&self.draining);
        self.serves(replica)
            || displaced.into_iter().any(|set| set.busy_until > now && set.targets.contains(replica))
    }

    /// The sets that it names in any way.
    pub(crate) fn sets(&self, now: Timestamp) -> impl Iterator<Item = &Set> {
        let draining = self.draining.iter().filter(move |set| set.busy_until > now);
        self.active.iter().chain(&self.canary).chain(&self.previous).chain(draining)
    }
}
