//! The labels of containers: the host says what runs there.

use std::collections::HashMap;

use cutover_core::{DeploymentId, Epoch, JournalId, ReleaseId, ServiceKey};

const SERVICE: &str = "cutover.service";
const DESTINATION: &str = "cutover.destination";
const RELEASE: &str = "cutover.release";
const ROLE: &str = "cutover.role";
const REPLICA: &str = "cutover.replica";
const DEPLOYMENT: &str = "cutover.deployment";
const EPOCH: &str = "cutover.epoch";

/// What the labels of a replica say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The service and its destination.
    pub key: ServiceKey,
    /// The release that it runs.
    pub release: ReleaseId,
    /// Its role: `web`, where traffic goes.
    pub role: String,
    /// Its number on the host, from 1.
    pub replica: u32,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// The claim under which it was made; a label writes it `<journal>:<sequence>`.
    pub epoch: Epoch,
}

impl Labels {
    /// As Docker takes them.
    pub fn to_map(&self) -> HashMap<String, String> {
        [
            (SERVICE, self.key.service.to_string()),
            (DESTINATION, self.key.destination.to_string()),
            (RELEASE, self.release.to_string()),
            (ROLE, self.role.clone()),
            (REPLICA, self.replica.to_string()),
            (DEPLOYMENT, self.deployment.to_string()),
            (EPOCH, written(&self.epoch)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// As Docker gives them; none when they are not those of a replica.
    pub fn from_map(map: &HashMap<String, String>) -> Option<Self> {
        let label = |name: &str| map.get(name);
        Some(Self {
            key: Self::service_in(map)?,
            release: label(RELEASE)?.parse().ok()?,
            role: label(ROLE)?.clone(),
            replica: label(REPLICA)?.parse().ok()?,
            deployment: label(DEPLOYMENT)?.parse().ok()?,
            epoch: epoch(label(EPOCH)?)?,
        })
    }

    /// Those of what belongs to a service at a destination as a whole, such as its network.
    pub fn of_service(key: &ServiceKey) -> HashMap<String, String> {
        [(SERVICE, key.service.to_string()), (DESTINATION, key.destination.to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    /// Those of a container that works for a deployment, under a claim, and is no replica.
    pub fn of_work(key: &ServiceKey, deployment: &DeploymentId, epoch: &Epoch) -> HashMap<String, String> {
        let own = [(DEPLOYMENT, deployment.to_string()), (EPOCH, written(epoch))];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self::of_service(key).into_iter().chain(own).collect()
    }

    /// The service and the destination that it says.
    pub(crate) fn service_in(map: &HashMap<String, String>) -> Option<ServiceKey> {
        Some(ServiceKey {
            destination: map.get(DESTINATION)?.parse().ok()?,
            service: map.get(SERVICE)?.parse().ok()?,
        })
    }

    /// The deployment that made what carries it.
    pub(crate) fn deployment_in(map: &HashMap<String, String>) -> Option<DeploymentId> {
        map.get(DEPLOYMENT)?.parse().ok()
    }

    /// The claim under which a container was made, replica or not; none: nobody has said.
    pub fn epoch_in(map: &HashMap<String, String>) -> Option<Epoch> {
        epoch(map.get(EPOCH)?)
    }

    /// Docker's filter for all replicas of a service at a destination.
    pub(crate) fn filter(key: &ServiceKey) -> Vec<String> {
        vec![format!("{SERVICE}={}", key.service), format!("{DESTINATION}={}", key.destination)]
    }
}

/// The name of the network of a service on a host, `cutover.<destination>.<service>`: that on which its replicas have their
/// addresses.
pub fn network_name(key: &ServiceKey) -> String {
    format!("cutover.{}.{}", key.destination, key.service)
}

pub(crate) fn written(epoch: &Epoch) -> String {
    format!("{}:{}", epoch.journal, epoch.sequence)
}

pub(crate) fn epoch(label: &str) -> Option<Epoch> {
    let (journal, sequence) = label.rsplit_once(':')?;
    Some(Epoch { journal: JournalId(journal.to_owned()), sequence: sequence.parse().ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_back_as_written_and_others_are_nobodys() {
        let labels = Labels {
            key: ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() },
            release: "0123456789ab".parse().unwrap(),
            role: "web".into(),
            replica: 2,
            deployment: "01jdzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap(),
            epoch: Epoch { journal: JournalId("j".into()), sequence: 7 },
        };
        assert_eq!(Labels::from_map(&labels.to_map()), Some(labels.clone()));
        let epoch = Epoch { journal: JournalId("j".into()), sequence: 8 };
        let work = Labels::of_work(&labels.key, &labels.deployment, &epoch);
        assert_eq!((Labels::from_map(&work), Labels::epoch_in(&work)), (None, Some(epoch)));
        let kamal = HashMap::from([("service".to_owned(), "hello".to_owned())]);
        assert_eq!(Labels::from_map(&kamal), None);
    }
}
