//! A plan: all that a deployment will do, decided before it does anything.

use serde::{Deserialize, Serialize};

use crate::{
    DeploymentId, DestinationName, Digest, HostName, HostSpec, Release, ReleaseId, ReplicaSet, Sealed,
    ServiceName, Sidecar, SidecarImages, Stage, Task,
};

/// The newest version of the journal's protocol that this build knows. A worker hands back work of a version it doesn't know.
/// 2 has obligations; 3 has several ports of a replica, and says when the proxy takes one out; 4 has all options of a
/// container, roles, and builds with secrets, SSH keys, labels, caches and a platform; 5 has migrations of several phases,
/// models, images that get to the hosts through a registry, and builds on other machines; 6 has migrations of
/// Rails, and canaries; 7 has other probes than `GET path`, and more than one, canaries on some hosts, queries of their verdicts,
/// secrets in Vault and AWS Secrets Manager, sealed values, sidecars, and plans that ship nothing.
pub const PROTOCOL: u32 = 7;

/// What all plans need.
const USUAL_PROTOCOL: u32 = 2;

/// A service at a destination: what two deployments of must never run at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The destination.
    pub destination: DestinationName,
    /// The service.
    pub service: ServiceName,
}

/// Why there is a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// To make a new release live.
    Deploy,
    /// To make a kept release live again.
    Rollback,
}

/// All that a deployment will do. The journal's first word on it; nothing in it changes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The protocol that a worker must know.
    pub protocol: u32,
    /// The deployment's id.
    pub deployment: DeploymentId,
    /// What is deployed, and where.
    pub key: ServiceKey,
    /// Who asked for it: user@machine.
    pub by: String,
    /// Whether it was asked for although the deploy file says that none begins at that time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untimely: bool,
    /// Why.
    pub intent: Intent,
    /// What goes live.
    pub release: Release,
    /// The image, where it is known before: a kept release's, or one that an unchanged source was built to.
    pub image: Option<Digest>,
    /// The images of the sidecars, as far as they are known before, in the same way.
    #[serde(default, skip_serializing_if = "SidecarImages::is_empty")]
    pub sidecar_images: SidecarImages,
    /// Replicas of the release that were kept warm, on all hosts: none are booted.
    #[serde(default)]
    pub warm: Option<ReplicaSet>,
    /// The release that is live while this is planned.
    pub replaces: Option<ReleaseId>,
    /// The hosts, in the order of the deploy file.
    pub hosts: Vec<HostSpec>,
    /// What it needs of the values of the person who deploys.
    #[serde(default, skip_serializing_if = "Sealed::is_empty")]
    pub sealed: Sealed,
    /// The stages that it needs, in order. Those that take back are never listed.
    pub stages: Vec<Stage>,
}

/// A plan that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// There is nowhere to go.
    #[error("destination '{0}' has no hosts")]
    NoHosts(DestinationName),
    /// The same host is named twice.
    #[error("host {0} is named twice")]
    HostTwice(HostName),
    /// The stages are not a part of the pipeline in its order.
    #[error(
        "the stages are not in the order of the pipeline, or one of ship, boot, probe, switch, retire is missing (ship may be where just this release is live), or build where an image isn't known"
    )]
    Stages,
    /// It relies on replicas that were kept warm, and names none for this host.
    #[error("host {0} has no replicas that were kept warm")]
    NotWarm(HostName),
}

impl Plan {
    /// The stages that a release needs: no build where the images are known, no expand without migrations, no canary
    /// without steps, no soak of no time.
    pub fn stages_for(release: &Release, image: Option<&Digest>, sidecars: &SidecarImages) -> Vec<Stage> {
        let is_built = |sidecar: &Sidecar| sidecars.contains_key(&sidecar.name);
        let all_built = image.is_some() && release.settings.sidecars.iter().all(is_built);
        Stage::ALL
            .into_iter()
            .filter(|stage| match stage {
                Stage::Build => !all_built,
                Stage::Expand => release.migrations.iter().any(|file| file.phase.is_expand()),
                Stage::Backfill => release.backfills().any(|file| file.before_switch),
                Stage::Canary => !release.settings.canary.is_absent(),
                Stage::Soak => !release.settings.soak.time.is_zero(),
                stage => stage.is_planned(),
            })
            .collect()
    }

