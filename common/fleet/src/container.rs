//! Containers of a service on one host.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder};
use cutover_core::{ServiceKey, Timestamp};
use futures_util::StreamExt;

use crate::{Error, Labels, Machine, SidecarLabels, network_name};

/// The longest line of a container's output that is passed on, in characters.
const LINE_LIMIT: usize = 500;
/// How long before it was started anew a container has ended, at the most: Docker waits a minute at the longest.
const EXITED_WITHIN: Duration = Duration::from_secs(90);
/// How long reading a container's last lines may take.
const LINES_WITHIN: Duration = Duration::from_secs(5);

/// A container that carries the labels of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Docker's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its labels say.
    pub labels: Labels,
    /// Whether it runs.
    pub running: bool,
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Docker's id.
    pub id: String,
    /// The id of the image that it was made from.
    pub image: String,
    /// What its labels say; none: it is no replica.
    pub labels: Option<Labels>,
    /// What they say of a sidecar; none: it is none.
    pub sidecar: Option<SidecarLabels>,
    /// Whether it runs, and has not been started anew by Docker since it was made.
    pub running: bool,
    /// How often Docker has started it anew.
    pub restarts: i64,
    /// The exit code, where it doesn't run.
    pub exit_code: Option<i64>,
    /// Whether it was killed for want of memory.
    pub out_of_memory: bool,
    /// When it was started last, by the clock of its host.
    pub started_at: Option<Timestamp>,
    /// Why Docker could not start it.
    pub error: Option<String>,
    /// How long it has between the stop signal and the kill, where that was said when it was made.
    pub stop_timeout: Option<Duration>,
    /// Its address on the host's own networks: of a replica on that of its service, of another container on the first by
    /// name.
    pub address: Option<IpAddr>,
    /// Its address on each of its networks, by name.
    pub networks: BTreeMap<String, IpAddr>,
    /// What Docker has found by the HEALTHCHECK of its image; none: it has none.
    pub health: Option<Health>,
}

/// What Docker has found by a HEALTHCHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing yet.
    Starting,
    /// The last check was good.
    Healthy,
    /// So many of the last ones were bad as the image says.
    Unhealthy {
        /// The last line that the last check wrote.
        last_line: Option<String>,
    },
}

impl Health {
    fn of(health: bollard::models::Health) -> Option<Self> {
        match health.status? {
            HealthStatusEnum::STARTING => Some(Self::Starting),
            HealthStatusEnum::HEALTHY => Some(Self::Healthy),
            HealthStatusEnum::UNHEALTHY => {
                let output = health.log.and_then(|mut log| log.pop()?.output).unwrap_or_default();
                let last = output.lines().rfind(|line| !line.trim().is_empty());
                let last_line = last.map(|line| line.trim().chars().take(LINE_LIMIT).collect());
                Some(Self::Unhealthy { last_line })
            }
            HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
        }
    }
}

impl Condition {
    fn of(inspected: ContainerInspectResponse) -> Self {
        let state = inspected.state.unwrap_or_default();
        let running = state.running.unwrap_or_default() && !state.restarting.unwrap_or_default();
        let config = inspected.config.unwrap_or_default();
        let stop_timeout = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
        let labels = config.labels.as_ref().and_then(Labels::from_map);
        let networks = inspected.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let networks = networks.into_iter().filter_map(|(name, endpoint)| {
            let address = endpoint.ip_address?.parse().ok()?;
            Some((name, address))
        });
        let networks: BTreeMap<String, IpAddr> = networks.collect();
        let own = labels.as_ref().and_then(|labels| networks.get(&network_name(&labels.key)));
        let address = own.or_else(|| networks.values().next()).copied();
        Self {
            id: inspected.id.unwrap_or_default(),
            image: inspected.image.unwrap_or_default(),
            labels,
            running,
            restarts: inspected.restart_count.unwrap_or_default(),
            exit_code: state.exit_code.filter(|_| !running),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            stop_timeout: stop_timeout.map(Duration::from_secs),
            started_at: state.started_at.as_deref().and_then(time),
            error: state.error.filter(|error| !error.is_empty()),
            health: state.health.and_then(Health::of),
            sidecar: config.labels.as_ref().and_then(SidecarLabels::from_map),
            address,
            networks,
        }
    }

    /// Why it can't serve; none while it runs as it was started.
    pub fn trouble(&self) -> Option<String> {
        let code = self.exit_code.unwrap_or_default();
        if self.out_of_memory {
            Some("was killed for want of memory".to_owned())
        } else if let Some(error) = &self.error {
            Some(format!("could not be started: {error}"))
        } else if !self.running {
            Some(format!("exited with code {code}"))
        } else {
            match self.restarts {
                ..=0 => None,
                1 => Some("exited, and was started anew".to_owned()),
                times => Some(format!("exited, and was started anew {times} times")),
            }
        }
    }

    /// Where its port is reached from the host.
    pub fn socket(&self, port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, port))
    }
}

/// A time as Docker writes it: in whichever zone its host has.
fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(u64::try_from(time.as_millisecond()).ok()?))
}

