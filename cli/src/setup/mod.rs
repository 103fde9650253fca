//! Making hosts ready: an Engine that is new enough, a free port, and the proxy as a container, from an image that is
//! assembled here. What is right already is left alone: no proxy is restarted without need.

mod access_log;
mod container;
mod drive;
mod elf;
mod engine;
mod error;
mod host_setup;
mod https;
mod image;
mod port;
mod upgrade;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cutover_core::HostSpec;
use cutover_fleet::{Fleet, Machine};
use cutover_host::{Hosts, SshOptions};
use futures_util::future::join_all;
use serde::Serialize;

pub(crate) use access_log::AccessLog;
pub(crate) use container::Ports;
pub(crate) use drive::{Drive, Other};
pub(crate) use engine::{MINIMUM as MINIMUM_ENGINE, Version};
pub(crate) use error::Error;
pub(crate) use https::Https;

use host_setup::HostSetup;
use image::ProxyImage;

/// The socket of the Docker Engine on a host.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// What is to be made ready, and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The hosts.
    pub(crate) hosts: Vec<HostSpec>,
    /// Whether the keys of unknown hosts are recorded.
    pub(crate) accept_new: bool,
    /// The port that the proxy answers on; none: where it does, and else 80.
    pub(crate) http_port: Option<u16>,
    /// Where the proxy speaks TLS; none: where it does, and else on 443, but an upgrade adds nothing.
    pub(crate) https: Option<Https>,
    /// Where the proxy answers Prometheus; none: where it does, and else nowhere.
    pub(crate) metrics: Option<SocketAddr>,
    /// The networks of proxies in front of it; none: those that it trusts.
    pub(crate) trusted: Vec<String>,
    /// Whether those announce their clients by the PROXY protocol; none: as it is.
    pub(crate) proxy_protocol: Option<bool>,
    /// Whether the proxy starts traces; none: as it is.
    pub(crate) start_traces: Option<bool>,
    /// What the proxy says of requests.
    pub(crate) access_log: AccessLog,
    /// The proxy of the hosts' own that is driven, or that none is; none: as it is.
    pub(crate) drive: Option<Option<Drive>>,
    /// The proxy's static binary; without one, the one beside `cutover`.
    pub(crate) proxy_binary: Option<PathBuf>,
    /// Whether the proxy goes on answering where it was, too.
    pub(crate) stays: bool,
    /// Whether a proxy of another image is replaced; one host after the other then, and none after one that failed.
    pub(crate) upgrade_proxy: bool,
}

impl Options {
    /// That the proxy of a host moves to those of the usual ports, `stays` where it was too, and is otherwise as it was.
    pub(crate) fn moved(host: &HostSpec, ports: &[u16], stays: bool) -> Self {
        Self {
            hosts: vec![host.clone()],
            accept_new: false,
            http_port: ports.contains(&host_setup::HTTP_PORT).then_some(host_setup::HTTP_PORT),
            https: Https::USUAL.port().filter(|usual| ports.contains(usual)).map(Https::Port),
            metrics: None,
            trusted: Vec::new(),
            proxy_protocol: None,
            start_traces: None,
            access_log: AccessLog::default(),
            drive: None,
            proxy_binary: None,
            stays,
            upgrade_proxy: true,
        }
    }
}

/// Something that was found or done on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// The host.
    pub(crate) host: String,
    /// What it is about.
    pub(crate) kind: StepKind,
    /// In words.
    pub(crate) text: String,
}

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StepKind {
    /// It was right already.
    Found,
    /// It was changed.
    Done,
    /// It works, and there is something that the operator should do.
    Advice,
    /// The host is not ready.
    Failed,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.kind {
            StepKind::Found => ' ',
            StepKind::Done => '+',
            StepKind::Advice => '!',
            StepKind::Failed => '✗',
        };
        write!(f, "{sign} {}: {}", self.host, self.text)
    }
}

/// Makes all hosts ready, at the same time unless proxies are upgraded; `report` gets every step as it is taken.
///
/// # Errors
/// A proxy binary that can't run from scratch, before any host is touched; else [`Error::Hosts`] with the error of
/// each host that is not ready.
pub(crate) async fn setup(options: &Options, report: &dyn Fn(&Step)) -> Result<(), Error> {
    let image = ProxyImage::assemble(&proxy_binary(options.proxy_binary.as_deref())?)?;
    let ssh = SshOptions { accept_new: options.accept_new, ..SshOptions::from_environment()? };
    let fleet = Fleet::new(Hosts::new(ssh, DOCKER_SOCKET));
    let setups = options.hosts.iter().map(|spec| async {
        let machine = fleet.machine(spec);
        let setup = HostSetup { machine: &machine, name: spec.name.as_str(), image: &image, options, report };
        let result = setup.run().await;
        machine.host().close().await;
        result
    });
    if options.upgrade_proxy {
        for setup in setups {
            Box::pin(setup).await?;
        }
        return Ok(());
    }
    let failed: Vec<Error> = join_all(setups).await.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Hosts(failed)) }
}

/// Sees that the proxies of hosts can be set up: an upgrade that was cut off goes on, and the image is there.
///
/// # Errors
/// As for [`setup`].
pub(crate) async fn prepare(hosts: &[HostSpec]) -> Result<(), Error> {
    let image = ProxyImage::assemble(&proxy_binary(None)?)?;
    let fleet = Fleet::new(Hosts::new(SshOptions::from_environment()?, DOCKER_SOCKET));
    for spec in hosts {
        let (machine, options) = (fleet.machine(spec), Options::moved(spec, &[], false));
        let setup = HostSetup {
            machine: &machine,
            name: spec.name.as_str(),
            image: &image,
            options: &options,
            report: &|_| {},
        };
        setup.prepare().await?;
        machine.host().close().await;
    }
    Ok(())
}

/// Where the proxy of a host answers; none: there is none that carries requests itself.
///
/// # Errors
/// A host or a Docker that can't be reached.
pub(crate) async fn ports(machine: &Machine) -> Result<Option<Ports>, cutover_fleet::Error> {
    Ok(machine.inspect(container::NAME).await?.as_ref().and_then(container::ports))
}

fn proxy_binary(given: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let cutover =
        std::env::current_exe().map_err(|source| Error::Binary { path: "cutover".into(), source })?;
    Ok(cutover.with_file_name("cutover-proxy"))
}
