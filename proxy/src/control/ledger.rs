use std::collections::BTreeMap;

use cutover_control::{
    Epoch, HealthCheck, Refusal, ServiceKey, Switch, Target, Timeouts, TlsPolicy, Upstream,
};
use serde::{Deserialize, Serialize};

use super::fence::Fences;
use crate::routes::Claims;
use crate::traffic::{BootClock, Canary, Deadline, Maintenance, Pause};

/// What the proxy was told and must not forget: which deployment of each service is active, which can be restored,
/// and the fences. Pure: a call is decided here before anything is stored or routed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) fences: Fences,
    pub(crate) services: BTreeMap<ServiceKey, Service>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Those of the deployment that is active, or was when it was taken back with nothing to restore.
    #[serde(flatten)]
    pub(crate) claims: Claims,
    /// How long displaced targets may finish the requests that they have in flight.
    pub(crate) drain_ms: u64,
    /// The same for streams and upgraded connections; as long as requests where it isn't said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drain_streams_ms: Option<u64>,
    pub(crate) active: Option<Deployed>,
    pub(crate) previous: Option<Deployed>,
    /// Never the active deployment, nor the previous one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<Canary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pause: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maintenance: Option<Maintenance>,
}

/// A deployment as it was switched to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployed {
    pub(crate) deployment: String,
    pub(crate) release: String,
    #[serde(flatten)]
    pub(crate) claims: Claims,
    pub(crate) targets: Vec<Target>,
    pub(crate) health: Option<HealthCheck>,
    #[serde(flatten)]
    pub(crate) timeouts: Timeouts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_request_body: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsPolicy>,
    #[serde(flatten)]
    pub(crate) upstream: Upstream,
}

impl Ledger {
    /// Whether anything in it is for another port than that of the targets' addresses.
    pub(crate) fn has_ports(&self) -> bool {
        self.services.values().flat_map(Service::claims).any(|claims| !claims.ports.is_empty())
    }

    /// Makes a deployment active, or updates it when it is; gives the deployment that a restore would bring back.
    pub(crate) fn switch(&mut self, switch: &Switch) -> Result<Option<String>, Refusal> {
        self.fences.raise(&switch.key, &switch.epoch)?;
        let deployed = Deployed::new(switch)?;
        self.refuse_conflict(&switch.key, &deployed.claims)?;
        let service = self.services.entry(switch.key.clone()).or_default();
        if !service.is_active(&switch.deployment) {
            service.previous = service.active.take();
        }
        service.claims = deployed.claims.clone();
        service.drain_ms = switch.drain_ms;
        service.drain_streams_ms = switch.drain_streams_ms;
        service.active = Some(deployed);
        // Promoted, or displaced.
        service.canary = None;
        Ok(service.previous.as_ref().map(|previous| previous.deployment.clone()))
    }

    /// Gives a deployment a share beside the active one, until then, or renews it; gives the active one.
    pub(crate) fn canary(
        &mut self,
        wanted: &cutover_control::Canary,
        held_until: Deadline,
    ) -> Result<String, Refusal> {
        let Switch { key, epoch, deployment, .. } = &wanted.switch;
        self.fences.raise(key, epoch)?;
        let canary = Canary::new(wanted, held_until)?;
        self.refuse_conflict(key, &canary.deployed.claims)?;
        let invalid = |wrong: &str| Refusal::Invalid { message: format!("{key}: {deployment} {wrong}") };
        let service = self.services.get_mut(key);
        let Some((service, active)) = service.and_then(|service| {
            let active = service.active.as_ref()?.deployment.clone();
            Some((service, active))
        }) else {
            return Err(invalid("can't be a canary, as nothing serves beside it: switch to it"));
        };
        if active == *deployment {
            return Err(invalid("can't be a canary, as it is the active deployment"));
        }
        if service.previous.as_ref().is_some_and(|previous| previous.deployment == *deployment) {
            return Err(invalid("can't be a canary, as it is what a restore would bring back"));
        }
        service.canary = Some(canary);
        Ok(active)
    }

