//! What stands in the file: every value checked, no default filled in, no destination laid over the rest.

use std::collections::BTreeMap;

use super::accessories::{self, Accessories};
use super::canary;
use super::error::Place;
use super::hooks::Hooks;
use super::migrations::Migrations;
use super::models::{self, Models};
use super::policy::Policy;
use super::roles::{self, Roles};
use super::sidecars::{self, Sidecars};
use super::target::ImageSource;
use crate::{
    ApplicationProtocol, Container, DeployWindow, DestinationName, HostKey, HostName, ProbeSpec, Probes,
    Proof, Reference, Repository, Resources, ServiceName, Span,
};

/// The whole file.
pub(super) struct Raw {
    pub(super) service: ServiceName,
    pub(super) image: ImageSource,
    pub(super) repository: Option<Repository>,
    pub(super) port: Option<u16>,
    pub(super) command: Vec<String>,
    pub(super) readiness: ProbeSpec,
    pub(super) probes: Probes,
    pub(super) container: Container,
    pub(super) policy: Policy,
    pub(super) retain: Option<u32>,
    pub(super) base: Layer,
    pub(super) destinations: Vec<Destination>,
}

/// A destination: where it is, and what is different there.
pub(super) struct Destination {
    pub(super) name: DestinationName,
    pub(super) hosts: Vec<Host>,
    pub(super) layer: Layer,
}

/// A host, and how it is reached where that is different from the others.
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) ssh: Ssh,
    pub(super) key: Option<HostKey>,
}

/// What may stand at the top and again in a destination.
#[derive(Clone, Default)]
pub(super) struct Layer {
    pub(super) replicas: Option<u32>,
    pub(super) env: BTreeMap<String, Variable>,
    pub(super) proxy: Proxy,
    pub(super) resources: Resources,
    pub(super) canary: canary::Wanted,
    pub(super) soak: Soak,
    pub(super) warm: Option<Span>,
    pub(super) windows: Option<Vec<DeployWindow>>,
    pub(super) migrations: Migrations,
    pub(super) timeouts: Timeouts,
    pub(super) hooks: Hooks,
    pub(super) roles: Roles,
    pub(super) models: Models,
    pub(super) sidecars: Sidecars,
    pub(super) accessories: Accessories,
    pub(super) ssh: Ssh,
}

/// An environment variable.
#[derive(Clone)]
pub(super) enum Variable {
    Clear(String),
    Secret(Reference),
}

/// What of an environment is in the clear, and what is secret.
pub(super) fn split(
    env: BTreeMap<String, Variable>,
) -> (BTreeMap<String, String>, BTreeMap<String, Reference>) {
    let (mut clear, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for (name, variable) in env {
        match variable {
            Variable::Clear(text) => drop(clear.insert(name, text)),
            Variable::Secret(reference) => drop(secrets.insert(name, reference)),
        }
    }
    (clear, secrets)
}

#[derive(Clone, Default)]
pub(super) struct Proxy {
    pub(super) hosts: Option<Vec<String>>,
    pub(super) path_prefixes: Option<Vec<String>>,
    pub(super) strip_path_prefix: Option<bool>,
    pub(super) connect_timeout: Option<Span>,
    pub(super) response_timeout: Option<Span>,
    pub(super) idle_timeout: Option<Span>,
    /// 0: none.
    pub(super) max_request_body: Option<u64>,
    pub(super) total_timeout: Option<Span>,
    pub(super) slow_start: Option<Span>,
    /// 0: none.
    pub(super) max_connections: Option<u32>,
    pub(super) max_idle: Option<u32>,
    pub(super) protocol: Option<ApplicationProtocol>,
    pub(super) ports: Option<Vec<Port>>,
    pub(super) health_check: HealthCheck,
    pub(super) ejection: Ejection,
    pub(super) tls: Tls,
}

/// Another port of the same replicas, and where it stands.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) number: u16,
    /// None: the service's own.
    pub(super) hosts: Option<Vec<String>>,
    pub(super) path_prefixes: Vec<String>,
    pub(super) strip_path_prefix: bool,
    pub(super) protocol: ApplicationProtocol,
}

#[derive(Clone, Default)]
pub(super) struct HealthCheck {
    pub(super) period: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) successes: Option<u32>,
    pub(super) failures: Option<u32>,
}

#[derive(Clone, Default)]
pub(super) struct Ejection {
    pub(super) place: Option<Place>,
    pub(super) failures: Option<u32>,
    pub(super) base_time: Option<Span>,
    pub(super) max_time: Option<Span>,
}

#[derive(Clone, Default)]
pub(super) struct Tls {
    pub(super) place: Option<Place>,
    pub(super) is_on: Option<bool>,
    pub(super) certificate: Option<Reference>,
    pub(super) key: Option<Reference>,
    pub(super) acme: Option<Acme>,
    pub(super) redirect: Option<bool>,
    pub(super) hsts: Option<Span>,
}

#[derive(Clone, Default)]
pub(super) struct Acme {
    pub(super) directory: Option<String>,
    pub(super) email: Option<String>,
    pub(super) proof: Option<Proof>,
}

#[derive(Clone, Default)]
pub(super) struct Soak {
    pub(super) time: Option<Span>,
    pub(super) max_errors_per_mille: Option<u32>,
    pub(super) min_requests: Option<u64>,
}

