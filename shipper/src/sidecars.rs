//! Sidecars: they start before the replicas that ask them are looked at, are shared by deployments that want the same, and end with the
//! last one that does.
//!
//! Whose a sidecar is, is said by nothing but the networks: each deployment has one, on which its replicas are, and the sidecars that
//! they ask. So a sidecar that is to serve another deployment too gets the network of that; and one that is on none ends.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, EndpointSettings, NetworkingConfig};
use cutover_core::{DeploymentId, Epoch, Plan, Program, Resources, ServiceKey, SidecarImages};
use cutover_fleet::{
    ImageName, Machine, Network, SidecarContainer, SidecarLabels, SidecarMember, environment, host_config,
    sidecar_network_name, stop_seconds,
};
use cutover_secrets::Values;
use futures_util::future::{join_all, try_join_all};

use crate::retire::keep_running;
use crate::startup::Startup;
use crate::{Error, Existing, Result, models};

/// What the sidecars of a deployment need to start on a host.
#[derive(Clone, Copy)]
pub(crate) struct Launch<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) docker: &'a Docker,
    pub(crate) plan: &'a Plan,
    /// The images of the sidecars.
    pub(crate) images: &'a SidecarImages,
    /// The claim under which they are made.
    pub(crate) epoch: &'a Epoch,
    /// The network of the service.
    pub(crate) network: &'a Network,
    /// What of the service was there before.
    pub(crate) existing: Existing<'a>,
}

/// What becomes of a container that is there already.
enum Found<'a> {
    /// It is taken as it is.
    Good(&'a SidecarContainer),
    /// It is made anew, and given to these deployments again.
    Left(&'a SidecarContainer, Vec<&'a DeploymentId>),
}

/// The network on which the replicas of a plan reach its sidecars; none: it has none.
pub(crate) fn network_of(plan: &Plan) -> Option<String> {
    (!plan.release.settings.sidecars.is_empty()).then(|| sidecar_network_name(&plan.key, plan.booted_by()))
}

