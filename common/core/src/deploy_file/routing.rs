//! The section `proxy`: how traffic reaches the service.

use std::fmt::Display;

use super::error::{Problem, Problems};
use super::ports::ports;
use super::raw::Proxy;
use super::section::{Section, scalar};
use super::text::{path_prefix, proxy_host};
use super::tls::tls;
use super::units::{body_limit, flag, limit, span, whole};
use crate::ApplicationProtocol;

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
        tls: section.node("tls").map(|node| tls(section.path_of("tls"), node, problems)).unwrap_or_default(),
    };
    section.done(problems);
    proxy
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
