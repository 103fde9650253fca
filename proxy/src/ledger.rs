use std::collections::BTreeMap;

use cutover_control::{Epoch, HealthCheck, Refusal, Route, ServiceKey, Switch, Target, Timeouts, TlsPolicy};
use serde::{Deserialize, Serialize};

use crate::fence::Fences;
use crate::route;

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
    /// The route of the deployment that is active, or was when it was taken back with nothing to restore.
    pub(crate) route: Route,
    /// How long displaced targets may finish the requests that they have in flight.
    pub(crate) drain_ms: u64,
    /// The same for streams and upgraded connections; as long as requests where it isn't said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drain_streams_ms: Option<u64>,
    pub(crate) active: Option<Deployed>,
    pub(crate) previous: Option<Deployed>,
}

/// A deployment as it was switched to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployed {
    pub(crate) deployment: String,
    pub(crate) release: String,
    pub(crate) route: Route,
    pub(crate) targets: Vec<Target>,
    pub(crate) health: Option<HealthCheck>,
    #[serde(flatten)]
    pub(crate) timeouts: Timeouts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_request_body: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsPolicy>,
}

impl Ledger {
    /// Makes a deployment active, or updates it when it is; gives the deployment that a restore would bring back.
    pub(crate) fn switch(&mut self, switch: &Switch) -> Result<Option<String>, Refusal> {
        self.fences.raise(&switch.key, &switch.epoch)?;
        let deployed = Deployed::new(switch)?;
        self.refuse_conflict(&switch.key, &deployed.route)?;
        let service = self.services.entry(switch.key.clone()).or_default();
        if !service.is_active(&switch.deployment) {
            service.previous = service.active.take();
        }
        service.route = deployed.route.clone();
        service.drain_ms = switch.drain_ms;
        service.drain_streams_ms = switch.drain_streams_ms;
        service.active = Some(deployed);
        Ok(service.previous.as_ref().map(|previous| previous.deployment.clone()))
    }

    /// The targets of a switch that get no new requests yet.
    pub(crate) fn newcomers(&self, switch: &Switch) -> Vec<Target> {
        let active = self.services.get(&switch.key).and_then(|service| service.active.as_ref());
        let is_active = |target: &&Target| active.is_some_and(|active| active.targets.contains(target));
        switch.targets.iter().filter(|target| !is_active(target)).cloned().collect()
    }