impl Launch<'_> {
    /// What those will take that aren't there yet.
    pub(crate) fn wanted(&self, there: &[SidecarContainer]) -> Vec<Resources> {
        let members = SidecarMember::all(self.plan, self.images).into_iter();
        let lacking = members.filter(|member| !there.iter().any(|other| other.name == member.name));
        lacking.map(|member| member.sidecar.resources.clone()).collect()
    }

    /// Has all sidecars of the plan run, on the network of its deployment. Whether they are ready, the probe stage asks.
    ///
    /// Of those that are there, those are taken as they are that run, and that a version which is live or warm asks, or that an earlier
    /// attempt of this round has made. Whatever else is there was left: whoever was to end it may only be asleep, so it is removed, and
    /// made anew with an id that nobody has seen; and so is the network of an earlier round.
    pub(crate) async fn run(&self, there: &[SidecarContainer]) -> Result<()> {
        let members = SidecarMember::all(self.plan, self.images);
        if members.is_empty() {
            return Ok(());
        }
        let (machine, key, own) = (self.machine, &self.plan.key, self.plan.booted_by());
        let is_of_earlier_round =
            |made: &Epoch| made.journal == self.epoch.journal && made.sequence < self.existing.round_began;
        let (networks, _) = machine.sidecar_networks(key).await?;
        for network in networks.iter().filter(|network| network.deployment == *own) {
            if network.epoch.as_ref().is_some_and(is_of_earlier_round) {
                for sidecar in there.iter().filter(|sidecar| sidecar.networks.contains_key(&network.name)) {
                    machine.leave_network(&sidecar.id, &sidecar.name, &network.id).await?;
                }
                machine.remove_network(&network.id).await?;
            }
        }
        let network = machine.sidecar_network(key, own, self.epoch).await?;
        let egress = match members.iter().any(|member| member.sidecar.egress) {
            true => Some(machine.egress_network(key).await?),
            false => None,
        };
        let started = members.iter().map(async |member| {
            let egress = egress.as_deref().filter(|_| member.sidecar.egress);
            match there.iter().find(|container| container.name == member.name).map(|found| self.judge(found))
            {
                Some(Found::Good(found)) => self.share(member, found, &network, egress).await,
                Some(Found::Left(found, asking)) => {
                    machine.remove(&found.id, &found.name).await?;
                    Box::pin(self.start(member, &network, egress, &asking)).await
                }
                None => Box::pin(self.start(member, &network, egress, &[])).await,
            }
        });
        let failures = join_all(started).await.into_iter().filter_map(Result::err);
        failures.min_by_key(Error::retryable).map_or(Ok(()), Err)
    }

    fn judge<'b>(&'b self, found: &'b SidecarContainer) -> Found<'b> {
        let is_of_this_round = found.labels.deployment == self.plan.deployment
            && found.labels.epoch.sequence >= self.existing.round_began;
        let asks = |deployment: &&&DeploymentId| found.serves(&self.plan.key, deployment);
        let asking: Vec<&DeploymentId> = self.existing.shared.iter().filter(asks).copied().collect();
        if found.running && (is_of_this_round || !asking.is_empty()) {
            Found::Good(found)
        } else {
            Found::Left(found, asking)
        }
    }

    /// Gives one that is there to the deployment too. An earlier attempt may not have come as far as its way out.
    async fn share(
        &self,
        member: &SidecarMember<'_>,
        found: &SidecarContainer,
        network: &str,
        egress: Option<&str>,
    ) -> Result<()> {
        let alias = Some(member.sidecar.name.as_str());
        self.machine.join_network(&found.id, &found.name, network, alias).await?;
        if let Some(egress) = egress {
            self.machine.join_network(&found.id, &found.name, egress, None).await?;
        }
        Ok(())
    }

    /// Makes one, which these deployments ask too.
    async fn start(
        &self,
        member: &SidecarMember<'_>,
        network: &str,
        egress: Option<&str>,
        asking: &[&DeploymentId],
    ) -> Result<()> {
        let startup = self.startup(member);
        let id = startup.create(self.body(member, network).await?).await?;
        for deployment in asking {
            let (other, alias) =
                (sidecar_network_name(&self.plan.key, deployment), Some(member.sidecar.name.as_str()));
            self.machine.join_network(&id, &member.name, &other, alias).await?;
        }
        if let Some(egress) = egress {
            self.machine.join_network(&id, &member.name, egress, None).await?;
        }
        startup.start_and_watch().await?;
        if !asking.is_empty() {
            // Somebody who is live asks it.
            keep_running(self.machine, self.docker, &member.name).await?;
        }
        Ok(())
    }

    fn startup(&self, member: &SidecarMember<'_>) -> Startup<'_> {
        Startup {
            machine: self.machine,
            docker: self.docker,
            plan: self.plan,
            image: ImageName::new(&self.plan.key, &member.image.image),
            network: self.network,
            name: member.name.clone(),
            port: Some(member.sidecar.port),
            others: Vec::new(),
        }
    }

    /// What Docker is asked to create.
    async fn body(&self, member: &SidecarMember<'_>, network: &str) -> Result<ContainerCreateBody> {
        let settings = member.sidecar.settings(&self.plan.release.settings);
        let env = environment(&settings, &Values::of(self.plan, Program::Shipper)).await?;
        let container = &settings.container;
        let own = SidecarLabels {
            key: self.plan.key.clone(),
            sidecar: member.sidecar.name.clone(),
            generation: member.generation.to_string(),
            replica: member.number,
            deployment: self.plan.deployment.clone(),
            epoch: self.epoch.clone(),
        };
        let mut labels: HashMap<_, _> = container.labels.clone().into_iter().collect();
        labels.extend(own.to_map());
        let aliases = Some(vec![member.sidecar.name.to_string()]);
        let endpoint = EndpointSettings { aliases, ..EndpointSettings::default() };
        let mounts = models::mounts(&self.plan.key, settings.own_models());
        Ok(ContainerCreateBody {
            image: Some(ImageName::new(&self.plan.key, &member.image.image).to_string()),
            cmd: Some(settings.command.clone()).filter(|command| !command.is_empty()),
            env: Some(env),
            user: container.user.clone(),
            working_dir: container.working_dir.clone(),
            hostname: container.hostname.clone(),
            stop_signal: container.stop_signal.clone(),
            stop_timeout: Some(stop_seconds(member.sidecar.stop.0).into()),
            labels: Some(labels),
            host_config: Some(host_config(&settings, network, None, mounts)),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some([(network.to_owned(), endpoint)].into()),
            }),
            ..ContainerCreateBody::default()
        })
    }
}

