//! The network of a service on a host: its replicas reach each other there, and nobody else's.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use bollard::models::{Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use cutover_core::ServiceKey;

use crate::address_pool::AddressPool;
use crate::{Error, Labels, Machine, network_name};

type Result<T> = std::result::Result<T, Error>;

/// How many steps are taken towards the network. There are three; more, where something else takes its subnet in between.
const STEPS: u32 = 12;

/// A network on which replicas can have addresses of our choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its id, as up to Docker 24 two networks may get the same name when they are made at the same moment.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pool: AddressPool,
}

/// A network as Docker lists it.
struct Found {
    network: Network,
    /// Whether its subnet was asked for, in our way. On one that Docker has chosen, it gives no address that is asked
    /// for ("supported only when connecting to networks with user configured subnets").
    fixed: bool,
}

impl Network {
    /// For each of so many replicas the addresses that it may try, in this order; none of them is `taken`, and no two replicas
    /// get the same. They get fewer, or none, where the network has no more.
    pub fn allot(&self, replicas: u32, taken: &HashSet<Ipv4Addr>) -> Vec<Vec<Ipv4Addr>> {
        self.pool.allot(replicas, taken)
    }
}

impl Machine {
    /// The network of a service ([`network_name`]), which is made where it is absent.
    ///
    /// Docker chooses the subnet, as only it knows the address pools and the routes of the host; then the network is made
    /// again with just that. A network that was left in between is brought to its end.
    ///
    /// # Errors
    /// Others that take its subnet again and again; a host or a Docker that can't be reached.
    pub async fn network(&self, key: &ServiceKey) -> Result<Network> {
        let name = network_name(key);
        for _ in 0..STEPS {
            match find(self, &name).await? {
                Some(found) if found.fixed => return Ok(found.network),
                Some(Found { network, .. }) => {
                    remove(self, &network).await?;
                    make(self, key, &name, Some(network.pool)).await?;
                }
                None => make(self, key, &name, None).await?,
            }
        }
        Err(Error::NoNetwork { name, host: self.name().clone() })
    }

    /// Looks whether the networks are there that replicas have beside the service's own. Docker itself would only miss them
    /// when it starts the container.
    ///
    /// # Errors
    /// One that isn't there; a host or a Docker that can't be reached.
    pub async fn require_networks(&self, names: &[String]) -> Result<()> {
        let docker = self.docker().await?;
        for name in names {
            match docker.inspect_network(name, None).await {
                Ok(_) => {}
                Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                    return Err(Error::NoOtherNetwork { name: name.clone(), host: self.name().clone() });
                }
                Err(error) => {
                    return Err(
                        self.host().docker_failed(format!("looking for network {name}"))(error).into()
                    );
                }
            }
        }
        Ok(())
    }

    /// Gives a container these networks too: Docker takes only one when a container is made.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn attach(&self, id: &str, name: &str, networks: &[String]) -> Result<()> {
        for network in networks {
            let request =
                NetworkConnectRequest { container: id.to_owned(), ..NetworkConnectRequest::default() };
            let attached = self.docker().await?.connect_network(network, request).await;
            attached.map_err(self.host().docker_failed(format!("giving {name} the network {network}")))?;
        }
        Ok(())
    }
}

/// Makes it, unless another was first, with that name or with that subnet.
async fn make(machine: &Machine, key: &ServiceKey, name: &str, pool: Option<AddressPool>) -> Result<()> {
    let network = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(Labels::of_service(key)),
        ipam: pool.map(|pool| Ipam { config: Some(vec![config(pool)]), ..Ipam::default() }),
        ..NetworkCreateRequest::default()
    };
    match machine.docker().await?.create_network(network).await {
        Ok(_) => Ok(()),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(()),
        Err(bollard::errors::Error::DockerResponseServerError { message, .. })
            if pool.is_some() && message.to_lowercase().contains("overlaps") =>
        {
            Ok(())
        }
        Err(error) => Err(machine.host().docker_failed(format!("making network {name}"))(error).into()),
    }
}

/// Removes a network to which nothing is attached, unless it is gone.
async fn remove(machine: &Machine, network: &Network) -> Result<()> {
    match machine.docker().await?.remove_network(&network.id).await {
        Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => {
            let doing = format!("giving network {} a fixed subnet", network.name);
            Err(machine.host().docker_failed(doing)(error).into())
        }
    }
}

async fn find(machine: &Machine, name: &str) -> Result<Option<Found>> {
    let filters = [("name", vec![name])].into();
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let found = machine.docker().await?.list_networks(Some(options)).await;
    let found = found.map_err(machine.host().docker_failed("listing networks"))?;
    // Docker's filter also finds names that only contain this one.
    let same = found.into_iter().filter(|network| network.name.as_deref() == Some(name));
    let usable = same.filter_map(|network| {
        let configs = network.ipam?.config?;
        let (config, pool) =
            configs.iter().find_map(|own| Some((own, AddressPool::of(own.subnet.as_deref()?)?)))?;
        let fixed = config.ip_range == Some(pool.range_of_docker());
        Some(Found { network: Network { id: network.id?, name: name.to_owned(), pool }, fixed })
    });
    Ok(usable.min_by(|a, b| (!a.fixed, &a.network.id).cmp(&(!b.fixed, &b.network.id))))
}

fn config(pool: AddressPool) -> IpamConfig {
    IpamConfig {
        subnet: Some(pool.subnet()),
        ip_range: Some(pool.range_of_docker()),
        gateway: Some(pool.gateway().to_string()),
        auxiliary_addresses: None,
    }
}
