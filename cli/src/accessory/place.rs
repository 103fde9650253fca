//! An accessory on one of its hosts, and what can be done about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{ContainerUpdateBody, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use cutover_core::{Accessory, Digest, ServiceKey};
use cutover_fleet::{
    AccessoryContainer, AccessoryLabels, Health, LAST_LINES, Machine, Trouble, accessory_container,
    restart_policy, variables,
};
use cutover_secrets::Values;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::container::{Made, body};
use super::files::Files;
use super::{Error, image};
use crate::persons;

type Result<T> = std::result::Result<T, Error>;

/// How long one is watched whose image has no HEALTHCHECK: what crashes for want of a setting has done so by then.
const WATCHED: Duration = Duration::from_secs(2);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An accessory on a host.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) accessory: &'a Accessory,
    pub(crate) machine: Machine,
}

/// All that is needed to make the container of an accessory.
#[derive(Debug)]
pub(crate) struct Supplies {
    files: Files,
    /// Read once, by whoever makes the first: a command may ask for something.
    values: OnceCell<Values>,
    /// How long it may take until it is healthy.
    healthy: Duration,
}

impl Supplies {
    /// With the files of the project in that folder.
    pub(super) fn of(folder: &Path, accessory: &Accessory, healthy: Duration) -> Result<Self> {
        Ok(Self { files: Files::read(folder, accessory)?, values: OnceCell::new(), healthy })
    }

    /// The values of its secrets.
    async fn values(&self, accessory: &Accessory) -> Result<&Values> {
        let read = || async { persons::values(&accessory.references()).await };
        self.values.get_or_try_init(read).await.map_err(|source| Error::Secrets(Box::new(source)))
    }

    /// What its container would be made of.
    pub(crate) fn specification(&self, accessory: &Accessory) -> Digest {
        accessory.specification(&self.files.digests())
    }
}

/// What was found or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Booted {
    /// It runs already, made of just this.
    Found,
    /// It is there already, made of something else, and was left alone.
    Other {
        /// Whether it runs.
        running: bool,
    },
    /// It was there, and was started.
    Started,
    /// It was made.
    Made,
}

