//! What a replica gets of its host, and what it may do there, as Docker takes it.

use std::collections::HashMap;

use bollard::models::{
    DeviceRequest, HostConfig, HostConfigLogConfig, Mount, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use cutover_core::{Container, Gpus, Logging, Resources, Settings, Volume};

/// What the settings of a release come to on a network, with the volume that holds the assets, and the models.
pub fn host_config(
    settings: &Settings,
    network: &str,
    assets: Option<&str>,
    models: Vec<Mount>,
) -> HostConfig {
    let container = &settings.container;
    HostConfig {
        binds: some(binds(container, assets)),
        mounts: some(models),
        ..contained(&settings.resources, container, network)
    }
}

/// What limits and a section `container` come to on a network. The container is not started again when it exits: a crash before a
/// replica has the traffic must be seen as one. Once it is live, the retire stage changes that.
pub fn contained(resources: &Resources, container: &Container, network: &str) -> HostConfig {
    let memory = resources.memory.map(saturating);
    HostConfig {
        memory,
        // The same: no swap, which would only turn a lack of memory into a slow replica.
        memory_swap: memory,
        nano_cpus: resources.milli_cpus.map(|milli| saturating(milli.saturating_mul(1_000_000))),
        pids_limit: resources.pids.map(i64::from),
        cpu_shares: resources.cpu_shares.map(i64::from),
        device_requests: resources.gpus.as_ref().map(|gpus| vec![device_request(gpus)]),
        shm_size: resources.shm_size.map(saturating),
        ulimits: some(ulimits(resources)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: some(container.cap_add.clone()),
        security_opt: (!container.gains_privileges).then(|| vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(container.read_only),
        tmpfs: some(tmpfs(container)),
        binds: some(binds(container, None)),
        extra_hosts: some(container.extra_hosts.iter().map(|(name, at)| format!("{name}:{at}")).collect()),
        dns: some(container.dns.iter().map(ToString::to_string).collect()),
        sysctls: some(container.sysctls.clone().into_iter().collect()),
        init: Some(!container.without_init),
        network_mode: Some(network.to_owned()),
        restart_policy: Some(restart_policy(RestartPolicyNameEnum::NO)),
        log_config: Some(log_config(&container.logging)),
        ..HostConfig::default()
    }
}

/// A restart policy without a limit on its own.
pub const fn restart_policy(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

/// The same as `docker run --gpus`.
fn device_request(gpus: &Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::All => (Some(-1), None),
        Gpus::Count(count) => (Some((*count).into()), None),
        Gpus::Devices(devices) => (None, Some(devices.clone())),
    };
    let capabilities = Some(vec![vec!["gpu".to_owned()]]);
    DeviceRequest { count, device_ids, capabilities, ..DeviceRequest::default() }
}

fn ulimits(resources: &Resources) -> Vec<ResourcesUlimits> {
    let ulimit = |(name, limit): (&String, &cutover_core::Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    resources.ulimits.iter().map(ulimit).collect()
}

/// With a root file system that can't be written to, programs still find a /tmp.
fn tmpfs(container: &Container) -> HashMap<String, String> {
    let mut all: HashMap<_, _> = container.tmpfs.clone().into_iter().collect();
    if container.read_only {
        all.entry("/tmp".to_owned()).or_default();
    }
    all
}

/// The volumes, and the one with the assets.
fn binds(container: &Container, assets: Option<&str>) -> Vec<String> {
    let assets = container.assets.iter().zip(assets).map(|(folder, volume)| format!("{volume}:{folder}"));
    container.volumes.iter().map(bind).chain(assets).collect()
}

fn bind(volume: &Volume) -> String {
    let mode = if volume.read_only { "ro" } else { "rw" };
    format!("{}:{}:{mode}", volume.source, volume.target)
}

/// Docker's own default keeps logs without a limit.
fn log_config(logging: &Logging) -> HostConfigLogConfig {
    let usual = [("max-size", "10m"), ("max-file", "3")];
    let mut config: HashMap<String, String> = match logging.driver {
        Some(_) => HashMap::new(),
        None => usual.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    config.extend(logging.options.clone());
    HostConfigLogConfig {
        typ: Some(logging.driver.clone().unwrap_or_else(|| "json-file".to_owned())),
        config: Some(config),
    }
}

fn saturating(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Nothing where there is nothing: Docker's own default.
fn some<T: Default + PartialEq>(all: T) -> Option<T> {
    (all != T::default()).then_some(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fixture::settings;

    fn of(change: impl FnOnce(&mut Settings)) -> HostConfig {
        let mut settings = settings();
        change(&mut settings);
        host_config(&settings, "n", Some("assets"), Vec::new())
    }

    #[test]
    fn the_volume_with_the_assets_is_where_they_are_in_the_image() {
        let host = of(|settings| settings.container.assets = Some("/app/public".to_owned()));
        assert_eq!(host.binds.unwrap(), ["assets:/app/public"]);
    }

    #[test]
    fn a_replica_is_hardened_unless_the_deploy_file_says_otherwise() {
        let host = of(|_| {});
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.cap_add, None);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!((host.privileged, host.port_bindings, host.binds), (None, None, None));
        assert_eq!(host.network_mode.as_deref(), Some("n"));
        assert_eq!(host.init, Some(true));
        let logs = host.log_config.unwrap();
        assert_eq!(logs.typ.as_deref(), Some("json-file"));
        assert_eq!(logs.config.unwrap()["max-size"], "10m");

        let weak = of(|settings| {
            settings.container.gains_privileges = true;
            settings.container.without_init = true;
            settings.container.cap_add = vec!["NET_RAW".to_owned()];
        });
        assert_eq!((weak.security_opt, weak.init), (None, Some(false)));
        assert_eq!(
            (weak.cap_drop.unwrap(), weak.cap_add.unwrap()),
            (vec!["ALL".to_owned()], vec!["NET_RAW".to_owned()])
        );
    }

    #[test]
    fn a_crash_stays_one_until_the_replica_is_live() {
        assert_eq!(of(|_| {}).restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
    }

    #[test]
    fn no_limit_is_set_where_none_is_asked_for() {
        let host = of(|_| {});
        assert_eq!(
            (host.memory, host.memory_swap, host.nano_cpus, host.pids_limit),
            (None, None, None, None)
        );
        assert_eq!((host.cpu_shares, host.shm_size), (None, None));
        assert_eq!((host.device_requests, host.ulimits), (None, None));
        assert_eq!((host.readonly_rootfs, host.tmpfs), (Some(false), None));
    }

    #[test]
    fn limits_reach_docker_in_its_units() {
        let host = of(|settings| {
            settings.resources = Resources {
                memory: Some(64 << 20),
                milli_cpus: Some(1_500),
                pids: Some(64),
                ..Resources::default()
            };
            settings.container.read_only = true;
        });
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.pids_limit, Some(64));
        assert_eq!(host.readonly_rootfs, Some(true));
        assert!(host.tmpfs.unwrap().contains_key("/tmp"));
    }

    #[test]
    fn gpus_are_asked_for_as_docker_run_does() {
        let request = |gpus| of(|settings| settings.resources.gpus = Some(gpus)).device_requests.unwrap();
        assert_eq!(request(Gpus::All)[0].count, Some(-1));
        assert_eq!(request(Gpus::Count(2))[0].count, Some(2));
        let named = request(Gpus::Devices(vec!["GPU-7".to_owned()]));
        assert_eq!((named[0].count, named[0].device_ids.as_deref()), (None, Some(&["GPU-7".to_owned()][..])));
        assert_eq!(named[0].capabilities.as_ref().unwrap(), &[["gpu"]]);
    }

    #[test]
    fn options_of_a_log_without_a_driver_leave_the_usual_limits() {
        let config = |driver: Option<&str>| {
            let options = [("max-file".to_owned(), "9".to_owned())].into();
            let logging = Logging { driver: driver.map(str::to_owned), options };
            of(|settings| settings.container.logging = logging).log_config.unwrap()
        };
        let usual = config(None).config.unwrap();
        assert_eq!((usual["max-file"].as_str(), usual["max-size"].as_str()), ("9", "10m"));
        let chosen = config(Some("local"));
        assert_eq!((chosen.typ.as_deref(), chosen.config.unwrap().len()), (Some("local"), 1));
    }
}
