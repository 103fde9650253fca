//! The replicas of what is live, by what the journal says.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use cutover_core::{
    ApplicationProtocol, DeploymentId, HostSpec, KeptRelease, ProbeSpec, Replica, Service, ServiceKey,
    Settings, SidecarImages, Span, Stage, Task,
};
use cutover_fleet::{SidecarMember, sidecar_network_name};

/// From one question to the next, at least, where nothing comes of the answers but what is shown.
const OBSERVED_EVERY: Span = Span::seconds(10);

/// A replica that has the traffic, or a container of a sidecar that those ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveReplica {
    /// Its host.
    pub host: HostSpec,
    /// Its name and its address; of a sidecar, whose address may change, its port alone.
    pub replica: Replica,
    /// The network on which a sidecar is asked; none: it is a replica.
    pub network: Option<String>,
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
    pub fn of(key: &ServiceKey, service: &Service) -> Vec<Self> {
        let mut replicas = Vec::new();
        let retires = |host: &HostSpec| {
            let task = Task { stage: Stage::Retire, host: Some(host.name.clone()) };
            service.running().filter(|running| running.state(&task).was_claimed())
        };
        if let Some(KeptRelease { release, replicas: Some(set), hosts, sidecar_images, .. }) = service.live()
        {
            let hosts = hosts.iter().filter(|host| retires(host).is_none());
            let here = |host: &HostSpec| set.hosts.get(&host.name).map_or(&[][..], Vec::as_slice);
            let one = Version {
                key,
                settings: &release.settings,
                images: sidecar_images,
                booted_by: &set.booted_by,
            };
            replicas.extend(hosts.flat_map(|host| one.on(host, here(host))));
        }
        if let Some(running) = service.running() {
            let (plan, images) = (&running.plan, &running.sidecar_images());
            let booted_by = plan.booted_by();
            let one = Version { key, settings: &plan.release.settings, images, booted_by };
            let hosts = plan.hosts.iter().filter(|host| retires(host).is_some());
            replicas.extend(hosts.flat_map(|host| one.on(host, running.replicas(&host.name))));
        }
        replicas
    }
}

/// A version that is live.
struct Version<'a> {
    key: &'a ServiceKey,
    settings: &'a Settings,
    images: &'a SidecarImages,
    booted_by: &'a DeploymentId,
}

impl Version<'_> {
    /// What of it lives on a host, where it has these replicas.
    fn on(&self, host: &HostSpec, replicas: &[Replica]) -> Vec<LiveReplica> {
        let terms = Arc::new(Terms::of(self.settings));
        let one = |replica: Replica, network: Option<String>, terms: &Arc<Terms>| LiveReplica {
            host: host.clone(),
            replica,
            network,
            deployment: self.booted_by.clone(),
            terms: Arc::clone(terms),
        };
        let own = replicas.iter().map(|replica| one(replica.clone(), None, &terms));
        let sidecars = SidecarMember::of(self.key, self.settings, self.booted_by, self.images).into_iter();
        let sidecars = sidecars.filter(|_| !replicas.is_empty()).map(|member| {
            let terms = Arc::new(Terms::of(&member.sidecar.settings(self.settings)));
            let address = (Ipv4Addr::UNSPECIFIED, member.sidecar.port).into();
            let network = sidecar_network_name(self.key, self.booted_by);
            one(Replica { name: member.name, address }, Some(network), &terms)
        });
        own.chain(sidecars).collect()
    }
}

#[cfg(test)]
mod tests;
