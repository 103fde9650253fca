//! What is on a host before ports change hands.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary, PortBinding};
use bollard::query_parameters::ListContainersOptionsBuilder;
use cutover_control::ServiceStatus;
use cutover_core::{HostSpec, ServiceKey};
use cutover_fleet::{Machine, key_of};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Error;
use super::redirection::Redirection;
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
    /// The ports that ours is to have.
    ports: Vec<u16>,
    /// From which port to which of our proxy's.
    moves: Vec<(u16, u16)>,
    is_done: bool,
    /// The ports that this machine came through to.
    reached: Vec<u16>,
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
        let Some(ours) = setup::ports(machine).await? else {
            return Err(Error::NoProxy { host: host() }.into());
        };
        let (found, led) = (machine.inspect(container).await?, Redirection { machine, spec }.ports().await?);
        let ports = match &found {
            Some(found) => published(found),
            // It was removed since; or ours was always alone here.
            None if !led.is_empty() => led.clone(),
            None if ours.http == HTTP => Vec::new(),
            None => return Err(Error::NoContainer { host: host(), container: container.to_owned() }.into()),
        };
        if found.is_some() && ports.is_empty() {
            return Err(Error::NoPorts { host: host(), container: container.to_owned() }.into());
        }
        let runs = found.is_some_and(|found| is_running(&found));
        let moves = moves(&ports, ours).ok_or_else(|| Error::NoTls { host: host() })?;
        let served = machine.proxy().status().await?;
        let Some(status) = served.iter().find(|status| status.key == key_of(key) && status.active.is_some())
        else {
            return Err(Error::NotServed { host: host(), key: key.clone() }.into());
        };
        let mut standing = Self {
            is_done: !runs && moves.is_empty() && led.is_empty() && !ours.also,
            runs,
            reached: Vec::new(),
            lacks_certificate: wants_tls && ports.contains(&HTTPS) && status.certificates.is_empty(),
            warnings: Vec::new(),
            ports,
            moves,
        };
        if standing.is_done {
            return Ok(standing);
        }
        let others = others(machine, &served).await?;
        if !others.is_empty() {
            let others = others.join(", ");
            return Err(Error::OthersServed { host: host(), container: container.to_owned(), others }.into());
        }
        if let Some(lock) = lock(machine).await? {
            return Err(Error::Locked { host: host(), lock }.into());
        }
        if has_ipv6(machine).await? {
            let warning = "it has an address of IPv6, where Cutover's proxy doesn't listen: take AAAA records out before";
            standing.warnings.push(warning.to_owned());
        }
        for port in &standing.ports {
            if reaches(spec, *port).await {
                standing.reached.push(*port);
            }
        }
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

    /// The ports that change hands.
    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Whether our proxy isn't on all of them yet.
    pub(super) const fn is_to_move(&self) -> bool {
        !self.moves.is_empty()
    }

    /// From which port to which of our proxy's.
    pub(super) fn moves(&self) -> impl Iterator<Item = (u16, u16)> {
        self.moves.iter().copied()
    }

    /// Whether the service is to have a certificate, and has none.
    pub(super) const fn lacks_certificate(&self) -> bool {
        self.lacks_certificate
    }

    /// Whether this machine came through to the port before.
    pub(super) fn was_reached(&self, port: u16) -> bool {
        self.reached.contains(&port)
    }

    /// What whoever does this should know.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Whether this machine comes through to a port: what a firewall lets into a container, it may keep from the host itself.
pub(super) async fn reaches(spec: &HostSpec, port: u16) -> bool {
    let connected = TcpStream::connect((spec.name.as_str(), port));
    matches!(timeout(REACHED_WITHIN, connected).await, Ok(Ok(_)))
}

/// Whether a container runs.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(super) async fn runs(machine: &Machine, container: &str) -> anyhow::Result<bool> {
    Ok(machine.inspect(container).await?.is_some_and(|found| is_running(&found)))
}

fn is_running(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().is_some_and(|state| state.running == Some(true))
}

