//! The network of a service on a host: its replicas reach each other there, and nobody else's.

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptionsBuilder;
use cutover_core::ServiceKey;
use cutover_fleet::{Labels, Machine};

use crate::Result;

/// The id of the network `cutover-<destination>-<service>`, which is made where it is absent.
///
/// Its id, as up to Docker 24 two networks may get the same name when they are made at the same moment: either will do.
pub(crate) async fn ensure(machine: &Machine, key: &ServiceKey) -> Result<String> {
    let name = format!("cutover-{}-{}", key.destination, key.service);
    if let Some(id) = find(machine, &name).await? {
        return Ok(id);
    }
    let network = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".to_owned()),
        labels: Some(Labels::of_service(key)),
        ..NetworkCreateRequest::default()
    };
    let created = machine.docker().await?.create_network(network).await;
    match created.map_err(machine.host().docker_failed(format!("making network {name}"))) {
        Ok(created) => Ok(created.id),
        // Another was first.
        Err(error) if error.docker_status() == Some(409) => {
            find(machine, &name).await?.ok_or_else(|| error.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn find(machine: &Machine, name: &str) -> Result<Option<String>> {
    let filters = [("name", vec![name])].into();
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let found = machine.docker().await?.list_networks(Some(options)).await;
    let found = found.map_err(machine.host().docker_failed("listing networks"))?;
    // Docker's filter also finds names that only contain this one.
    let same = found.into_iter().filter(|network| network.name.as_deref() == Some(name));
    Ok(same.filter_map(|network| network.id).min())
}
