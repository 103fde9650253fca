//! The section `proxy`: how traffic reaches the service.

use std::fmt::Display;

use super::error::{Place, Problem, Problems};
use super::health::{self, ejection, health_check};
use super::ports::{self, Claim, ports};
use super::raw::Proxy;
use super::section::{Section, scalar};
use super::text::{path_prefix, proxy_host};
use super::tls::{self, tls};
use super::units::{body_limit, flag, limit, span, whole};
use crate::{ApplicationProtocol, HealthCheck, Routing};

/// Reads the section.
pub(super) fn routing(mut section: Section<'_>, problems: &mut Problems) -> Proxy {
    let proxy = Proxy {
        hosts: one_or_several(&mut section, ["host", "hosts"], proxy_host, problems),
        path_prefixes: one_or_several(&mut section, ["path_prefix", "path_prefixes"], path_prefix, problems),
        strip_path_prefix: section.value("strip_path_prefix", flag, problems),
        connect_timeout: section.value("connect_timeout", limit, problems),
        response_timeout: section.value("response_timeout", limit, problems),
        idle_timeout: section.value("idle_timeout", span, problems),
        max_request_body: section.value("max_request_body", body_limit, problems),
        total_timeout: section.value("total_timeout", span, problems),
        slow_start: section.value("slow_start", span, problems),
        max_connections: section.value("max_connections", whole(0..=100_000), problems),
        max_idle: section.value("max_idle", whole(0..=100_000), problems),
        protocol: section.value("protocol", protocol, problems),
        ports: ports(&mut section, problems),
        health_check: section
            .section("healthcheck", problems)
            .map(|section| health_check(section, problems))
            .unwrap_or_default(),
        ejection: section
            .section("ejection", problems)
            .map(|section| ejection(section, problems))
            .unwrap_or_default(),
        tls: section.node("tls").map(|node| tls(section.path_of("tls"), node, problems)).unwrap_or_default(),
    };
    section.done(problems);
    proxy
}

/// What a destination makes of it, of which `there` is what it says itself; `port` is the service's own.
pub(super) fn resolved(
    proxy: Proxy,
    there: &Proxy,
    port: u16,
    destination: &str,
    problems: &mut Problems,
) -> Routing {
    let usual = Routing::default();
    let path = |own: Option<Place>, key: &str| {
        own.map_or_else(|| format!("proxy.{key}"), |_| format!("destinations.{destination}.proxy.{key}"))
    };
    let (hosts, path_prefixes) = (proxy.hosts.unwrap_or_default(), proxy.path_prefixes.unwrap_or_default());
    let own = Claim { number: port, hosts: &hosts, path_prefixes: &path_prefixes };
    let ports = ports::resolved(proxy.ports.unwrap_or_default(), &own, destination, problems);
    let ejection_path = path(there.ejection.place, "ejection");
    let check = HealthCheck::default();
    let routing = Routing {
        hosts,
        path_prefixes,
        strip_path_prefix: proxy.strip_path_prefix.unwrap_or(usual.strip_path_prefix),
        connect_timeout: proxy.connect_timeout.unwrap_or(usual.connect_timeout),
        response_timeout: proxy.response_timeout.unwrap_or(usual.response_timeout),
        idle_timeout: proxy.idle_timeout.unwrap_or(usual.idle_timeout),
        max_request_body: proxy.max_request_body.filter(|most| *most > 0),
        total_timeout: proxy.total_timeout.unwrap_or(usual.total_timeout),
        slow_start: proxy.slow_start.unwrap_or(usual.slow_start),
        max_connections: proxy.max_connections.filter(|most| *most > 0),
        max_idle: proxy.max_idle,
        protocol: proxy.protocol.unwrap_or_default(),
        ports,
        health_check: HealthCheck {
            period: proxy.health_check.period,
            timeout: proxy.health_check.timeout,
            successes: proxy.health_check.successes.unwrap_or(check.successes),
            failures: proxy.health_check.failures.unwrap_or(check.failures),
        },
        ejection: health::resolved(&proxy.ejection, &ejection_path, destination, problems),
        tls: None,
    };
    // What is for every host has no name that a certificate could be ordered for.
    let is_nameless = routing.hosts.is_empty() || routing.ports.iter().any(|port| port.hosts.is_empty());
    let names = if is_nameless { Vec::new() } else { routing.all_hosts() };
    let tls_path = path(there.tls.place, "tls");
    Routing { tls: tls::resolved(proxy.tls, &names, &tls_path, destination, problems), ..routing }
}

/// What is spoken to a port.
pub(super) fn protocol(text: &str) -> Result<ApplicationProtocol, String> {
    match text {
        "http1" => Ok(ApplicationProtocol::Http1),
        "h2c" => Ok(ApplicationProtocol::H2c),
        _ => Err(format!("'{text}' is neither http1 nor h2c")),
    }
}

/// What is given as one value under the one key, or as a list under the other.
pub(super) fn one_or_several<E: Display>(
    section: &mut Section<'_>,
    [one, several]: [&'static str; 2],
    parse: fn(&str) -> Result<String, E>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let single = section.value(one, parse, problems);
    let place = section.node(several).map(|node| node.place);
    if let (Some(_), Some(place)) = (&single, place) {
        let twice = Problem::new(&section.path_of(several), place, format!("`{one}` is given too"));
        problems.add(twice.hint(format!("list them all in `{several}`")));
    }
    let listed = place.and_then(|_| section.list(several, problems)).map(|items| {
        items.into_iter().filter_map(|(path, item)| scalar(&path, item, parse, problems)).collect()
    });
    listed.or_else(|| single.map(|value| vec![value]))
}
