//! Making an accessory, and making it anew: another container is tried in the place of the one that is there, which comes back where
//! that fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bollard::body_full;
use bollard::query_parameters::{CreateContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use cutover_core::{Accessory, Digest};
use cutover_fleet::{AccessoryContainer, AccessoryLabels, Condition, Health, LAST_LINES, Trouble, variables};
use cutover_secrets::Values;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::container::{Made, body};
use super::files::Files;
use super::mounts::Mounts;
use super::place::{Place, Result};
use super::{Error, image};
use crate::persons;

/// How long one is watched whose image has no HEALTHCHECK.
const WATCHED: Duration = Duration::from_secs(10);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// All that is needed to make the container of an accessory.
#[derive(Debug)]
pub(crate) struct Supplies {
    files: Files,
    /// Read once, by whoever makes the first: a command may ask for something.
    values: OnceCell<Values>,
    /// How long it may take until it is healthy.
    healthy: Duration,
}

/// What was found or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Booted {
    /// It runs already.
    Found {
        /// Whether it was made of what the deploy file says now.
        as_in_file: bool,
    },
    /// It was there, and was started.
    Started {
        /// Whether it was made of what the deploy file says now.
        as_in_file: bool,
    },
    /// It was made.
    Made,
}

impl Supplies {
    /// With the files of the project in that folder.
    pub(super) fn of(folder: &Path, accessory: &Accessory, healthy: Duration) -> Result<Self> {
        Ok(Self { files: Files::read(folder, accessory)?, values: OnceCell::new(), healthy })
    }

    /// What its container would be made of.
    pub(crate) fn specification(&self, accessory: &Accessory) -> Digest {
        accessory.specification(&self.files.digests())
    }

    /// The values of its secrets.
    async fn values(&self, accessory: &Accessory) -> Result<&Values> {
        let read = || async { persons::values(&accessory.references()).await };
        self.values.get_or_try_init(read).await.map_err(|source| Error::Secrets(Box::new(source)))
    }
}

