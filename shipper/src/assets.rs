//! The assets of two versions in one place: a page of the one may be followed by a request to the other.
//!
//! Each deployment has a volume on the host with the assets of its own image and of the versions that ran when it was booted,
//! which get those of its image too. What another version has laid there before is not handed on: each comes out of its image.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveVolumeOptions, WaitContainerOptions,
};
use cutover_core::{DeploymentId, Plan, ServiceKey};
use cutover_fleet::{Container, ImageName, LAST_LINES, Labels, Machine, PROXY};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::{Error, Result};

/// The label that says whose assets a volume holds.
const DEPLOYMENT: &str = "cutover.assets";
/// The label of containers that help to copy, with the service's key: no replicas, and nobody's once nothing is copied.
const HELPER: &str = "cutover.assets.helper";
/// Where the helper finds the volume that it fills.
const TO: &str = "/cutover-assets";
/// How long copying may take.
const WITHIN: Duration = Duration::from_secs(300);

/// The name of the volume with the assets of a deployment.
pub(crate) fn volume_name(key: &ServiceKey, deployment: &DeploymentId) -> String {
    format!("cutover.{}.{}.{}.assets", key.destination, key.service, deployment.short())
}

/// Brings the assets of the plan's image, and those of the versions that run, into the volume of the deployment, and those of
/// the image into the volumes of the others. `found` are the replicas on the host.
///
/// # Errors
/// A host without a proxy's container, whose helper copies; a helper that can't, as on a full disk; a host or a Docker that can't
/// be reached.
pub(crate) async fn prepare(
    machine: &Machine,
    plan: &Plan,
    image: &ImageName,
    found: &[Container],
) -> Result<()> {
    let Some(folder) = &plan.release.settings.container.assets else { return Ok(()) };
    let docker = machine.docker().await?;
    let Some(helper) = machine.condition(PROXY).await?.map(|condition| condition.image) else {
        return Err(Error::NoHelper { host: machine.name().clone() });
    };
    let own = volume_name(&plan.key, &plan.deployment);
    let labels = Labels::of_service(&plan.key);
    let labels = labels.into_iter().chain([(DEPLOYMENT.to_owned(), plan.deployment.to_string())]).collect();
    let volume = VolumeCreateRequest {
        name: Some(own.clone()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    let made = docker.create_volume(volume).await;
    made.map_err(machine.host().docker_failed(format!("making volume {own}")))?;

    let copying = Copying { machine, docker: &docker, key: &plan.key, helper: &helper, folder };
    let new = copying.taken_out(&image.to_string(), &own).await?;
    let copied = async {
        copying.fill(&new, &own).await?;
        for (other, container) in others(machine, &docker, plan, found).await? {
            let Some(condition) = machine.condition(&container.id).await? else { continue };
            let old = copying.taken_out(&condition.image, &other).await?;
            let filled = copying.fill(&old, &own).await;
            machine.remove(&old, &old).await?;
            filled?;
            copying.fill(&new, &other).await?;
        }
        Ok(())
    }
    .await;
    machine.remove(&new, &new).await?;
    copied
}

/// The volumes of other deployments that have replicas on the host, each with one of those.
async fn others<'a>(
    machine: &Machine,
    docker: &Docker,
    plan: &Plan,
    found: &'a [Container],
) -> Result<Vec<(String, &'a Container)>> {
    let volumes = volumes(machine, docker, &plan.key).await?;
    let of = |(name, deployment): (String, DeploymentId)| {
        let is_of = |container: &&Container| container.is_web() && container.labels.deployment == deployment;
        found.iter().find(is_of).map(|container| (name, container))
    };
    Ok(volumes.into_iter().filter(|(_, deployment)| *deployment != plan.deployment).filter_map(of).collect())
}

/// Removes what an interrupted copy has left of a service, and its volumes whose deployment is none of `kept`. One that a
/// container still uses stays until the next time.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(crate) async fn prune(machine: &Machine, key: &ServiceKey, kept: &[&DeploymentId]) -> Result<()> {
    let docker = machine.docker().await?;
    let label = format!("{HELPER}={key}");
    let filters = [("label", vec![label.as_str()])].into();
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let helpers = docker.list_containers(Some(options)).await;
    for helper in helpers.map_err(machine.host().docker_failed("listing helpers"))? {
        let id = helper.id.unwrap_or_default();
        machine.remove(&id, &id).await?;
    }
    let volumes = volumes(machine, &docker, key).await?;
    let needless = volumes.iter().filter(|(_, deployment)| !kept.contains(&deployment));
    try_join_all(needless.map(async |(name, _)| {
        match docker.remove_volume(name, None::<RemoveVolumeOptions>).await {
            // 404: it is gone. 409: a container uses it.
            Ok(())
            | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(machine.host().docker_failed(format!("removing volume {name}"))(error).into()),
        }
    }))
    .await
    .map(drop)
}

