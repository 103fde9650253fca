use std::collections::HashMap;
use std::net::SocketAddr;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use cutover_control::DEFAULT_SOCKET;

use super::{Drive, Https};

/// The name of the proxy's container on every host.
pub(super) const NAME: &str = "cutover-proxy";
/// What a container of Cutover's own is.
const COMPONENT_LABEL: &str = "cutover.component";
const COMPONENT: &str = "proxy";
/// Where the proxy keeps its routes, in a volume of the same name as the container.
const STATE: &str = "/var/lib/cutover/proxy";
/// What it is told in any case.
const CONTROL: &str = "--control";
const CONTROL_GROUP: &str = "--control-gid";
const STATE_FOLDER: &str = "--state";
const HTTP: &str = "--http";
const HTTPS: &str = "--https";
/// Says that there is none, where somebody wants it so.
const HTTPS_LABEL: &str = "cutover.https";
const ALSO_HTTP: &str = "--also-http";
const ALSO_HTTPS: &str = "--also-https";
const METRICS: &str = "--metrics";
const TRUST: &str = "--trust";
pub(super) const PROXY_PROTOCOL: &str = "--proxy-protocol";
pub(super) const START_TRACES: &str = "--start-traces";
/// Every address of the host.
const ANY: &str = "0.0.0.0:";
/// How long the requests in flight have when the proxy is told to stop, or has handed over, in seconds.
pub(super) const END_LIMIT: u16 = 30;

/// The proxy's container as it should be.
#[derive(Clone, Debug)]
pub(super) struct ProxyContainer {
    /// The image.
    pub(super) image: String,
    /// The port that it answers on.
    pub(super) http_port: u16,
    /// Where it speaks TLS; none: nowhere, and nobody has said so.
    pub(super) https: Option<Https>,
    /// Where it answers besides, as the one before did.
    pub(super) also: Option<Ports>,
    /// Where it answers Prometheus; none: nowhere.
    pub(super) metrics: Option<SocketAddr>,
    /// The networks of proxies in front of it.
    pub(super) trusted: Vec<String>,
    /// Whether those announce their clients by the PROXY protocol.
    pub(super) proxy_protocol: bool,
    /// Whether it starts traces.
    pub(super) start_traces: bool,
    /// The options that say what it writes of requests.
    pub(super) access_log: Vec<String>,
    /// The proxy of the host's own that it drives; none: it carries the requests itself.
    pub(super) drive: Option<Drive>,
    /// The group that may command it.
    pub(super) control_group: u32,
}

/// What a container of the proxy's name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it should be.
    Right {
        /// Whether it runs.
        running: bool,
    },
    /// The proxy, but of another image or with another command.
    Other {
        /// Whether it runs.
        running: bool,
    },
    /// Somebody else's.
    Foreign {
        /// Its image.
        image: String,
    },
}

impl ProxyContainer {
    /// What a container that was found is.
    pub(super) fn compare(&self, found: &ContainerInspectResponse) -> Standing {
        let running = runs(found);
        let config = found.config.clone().unwrap_or_default();
        let image = config.image.unwrap_or_default();
        if !is_ours(found) {
            return Standing::Foreign { image };
        }
        if image == self.image && config.cmd == Some(self.command()) {
            return Standing::Right { running };
        }
        Standing::Other { running }
    }