impl Place<'_> {
    /// Makes it, unless it is there, and starts it. One that fails is left for its operator to look at: it may have begun to write.
    pub(crate) async fn boot(&self, supplies: &Supplies) -> Result<Booted> {
        self.settle(supplies).await?;
        if let Some(found) = self.found().await? {
            let as_in_file = found.labels.specification == supplies.specification(self.accessory);
            if found.running {
                self.keep_running(&found.id).await?;
                return Ok(Booted::Found { as_in_file });
            }
            self.require_own_mounts(&[]).await?;
            self.start(&found).await?;
            self.watch(supplies.healthy).await?;
            return Ok(Booted::Started { as_in_file });
        }
        self.fetch(supplies, false).await?;
        self.require_own_mounts(&[]).await?;
        let id = self.create(&self.name(), supplies, BTreeMap::new()).await?;
        self.run(&id).await?;
        self.watch(supplies.healthy).await?;
        Ok(Booted::Made)
    }

    /// Makes it anew, with the files that it has. All is at hand and the new one is made before the one that is there stops.
    pub(crate) async fn reboot(&self, supplies: &Supplies, pull: bool, other_volumes: bool) -> Result<()> {
        self.settle(supplies).await?;
        self.fetch(supplies, pull).await?;
        let Some(found) = self.found().await? else { return self.boot(supplies).await.map(drop) };
        if !other_volumes {
            self.require_same_mounts(&found.id).await?;
        }
        self.require_own_mounts(&[&found.id]).await?;
        let kept = self.mounts_without_a_name(&found.id).await?;
        let new = self.create(&self.next(), supplies, kept).await?;
        let Err(error) = self.replace(&found, &new, supplies).await else {
            return self.remove_only(&found.id).await;
        };
        let (name, host) = (self.accessory.name.to_string(), self.machine.name().clone());
        if matches!(&error, Error::Fleet(_)) {
            // Nobody knows what has become of the new one: it may well run.
            return Err(Error::Unseen { name, host, source: Box::new(error) });
        }
        match self.bring_back(&found, &new).await {
            Ok(()) => Err(Error::AsBefore { name, host, source: Box::new(error) }),
            Err(back) => Err(Error::NotBack { name, host, back: Box::new(back), source: Box::new(error) }),
        }
    }

    /// The new one in the place of the other.
    async fn replace(&self, found: &AccessoryContainer, new: &str, supplies: &Supplies) -> Result<()> {
        self.stop(found).await?;
        self.rename(&found.id, &self.before()).await?;
        self.rename(new, &self.name()).await?;
        self.run(new).await?;
        self.watch(supplies.healthy).await
    }

    /// The other way round. The new one has the time to end what it has begun.
    async fn bring_back(&self, found: &AccessoryContainer, new: &str) -> Result<()> {
        self.machine.stop(new, &self.name(), self.accessory.stop.0).await?;
        self.remove_only(new).await?;
        self.rename(&found.id, &self.name()).await?;
        if found.running { self.start(found).await } else { Ok(()) }
    }

    /// Has all at hand before anything is touched: the values of its secrets, its networks, and its image.
    async fn fetch(&self, supplies: &Supplies, anew: bool) -> Result<()> {
        let values = supplies.values(self.accessory).await?;
        self.machine.require_networks(&self.accessory.container.networks).await?;
        if anew || !image::is_there(&self.machine, self.accessory).await? {
            image::pull(&self.machine, self.accessory, values).await?;
        }
        Ok(())
    }

    /// Ends what somebody has begun who was killed. Nothing is decided that could be wrong: a new one that has been started may have
    /// written, and the one before may not know what.
    async fn settle(&self, supplies: &Supplies) -> Result<()> {
        if let Some(next) = self.named(&self.next()).await? {
            self.remove_only(&next.id).await?;
        }
        let Some(before) = self.found_before().await? else { return Ok(()) };
        let new = self.machine.condition(&self.name()).await?;
        match &new {
            Some(new) if was_started(new) => {
                if self.watch(supplies.healthy).await.is_ok() {
                    return self.remove_only(&before.id).await;
                }
                let (name, host) = (self.accessory.name.to_string(), self.machine.name().clone());
                return Err(Error::Both { name, host, new: self.name(), before: before.name });
            }
            Some(new) => self.remove_only(&new.id).await?,
            None => {}
        }
        self.rename(&before.id, &self.name()).await?;
        self.start(&before).await
    }

    /// Makes the container and fills it; answers with its id. One that fails is gone then: it has done nothing.
    async fn create(&self, name: &str, supplies: &Supplies, kept: Mounts) -> Result<String> {
        let (machine, accessory) = (&self.machine, self.accessory);
        let docker = machine.docker().await?;
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
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let created = docker.create_container(Some(options), body(accessory, made)).await;
        let id = created.map_err(machine.host().docker_failed(format!("creating {name}")))?.id;
        let filled = self.fill(&id, supplies).await;
        if filled.is_err() {
            // By its id: somebody else may have given its name to another meanwhile.
            self.remove_only(&id).await?;
        }
        filled.map(|()| id)
    }

    async fn fill(&self, id: &str, supplies: &Supplies) -> Result<()> {
        let (machine, accessory, name) = (&self.machine, self.accessory, self.name());
        for network in &accessory.container.networks {
            // Others are on it, who may have one of that name.
            machine.join_network(id, &name, network, None).await?;
        }
        if supplies.files.is_empty() {
            return Ok(());
        }
        let archive = supplies.files.archive().map_err(|source| Error::File {
            name: accessory.name.to_string(),
            path: "an archive of its files".into(),
            source,
        })?;
        let to = UploadToContainerOptionsBuilder::default().path("/").build();
        let docker = machine.docker().await?;
        let filled = docker.upload_to_container(id, Some(to), body_full(archive.into())).await;
        Ok(filled.map_err(machine.host().docker_failed(format!("putting its files into {name}")))?)
    }

    /// Starts a container that was never started.
    async fn run(&self, id: &str) -> Result<()> {
        let (machine, name) = (&self.machine, self.name());
        match machine.docker().await?.start_container(id, None).await {
            Ok(()) => Ok(()),
            // Docker's word that it can't be started, such as for a port that somebody has.
            Err(bollard::errors::Error::DockerResponseServerError { message, .. }) => {
                Err(self.trouble(format!("could not be started: {message}"), false).await)
            }
            Err(error) => Err(machine.host().docker_failed(format!("starting {name}"))(error).into()),
        }
    }

    /// Watches it until it is healthy, or has run for a while. A host that can't be reached for a moment is asked again.
    async fn watch(&self, limit: Duration) -> Result<()> {
        let (begun, name) = (Instant::now(), self.name());
        let limit = limit.max(WATCHED);
        loop {
            let condition = match self.machine.condition(&name).await {
                Err(error) if error.retryable() && begun.elapsed() < limit => {
                    sleep(LOOK_EVERY).await;
                    continue;
                }
                condition => condition?,
            };
            let trouble = match &condition {
                Some(condition) => condition.trouble(),
                None => Some("is gone: its container was removed".to_owned()),
            };
            if let Some(what) = trouble {
                let out_of_memory = condition.is_some_and(|condition| condition.out_of_memory);
                return Err(self.trouble(what, out_of_memory).await);
            }
            let last_line = match condition.and_then(|condition| condition.health) {
                Some(Health::Healthy) => return Ok(()),
                None if begun.elapsed() >= WATCHED => return Ok(()),
                Some(Health::Unhealthy { last_line: Some(line) }) => format!(": {line}"),
                _ => String::new(),
            };
            if begun.elapsed() >= limit {
                let (host, seconds) = (self.machine.name().clone(), limit.as_secs());
                return Err(Error::Unhealthy { name, host, seconds, last_line });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn trouble(&self, what: String, out_of_memory: bool) -> Error {
        let replica = self.name();
        let last_lines = self.machine.last_lines(&replica, LAST_LINES).await;
        let host = self.machine.name().clone();
        Error::Trouble { trouble: Box::new(Trouble { replica, host, what, out_of_memory, last_lines }) }
    }
}

fn was_started(condition: &Condition) -> bool {
    condition.running || condition.started_at.is_some() || condition.restarts > 0
}