impl Machine {
    /// The replicas of a service at a destination, running or not.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn replicas(&self, key: &ServiceKey) -> Result<Vec<Container>, Error> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&[("label".to_owned(), Labels::filter(key))].into())
            .build();
        let listed = self.docker().await?.list_containers(Some(options)).await;
        let listed = listed.map_err(self.host().docker_failed("listing containers"))?;
        let mut replicas: Vec<Container> = listed
            .into_iter()
            .filter_map(|summary| {
                Some(Container {
                    id: summary.id?,
                    name: summary.names?.first()?.trim_start_matches('/').to_owned(),
                    labels: Labels::from_map(&summary.labels?)?,
                    running: matches!(
                        summary.state,
                        Some(bollard::models::ContainerSummaryStateEnum::RUNNING)
                    ),
                })
            })
            .collect();
        replicas.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(replicas)
    }

    /// Every address that a container of the host has, whosever it is, and every one that was asked for when it was made:
    /// it has that again when it is started.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn addresses(&self) -> Result<HashSet<Ipv4Addr>, Error> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let listed = self.docker().await?.list_containers(Some(options)).await;
        let listed = listed.map_err(self.host().docker_failed("listing containers"))?;
        let networks = listed.into_iter().filter_map(|summary| summary.network_settings?.networks);
        let endpoints = networks.flat_map(HashMap::into_values);
        let addresses = endpoints.flat_map(|endpoint| {
            [endpoint.ip_address, endpoint.ipam_config.and_then(|own| own.ipv4_address)]
        });
        Ok(addresses.flatten().filter_map(|address| address.parse().ok()).collect())
    }

    /// How the container of that name or id is; none: there is none.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn condition(&self, name: &str) -> Result<Option<Condition>, Error> {
        Ok(self.inspect(name).await?.map(Condition::of))
    }

    /// All that Docker says of the container of that name or id; none: there is none.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn inspect(&self, name: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        match self.docker().await?.inspect_container(name, None).await {
            Ok(inspected) => Ok(Some(inspected)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.host().docker_failed(format!("inspecting {name}"))(error).into()),
        }
    }

    /// Why a container ended that Docker has started anew since, by what Docker remembers; none: it doesn't any more.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn last_exit(&self, condition: &Condition) -> Result<Option<String>, Error> {
        let Some(started) = condition.started_at else { return Ok(None) };
        let filters = [
            ("container".to_owned(), vec![condition.id.clone()]),
            ("event".to_owned(), vec!["die".to_owned(), "oom".to_owned()]),
        ];
        let options = EventsOptionsBuilder::default()
            .since(&(started.0.saturating_sub(EXITED_WITHIN.as_millis() as u64) / 1000).to_string())
            .until(&(started.0 / 1000 + 1).to_string())
            .filters(&HashMap::from(filters))
            .build();
        let events: Vec<_> = self.docker().await?.events(Some(options)).collect().await;
        let failed = |error| self.host().docker_failed(format!("asking why {} ended", condition.id))(error);
        let events = events.into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let out_of_memory = events.iter().any(|event| event.action.as_deref() == Some("oom"));
        let code = events
            .iter()
            .rev()
            .find_map(|event| event.actor.as_ref()?.attributes.as_ref()?.get("exitCode").cloned());
        Ok(match code {
            _ if out_of_memory => Some("it was killed for want of memory".to_owned()),
            Some(code) => Some(format!("it exited with code {code}")),
            None => None,
        })
    }

    /// What time it is by the clock of the host; none: its Docker doesn't say.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn clock(&self) -> Result<Option<Timestamp>, Error> {
        let info = self.docker().await?.info().await;
        let info = info.map_err(self.host().docker_failed("asking for its time"))?;
        Ok(info.system_time.as_deref().and_then(time))
    }

    /// The last lines that a container wrote. What can't be read within 5 s is left out: they are there to explain
    /// another failure.
    pub async fn last_lines(&self, name: &str, lines: u32) -> Vec<String> {
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let read = async {
            let docker = self.docker().await.ok()?;
            Some(docker.logs(name, Some(options)).collect::<Vec<_>>().await)
        };
        let parts = tokio::time::timeout(LINES_WITHIN, read).await.ok().flatten().unwrap_or_default();
        let text: Vec<u8> =
            parts.into_iter().filter_map(Result::ok).flat_map(LogOutput::into_bytes).collect();
        let text = String::from_utf8_lossy(&text);
        let mut last: Vec<String> =
            text.lines().map(|line| line.trim_end().chars().take(LINE_LIMIT).collect()).collect();
        last.drain(..last.len().saturating_sub(lines as usize));
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_any_zone() {
        let read = |text| time(text).map(|time| time.0);
        assert_eq!(read("1970-01-01T00:00:01.000000001Z"), Some(1000));
        assert_eq!(read("1970-01-01T02:00:01.25+02:00"), Some(1250));
        assert_eq!(read("0001-01-01T00:00:00Z"), None, "Docker's word for never");
    }
}
