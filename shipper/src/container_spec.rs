//! How a replica's container is made.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig,
    NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use cutover_core::{DeploymentId, Epoch, Plan, ServiceKey};
use cutover_fleet::Labels;

use crate::ImageName;

/// The role that gets traffic.
const WEB: &str = "web";

/// What the replicas of a deployment on a host have in common.
#[derive(Clone, Copy, Debug)]
pub struct ContainerSpec<'a> {
    /// The deployment.
    pub plan: &'a Plan,
    /// The claim under which they are made.
    pub epoch: &'a Epoch,
    /// The image on the host.
    pub image: &'a ImageName,
    /// The network, by id or name.
    pub network: &'a str,
}

/// The name of the container of replica `number`, from 1: `<service>-<destination>-<deployment>-<number>`. Whoever makes
/// it meets the one that is there already.
pub fn replica_name(key: &ServiceKey, deployment: &DeploymentId, number: u32) -> String {
    format!("{}-{}-{}-{number}", key.service, key.destination, deployment.short())
}

impl ContainerSpec<'_> {
    /// What Docker is asked to create as replica `number`, with this address and environment. It keeps the address however
    /// often it is started: Docker would give it another one after the host has restarted. It is not started again when it exits:
    /// a crash before it has the traffic must be seen as one. Once it is live, the retire stage changes that.
    pub fn body(&self, number: u32, address: Ipv4Addr, env: Vec<String>) -> ContainerCreateBody {
        let settings = &self.plan.release.settings;
        let (resources, container) = (&settings.resources, &settings.container);
        let memory = resources.memory.map(saturating);
        let host_config = HostConfig {
            memory,
            // The same: no swap, which would only turn a lack of memory into a slow replica.
            memory_swap: memory,
            nano_cpus: resources.milli_cpus.map(|milli| saturating(milli.saturating_mul(1_000_000))),
            pids_limit: resources.pids.map(i64::from),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(container.read_only),
            tmpfs: container.read_only.then(|| HashMap::from([("/tmp".to_owned(), String::new())])),
            init: Some(true),
            network_mode: Some(self.network.to_owned()),
            restart_policy: Some(restart(RestartPolicyNameEnum::NO)),
            log_config: Some(logs()),
            ..HostConfig::default()
        };
        ContainerCreateBody {
            image: Some(self.image.to_string()),
            cmd: Some(settings.command.clone()).filter(|command| !command.is_empty()),
            env: Some(env),
            user: container.user.clone(),
            stop_timeout: Some(seconds(settings.timeouts.stop.0).into()),
            labels: Some(self.labels(number).to_map()),
            host_config: Some(host_config),
            networking_config: Some(self.endpoint(address)),
            ..ContainerCreateBody::default()
        }
    }

    fn endpoint(&self, address: Ipv4Addr) -> NetworkingConfig {
        let ipam =
            EndpointIpamConfig { ipv4_address: Some(address.to_string()), ..EndpointIpamConfig::default() };
        let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some([(self.network.to_owned(), endpoint)].into()) }
    }

    fn labels(&self, number: u32) -> Labels {
        Labels {
            key: self.plan.key.clone(),
            release: self.plan.release.id(),
            role: WEB.to_owned(),
            replica: number,
            deployment: self.plan.deployment.clone(),
            epoch: self.epoch.clone(),
        }
    }
}

/// A restart policy without a limit on its own.
pub(crate) const fn restart(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

/// Whole seconds as Docker takes them for a stop, rounded up: a shorter wait than asked for would kill.
pub(crate) fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// Docker's own default keeps logs without a limit.
fn logs() -> HostConfigLogConfig {
    let options = [("max-size", "10m"), ("max-file", "3")];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
    }
}

fn saturating(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Container, Resources, Settings, Span};

    use super::*;
    use crate::fixture::{deployment, epoch, key, plan, settings};

    fn body(settings: Settings) -> ContainerCreateBody {
        let plan = plan(deployment("k3x9pq"), settings);
        let image = ImageName::new(&plan.key, plan.image.as_ref().unwrap());
        let spec = ContainerSpec { plan: &plan, epoch: &epoch("j"), image: &image, network: "n" };
        spec.body(2, Ipv4Addr::new(172, 18, 0, 2), vec!["A=1".to_owned()])
    }

    #[test]
    fn a_name_tells_service_destination_deployment_and_number() {
        assert_eq!(replica_name(&key(), &deployment("k3x9pq"), 2), "hello-production-k3x9pq-2");
    }

    #[test]
    fn a_replica_is_hardened_whatever_the_deploy_file_says() {
        let body = body(settings());
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.cap_add, None);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!((host.privileged, host.port_bindings, host.binds), (None, None, None));
        assert_eq!(host.network_mode.as_deref(), Some("n"));
        assert_eq!(host.init, Some(true));
        let logs = host.log_config.unwrap();
        assert_eq!(logs.typ.as_deref(), Some("json-file"));
        assert_eq!(logs.config.unwrap().get("max-size").map(String::as_str), Some("10m"));
    }

    #[test]
    fn its_address_is_its_own() {
        let endpoints = body(settings()).networking_config.unwrap().endpoints_config.unwrap();
        let address = endpoints["n"].ipam_config.as_ref().unwrap().ipv4_address.as_deref();
        assert_eq!((endpoints.len(), address), (1, Some("172.18.0.2")));
    }

    #[test]
    fn a_crash_stays_one_until_the_replica_is_live() {
        let policy = body(settings()).host_config.unwrap().restart_policy.unwrap();
        assert_eq!(policy.name, Some(RestartPolicyNameEnum::NO));
    }

    #[test]
    fn no_limit_is_set_where_none_is_asked_for() {
        let body = body(settings());
        let host = body.host_config.unwrap();
        assert_eq!(
            (host.memory, host.memory_swap, host.nano_cpus, host.pids_limit),
            (None, None, None, None)
        );
        assert_eq!((host.readonly_rootfs, host.tmpfs), (Some(false), None));
        assert_eq!((body.user, body.cmd), (None, None));
    }

    #[test]
    fn limits_hardening_and_command_reach_docker_in_its_units() {
        let mut settings = settings();
        settings.resources = Resources { memory: Some(64 << 20), milli_cpus: Some(1_500), pids: Some(64) };
        settings.container = Container { user: Some("65532:65532".to_owned()), read_only: true };
        settings.command = vec!["serve".to_owned(), "--port $(id)".to_owned()];
        settings.timeouts.stop = Span::millis(1_500);
        let body = body(settings);
        let host = body.host_config.unwrap();
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.pids_limit, Some(64));
        assert_eq!(host.readonly_rootfs, Some(true));
        assert!(host.tmpfs.unwrap().contains_key("/tmp"));
        assert_eq!(body.user.as_deref(), Some("65532:65532"));
        assert_eq!(body.cmd.unwrap(), ["serve", "--port $(id)"]);
        assert_eq!(body.stop_timeout, Some(2));
    }

    #[test]
    fn its_labels_say_what_it_is() {
        let labels = Labels::from_map(&body(settings()).labels.unwrap()).unwrap();
        assert_eq!((labels.key, labels.replica, labels.role.as_str()), (key(), 2, "web"));
        assert_eq!(labels.deployment, deployment("k3x9pq"));
        assert_eq!(labels.epoch, epoch("j"));
    }

    /// A guard of the dependency's feature that keeps the bodies of requests, and so secrets, out of every log.
    #[test]
    fn the_docker_client_can_not_log_what_it_is_asked_to_create() {
        assert!(log::STATIC_MAX_LEVEL < log::LevelFilter::Debug);
    }
}
