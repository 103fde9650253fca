//! An accessory on one of its hosts: what is there, and starting, stopping and removing it.

use bollard::models::{ContainerUpdateBody, RestartPolicyNameEnum};
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder};
use cutover_core::{Accessory, ServiceKey};
use cutover_fleet::{AccessoryContainer, Machine, accessory_container, restart_policy};

use super::Error;

pub(super) type Result<T> = std::result::Result<T, Error>;

/// An accessory on a host.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) accessory: &'a Accessory,
    pub(crate) machine: Machine,
}

impl Place<'_> {
    /// The name of its container.
    pub(super) fn name(&self) -> String {
        accessory_container(self.key, &self.accessory.name)
    }

    /// What its container is called while another one is tried in its place.
    pub(super) fn before(&self) -> String {
        format!("{}.before", self.name())
    }

    /// What the other one is called until then.
    pub(super) fn next(&self) -> String {
        format!("{}.next", self.name())
    }

    /// Its container.
    pub(crate) async fn found(&self) -> Result<Option<AccessoryContainer>> {
        self.named(&self.name()).await
    }

    /// The container that it had, where another was tried in its place, and nobody has seen that to its end.
    pub(crate) async fn found_before(&self) -> Result<Option<AccessoryContainer>> {
        self.named(&self.before()).await
    }

    pub(super) async fn named(&self, name: &str) -> Result<Option<AccessoryContainer>> {
        let all = self.machine.accessories(self.key).await?;
        Ok(all.into_iter().find(|found| found.name == name))
    }

    /// Its container, which must be there.
    pub(crate) async fn present(&self) -> Result<AccessoryContainer> {
        let absent =
            || Error::Absent { name: self.accessory.name.to_string(), host: self.machine.name().clone() };
        self.found().await?.ok_or_else(absent)
    }

    /// Starts it, and has Docker start it again whenever it ends.
    pub(crate) async fn start(&self, found: &AccessoryContainer) -> Result<()> {
        let docker = self.machine.docker().await?;
        self.keep_running(&found.id).await?;
        let started = docker.start_container(&found.id, None).await;
        Ok(started.map_err(self.machine.host().docker_failed(format!("starting {}", found.name)))?)
    }

    /// Stops it until it is started. Docker takes what was stopped by hand for stopped until it is itself started anew: so that is said
    /// last, as one that still runs must come back.
    pub(crate) async fn stop(&self, found: &AccessoryContainer) -> Result<()> {
        self.machine.stop(&found.id, &found.name, self.accessory.stop.0).await?;
        self.set_policy(&found.id, RestartPolicyNameEnum::NO).await
    }

    /// Stops and starts it.
    pub(crate) async fn restart(&self, found: &AccessoryContainer) -> Result<()> {
        self.keep_running(&found.id).await?;
        Ok(self.machine.restart(&found.id, &found.name, self.accessory.stop.0).await?)
    }

    /// Stops it, and removes its container. Its volumes stay.
    pub(crate) async fn remove(&self, found: &AccessoryContainer) -> Result<()> {
        self.stop(found).await?;
        self.remove_only(&found.id).await
    }

    /// Never its volumes: what has no name may be all that there is of a database.
    pub(super) async fn remove_only(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(false).build();
        let removed = match self.machine.docker().await?.remove_container(id, Some(options)).await {
            // Somebody else was first.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            removed => removed,
        };
        Ok(removed.map_err(self.machine.host().docker_failed(format!("removing {}", self.name())))?)
    }

    pub(super) async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        let renamed = self.machine.docker().await?.rename_container(id, options).await;
        Ok(renamed.map_err(self.machine.host().docker_failed(format!("naming {id} {name}")))?)
    }

    /// Has Docker start it again whenever it ends.
    pub(super) async fn keep_running(&self, id: &str) -> Result<()> {
        self.set_policy(id, RestartPolicyNameEnum::ALWAYS).await
    }

    async fn set_policy(&self, id: &str, policy: RestartPolicyNameEnum) -> Result<()> {
        let policy = Some(restart_policy(policy));
        let update = ContainerUpdateBody { restart_policy: policy, ..ContainerUpdateBody::default() };
        let updated = self.machine.docker().await?.update_container(id, update).await;
        let doing = format!("setting the restart policy of {}", self.name());
        Ok(updated.map_err(self.machine.host().docker_failed(doing))?)
    }
}