    /// What the Engine is asked to create. Nothing of the host but its network and one folder is open to it, unless it drives
    /// another proxy.
    pub(super) fn body(&self) -> ContainerCreateBody {
        let text = |text: &str| text.to_owned();
        let mut host_config = HostConfig {
            network_mode: Some(text("host")),
            // Not unless-stopped: a dockerd that was killed takes what it stops at its next start, for want of
            // live-restore, for stopped by hand, and leaves it down.
            restart_policy: Some(restart(RestartPolicyNameEnum::ALWAYS)),
            cap_drop: Some(vec![text("ALL")]),
            cap_add: Some(vec![text("NET_BIND_SERVICE")]),
            // Without CAP_CHOWN only a member may give its socket to a group (chown(2)).
            group_add: Some(vec![self.control_group.to_string()]),
            security_opt: Some(vec![text("no-new-privileges")]),
            readonly_rootfs: Some(true),
            binds: Some(vec![text("/run/cutover:/run/cutover"), format!("{NAME}:{STATE}")]),
            log_config: Some(HostConfigLogConfig {
                typ: Some(text("json-file")),
                config: Some(HashMap::from([(text("max-size"), text("10m")), (text("max-file"), text("3"))])),
            }),
            ..HostConfig::default()
        };
        if let Some(drive) = &self.drive {
            drive.open(&mut host_config);
        }
        ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(self.command()),
            labels: Some(self.labels()),
            // The proxy drops by itself what takes longer.
            stop_timeout: Some(i64::from(END_LIMIT) + 5),
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        }
    }

    fn labels(&self) -> HashMap<String, String> {
        let told = [
            (COMPONENT_LABEL, COMPONENT.to_owned()),
            ("cutover.version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let nowhere = self.https.filter(|https| https.port().is_none());
        let nowhere = nowhere.map(|nowhere| (HTTPS_LABEL, nowhere.to_string()));
        told.into_iter().chain(nowhere).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The ports of the host that it needs.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        let own = std::iter::once(self.http_port).chain(self.https.and_then(Https::port));
        own.filter(|_| self.drive.is_none())
    }

    fn command(&self) -> Vec<String> {
        let group = self.control_group.to_string();
        let told = [CONTROL, DEFAULT_SOCKET, STATE_FOLDER, STATE, CONTROL_GROUP, &group].map(str::to_owned);
        match &self.drive {
            Some(drive) => drive.command().into_iter().chain(told).collect(),
            None => self.serve().chain(told).collect(),
        }
    }

    /// To carry the requests itself.
    fn serve(&self) -> impl Iterator<Item = String> {
        let http = format!("{ANY}{}", self.http_port);
        let limit = END_LIMIT.to_string();
        let https = self.https.and_then(Https::port).map(|port| [HTTPS.to_owned(), format!("{ANY}{port}")]);
        let also = self.also.into_iter().flat_map(|also| {
            let at = |name: &str, port: u16| [name.to_owned(), format!("{ANY}{port}")];
            let http = Some(also.http).filter(|port| *port != self.http_port);
            let https = also.https.filter(|port| self.https.is_some_and(|https| https != Https::Port(*port)));
            http.map(|port| at(ALSO_HTTP, port)).into_iter().chain(https.map(|port| at(ALSO_HTTPS, port)))
        });
        let metrics = self.metrics.map(|address| [METRICS.to_owned(), address.to_string()]);
        let words = ["serve", "--take-over", "--end-limit", &limit, HTTP, &http];
        let trusted = self.trusted.iter().flat_map(|network| [TRUST.to_owned(), network.clone()]);
        let switches = [(PROXY_PROTOCOL, self.proxy_protocol), (START_TRACES, self.start_traces)];
        let switches = switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned());
        let words = words.map(str::to_owned).into_iter();
        let words = words.chain([https, metrics].into_iter().flatten().chain(also).flatten());
        words.chain(trusted).chain(switches).chain(self.access_log.iter().cloned())
    }
}

/// Whether a container is a proxy's.
pub(super) fn is_ours(found: &ContainerInspectResponse) -> bool {
    label(found, COMPONENT_LABEL) == Some(COMPONENT)
}

/// Whether a container runs, and is not one that Docker starts again and again.
pub(super) fn runs(found: &ContainerInspectResponse) -> bool {
    let state = found.state.as_ref();
    state.is_some_and(|state| state.running == Some(true) && state.restarting != Some(true))
}

/// Whether Docker starts a container again when it has ended, or when the host has.
pub(super) fn restarts(found: &ContainerInspectResponse) -> bool {
    let policy = found.host_config.as_ref().and_then(|host| host.restart_policy.as_ref());
    policy.and_then(|policy| policy.name) == Some(RestartPolicyNameEnum::ALWAYS)
}