/// Docker starts the sidecars of the plan again from now on when they exit, or when the host does. One that has ended since it was
/// watched last is started now.
///
/// # Errors
/// One that isn't there any more, or can't be started; a host or a Docker that can't be reached.
pub(crate) async fn keep(
    machine: &Machine,
    docker: &Docker,
    plan: &Plan,
    images: &SidecarImages,
) -> Result<()> {
    let members = SidecarMember::all(plan, images);
    if members.is_empty() {
        return Ok(());
    }
    let there = machine.sidecars(&plan.key).await?;
    try_join_all(members.iter().map(async |member| {
        let serves = |found: &&SidecarContainer| {
            found.name == member.name && found.serves(&plan.key, plan.booted_by())
        };
        let Some(found) = there.iter().find(serves) else {
            return Err(Error::Gone { name: member.name.clone(), host: machine.name().clone() });
        };
        keep_running(machine, docker, &found.name).await?;
        if !found.running {
            let started = docker.start_container(&found.name, None).await;
            started.map_err(machine.host().docker_failed(format!("starting {}", found.name)))?;
        }
        Ok(())
    }))
    .await
    .map(drop)
}

/// Ends the sidecars that no deployment of `kept` asks, and removes the networks of the others. Those that were made under a later
/// claim than `epoch`, or in another journal, stay: a worker that was asleep doesn't know what they are for. Answers with the number of
/// containers that were removed.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(crate) async fn prune(
    machine: &Machine,
    key: &ServiceKey,
    epoch: &Epoch,
    kept: &[&DeploymentId],
) -> Result<u32> {
    let ((networks, egress), there) = tokio::try_join!(machine.sidecar_networks(key), machine.sidecars(key))?;
    let is_older = |made: &Epoch| made.journal == epoch.journal && made.sequence <= epoch.sequence;
    let needless: Vec<_> = networks
        .iter()
        .filter(|network| !kept.contains(&&network.deployment))
        .filter(|network| network.epoch.as_ref().is_some_and(is_older))
        .collect();
    for network in &needless {
        for sidecar in there.iter().filter(|sidecar| sidecar.networks.contains_key(&network.name)) {
            machine.leave_network(&sidecar.id, &sidecar.name, &network.id).await?;
        }
        machine.remove_network(&network.id).await?;
    }
    let is_asked = |sidecar: &SidecarContainer| {
        networks.iter().any(|network| {
            let is_needless = needless.iter().any(|needless| needless.id == network.id);
            !is_needless && sidecar.networks.contains_key(&network.name)
        })
    };
    let ends = there.iter().filter(|sidecar| is_older(&sidecar.labels.epoch) && !is_asked(sidecar));
    let ended = try_join_all(ends.map(async |sidecar| {
        // Since it was listed, a deployment may have been given it.
        let Some(now) = machine.condition(&sidecar.id).await? else { return Ok(0) };
        if now.networks.keys().any(|name| !sidecar.networks.contains_key(name)) {
            return Ok(0);
        }
        machine.stop(&sidecar.id, &sidecar.name, now.stop_timeout.unwrap_or_default()).await?;
        machine.remove(&sidecar.id, &sidecar.name).await?;
        Ok::<u32, Error>(1)
    }))
    .await?;
    // One that somebody is on stays.
    if let Some(egress) = egress {
        machine.remove_network(&egress).await?;
    }
    Ok(ended.into_iter().sum())
}