    /// Takes a deployment back if it is active, and raises the fence in any case; gives the deployment that serves.
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
                service.route = active.route.clone();
            }
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
    fn refuse_conflict(&self, key: &ServiceKey, route: &Route) -> Result<(), Refusal> {
        let others = self.services.iter().filter(|(other, _)| *other != key);
        for (other, service) in others {
            if let Some(claim) = service.routes().find_map(|claimed| route::common(claimed, route)) {
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
    fn is_active(&self, deployment: &str) -> bool {
        self.active.as_ref().is_some_and(|active| active.deployment == deployment)
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        std::iter::once(&self.route).chain(self.previous.as_ref().map(|previous| &previous.route))
    }
}

impl Deployed {
    fn new(switch: &Switch) -> Result<Self, Refusal> {
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
            && (!check.path.starts_with('/') || check.path.parse::<hyper::Uri>().is_err())
        {
            return Err(invalid("the path of the health check must be an absolute path, for example /up"));
        }
        if switch.health.as_ref().is_some_and(|check| check.interval_ms == 0 || check.timeout_ms == 0) {
            return Err(invalid("the interval and the timeout of the health check must be at least 1 ms"));
        }
        let route = route::normal(&switch.route).map_err(|wrong| invalid(&wrong))?;
        Ok(Self {
            deployment: switch.deployment.clone(),
            release: switch.release.clone(),
            route,
            targets: switch.targets.clone(),
            health: switch.health.clone(),
            timeouts: switch.timeouts,
            max_request_body: switch.max_request_body,
            tls: switch.tls,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn epoch(sequence: u64) -> Epoch {
        Epoch { journal: "j1".into(), sequence }
    }

    fn switch(key: &str, deployment: &str, sequence: u64, hosts: &[&str]) -> Switch {
        let target = Target { replica: "r1".into(), address: "127.0.0.1:1".parse().unwrap() };
        let release = format!("release of {deployment}");
        Switch {
            route: Route { hosts: hosts.iter().map(|host| (*host).into()).collect(), ..Route::default() },
            ..Switch::new(key.parse().unwrap(), epoch(sequence), deployment, &release, vec![target])
        }
    }

    fn key() -> ServiceKey {
        ServiceKey::new("production", "app")
    }

    #[test]
    fn a_switch_keeps_a_way_back_until_it_is_retired() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.switch(&switch("production/app", "d1", 1, &[])).unwrap(), None);
        assert_eq!(ledger.switch(&switch("production/app", "d2", 2, &[])).unwrap().as_deref(), Some("d1"));
        assert_eq!(ledger.switch(&switch("production/app", "d2", 2, &[])).unwrap().as_deref(), Some("d1"));
        assert_eq!(ledger.restore(&key(), &epoch(3), "d2").unwrap().as_deref(), Some("d1"));
        assert_eq!(ledger.restore(&key(), &epoch(3), "d2").unwrap().as_deref(), Some("d1"));
        ledger.retire(&key(), &epoch(4), "d1").unwrap();
        assert!(matches!(ledger.retire(&key(), &epoch(4), "d2"), Err(Refusal::Invalid { .. })));
        assert_eq!(ledger.restore(&key(), &epoch(5), "d1").unwrap(), None);
    }

    #[test]
    fn a_restore_raises_the_fence_also_where_nothing_was_switched() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.restore(&key(), &epoch(9), "d1").unwrap(), None);
        let late = ledger.switch(&switch("production/app", "d1", 8, &[]));
        assert_eq!(late, Err(Refusal::StaleEpoch { highest: epoch(9) }));
    }

    #[test]
    fn another_journal_is_refused_until_it_is_adopted() {
        let mut ledger = Ledger::default();
        ledger.switch(&switch("production/app", "d1", 7, &[])).unwrap();
        let other = Epoch { journal: "j2".into(), sequence: 1 };
        let refused = ledger.restore(&key(), &other, "d1");
        assert_eq!(refused, Err(Refusal::ForeignJournal { journal: "j1".into() }));
        ledger.fences.adopt(&key(), "j2");
        assert_eq!(ledger.restore(&key(), &other, "d0").unwrap().as_deref(), Some("d1"));
    }

    #[test]
    fn a_host_belongs_to_one_service_also_while_it_could_be_restored() {
        let mut ledger = Ledger::default();
        ledger.switch(&switch("production/a", "d1", 1, &["A.example"])).unwrap();
        ledger.switch(&switch("production/a", "d2", 2, &["b.example"])).unwrap();
        for host in ["a.example", "b.example."] {
            let refused = ledger.clone().switch(&switch("production/b", "d3", 3, &[host]));
            assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{host}");
        }
        ledger.retire(&"production/a".parse().unwrap(), &epoch(3), "d2").unwrap();
        ledger.switch(&switch("production/b", "d3", 3, &["a.example"])).unwrap();
    }

    #[test]
    fn a_call_that_makes_no_sense_is_refused() {
        let mut nowhere = switch("production/app", "d1", 1, &[]);
        nowhere.targets.clear();
        let mut unhealthy = switch("production/app", "d1", 1, &[]);
        unhealthy.health = Some(HealthCheck { path: "up".into(), interval_ms: 1, timeout_ms: 1 });
        let mut impatient = switch("production/app", "d1", 1, &[]);
        impatient.timeouts.connect_ms = 0;
        let wild = switch("production/app", "d1", 1, &["*"]);
        for bad in [nowhere, unhealthy, impatient, wild] {
            assert!(matches!(Ledger::default().switch(&bad), Err(Refusal::Invalid { .. })));
        }
    }

    #[test]
    fn a_prefix_belongs_to_one_service_also_while_it_could_be_restored() {
        let mut ledger = Ledger::default();
        let with = |key, deployment, sequence, prefix: &str| {
            let mut switch = switch(key, deployment, sequence, &["a.example"]);
            switch.route.path_prefixes.push(prefix.to_owned());
            switch
        };
        ledger.switch(&with("production/a", "d1", 1, "/api/")).unwrap();
        ledger.switch(&with("production/a", "d2", 2, "/v2")).unwrap();
        for prefix in ["/api", "/v2/"] {
            let refused = ledger.clone().switch(&with("production/b", "d3", 3, prefix)).unwrap_err();
            assert!(refused.to_string().contains("of a.example is routed to production/a"), "{refused}");
        }
        ledger.clone().switch(&with("production/b", "d3", 3, "/api/v2")).unwrap();
        ledger.switch(&switch("production/b", "d3", 3, &["a.example"])).unwrap();
        ledger.retire(&"production/a".parse().unwrap(), &epoch(4), "d2").unwrap();
        ledger.switch(&with("production/c", "d4", 5, "/api")).unwrap();
    }

    #[test]
    fn what_was_stored_before_there_were_prefixes_and_limits_is_read() {
        let stored = r#"{"deployment":"d1","release":"r1","route":{"hosts":["a.example"]},"targets":[],
            "health":null,"response_ms":30000}"#;
        let deployed: Deployed = serde_json::from_str(stored).unwrap();
        assert_eq!((deployed.timeouts, deployed.max_request_body), (Timeouts::of_response(30_000), None));
        assert!(deployed.route.path_prefixes.is_empty());
    }
}
