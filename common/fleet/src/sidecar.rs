//! Sidecars on a host: what a plan wants of them, and which there are.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::models::{ContainerSummaryStateEnum, EndpointSettings};
use bollard::query_parameters::ListContainersOptionsBuilder;
use cutover_core::{
    BuiltImage, DeploymentId, Epoch, Generation, Plan, Replica, ServiceKey, Settings, Sidecar, SidecarImages,
    SidecarName,
};

use crate::label::{epoch, written};
use crate::{Error, Labels, Machine, sidecar_network_name};

const SIDECAR: &str = "cutover.sidecar";
const GENERATION: &str = "cutover.generation";
const REPLICA: &str = "cutover.replica";
const DEPLOYMENT: &str = "cutover.deployment";
const EPOCH: &str = "cutover.epoch";

/// A container of a sidecar that a plan wants on each of its hosts.
#[derive(Clone, Debug)]
pub struct SidecarMember<'a> {
    /// The name of its container, `<service>-<destination>-<sidecar>-<generation>-<number>`. What is there of that name is what is
    /// wanted, whichever deployment has made it.
    pub name: String,
    /// Its number, from 1.
    pub number: u32,
    /// What is said of it.
    pub sidecar: &'a Sidecar,
    /// What it has in common with those that are like it.
    pub generation: Generation,
    /// Its image.
    pub image: &'a BuiltImage,
}

impl<'a> SidecarMember<'a> {
    /// All that a plan wants on a host, with these images.
    pub fn all(plan: &'a Plan, images: &'a SidecarImages) -> Vec<Self> {
        Self::of(&plan.key, &plan.release.settings, plan.booted_by(), images)
    }

    /// The same of a release, whose replicas that deployment has booted.
    pub fn of(
        key: &ServiceKey,
        settings: &'a Settings,
        booted_by: &DeploymentId,
        images: &'a SidecarImages,
    ) -> Vec<Self> {
        let each = settings.sidecars.iter().filter_map(|sidecar| {
            let image = images.get(&sidecar.name)?;
            let generation = sidecar.generation(settings, booted_by, &image.image);
            let ServiceKey { service, destination } = key;
            let name = format!("{service}-{destination}-{}-{generation}", sidecar.name);
            Some((1..=sidecar.replicas).map(move |number| Self {
                name: format!("{name}-{number}"),
                number,
                sidecar,
                generation: generation.clone(),
                image,
            }))
        });
        each.flatten().collect()
    }
}

/// What the labels of a container of a sidecar say. None of those of a replica is among them that a replica alone has: whoever
/// looks for replicas doesn't find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarLabels {
    /// The service and its destination.
    pub key: ServiceKey,
    /// Its name.
    pub sidecar: SidecarName,
    /// What it has in common with those that are like it.
    pub generation: String,
    /// Its number, from 1.
    pub replica: u32,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// The claim under which it was made.
    pub epoch: Epoch,
}

impl SidecarLabels {
    /// As Docker takes them.
    pub fn to_map(&self) -> HashMap<String, String> {
        let own = [
            (SIDECAR, self.sidecar.to_string()),
            (GENERATION, self.generation.clone()),
            (REPLICA, self.replica.to_string()),
            (DEPLOYMENT, self.deployment.to_string()),
            (EPOCH, written(&self.epoch)),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        Labels::of_service(&self.key).into_iter().chain(own).collect()
    }

    pub(crate) fn from_map(map: &HashMap<String, String>) -> Option<Self> {
        let label = |name: &str| map.get(name);
        Some(Self {
            key: Labels::service_in(map)?,
            sidecar: label(SIDECAR)?.parse().ok()?,
            generation: label(GENERATION)?.clone(),
            replica: label(REPLICA)?.parse().ok()?,
            deployment: label(DEPLOYMENT)?.parse().ok()?,
            epoch: epoch(label(EPOCH)?)?,
        })
    }
}

/// A container of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarContainer {
    /// Docker's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its labels say.
    pub labels: SidecarLabels,
    /// Whether it runs.
    pub running: bool,
    /// The networks that it is on, with its address there where it runs.
    pub networks: BTreeMap<String, Option<IpAddr>>,
}

impl SidecarContainer {
    /// Whether the replicas of a deployment reach it.
    pub fn serves(&self, key: &ServiceKey, deployment: &DeploymentId) -> bool {
        self.networks.contains_key(&sidecar_network_name(key, deployment))
    }

    /// Where it is asked for the replicas of a deployment; none where they don't reach it, or it doesn't run.
    pub fn replica(&self, key: &ServiceKey, deployment: &DeploymentId, port: u16) -> Option<Replica> {
        let address = (*self.networks.get(&sidecar_network_name(key, deployment))?)?;
        Some(Replica { name: self.name.clone(), address: (address, port).into() })
    }
}

impl Machine {
    /// The containers of the sidecars of a service at a destination, running or not, by name.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn sidecars(&self, key: &ServiceKey) -> Result<Vec<SidecarContainer>, Error> {
        let filter = Labels::filter(key).into_iter().chain([SIDECAR.to_owned()]).collect();
        let filters = [("label".to_owned(), filter)].into();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker().await?.list_containers(Some(options)).await;
        let listed = listed.map_err(self.host().docker_failed("listing sidecars"))?;
        let of = |summary: bollard::models::ContainerSummary| {
            let networks =
                summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            Some(SidecarContainer {
                id: summary.id?,
                name: summary.names?.first()?.trim_start_matches('/').to_owned(),
                labels: SidecarLabels::from_map(&summary.labels?)?,
                running: matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING)),
                networks: networks.into_iter().map(|(name, endpoint)| (name, address(&endpoint))).collect(),
            })
        };
        let mut sidecars: Vec<_> = listed.into_iter().filter_map(of).collect();
        sidecars.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sidecars)
    }
}

impl Machine {
    /// The names of the containers of sidecars that a deployment has made on the host.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn new_sidecars(&self, plan: &Plan) -> Result<Vec<String>, Error> {
        if plan.release.settings.sidecars.is_empty() {
            return Ok(Vec::new());
        }
        let new = self.sidecars(&plan.key).await?.into_iter().filter(|sidecar| {
            sidecar.labels.deployment == plan.deployment && sidecar.serves(&plan.key, plan.booted_by())
        });
        Ok(new.map(|sidecar| sidecar.name).collect())
    }
}

fn address(endpoint: &EndpointSettings) -> Option<IpAddr> {
    endpoint.ip_address.as_deref()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::JournalId;

    use super::*;

    #[test]
    fn its_labels_read_back_as_written_and_make_no_replica_of_it() {
        let labels = SidecarLabels {
            key: ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() },
            sidecar: "embedder".parse().unwrap(),
            generation: "0123abcd".to_owned(),
            replica: 2,
            deployment: "01jdzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap(),
            epoch: Epoch { journal: JournalId("j".into()), sequence: 7 },
        };
        let map = labels.to_map();
        assert_eq!(SidecarLabels::from_map(&map), Some(labels));
        assert_eq!(Labels::from_map(&map), None);
    }
}
