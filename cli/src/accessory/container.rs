//! The container of an accessory, as Docker is asked to make it.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, NetworkingConfig, PortBinding, RestartPolicyNameEnum,
};
use cutover_core::{Accessory, PublishedPort};
use cutover_fleet::{AccessoryLabels, contained, restart_policy, stop_seconds};

/// What the entry points of the usual images of databases need: they begin as root, give their folder to a user of their own, and
/// become that. The init process, which stays root, must be let send that user's process the stop signal: else it is killed. No other
/// capability is left, unless the deploy file asks for it.
const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

/// What a container is made of beside its accessory.
pub(super) struct Made {
    /// The id of the service's network.
    pub(super) network: String,
    pub(super) labels: AccessoryLabels,
    /// As Docker takes it. It is never shown.
    pub(super) env: Vec<String>,
    /// Volumes without a name that the one before had, by where they are in the container.
    pub(super) kept: BTreeMap<String, String>,
}

pub(super) fn body(accessory: &Accessory, made: Made) -> ContainerCreateBody {
    let container = &accessory.container;
    let mut labels: HashMap<_, _> = container.labels.clone().into_iter().collect();
    labels.extend(made.labels.to_map());
    let endpoint =
        EndpointSettings { aliases: Some(vec![accessory.name.to_string()]), ..EndpointSettings::default() };
    ContainerCreateBody {
        image: Some(accessory.image.clone()),
        cmd: Some(accessory.command.clone()).filter(|command| !command.is_empty()),
        env: Some(made.env),
        user: container.user.clone(),
        working_dir: container.working_dir.clone(),
        hostname: container.hostname.clone(),
        stop_signal: container.stop_signal.clone(),
        stop_timeout: Some(stop_seconds(accessory.stop.0).into()),
        labels: Some(labels),
        exposed_ports: Some(accessory.publish.iter().map(in_container).collect()),
        host_config: Some(host_config(accessory, &made.network, made.kept)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some([(made.network, endpoint)].into()),
        }),
        ..ContainerCreateBody::default()
    }
}

fn host_config(accessory: &Accessory, network: &str, kept: BTreeMap<String, String>) -> HostConfig {
    let contained = contained(&accessory.resources, &accessory.container, network);
    let mut capabilities: Vec<String> = CAPABILITIES.map(str::to_owned).into();
    capabilities.extend(contained.cap_add.into_iter().flatten());
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for published in &accessory.publish {
        let binding = PortBinding {
            host_ip: Some(published.at.ip().to_string()),
            host_port: Some(published.at.port().to_string()),
        };
        bindings.entry(in_container(published)).or_default().get_or_insert_default().push(binding);
    }
    let kept = kept.into_iter().map(|(place, volume)| format!("{volume}:{place}"));
    HostConfig {
        cap_add: Some(capabilities),
        binds: Some(contained.binds.into_iter().flatten().chain(kept).collect()),
        port_bindings: Some(bindings),
        // Not unless-stopped: a dockerd that was killed takes what it stops at its next start for stopped by hand. What is stopped by
        // hand gets another policy.
        restart_policy: Some(restart_policy(RestartPolicyNameEnum::ALWAYS)),
        ..contained
    }
}

/// As Docker writes a port of a container: `5432/tcp`.
fn in_container(published: &PublishedPort) -> String {
    let protocol = if published.udp { "udp" } else { "tcp" };
    format!("{}/{protocol}", published.port)
}