/// The usual ports that lead into a container from all addresses of the host, whether it runs or not.
fn published(found: &ContainerInspectResponse) -> Vec<u16> {
    let bindings = found.host_config.as_ref().and_then(|host| host.port_bindings.as_ref());
    let tcp = |(port, bindings): (&String, &Option<Vec<PortBinding>>)| {
        let is_tcp = !port.ends_with("/udp");
        bindings.iter().flatten().filter(|_| is_tcp).filter_map(host_port).collect::<Vec<_>>()
    };
    let published: BTreeSet<u16> =
        bindings.iter().flat_map(|bindings| bindings.iter()).flat_map(tcp).collect();
    published.into_iter().filter(|port| [HTTP, HTTPS].contains(port)).collect()
}

fn host_port(binding: &PortBinding) -> Option<u16> {
    let address = binding.host_ip.as_deref().unwrap_or_default();
    binding.host_port.as_ref().filter(|_| ["", "0.0.0.0", "::"].contains(&address))?.parse().ok()
}

/// Where these ports are to be led to; none: there is no port of ours for one of them.
fn moves(ports: &[u16], ours: Ports) -> Option<Vec<(u16, u16)>> {
    let to = |port: &u16| if *port == HTTPS { ours.https } else { Some(ours.http) };
    let moves: Option<Vec<_>> = ports.iter().map(|port| Some((*port, to(port)?))).collect();
    Some(moves?.into_iter().filter(|(from, to)| from != to).collect())
}

/// What Kamal's applications on the host are called that our proxy doesn't serve.
async fn others(machine: &Machine, served: &[ServiceStatus]) -> anyhow::Result<Vec<String>> {
    let is_served = |kamals: &Kamals| {
        served
            .iter()
            .any(|status| status.active.is_some() && kamals.is(&status.key.service, &status.key.destination))
    };
    let all = kamals(machine).await?.into_iter();
    let others: BTreeSet<String> =
        all.filter(|kamals| !is_served(kamals)).map(|kamals| kamals.text()).collect();
    Ok(others.into_iter().collect())
}

/// A container of an application of Kamal's that runs.
pub(super) struct Kamals {
    service: String,
    /// Empty: Kamal has none for it.
    destination: String,
    /// The container's.
    pub(super) name: String,
}

impl Kamals {
    /// Whether it is one of that service.
    pub(super) fn is_of(&self, key: &ServiceKey) -> bool {
        self.is(key.service.as_str(), key.destination.as_str())
    }

    fn is(&self, service: &str, destination: &str) -> bool {
        let carried = self.service.replace('_', "-").to_lowercase();
        carried == service && (self.destination.is_empty() || self.destination == destination)
    }

    fn text(&self) -> String {
        match self.destination.as_str() {
            "" => self.service.clone(),
            destination => format!("{} ({destination})", self.service),
        }
    }
}

/// All of them on the host.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(super) async fn kamals(machine: &Machine) -> anyhow::Result<Vec<Kamals>> {
    let filters: HashMap<_, _> = [("label", KAMALS.map(str::to_owned).to_vec())].into();
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let listed = machine.docker().await?.list_containers(Some(options)).await;
    let listed = listed.map_err(machine.host().docker_failed("listing containers"))?;
    let named = |container: ContainerSummary| {
        let (name, mut labels) = (container.names?.into_iter().next()?, container.labels?);
        let destination = labels.remove("destination").unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        Some(Kamals { service: labels.remove("service")?, destination, name })
    };
    Ok(listed.into_iter().filter_map(named).collect())
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
        let ours = |http, https| Ports { http, https, also: false };
        assert_eq!(moves(&[80, 443], ours(8080, Some(8443))), Some(vec![(80, 8080), (443, 8443)]));
        assert_eq!(moves(&[80], ours(8080, None)), Some(vec![(80, 8080)]));
        assert_eq!(moves(&[80, 443], ours(8080, None)), None);
        assert_eq!(moves(&[80, 443], ours(80, Some(443))), Some(Vec::new()));
    }

    #[test]
    fn an_application_of_another_destination_is_another() {
        let kamals = |destination: &str| Kamals {
            service: "My_app".to_owned(),
            destination: destination.to_owned(),
            name: String::new(),
        };
        assert!(kamals("").is("my-app", "production") && kamals("staging").is("my-app", "staging"));
        assert!(!kamals("staging").is("my-app", "production") && !kamals("").is("app", "production"));
    }
}
