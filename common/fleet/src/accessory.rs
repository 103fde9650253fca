//! The containers of accessories on one host.

use std::collections::HashMap;

use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::ListContainersOptionsBuilder;
use cutover_core::{AccessoryName, Digest, ServiceKey};

use crate::{Error, Labels, Machine};

const ACCESSORY: &str = "cutover.accessory";
const SPECIFICATION: &str = "cutover.specification";

/// The name of the container of an accessory: nobody else's, as no part of a name has a dot.
pub fn accessory_container(key: &ServiceKey, name: &AccessoryName) -> String {
    format!("{}.{}.{name}", key.service, key.destination)
}

/// What the labels of an accessory's container say. A replica alone has the others that it has: whoever looks for replicas doesn't
/// find it, and so no deployment does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessoryLabels {
    /// The service and its destination.
    pub key: ServiceKey,
    /// Its name.
    pub accessory: AccessoryName,
    /// What it was made of.
    pub specification: Digest,
}

impl AccessoryLabels {
    /// As Docker takes them.
    pub fn to_map(&self) -> HashMap<String, String> {
        let own = [(ACCESSORY, self.accessory.to_string()), (SPECIFICATION, self.specification.to_string())];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        Labels::of_service(&self.key).into_iter().chain(own).collect()
    }

    fn from_map(map: &HashMap<String, String>) -> Option<Self> {
        Some(Self {
            key: Labels::service_in(map)?,
            accessory: map.get(ACCESSORY)?.parse().ok()?,
            specification: map.get(SPECIFICATION)?.parse().ok()?,
        })
    }

    /// Docker's filter for the containers of an accessory.
    pub fn filter(key: &ServiceKey, accessory: &AccessoryName) -> Vec<String> {
        Labels::filter(key).into_iter().chain([format!("{ACCESSORY}={accessory}")]).collect()
    }
}

/// A container of an accessory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessoryContainer {
    /// Docker's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its labels say.
    pub labels: AccessoryLabels,
    /// The image that it was made of, as it was named.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// How Docker puts it: `Up 3 hours (healthy)`.
    pub status: String,
}

impl Machine {
    /// The containers of all accessories of a service at a destination, running or not, by name.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn accessories(&self, key: &ServiceKey) -> Result<Vec<AccessoryContainer>, Error> {
        let filter = Labels::filter(key).into_iter().chain([ACCESSORY.to_owned()]).collect();
        let filters = [("label".to_owned(), filter)].into();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker().await?.list_containers(Some(options)).await;
        let listed = listed.map_err(self.host().docker_failed("listing accessories"))?;
        let of = |summary: bollard::models::ContainerSummary| {
            Some(AccessoryContainer {
                id: summary.id?,
                name: summary.names?.first()?.trim_start_matches('/').to_owned(),
                labels: AccessoryLabels::from_map(&summary.labels?)?,
                image: summary.image.unwrap_or_default(),
                running: matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING)),
                status: summary.status.unwrap_or_default(),
            })
        };
        let mut accessories: Vec<_> = listed.into_iter().filter_map(of).collect();
        accessories.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(accessories)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn its_labels_read_back_as_written_and_make_no_replica_of_it() {
        let labels = AccessoryLabels {
            key: ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() },
            accessory: "postgres".parse().unwrap(),
            specification: Digest::of(b""),
        };
        let map = labels.to_map();
        assert_eq!(AccessoryLabels::from_map(&map).as_ref(), Some(&labels));
        assert_eq!((Labels::from_map(&map), crate::SidecarLabels::from_map(&map)), (None, None));
        assert_eq!(accessory_container(&labels.key, &labels.accessory), "hello.production.postgres");
    }
}
