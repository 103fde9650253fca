//! What the services have routed, host by host: for a proxy that decides by the host first, and then by the path alone.

use cutover_control::ServiceKey;

use crate::control::{Deployed, Ledger, Service};
use crate::routes::{PathPrefix, route};
use crate::traffic::Canary;

/// A host, and all that requests for it may be routed to.
#[derive(Debug)]
pub(super) struct Site<'a> {
    /// A name, or `*.` and the name below which all are; none: every other host.
    pub(super) host: Option<&'a str>,
    /// The longest prefix first: the first that stands for a path is the place where it goes.
    pub(super) places: Vec<Place<'a>>,
}

/// Where the paths with a prefix go.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// `/` stands for every path.
    pub(super) prefix: &'a str,
    /// Whether the application is asked for the path without it.
    pub(super) strip: bool,
    pub(super) key: &'a ServiceKey,
    /// None: it answers 503.
    pub(super) active: Option<&'a Deployed>,
    /// What gets a share of that.
    pub(super) canary: Option<&'a Canary>,
}

/// All hosts. What the services of a host leave to the others (see [`Route`](cutover_control::Route)) is among its places.
pub(super) fn sites(ledger: &Ledger) -> Vec<Site<'_>> {
    let services = &ledger.services;
    let mut hosts: Vec<&str> =
        services.values().flat_map(|service| &service.claims.route.hosts).map(String::as_str).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let has_default = services.values().any(|service| service.claims.route.hosts.is_empty());
    let all = hosts.into_iter().map(Some).chain(has_default.then_some(None));
    all.map(|host| Site { host, places: places(ledger, host) }).collect()
}

fn places<'a>(ledger: &'a Ledger, host: Option<&str>) -> Vec<Place<'a>> {
    let mut ranked: Vec<(usize, Place<'a>)> = Vec::new();
    for (key, service) in &ledger.services {
        if let Some(rank) = rank(service, host) {
            let prefixes = route::prefixes(&service.claims.route);
            ranked.extend(prefixes.map(|prefix| (rank, place(key, service, prefix))));
        }
    }
    // A place is never reached where one that comes before it in the order of hosts stands for all its paths.
    let hidden = |rank: usize, place: &Place<'_>| {
        let takes = |above: &Place<'_>| PathPrefix::new(above.prefix).takes(place.prefix);
        ranked.iter().any(|(other, above)| *other > rank && takes(above))
    };
    let mut places: Vec<Place<'a>> =
        ranked.iter().filter(|(rank, place)| !hidden(*rank, place)).map(|(_, place)| place.clone()).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.prefix.len()));
    places
}

fn place<'a>(key: &'a ServiceKey, service: &'a Service, prefix: &'a str) -> Place<'a> {
    let strip = service.claims.route.strip_path_prefix && prefix != "/";
    Place { prefix, strip, key, active: service.active.as_ref(), canary: service.weighted() }
}

/// How exactly a service names a host; the highest decides first. None: it doesn't.
fn rank(service: &Service, host: Option<&str>) -> Option<usize> {
    let hosts = &service.claims.route.hosts;
    if hosts.is_empty() {
        return Some(0);
    }
    let host = host?;
    let names = |own: &String| match route::wildcard(own) {
        _ if own == host => Some(usize::MAX),
        Some(below) => host.strip_suffix(below)?.ends_with('.').then_some(below.len()),
        None => None,
    };
    hosts.iter().filter_map(names).max()
}

#[cfg(test)]
mod tests {
    use cutover_control::Route;

    use super::*;
    use crate::routes::Claims;

    fn ledger(routes: &[(&str, &[&str], &[&str])]) -> Ledger {
        let mut ledger = Ledger::default();
        for (name, hosts, prefixes) in routes {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let route =
                Route { hosts: texts(hosts), path_prefixes: texts(prefixes), strip_path_prefix: true };
            ledger.services.insert(
                ServiceKey::new("d", *name),
                Service { claims: Claims { route, ports: Vec::new() }, ..Service::default() },
            );
        }
        ledger
    }

    fn said(ledger: &Ledger) -> Vec<String> {
        let place = |place: &Place<'_>| format!("{}={}", place.prefix, place.key.service);
        let places = |site: &Site<'_>| site.places.iter().map(place).collect::<Vec<_>>().join(" ");
        sites(ledger).iter().map(|site| format!("{}: {}", site.host.unwrap_or("-"), places(site))).collect()
    }

    #[test]
    fn what_a_host_leaves_is_taken_by_the_next_and_nothing_more() {
        let all = ledger(&[
            ("exact", &["a.b.example"], &["/exact"]),
            ("long", &["*.b.example"], &["/long", "/exact/more"]),
            ("short", &["*.example"], &["/short", "/"]),
            ("default", &[], &["/default"]),
        ]);
        assert_eq!(
            said(&all),
            [
                "*.b.example: /exact/more=long /short=short /long=long /=short",
                "*.example: /short=short /=short",
                "a.b.example: /exact=exact /short=short /long=long /=short",
                "-: /default=default",
            ]
        );
    }

    #[test]
    fn a_shorter_prefix_of_another_host_stays_behind_a_longer_one() {
        let all = ledger(&[("v2", &["a"], &["/api/v2"]), ("api", &[], &["/api"])]);
        assert_eq!(said(&all), ["a: /api/v2=v2 /api=api", "-: /api=api"]);
    }
}
