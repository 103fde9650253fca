//! The networks of sidecars: one for each deployment, with its replicas and the sidecars that they ask, and no way out; and one
//! that leads out for the sidecars that may, on which they don't reach each other.

use std::collections::HashMap;

use bollard::models::{
    EndpointSettings, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use cutover_core::{DeploymentId, Epoch, ServiceKey};

use crate::{Error, Labels, Machine};

type Result<T> = std::result::Result<T, Error>;

/// The name of the network on which the replicas of a deployment reach its sidecars.
pub fn sidecar_network_name(key: &ServiceKey, deployment: &DeploymentId) -> String {
    format!("cutover.{}.{}.{}", key.destination, key.service, deployment.short())
}

/// The name of the network on which sidecars reach what is outside.
pub fn egress_network_name(key: &ServiceKey) -> String {
    format!("cutover.{}.{}.egress", key.destination, key.service)
}

/// A network of a deployment on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarNetwork {
    /// Docker's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The claim under which it was made; none: nobody has said.
    pub epoch: Option<Epoch>,
}

impl Machine {
    /// Docker's id of the network on which the replicas of a deployment reach its sidecars. It is made where it is absent.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached, or has no subnet left.
    pub async fn sidecar_network(
        &self,
        key: &ServiceKey,
        deployment: &DeploymentId,
        epoch: &Epoch,
    ) -> Result<String> {
        let network = NetworkCreateRequest {
            name: sidecar_network_name(key, deployment),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            labels: Some(Labels::of_work(key, deployment, epoch)),
            ..NetworkCreateRequest::default()
        };
        self.network_like(network).await
    }

    /// Docker's id of the network on which sidecars reach what is outside, and not each other. It is made where it is absent.
    ///
    /// # Errors
    /// As for [`Machine::sidecar_network`].
    pub async fn egress_network(&self, key: &ServiceKey) -> Result<String> {
        let options = [("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())];
        let network = NetworkCreateRequest {
            name: egress_network_name(key),
            driver: Some("bridge".to_owned()),
            labels: Some(Labels::of_service(key)),
            options: Some(HashMap::from(options)),
            ..NetworkCreateRequest::default()
        };
        self.network_like(network).await
    }

    /// The one of that name, made unless it is there. Up to Docker 24, two that are made at the same moment may both get it: then all take
    /// the same one of them, and the other goes.
    async fn network_like(&self, network: NetworkCreateRequest) -> Result<String> {
        let name = network.name.clone();
        if let [first, ..] = self.ids_of_networks(&name).await?.as_slice() {
            return Ok(first.clone());
        }
        match self.docker().await?.create_network(network).await {
            // 409: somebody else was first.
            Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => {}
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("address pool") =>
            {
                return Err(Error::NoSubnet { name, host: self.name().clone() });
            }
            Err(error) => {
                return Err(self.host().docker_failed(format!("making network {name}"))(error).into());
            }
        }
        let made = self.ids_of_networks(&name).await?;
        for other in made.iter().skip(1) {
            self.remove_network(other).await?;
        }
        made.into_iter().next().ok_or_else(|| Error::NoNetwork { name, host: self.name().clone() })
    }

    async fn ids_of_networks(&self, name: &str) -> Result<Vec<String>> {
        let filters = [("name", vec![name])].into();
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = self.docker().await?.list_networks(Some(options)).await;
        let found = found.map_err(self.host().docker_failed("listing networks"))?;
        // Docker's filter also finds names that only contain this one.
        let same = found.into_iter().filter(|network| network.name.as_deref() == Some(name));
        let mut ids: Vec<String> = same.filter_map(|network| network.id).collect();
        ids.sort();
        Ok(ids)
    }

    /// The networks of all deployments of a service, and the one that leads out, by its id, where it is there.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn sidecar_networks(&self, key: &ServiceKey) -> Result<(Vec<SidecarNetwork>, Option<String>)> {
        let filters = [("label", Labels::filter(key))].into();
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let listed = self.docker().await?.list_networks(Some(options)).await;
        let listed = listed.map_err(self.host().docker_failed("listing networks"))?;
        let leads_out = egress_network_name(key);
        let (mut networks, mut egress) = (Vec::new(), None);
        for network in listed {
            let (Some(id), Some(name)) = (network.id, network.name) else { continue };
            let labels = network.labels.unwrap_or_default();
            if name == leads_out {
                egress = Some(id);
            } else if let Some(deployment) = Labels::deployment_in(&labels)
                && name == sidecar_network_name(key, &deployment)
            {
                networks.push(SidecarNetwork { id, name, deployment, epoch: Labels::epoch_in(&labels) });
            }
        }
        Ok((networks, egress))
    }

    /// Puts a container on a network, where others find it by this name. One that is on it already stays.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn join_network(&self, id: &str, name: &str, network: &str, alias: Option<&str>) -> Result<()> {
        let aliases = alias.map(|alias| vec![alias.to_owned()]);
        let endpoint = EndpointSettings { aliases, ..EndpointSettings::default() };
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint) };
        match self.docker().await?.connect_network(network, request).await {
            Ok(()) => Ok(()),
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("already exists in network") =>
            {
                Ok(())
            }
            Err(error) => {
                Err(self.host().docker_failed(format!("giving {name} the network {network}"))(error).into())
            }
        }
    }

    /// Takes a container off a network. One that isn't on it, or is gone, needs nothing; nor does a network that is.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn leave_network(&self, id: &str, name: &str, network: &str) -> Result<()> {
        let request = NetworkDisconnectRequest { container: id.to_owned(), force: Some(true) };
        match self.docker().await?.disconnect_network(network, request).await {
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(())
            }
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("is not connected") =>
            {
                Ok(())
            }
            Err(error) => {
                Err(self.host().docker_failed(format!("taking {name} off {network}"))(error).into())
            }
        }
    }

    /// Removes a network. One that somebody is on stays, and one that is gone needs nothing.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn remove_network(&self, network: &str) -> Result<()> {
        match self.docker().await?.remove_network(network).await {
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                Ok(())
            }
            Err(bollard::errors::Error::DockerResponseServerError { message, .. })
                if message.contains("active endpoints") =>
            {
                Ok(())
            }
            Err(error) => Err(self.host().docker_failed(format!("removing network {network}"))(error).into()),
        }
    }
}