/// The port that a proxy's container was told to answer on.
pub(super) fn http_port(found: &ContainerInspectResponse) -> Option<u16> {
    option(found, HTTP)?.strip_prefix(ANY)?.parse().ok()
}

/// Where a proxy's container was told to speak TLS, or that it isn't to.
pub(super) fn https(found: &ContainerInspectResponse) -> Option<Https> {
    let told = option(found, HTTPS).and_then(|address| address.strip_prefix(ANY));
    told.or_else(|| label(found, HTTPS_LABEL))?.parse().ok()
}

/// Where a proxy answers that carries requests itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Without TLS.
    pub(crate) http: u16,
    /// With it; none: nowhere.
    pub(crate) https: Option<u16>,
    /// Whether it answers somewhere else besides.
    pub(crate) also: bool,
}

/// Where a proxy's container answers; none: it doesn't run, or drives another proxy.
pub(super) fn ports(found: &ContainerInspectResponse) -> Option<Ports> {
    let carries = is_ours(found) && runs(found) && drive(found).is_none();
    let https = https(found).and_then(Https::port);
    let also = options(found, ALSO_HTTP).chain(options(found, ALSO_HTTPS)).next().is_some();
    http_port(found).filter(|_| carries).map(|http| Ports { http, https, also })
}

/// Where a proxy's container was told to answer Prometheus.
pub(super) fn metrics(found: &ContainerInspectResponse) -> Option<SocketAddr> {
    option(found, METRICS)?.parse().ok()
}

/// The networks that a proxy's container was told to trust.
pub(super) fn trusted(found: &ContainerInspectResponse) -> Vec<String> {
    options(found, TRUST).map(str::to_owned).collect()
}

/// The proxy that a proxy's container was told to drive.
pub(super) fn drive(found: &ContainerInspectResponse) -> Option<Drive> {
    Drive::read(command(found), &[CONTROL, CONTROL_GROUP, STATE_FOLDER])
}

/// Whether a proxy's container was told to do what a switch stands for.
pub(super) fn is_switched_on(found: &ContainerInspectResponse, switch: &str) -> bool {
    command(found).iter().any(|word| word == switch)
}

fn label<'a>(found: &'a ContainerInspectResponse, name: &str) -> Option<&'a str> {
    Some(found.config.as_ref()?.labels.as_ref()?.get(name)?.as_str())
}

fn option<'a>(found: &'a ContainerInspectResponse, name: &'a str) -> Option<&'a str> {
    options(found, name).next()
}

/// The values that a proxy's container was given for an option.
pub(super) fn options<'a>(
    found: &'a ContainerInspectResponse,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    command(found).windows(2).filter_map(move |pair| (pair.first()? == name).then_some(pair.last()?.as_str()))
}

fn command(found: &ContainerInspectResponse) -> &[String] {
    found.config.as_ref().and_then(|config| config.cmd.as_deref()).unwrap_or_default()
}