impl Place<'_> {
    /// The name of its container.
    fn name(&self) -> String {
        accessory_container(self.key, &self.accessory.name)
    }

    /// What its container is called while another one is tried in its place.
    fn before(&self) -> String {
        format!("{}.before", self.name())
    }

    /// Its container.
    pub(crate) async fn found(&self) -> Result<Option<AccessoryContainer>> {
        Ok(self.named(&self.name()).await?)
    }

    async fn named(
        &self,
        name: &str,
    ) -> std::result::Result<Option<AccessoryContainer>, cutover_fleet::Error> {
        let all = self.machine.accessories(self.key).await?;
        Ok(all.into_iter().find(|found| found.name == name))
    }

    /// Its container, which must be there.
    pub(crate) async fn present(&self) -> Result<AccessoryContainer> {
        let absent =
            || Error::Absent { name: self.accessory.name.to_string(), host: self.machine.name().clone() };
        self.found().await?.ok_or_else(absent)
    }

    /// Makes it, unless it is there, and starts it.
    pub(crate) async fn boot(&self, supplies: &Supplies) -> Result<Booted> {
        self.settle().await?;
        if let Some(found) = self.found().await? {
            if found.labels.specification != supplies.specification(self.accessory) {
                return Ok(Booted::Other { running: found.running });
            }
            if found.running {
                return Ok(Booted::Found);
            }
            self.start(&found).await?;
            self.watch(supplies.healthy).await?;
            return Ok(Booted::Started);
        }
        self.fetch(supplies, false).await?;
        self.make(supplies, BTreeMap::new()).await?;
        Ok(Booted::Made)
    }

    /// Makes it anew: the one before stops, the new one gets its volumes, and where that fails the one before is back.
    pub(crate) async fn reboot(&self, supplies: &Supplies, pull: bool) -> Result<()> {
        self.settle().await?;
        self.fetch(supplies, pull).await?;
        let Some(found) = self.found().await? else {
            return self.boot(supplies).await.map(drop);
        };
        let kept = self.volumes_without_a_name(&found.id).await?;
        self.stop(&found).await?;
        self.rename(&found.id, &self.before()).await?;
        let Err(error) = self.make(supplies, kept).await else {
            return self.remove_only(&found.id).await;
        };
        self.rename(&found.id, &self.name()).await?;
        if found.running {
            self.start(&found).await?;
        }
        Err(Error::AsBefore {
            name: self.accessory.name.to_string(),
            host: self.machine.name().clone(),
            source: Box::new(error),
        })
    }

    /// Has all at hand before anything is touched: the values of its secrets, and its image.
    async fn fetch(&self, supplies: &Supplies, anew: bool) -> Result<()> {
        let values = supplies.values(self.accessory).await?;
        if anew || !image::is_there(&self.machine, self.accessory).await? {
            image::pull(&self.machine, self.accessory, values).await?;
        }
        Ok(())
    }

    /// Brings back the one before, where whoever was making another in its place was killed.
    async fn settle(&self) -> Result<()> {
        let Some(before) = self.named(&self.before()).await? else { return Ok(()) };
        match self.found().await? {
            Some(new) if new.running => self.remove_only(&before.id).await,
            new => {
                if let Some(new) = new {
                    self.remove_only(&new.id).await?;
                }
                self.rename(&before.id, &self.name()).await?;
                self.start(&before).await
            }
        }
    }

    /// Makes the container and watches it. One that fails is gone then: nobody has any data in it yet.
    async fn make(&self, supplies: &Supplies, kept: BTreeMap<String, String>) -> Result<()> {
        let id = self.create(supplies, kept).await?;
        let run = self.run(&id, supplies).await;
        if run.is_err() {
            // By its id: somebody else may have given its name to another meanwhile.
            self.remove_only(&id).await?;
        }
        run
    }

    /// Answers with its id.
    async fn create(&self, supplies: &Supplies, kept: BTreeMap<String, String>) -> Result<String> {
        let (machine, accessory) = (&self.machine, self.accessory);
        let (docker, name) = (machine.docker().await?, self.name());
        machine.require_networks(&accessory.container.networks).await?;
        let labels = AccessoryLabels {
            key: self.key.clone(),
            accessory: accessory.name.clone(),
            specification: supplies.specification(accessory),
        };
        let made = Made {
            network: machine.network(self.key).await?.id,
            labels,
            env: variables(&accessory.env, &accessory.secrets, supplies.values(accessory).await?).await?,
            kept,
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = docker.create_container(Some(options), body(accessory, made)).await;
        Ok(created.map_err(machine.host().docker_failed(format!("creating {name}")))?.id)
    }

    /// Fills it, starts it and watches it.
    async fn run(&self, id: &str, supplies: &Supplies) -> Result<()> {
        let (machine, accessory) = (&self.machine, self.accessory);
        let (docker, name) = (machine.docker().await?, self.name());
        for network in &accessory.container.networks {
            machine.join_network(id, &name, network, Some(accessory.name.as_str())).await?;
        }
        if !supplies.files.is_empty() {
            let archive = supplies.files.archive().map_err(|source| Error::File {
                name: accessory.name.to_string(),
                path: "an archive of its files".into(),
                source,
            })?;
            let to = UploadToContainerOptionsBuilder::default().path("/").build();
            let filled = docker.upload_to_container(id, Some(to), body_full(archive.into())).await;
            filled.map_err(machine.host().docker_failed(format!("putting its files into {name}")))?;
        }
        let started = docker.start_container(id, None).await;
        started.map_err(machine.host().docker_failed(format!("starting {name}")))?;
        self.watch(supplies.healthy).await
    }

    /// Watches it until it is healthy, or has run for a while.
    async fn watch(&self, limit: Duration) -> Result<()> {
        let (begun, name) = (Instant::now(), self.name());
        loop {
            let condition = self.machine.condition(&name).await?;
            let trouble = match &condition {
                Some(condition) => condition.trouble(),
                None => Some("is gone: its container was removed".to_owned()),
            };
            if let Some(what) = trouble {
                let trouble = Box::new(Trouble {
                    host: self.machine.name().clone(),
                    what,
                    out_of_memory: condition.is_some_and(|condition| condition.out_of_memory),
                    last_lines: self.machine.last_lines(&name, LAST_LINES).await,
                    replica: name,
                });
                return Err(Error::Trouble { trouble });
            }
            let last_line = match condition.and_then(|condition| condition.health) {
                Some(Health::Healthy) => return Ok(()),
                None if begun.elapsed() >= WATCHED => return Ok(()),
                Some(Health::Unhealthy { last_line: Some(line) }) => format!(": {line}"),
                _ => String::new(),
            };
            if begun.elapsed() >= limit.max(WATCHED) {
                let (host, seconds) = (self.machine.name().clone(), limit.as_secs());
                return Err(Error::Unhealthy { name, host, seconds, last_line });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Starts it, and has Docker start it again whenever it ends.
    pub(crate) async fn start(&self, found: &AccessoryContainer) -> Result<()> {
        let docker = self.machine.docker().await?;
        self.set_policy(&found.id, RestartPolicyNameEnum::ALWAYS).await?;
        let started = docker.start_container(&found.id, None).await;
        Ok(started.map_err(self.machine.host().docker_failed(format!("starting {}", self.name())))?)
    }

    /// Stops it until it is started.
    pub(crate) async fn stop(&self, found: &AccessoryContainer) -> Result<()> {
        self.set_policy(&found.id, RestartPolicyNameEnum::NO).await?;
        Ok(self.machine.stop(&found.id, &self.name(), self.accessory.stop.0).await?)
    }

    /// Stops it, and removes its container. Its volumes stay.
    pub(crate) async fn remove(&self, found: &AccessoryContainer) -> Result<()> {
        self.stop(found).await?;
        self.remove_only(&found.id).await
    }

    /// Never its volumes: what has no name may be all that there is of a database.
    async fn remove_only(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(false).build();
        let removed = match self.machine.docker().await?.remove_container(id, Some(options)).await {
            // Somebody else was first.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            removed => removed,
        };
        Ok(removed.map_err(self.machine.host().docker_failed(format!("removing {}", self.name())))?)
    }

    async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        let renamed = self.machine.docker().await?.rename_container(id, options).await;
        Ok(renamed.map_err(self.machine.host().docker_failed(format!("naming {id} {name}")))?)
    }

    async fn set_policy(&self, id: &str, policy: RestartPolicyNameEnum) -> Result<()> {
        let policy = Some(restart_policy(policy));
        let update = ContainerUpdateBody { restart_policy: policy, ..ContainerUpdateBody::default() };
        let updated = self.machine.docker().await?.update_container(id, update).await;
        let doing = format!("setting the restart policy of {}", self.name());
        Ok(updated.map_err(self.machine.host().docker_failed(doing))?)
    }

    /// The volumes of a container that its image has asked for, and the deploy file says nothing of, by where they are in it.
    pub(crate) async fn volumes_without_a_name(&self, id: &str) -> Result<BTreeMap<String, String>> {
        let inspected = self.machine.docker().await?.inspect_container(id, None).await;
        let doing = format!("inspecting {}", self.name());
        let inspected = inspected.map_err(self.machine.host().docker_failed(doing))?;
        let volumes = inspected.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
            let (name, place) = (mount.name?, mount.destination?);
            (mount.typ.as_deref() == Some("volume")).then_some((place, name))
        });
        let own = |place: &str| self.accessory.container.volumes.iter().any(|own| own.target == place);
        Ok(volumes.filter(|(place, _)| !own(place)).collect())
    }
}