    /// The oldest protocol that has all that a release says: older workers must not carry out what they would read otherwise.
    pub fn protocol_for(release: &Release) -> u32 {
        if release.needs_protocol_7() {
            7
        } else if release.settings.needs_protocol_6() {
            6
        } else if release.needs_protocol_5() {
            5
        } else if release.settings.needs_protocol_4() || release.source.needs_protocol_4() {
            4
        } else if release.settings.proxy.needs_protocol_3() {
            3
        } else {
            USUAL_PROTOCOL
        }
    }

    /// The oldest protocol whose workers reach these hosts as it is said there.
    pub fn protocol_to(hosts: &[HostSpec]) -> u32 {
        if hosts.iter().any(|host| host.host_key.is_some()) { 7 } else { USUAL_PROTOCOL }
    }

    /// The oldest protocol that has plans without a ship.
    pub const fn protocol_without_ship() -> u32 {
        7
    }

    /// The stages of a way back to replicas that were kept warm: they are looked at once more, and get the traffic.
    pub const WARM: [Stage; 3] = [Stage::Probe, Stage::Switch, Stage::Retire];

    /// Refuses a plan that the state machine can't run.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), InvalidPlan> {
        if self.hosts.is_empty() {
            return Err(InvalidPlan::NoHosts(self.key.destination.clone()));
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if self.hosts.iter().skip(index + 1).any(|other| other.name == host.name) {
                return Err(InvalidPlan::HostTwice(host.name.clone()));
            }
        }
        let sidecars = &self.release.settings.sidecars;
        let is_known = |sidecar: &Sidecar| self.sidecar_images.contains_key(&sidecar.name);
        let all_known = self.image.is_some() && sidecars.iter().all(is_known);
        let has_image = all_known || self.stages.contains(&Stage::Build);
        if let Some(warm) = &self.warm {
            let cold = self.hosts.iter().find(|host| warm.hosts.get(&host.name).is_none_or(Vec::is_empty));
            return match cold {
                Some(host) => Err(InvalidPlan::NotWarm(host.name.clone())),
                None if self.stages == Self::WARM && has_image => Ok(()),
                None => Err(InvalidPlan::Stages),
            };
        }
        let ordered =
            self.stages.is_sorted_by(|a, b| a < b) && self.stages.iter().all(|stage| stage.is_planned());
        // What is live is there.
        let is_there = self.image.is_some() && self.replaces.as_ref() == Some(&self.release.id());
        let whole = [Stage::Ship, Stage::Boot, Stage::Probe, Stage::Switch, Stage::Retire]
            .iter()
            .all(|stage| self.stages.contains(stage) || *stage == Stage::Ship && is_there);
        if ordered && whole && has_image { Ok(()) } else { Err(InvalidPlan::Stages) }
    }

    /// The tasks of one stage: one for each host, or one in all.
    pub fn tasks_of(&self, stage: Stage) -> impl Iterator<Item = Task> {
        let hosts = if stage.per_host() { self.hosts.as_slice() } else { &[] };
        let whole = (!stage.per_host()).then_some(Task { stage, host: None });
        hosts.iter().map(move |host| Task { stage, host: Some(host.name.clone()) }).chain(whole)
    }

    /// All tasks of the way forward, in the order of the pipeline.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        self.stages.iter().flat_map(|stage| self.tasks_of(*stage))
    }

    /// The deployment whose id the containers carry that serve once this one is live.
    pub fn booted_by(&self) -> &DeploymentId {
        self.warm.as_ref().map_or(&self.deployment, |warm| &warm.booted_by)
    }

    /// How the host of that name is reached.
    pub fn host(&self, name: &HostName) -> Option<&HostSpec> {
        self.hosts.iter().find(|host| host.name == *name)
    }
}

impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.destination, self.service)
    }
}