    /// The targets of a canary that get no new requests yet.
    pub(crate) fn new_canaries(&self, switch: &Switch) -> Vec<Target> {
        let canary = self.services.get(&switch.key).and_then(|service| service.canary.as_ref());
        let known = canary.filter(|canary| canary.deployed.deployment == switch.deployment);
        let mut newcomers = self.newcomers(switch);
        newcomers.retain(|target| !known.is_some_and(|known| known.deployed.targets.contains(target)));
        newcomers
    }

    /// What it means at this moment: a canary that was not renewed in time has no weight.
    pub(crate) fn current(&self, clock: &BootClock) -> Self {
        let mut current = self.clone();
        let canaries = current.services.values_mut().filter_map(|service| service.canary.as_mut());
        for canary in canaries.filter(|canary| clock.left(&canary.held_until).is_zero()) {
            canary.weight = 0;
        }
        current
    }

    /// Has new requests wait until then.
    pub(crate) fn pause(&mut self, wanted: &cutover_control::Pause, until: Deadline) -> Result<(), Refusal> {
        let pause = Pause::new(wanted, until)?;
        self.halted(&wanted.key, wanted.journal.as_deref())?.pause = Some(pause);
        Ok(())
    }

    pub(crate) fn resume(&mut self, key: &ServiceKey, journal: Option<&str>) -> Result<(), Refusal> {
        self.halted(key, journal)?.pause = None;
        Ok(())
    }

    /// Has new requests answered with a page.
    pub(crate) fn maintain(&mut self, wanted: &cutover_control::Maintenance) -> Result<(), Refusal> {
        let maintenance = Maintenance::new(wanted)?;
        self.halted(&wanted.key, wanted.journal.as_deref())?.maintenance = Some(maintenance);
        Ok(())
    }

    pub(crate) fn end_maintenance(&mut self, key: &ServiceKey, journal: Option<&str>) -> Result<(), Refusal> {
        self.halted(key, journal)?.maintenance = None;
        Ok(())
    }

    /// A service whose traffic an operator of a journal may halt.
    fn halted(&mut self, key: &ServiceKey, journal: Option<&str>) -> Result<&mut Service, Refusal> {
        let service = self.services.get_mut(key).ok_or(Refusal::UnknownService)?;
        self.fences.admit(key, journal)?;
        Ok(service)
    }

    /// The targets of a switch that get no new requests yet.
    pub(crate) fn newcomers(&self, switch: &Switch) -> Vec<Target> {
        let active = self.services.get(&switch.key).and_then(|service| service.active.as_ref());
        let is_active = |target: &&Target| active.is_some_and(|active| active.targets.contains(target));
        switch.targets.iter().filter(|target| !is_active(target)).cloned().collect()
    }

    /// Takes a deployment back if it is active or the canary, and raises the fence in any case; gives the deployment that serves.
    pub(crate) fn restore(
        &mut self,
        key: &ServiceKey,
        epoch: &Epoch,
        deployment: &str,
    ) -> Result<Option<String>, Refusal> {
        self.fences.raise(key, epoch)?;
        let Some(service) = self.services.get_mut(key) else { return Ok(None) };
        if service.is_active(deployment) {
            service.active = service.previous.take();
            if let Some(active) = &service.active {
                service.claims = active.claims.clone();
            }
        } else if service.canary.as_ref().is_some_and(|canary| canary.deployed.deployment == deployment) {
            service.canary = None;
        }
        Ok(service.active.as_ref().map(|active| active.deployment.clone()))
    }

    /// Gives up the way back from a deployment that is active.
    pub(crate) fn retire(
        &mut self,
        key: &ServiceKey,
        epoch: &Epoch,
        deployment: &str,
    ) -> Result<(), Refusal> {
        self.fences.raise(key, epoch)?;
        let service = self.services.get_mut(key).ok_or(Refusal::UnknownService)?;
        if !service.is_active(deployment) {
            let active = service.active.as_ref().map_or("none", |active| active.deployment.as_str());
            let message = format!(
                "{deployment} is not the active deployment of {key} ({active} is): nothing was retired"
            );
            return Err(Refusal::Invalid { message });
        }
        service.previous = None;
        Ok(())
    }