/// The volumes with assets of a service, each with its deployment.
async fn volumes(
    machine: &Machine,
    docker: &Docker,
    key: &ServiceKey,
) -> Result<Vec<(String, DeploymentId)>> {
    let labels = Labels::of_service(key).into_iter().map(|(name, value)| format!("{name}={value}"));
    let filters = [("label", labels.chain([DEPLOYMENT.to_owned()]).collect::<Vec<_>>())].into();
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let listed = docker.list_volumes(Some(options)).await;
    let listed = listed.map_err(machine.host().docker_failed("listing volumes"))?;
    let of = |volume: bollard::models::Volume| {
        let deployment = volume.labels.get(DEPLOYMENT)?.parse().ok()?;
        Some((volume.name, deployment))
    };
    Ok(listed.volumes.unwrap_or_default().into_iter().filter_map(of).collect())
}

/// Copies between images and volumes of a host, by the helper that is the proxy's image.
#[derive(Clone, Copy)]
struct Copying<'a> {
    machine: &'a Machine,
    docker: &'a Docker,
    /// Whose assets they are.
    key: &'a ServiceKey,
    /// The helper's image.
    helper: &'a str,
    /// The folder in the image.
    folder: &'a str,
}

impl Copying<'_> {
    /// Makes a container of an image that is never started: with it, Docker takes the folder out of the image into a volume without
    /// a name. Answers with its name.
    async fn taken_out(&self, image: &str, volume: &str) -> Result<String> {
        let name = format!("{volume}.image");
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            volumes: Some(vec![self.folder.to_owned()]),
            ..ContainerCreateBody::default()
        };
        self.create(&name, body).await?;
        Ok(name)
    }

    /// Fills `volume` with what it lacks of what was taken out of an image.
    async fn fill(&self, taken_out: &str, volume: &str) -> Result<()> {
        let name = format!("{volume}.copy");
        let host_config = HostConfig {
            volumes_from: Some(vec![format!("{taken_out}:ro")]),
            binds: Some(vec![format!("{volume}:{TO}")]),
            network_mode: Some("none".to_owned()),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            // Files keep the owners that they have in the image.
            cap_add: Some(["CHOWN", "DAC_OVERRIDE", "FOWNER"].map(str::to_owned).into()),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(self.helper.to_owned()),
            user: Some("0:0".to_owned()),
            cmd: Some(["fill", self.folder, TO].map(str::to_owned).into()),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        };
        self.create(&name, body).await?;
        let started = self.docker.start_container(&name, None).await;
        started.map_err(self.machine.host().docker_failed(format!("starting {name}")))?;
        let ended = self.docker.wait_container(&name, None::<WaitContainerOptions>);
        let reason = match timeout(WITHIN, ended.try_collect::<Vec<_>>()).await {
            Ok(Ok(_)) => None,
            Ok(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => {
                let said = self.machine.last_lines(&name, LAST_LINES).await;
                Some(format!("the helper exited with code {code}: {}", said.join("; ")))
            }
            Ok(Err(error)) => {
                return Err(self.machine.host().docker_failed(format!("running {name}"))(error).into());
            }
            Err(_) => Some(format!("it took longer than {} s", WITHIN.as_secs())),
        };
        self.machine.remove(&name, &name).await?;
        match reason {
            None => Ok(()),
            Some(reason) => {
                let (folder, host) = (self.folder.to_owned(), self.machine.name().clone());
                Err(Error::Assets { folder, host, reason })
            }
        }
    }

    /// Makes a container in the place of one that an interrupted attempt has left.
    async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<()> {
        self.machine.remove(name, name).await?;
        let labels = Some([(HELPER.to_owned(), self.key.to_string())].into());
        let body = ContainerCreateBody { labels, ..body };
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let created = self.docker.create_container(Some(options), body).await;
        Ok(created.map(drop).map_err(self.machine.host().docker_failed(format!("making {name}")))?)
    }
}
