//! What is on a host before ports change hands.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary, PortBinding};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use cutover_core::{HostSpec, ServiceKey};
use cutover_fleet::Machine;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Error;
use super::redirection::{Moves, Redirection};
use crate::setup::{self, Ports};

/// The ports that clients come to unless they are told otherwise.
pub(super) const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// How long a host may take to accept a connection from here.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// How long a host may take to list folders.
const LISTED_WITHIN: Duration = Duration::from_secs(20);
/// Kamal's labels of the containers of an application.
const KAMALS: [&str; 2] = ["service", "role"];

/// The other proxy and ours.
#[derive(Debug)]
pub(crate) struct Standing {
    runs: bool,
    /// From which port to which of our proxy's.
    moves: Vec<(u16, u16)>,
    is_done: bool,
    was_reached: bool,
    lacks_certificate: bool,
    warnings: Vec<String>,
}

impl Standing {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// An [`Error`] that says what has to be done before; a host that can't be reached.
    pub(super) async fn of(
        machine: &Machine,
        spec: &HostSpec,
        key: &ServiceKey,
        container: &str,
        wants_tls: bool,
    ) -> anyhow::Result<Self> {
        let host = || machine.name().clone();
        let docker = machine.docker().await?;
        let inspected = docker.inspect_container(container, None::<InspectContainerOptions>).await;
        let found = match inspected {
            Ok(found) => found,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Err(Error::NoContainer { host: host(), container: container.to_owned() }.into());
            }
            Err(error) => {
                return Err(machine.host().docker_failed(format!("inspecting {container}"))(error).into());
            }
        };
        let published = published(&found);
        if !published.contains(&HTTP) && !published.contains(&HTTPS) {
            return Err(Error::NoPorts { host: host(), container: container.to_owned() }.into());
        }
        let Some(ours) = setup::ports(machine).await? else {
            return Err(Error::NoProxy { host: host() }.into());
        };
        let status = machine.proxy().service(key).await?;
        let Some(status) = status.filter(|status| status.active.is_some()) else {
            return Err(Error::NotServed { host: host(), key: key.clone() }.into());
        };
        let moves = moves(&published, ours).ok_or_else(|| Error::NoTls { host: host() })?;
        let runs = found.state.and_then(|state| state.running).unwrap_or_default();
        let mut standing = Self {
            is_done: !runs && moves.is_empty(),
            runs,
            was_reached: false,
            lacks_certificate: wants_tls && published.contains(&HTTPS) && status.certificates.is_empty(),
            warnings: Vec::new(),
            moves,
        };
        if standing.is_done {
            return Ok(standing);
        }
        let others = others(machine, key).await?;
        if !others.is_empty() {
            let others = others.join(", ");
            return Err(Error::OthersServed { host: host(), container: container.to_owned(), others }.into());
        }
        if let Some(lock) = lock(machine).await? {
            return Err(Error::Locked { host: host(), lock }.into());
        }
        Redirection { machine, is_root: spec.user == "root", moves: standing.moves() }.is_possible().await?;
        if has_ipv6(machine).await? {
            let warning = "it has an address of IPv6, where Cutover's proxy doesn't listen: take AAAA records out before";
            standing.warnings.push(warning.to_owned());
        }
        standing.was_reached = standing.reaches(spec).await;
        Ok(standing)
    }

    /// Whether there is nothing to do.
    pub(crate) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the other proxy runs.
    pub(super) const fn runs(&self) -> bool {
        self.runs
    }

    /// From which port to which of our proxy's.
    pub(super) fn moves(&self) -> Moves<'_> {
        self.moves.iter().copied()
    }

    pub(super) fn takes_https(&self) -> bool {
        self.moves.iter().any(|(port, _)| *port == HTTPS)
    }

    pub(super) fn first_port(&self) -> u16 {
        self.moves.first().map_or(HTTP, |(port, _)| *port)
    }

    /// Whether the service is to have a certificate, and has none.
    pub(super) const fn lacks_certificate(&self) -> bool {
        self.lacks_certificate
    }

    /// Whether this machine came through to the port before.
    pub(super) const fn was_reached(&self) -> bool {
        self.was_reached
    }

    /// Whether it comes through now: what a firewall lets into a container, it may keep from the host itself.
    pub(super) async fn reaches(&self, spec: &HostSpec) -> bool {
        let connected = TcpStream::connect((spec.name.as_str(), self.first_port()));
        matches!(timeout(REACHED_WITHIN, connected).await, Ok(Ok(_)))
    }

    /// What whoever does this should know.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The ports of the host that lead into a container, running or not.