#[derive(Clone, Default)]
pub(super) struct Timeouts {
    pub(super) ready: Option<Span>,
    pub(super) drain: Option<Span>,
    pub(super) drain_streams: Option<Span>,
    pub(super) stop: Option<Span>,
    pub(super) build: Option<Span>,
    pub(super) ship: Option<Span>,
    pub(super) migrate: Option<Span>,
    pub(super) backfill: Option<Span>,
}

#[derive(Clone, Default)]
pub(super) struct Ssh {
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
}

impl Layer {
    /// This layer, and the other where this one says nothing: maps key by key, lists and single values as a whole.
    pub(super) fn over(self, under: Self) -> Self {
        let mut env = under.env;
        env.extend(self.env);
        Self {
            replicas: self.replicas.or(under.replicas),
            env,
            proxy: Proxy {
                hosts: self.proxy.hosts.or(under.proxy.hosts),
                path_prefixes: self.proxy.path_prefixes.or(under.proxy.path_prefixes),
                strip_path_prefix: self.proxy.strip_path_prefix.or(under.proxy.strip_path_prefix),
                connect_timeout: self.proxy.connect_timeout.or(under.proxy.connect_timeout),
                response_timeout: self.proxy.response_timeout.or(under.proxy.response_timeout),
                idle_timeout: self.proxy.idle_timeout.or(under.proxy.idle_timeout),
                max_request_body: self.proxy.max_request_body.or(under.proxy.max_request_body),
                total_timeout: self.proxy.total_timeout.or(under.proxy.total_timeout),
                slow_start: self.proxy.slow_start.or(under.proxy.slow_start),
                max_connections: self.proxy.max_connections.or(under.proxy.max_connections),
                max_idle: self.proxy.max_idle.or(under.proxy.max_idle),
                protocol: self.proxy.protocol.or(under.proxy.protocol),
                ports: self.proxy.ports.or(under.proxy.ports),
                health_check: self.proxy.health_check.over(under.proxy.health_check),
                ejection: self.proxy.ejection.over(under.proxy.ejection),
                tls: self.proxy.tls.over(under.proxy.tls),
            },
            resources: self.resources.over(under.resources),
            canary: self.canary.over(under.canary),
            soak: Soak {
                time: self.soak.time.or(under.soak.time),
                max_errors_per_mille: self.soak.max_errors_per_mille.or(under.soak.max_errors_per_mille),
                min_requests: self.soak.min_requests.or(under.soak.min_requests),
            },
            warm: self.warm.or(under.warm),
            windows: self.windows.or(under.windows),
            migrations: self.migrations.over(under.migrations),
            timeouts: Timeouts {
                ready: self.timeouts.ready.or(under.timeouts.ready),
                drain: self.timeouts.drain.or(under.timeouts.drain),
                drain_streams: self.timeouts.drain_streams.or(under.timeouts.drain_streams),
                stop: self.timeouts.stop.or(under.timeouts.stop),
                build: self.timeouts.build.or(under.timeouts.build),
                ship: self.timeouts.ship.or(under.timeouts.ship),
                migrate: self.timeouts.migrate.or(under.timeouts.migrate),
                backfill: self.timeouts.backfill.or(under.timeouts.backfill),
            },
            hooks: self.hooks.over(under.hooks),
            roles: roles::over(self.roles, under.roles),
            models: models::over(self.models, under.models),
            sidecars: sidecars::over(self.sidecars, under.sidecars),
            accessories: accessories::over(self.accessories, under.accessories),
            ssh: self.ssh.over(under.ssh),
        }
    }
}

impl HealthCheck {
    fn over(self, under: Self) -> Self {
        Self {
            period: self.period.or(under.period),
            timeout: self.timeout.or(under.timeout),
            successes: self.successes.or(under.successes),
            failures: self.failures.or(under.failures),
        }
    }
}

impl Ejection {
    fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            failures: self.failures.or(under.failures),
            base_time: self.base_time.or(under.base_time),
            max_time: self.max_time.or(under.max_time),
        }
    }
}

impl Tls {
    /// The same; where this one says where the certificate comes from, the other one doesn't.
    fn over(self, under: Self) -> Self {
        let (is_own, is_ordered) = (self.certificate.is_some() || self.key.is_some(), self.acme.is_some());
        let (acme, other) = (self.acme.unwrap_or_default(), under.acme.filter(|_| !is_own));
        Self {
            place: self.place.or(under.place),
            is_on: self.is_on.or(under.is_on),
            certificate: self.certificate.or(under.certificate.filter(|_| !is_ordered)),
            key: self.key.or(under.key.filter(|_| !is_ordered)),
            acme: (is_ordered || other.is_some()).then(|| acme.over(other.unwrap_or_default())),
            redirect: self.redirect.or(under.redirect),
            hsts: self.hsts.or(under.hsts),
        }
    }
}

impl Acme {
    fn over(self, under: Self) -> Self {
        Self {
            directory: self.directory.or(under.directory),
            email: self.email.or(under.email),
            proof: self.proof.or(under.proof),
        }
    }
}

impl Ssh {
    /// These settings, and the others where these say nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self { user: self.user.or(under.user), port: self.port.or(under.port) }
    }
}