    /// A host and a path prefix of it belong to one service, also while they could only come back by a restore.
    fn refuse_conflict(&self, key: &ServiceKey, claims: &Claims) -> Result<(), Refusal> {
        let others = self.services.iter().filter(|(other, _)| *other != key);
        for (other, service) in others {
            if let Some(claim) = service.claims().find_map(|claimed| claimed.common(claims)) {
                let message = format!(
                    "{claim} is routed to {other} on this proxy: name another host or path prefix for {key}"
                );
                return Err(Refusal::Invalid { message });
            }
        }
        Ok(())
    }
}

impl Service {
    /// The targets that new requests go to, or may go to.
    pub(crate) fn serving(&self) -> Vec<Target> {
        self.on_duty().flat_map(|deployed| deployed.targets.clone()).collect()
    }

    /// What new requests go to, or may go to: a canary has no weight now, and may have one soon.
    pub(crate) fn on_duty(&self) -> impl Iterator<Item = &Deployed> {
        self.active.iter().chain(self.canary.as_ref().map(|canary| &canary.deployed))
    }

    /// The canary, where it gets a share.
    pub(crate) fn weighted(&self) -> Option<&Canary> {
        self.canary.as_ref().filter(|canary| canary.weight > 0)
    }

    fn is_active(&self, deployment: &str) -> bool {
        self.active.as_ref().is_some_and(|active| active.deployment == deployment)
    }

    fn claims(&self) -> impl Iterator<Item = &Claims> {
        let canary = self.canary.as_ref().map(|canary| &canary.deployed.claims);
        std::iter::once(&self.claims)
            .chain(self.previous.as_ref().map(|previous| &previous.claims))
            .chain(canary)
    }
}

impl Deployed {
    pub(crate) fn new(switch: &Switch) -> Result<Self, Refusal> {
        let invalid = |message: &str| Refusal::Invalid { message: format!("{}: {message}", switch.key) };
        if switch.deployment.is_empty() {
            return Err(invalid("the deployment has no name"));
        }
        if switch.targets.is_empty() {
            return Err(invalid("a switch needs at least one target"));
        }
        if switch.timeouts.response_ms == 0 || switch.timeouts.connect_ms == 0 {
            return Err(invalid("response_ms and connect_ms must be at least 1"));
        }
        if let Some(check) = &switch.health
            && !check.connect_only
            && (!check.path.starts_with('/') || check.path.parse::<hyper::Uri>().is_err())
        {
            return Err(invalid("the path of the health check must be an absolute path, for example /up"));
        }
        if switch.health.as_ref().is_some_and(|check| {
            check.interval_ms == 0 || check.timeout_ms == 0 || check.first_limit_ms() == 0
        }) {
            return Err(invalid("the interval and the timeout of the health check must be at least 1 ms"));
        }
        if switch.health.as_ref().is_some_and(|check| check.failures == 0 || check.successes == 0) {
            return Err(invalid("the thresholds of the health check must be at least 1"));
        }
        let ejection = &switch.upstream.ejection;
        if ejection.base_ms == 0 || ejection.max_ms < ejection.base_ms {
            return Err(invalid(
                "an ejection must last at least 1 ms, and at the most no shorter than at first",
            ));
        }
        if switch.upstream.max_connections == Some(0) {
            return Err(invalid("max_connections must be at least 1"));
        }
        let claims = Claims::new(switch).map_err(|wrong| invalid(&wrong))?;
        Ok(Self {
            deployment: switch.deployment.clone(),
            release: switch.release.clone(),
            claims,
            targets: switch.targets.clone(),
            health: switch.health.clone(),
            timeouts: switch.timeouts,
            max_request_body: switch.max_request_body,
            tls: switch.tls,
            upstream: switch.upstream.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