fn published(found: &ContainerInspectResponse) -> Vec<u16> {
    let bindings = found.host_config.as_ref().and_then(|host| host.port_bindings.as_ref());
    let tcp = |(port, bindings): (&String, &Option<Vec<PortBinding>>)| {
        let is_tcp = !port.ends_with("/udp");
        bindings.iter().flatten().filter(|_| is_tcp).filter_map(host_port).collect::<Vec<_>>()
    };
    bindings.iter().flat_map(|bindings| bindings.iter()).flat_map(tcp).collect()
}

fn host_port(binding: &PortBinding) -> Option<u16> {
    binding.host_port.as_ref()?.parse().ok()
}

/// Where the usual ports among these are to be led to; none: there is no port of ours for one of them.
fn moves(published: &[u16], ours: Ports) -> Option<Vec<(u16, u16)>> {
    let mut moves = Vec::new();
    if published.contains(&HTTP) {
        moves.push((HTTP, ours.http));
    }
    if published.contains(&HTTPS) {
        moves.push((HTTPS, ours.https?));
    }
    moves.retain(|(from, to)| from != to);
    Some(moves)
}

/// What Kamal's other applications on the host are called, as far as our proxy doesn't serve them.
async fn others(machine: &Machine, key: &ServiceKey) -> anyhow::Result<Vec<String>> {
    let served = machine.proxy().status().await?;
    let is_served = |service: &str| {
        is_named(key, service) || served.iter().any(|status| status.key.service == carried(service))
    };
    let services = kamals(machine).await?.into_iter().map(|(service, _)| service);
    let others: BTreeSet<String> = services.filter(|service| !is_served(service)).collect();
    Ok(others.into_iter().collect())
}

/// The containers of Kamal's applications that run: the service's name, and the container's.
pub(super) async fn kamals(machine: &Machine) -> anyhow::Result<Vec<(String, String)>> {
    let filters: HashMap<_, _> = [("label", KAMALS.map(str::to_owned).to_vec())].into();
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let listed = machine.docker().await?.list_containers(Some(options)).await;
    let listed = listed.map_err(machine.host().docker_failed("listing containers"))?;
    let named = |container: ContainerSummary| {
        let name = container.names?.into_iter().next()?;
        Some((container.labels?.remove("service")?, name.trim_start_matches('/').to_owned()))
    };
    Ok(listed.into_iter().filter_map(named).collect())
}

/// Whether Kamal calls that service so.
pub(super) fn is_named(key: &ServiceKey, service: &str) -> bool {
    key.service.as_str() == carried(service)
}

/// Kamal's name of a service, as it is here.
fn carried(service: &str) -> String {
    service.replace('_', "-").to_lowercase()
}

/// The folder that Kamal's lock is, where there is one.
async fn lock(machine: &Machine) -> anyhow::Result<Option<String>> {
    let list = "ls -d .kamal/lock-* 2>/dev/null | head -n 1";
    let said = machine.host().run(&["sh", "-c", list], LISTED_WITHIN).await?;
    let lock = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    Ok(Some(lock).filter(|lock| !lock.is_empty()))
}

async fn has_ipv6(machine: &Machine) -> anyhow::Result<bool> {
    let said =
        machine.host().run(&["ip", "-6", "-o", "addr", "show", "scope", "global"], LISTED_WITHIN).await?;
    // Docker's own networks may have some.
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(said.lines().any(|line| !line.contains("docker") && !line.contains("br-") && !line.contains(" fd")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_ports_are_led_to_where_our_proxy_listens() {
        let ours = Ports { http: 8080, https: Some(8443) };
        assert_eq!(moves(&[443, 80, 8080], ours), Some(vec![(80, 8080), (443, 8443)]));
        assert_eq!(moves(&[80], Ports { http: 8080, https: None }), Some(vec![(80, 8080)]));
        assert_eq!(moves(&[80, 443], Ports { http: 8080, https: None }), None);
        assert_eq!(moves(&[80, 443], Ports { http: 80, https: Some(443) }), Some(Vec::new()));
    }
}
