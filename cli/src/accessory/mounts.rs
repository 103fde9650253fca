//! What an accessory has written, and whose else it is.

use std::collections::BTreeMap;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::Error;
use super::error::OtherVolume;
use super::place::{Place, Result};

/// What holds the files of a container, by where they are in it: the name of a volume, or a path of the host.
pub(crate) type Mounts = BTreeMap<String, String>;

impl Place<'_> {
    /// Those of a container.
    pub(crate) async fn mounts(&self, id: &str) -> Result<Mounts> {
        let inspected = self.machine.docker().await?.inspect_container(id, None).await;
        let doing = format!("inspecting {}", self.name());
        Ok(of(inspected.map_err(self.machine.host().docker_failed(doing))?))
    }

    /// Those of a container that its image has asked for, and the deploy file says nothing of.
    pub(crate) async fn mounts_without_a_name(&self, id: &str) -> Result<Mounts> {
        let own = |place: &str| self.accessory.container.volumes.iter().any(|own| own.target == place);
        let mounts = self.mounts(id).await?.into_iter();
        // A file of the host is none that its image asked for.
        Ok(mounts.filter(|(place, source)| !own(place) && !source.starts_with('/')).collect())
    }

    /// Refuses to make it anew with other files than it has.
    pub(super) async fn require_same_mounts(&self, id: &str) -> Result<()> {
        let mounts = self.mounts(id).await?;
        for volume in &self.accessory.container.volumes {
            if let Some(other) = mounts.get(&volume.target).filter(|other| **other != volume.source) {
                return Err(Error::OtherVolume(Box::new(OtherVolume {
                    name: self.accessory.name.to_string(),
                    host: self.machine.name().clone(),
                    place: volume.target.clone(),
                    has: other.clone(),
                    wanted: volume.source.clone(),
                    image: self.accessory.image.clone(),
                })));
            }
        }
        Ok(())
    }

    /// Refuses to have it write where another container that runs does: two databases on the same files destroy them.
    pub(super) async fn require_own_mounts(&self, own: &[&str]) -> Result<()> {
        let options = ListContainersOptionsBuilder::default().build();
        let running = self.machine.docker().await?.list_containers(Some(options)).await;
        let running = running.map_err(self.machine.host().docker_failed("listing containers"))?;
        for container in
            running.into_iter().filter(|one| !one.id.as_deref().is_some_and(|id| own.contains(&id)))
        {
            for mount in container.mounts.unwrap_or_default().iter().filter(|mount| mount.rw.unwrap_or(true))
            {
                let has = |source: &str| {
                    [&mount.name, &mount.source].into_iter().flatten().any(|held| held == source)
                };
                let shared = self.accessory.container.volumes.iter().filter(|volume| !volume.read_only);
                if let Some(volume) = shared.into_iter().find(|volume| has(&volume.source)) {
                    let names = container.names.unwrap_or_default();
                    return Err(Error::VolumeInUse {
                        name: self.accessory.name.to_string(),
                        host: self.machine.name().clone(),
                        volume: volume.source.clone(),
                        by: names
                            .first()
                            .map(|name| name.trim_start_matches('/').to_owned())
                            .unwrap_or_default(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn of(inspected: ContainerInspectResponse) -> Mounts {
    let mounts = inspected.mounts.unwrap_or_default().into_iter();
    let mounts = mounts.filter_map(|mount| {
        let source = match mount.typ.as_deref() {
            Some("volume") => mount.name,
            Some("bind") => mount.source,
            _ => None,
        };
        Some((mount.destination?, source?))
    });
    mounts.collect()
}
