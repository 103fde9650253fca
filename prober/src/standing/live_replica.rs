//! The replicas of what is live, by what the journal says.

use std::sync::Arc;
use std::time::Duration;

use cutover_core::{
    ApplicationProtocol, Deployment, DeploymentId, HostSpec, KeptRelease, ProbeSpec, Release, Replica,
    Service, Settings, Span, Stage, Task,
};

/// From one question to the next, at least, where nothing comes of the answers but what is shown.
const OBSERVED_EVERY: Span = Span::seconds(10);

/// A replica that has the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveReplica {
    /// Its host.
    pub host: HostSpec,
    /// Its name and its address.
    pub replica: Replica,
    /// The deployment whose id its container carries.
    pub deployment: DeploymentId,
    /// What its release says.
    pub terms: Arc<Terms>,
}

/// What a release says of its replicas' lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What they are asked. Without `failures`, nothing comes of it.
    pub probe: ProbeSpec,
    /// What their own port speaks.
    pub protocol: ApplicationProtocol,
    /// How long they may take until they are ready, once they were started.
    pub ready: Duration,
    /// What they have between the stop signal and the kill.
    pub stop: Duration,
}

impl Terms {
    /// Those of a release. Where it has no liveness probe, its replicas are asked whether they are ready, so that it is known, and
    /// are never started anew: it was said that one that isn't ready gets no traffic, and nothing else.
    pub fn of(settings: &Settings) -> Self {
        let observed = || ProbeSpec {
            failures: None,
            period: settings.readiness.period.max(OBSERVED_EVERY),
            ..settings.readiness.clone()
        };
        Self {
            probe: settings.probes.liveness.as_deref().cloned().unwrap_or_else(observed),
            protocol: settings.proxy.protocol,
            ready: settings.timeouts.ready.0,
            stop: settings.timeouts.stop.0,
        }
    }
}

impl LiveReplica {
    /// Those of a service: of the live release, and on hosts where the deployment that runs has begun to end those, of that one.
    pub fn of(service: &Service) -> Vec<Self> {
        let mut replicas = Vec::new();
        let retires = |host: &HostSpec| {
            let task = Task { stage: Stage::Retire, host: Some(host.name.clone()) };
            service.running().filter(|running| running.state(&task).was_claimed())
        };
        if let Some(KeptRelease { release, replicas: Some(set), hosts, .. }) = service.live() {
            let terms = Arc::new(Terms::of(&release.settings));
            for host in hosts.iter().filter(|host| retires(host).is_none()) {
                let here = set.hosts.get(&host.name).into_iter().flatten();
                replicas.extend(here.map(|replica| Self {
                    host: host.clone(),
                    replica: replica.clone(),
                    deployment: set.booted_by.clone(),
                    terms: Arc::clone(&terms),
                }));
            }
        }
        if let Some(Deployment { plan, .. }) = service.running() {
            let Release { settings, .. } = &plan.release;
            let terms = Arc::new(Terms::of(settings));
            for host in &plan.hosts {
                let here = retires(host).into_iter().flat_map(|running| running.replicas(&host.name));
                replicas.extend(here.map(|replica| Self {
                    host: host.clone(),
                    replica: replica.clone(),
                    deployment: plan.booted_by().clone(),
                    terms: Arc::clone(&terms),
                }));
            }
        }
        replicas
    }
}

#[cfg(test)]
mod tests;