/// A restart policy without a limit of its own.
pub(super) const fn restart(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bollard::models::{ContainerConfig, ContainerState};

    use super::super::drive::Other;
    use super::*;

    fn wanted() -> ProxyContainer {
        ProxyContainer {
            image: "cutover/proxy:aaaaaaaaaaaa".to_owned(),
            http_port: 80,
            https: Some(Https::USUAL),
            also: None,
            metrics: None,
            trusted: Vec::new(),
            proxy_protocol: false,
            start_traces: false,
            access_log: Vec::new(),
            drive: None,
            control_group: 108,
        }
    }

    /// What an Engine says of a container that was created as wanted.
    fn found(proxy: &ProxyContainer) -> ContainerInspectResponse {
        let body = proxy.body();
        ContainerInspectResponse {
            config: Some(ContainerConfig {
                image: body.image,
                cmd: body.cmd,
                labels: body.labels,
                ..ContainerConfig::default()
            }),
            state: Some(ContainerState { running: Some(true), ..ContainerState::default() }),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn what_was_created_as_wanted_is_left_alone() {
        assert_eq!(wanted().compare(&found(&wanted())), Standing::Right { running: true });
    }

    #[test]
    fn another_image_and_another_port_are_told_apart_from_what_is_wanted() {
        let other = ProxyContainer { image: "cutover/proxy:bbbbbbbbbbbb".to_owned(), ..wanted() };
        assert_eq!(wanted().compare(&found(&other)), Standing::Other { running: true });
        let other = ProxyContainer { http_port: 8080, ..wanted() };
        assert_eq!(wanted().compare(&found(&other)), Standing::Other { running: true });
    }

    #[test]
    fn where_it_answers_is_read_from_its_command() {
        let address = "127.0.0.1:9590".parse().unwrap();
        let trusted = vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()];
        let proxy =
            ProxyContainer { http_port: 8080, metrics: Some(address), trusted: trusted.clone(), ..wanted() };
        let found = found(&proxy);
        assert_eq!(super::trusted(&found), trusted);
        assert_eq!((http_port(&found), metrics(&found)), (Some(8080), Some(address)));
        let nothing = ContainerInspectResponse::default();
        assert_eq!((http_port(&nothing), metrics(&nothing)), (None, None));
    }

    #[test]
    fn what_moves_is_told_where_it_was_and_known_by_where_it_is() {
        let also = |http, https| {
            let proxy = ProxyContainer { also: Some(Ports { http, https, also: false }), ..wanted() };
            let words = proxy.command();
            let told = words.iter().position(|word| word == ALSO_HTTP).map(|at| words[at + 1].clone());
            let https = words.iter().position(|word| word == ALSO_HTTPS).map(|at| words[at + 1].clone());
            let also = told.is_some() || https.is_some();
            assert_eq!(ports(&found(&proxy)), Some(Ports { http: 80, https: Some(443), also }));
            (told, https)
        };
        let (http, https) = also(8080, Some(8443));
        assert_eq!((http.as_deref(), https.as_deref()), (Some("0.0.0.0:8080"), Some("0.0.0.0:8443")));
        assert_eq!(also(80, Some(443)), (None, None));
        assert_eq!(also(80, None), (None, None));
    }

    #[test]
    fn that_it_speaks_no_tls_is_known_apart_from_that_nobody_has_said_so() {
        for told in [Some(Https::Port(8443)), Some(Https::Nowhere), None] {
            let proxy = ProxyContainer { https: told, ..wanted() };
            assert_eq!(https(&found(&proxy)), told);
            assert_eq!(wanted().compare(&found(&proxy)), Standing::Other { running: true });
        }
    }

    #[test]
    fn what_it_is_told_to_do_is_read_from_its_command() {
        let proxy = ProxyContainer { proxy_protocol: true, ..wanted() };
        let found = found(&proxy);
        assert!(is_switched_on(&found, PROXY_PROTOCOL) && !is_switched_on(&found, START_TRACES));
        assert_eq!(wanted().compare(&found), Standing::Other { running: true });
    }

    #[test]
    fn one_that_drives_another_needs_no_port_and_is_known_again() {
        let drive = Drive { other: Other::Nginx, options: vec![("listen".to_owned(), "8080".to_owned())] };
        let proxy = ProxyContainer { drive: Some(drive), ..wanted() };
        assert_eq!(proxy.ports().count(), 0);
        let found = found(&proxy);
        let again = ProxyContainer { drive: super::drive(&found), ..wanted() };
        assert_eq!(again.compare(&found), Standing::Right { running: true });
        assert_eq!(wanted().compare(&found), Standing::Other { running: true });
        assert_eq!(super::drive(&self::found(&wanted())), None);
    }

    #[test]
    fn a_container_without_our_label_is_somebody_elses() {
        let mut container = found(&wanted());
        container.config.as_mut().unwrap().labels = None;
        assert!(matches!(wanted().compare(&container), Standing::Foreign { .. }));
    }

    #[test]
    fn the_container_may_do_nothing_but_bind_its_port() {
        let host_config = wanted().body().host_config.unwrap();
        assert_eq!(host_config.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host_config.cap_add.unwrap(), ["NET_BIND_SERVICE"]);
        assert_eq!(host_config.readonly_rootfs, Some(true));
        assert_eq!(host_config.privileged, None);
    }
}
