//! The file that Traefik's file provider reads: JSON, which is YAML. What Traefik does otherwise than Cutover's own proxy:
//!
//! - A prefix is looked for in the path that Traefik has cleaned.
//! - Of the requests that may have been seen by an application, none is sent again.
//! - A silence within an answer, and the body of a request, have no limit: a service that wants one is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use cutover_control::{Refusal, ServiceKey};
use serde::Serialize;

use crate::drive::set_name::{service_name, set_name};
use crate::ledger::{Deployed, Ledger};
use crate::route;

/// Behind the name of a set: its targets without kept connections.
pub(super) const FRESH: &str = ".fresh";

/// Behind a name: it is what a file says.
pub(super) const PROVIDER: &str = "@file";

/// Requests that may be sent over a kept connection, which the application may close at the very moment: Go's transport sends
/// them again. (PUT and DELETE mostly have a body, which it can't send again.)
const REPEATABLE: &str = "(Method(`GET`) || Method(`HEAD`) || Method(`OPTIONS`) || Method(`TRACE`))";

/// The file.
#[derive(Serialize)]
struct File {
    http: Http,
}

#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    // Traefik refuses these where they are there and empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    routers: BTreeMap<String, Router>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    servers_transports: BTreeMap<String, Transport>,
    middlewares: BTreeMap<String, Middleware>,
}

#[derive(Clone, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct Router {
    rule: String,
    priority: u32,
    service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entry_points: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    middlewares: Vec<String>,
}

#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancer {
    servers: Vec<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers_transport: Option<String>,
}

#[derive(Hash, Serialize)]
struct Server {
    url: String,
}

#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct Transport {
    /// Negative: none are kept.
    max_idle_conns_per_host: i32,
    forwarding_timeouts: ForwardingTimeouts,
}

#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct ForwardingTimeouts {
    dial_timeout: String,
    response_header_timeout: String,
    /// Short: what a displaced target still has by then is in flight.
    idle_conn_timeout: &'static str,
}

#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
enum Middleware {
    StripPrefix { prefixes: Vec<String> },
    Retry { attempts: usize },
    Headers(Generation),
}

/// A middleware that no router has: its name says which file is in force.
#[derive(Hash, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation {
    custom_response_headers: BTreeMap<&'static str, String>,
}

/// What Traefik is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraefikConfig {
    pub(super) text: Vec<u8>,
    /// The name of a middleware that Traefik has while it is in force.
    pub(super) generation: String,
    /// The routers of it.
    pub(super) routers: BTreeSet<String>,
    /// The sets that requests are counted for.
    pub(super) sets: BTreeSet<String>,
}

impl TraefikConfig {
    /// What a ledger means, at some entry points.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] with what Traefik can't do.
    pub(super) fn new(ledger: &Ledger, entry_points: &[String]) -> Result<Self, Refusal> {
        let mut http = Http {
            routers: BTreeMap::new(),
            services: BTreeMap::new(),
            servers_transports: BTreeMap::new(),
            middlewares: BTreeMap::new(),
        };
        let mut sets = BTreeSet::new();
        for (key, service) in &ledger.services {
            for deployed in service.active.iter().chain(&service.previous) {
                sets.insert(set_name(key, &deployed.deployment));
            }
            http.add(key, service, entry_points)?;
        }
        let mut hasher = DefaultHasher::new();
        http.hash(&mut hasher);
        let generation = format!("cutover-{:016x}", hasher.finish());
        let value = BTreeMap::from([("X-Cutover-Generation", generation.clone())]);
        http.middlewares
            .insert(generation.clone(), Middleware::Headers(Generation { custom_response_headers: value }));
        let routers = http.routers.keys().map(|name| format!("{name}{PROVIDER}")).collect();
        let unwritable = |error: serde_json::Error| Refusal::Invalid { message: error.to_string() };
        let text = serde_json::to_vec_pretty(&File { http }).map_err(unwritable)?;
        Ok(Self { text, generation: format!("{generation}{PROVIDER}"), routers, sets })
    }
}

impl Http {
    fn add(
        &mut self,
        key: &ServiceKey,
        service: &crate::ledger::Service,
        entry_points: &[String],
    ) -> Result<(), Refusal> {
        let own = service_name(key);
        let mut middlewares = Vec::new();
        if service.route.strip_path_prefix && !service.route.path_prefixes.is_empty() {
            let prefixes = service.route.path_prefixes.clone();
            self.middlewares.insert(format!("{own}.strip"), Middleware::StripPrefix { prefixes });
            middlewares.push(format!("{own}.strip"));
        }
        let name = match &service.active {
            Some(active) => {
                if active.targets.len() > 1 {
                    let attempts = active.targets.len();
                    self.middlewares.insert(format!("{own}.retry"), Middleware::Retry { attempts });
                    middlewares.push(format!("{own}.retry"));
                }
                self.add_set(key, active)?
            }
            // Without servers it answers 503.
            None => {
                for suffix in ["", FRESH] {
                    let none = LoadBalancer { servers: Vec::new(), servers_transport: None };
                    self.services.insert(format!("{own}.none{suffix}"), Service { load_balancer: none });
                }
                format!("{own}.none")
            }
        };
        for (at, (rule, priority)) in rules(&service.route).enumerate() {
            let router = |rule, priority, suffix| Router {
                rule,
                priority,
                service: format!("{name}{suffix}"),
                entry_points: entry_points.to_vec(),
                middlewares: middlewares.clone(),
            };
            self.routers
                .insert(format!("{own}.{at}"), router(format!("{rule} && {REPEATABLE}"), priority + 1, ""));
            self.routers.insert(format!("{own}.{at}{FRESH}"), router(rule, priority, FRESH));
        }
        Ok(())
    }

    fn add_set(&mut self, key: &ServiceKey, deployed: &Deployed) -> Result<String, Refusal> {
        let timeouts = &deployed.timeouts;
        let refused = |what: &str| {
            let message = format!(
                "{key}: this host's Traefik has no limit for {what}: leave that out of the deploy file"
            );
            Err(Refusal::Invalid { message })
        };
        if timeouts.idle_ms != 0 {
            return refused("a silence within an answer");
        }
        if deployed.max_request_body.is_some() {
            return refused("the body of a request but by holding all answers back");
        }
        let name = set_name(key, &deployed.deployment);
        for (suffix, max_idle_conns_per_host) in [("", 200), (FRESH, -1)] {
            let transport = Transport {
                max_idle_conns_per_host,
                forwarding_timeouts: ForwardingTimeouts {
                    dial_timeout: format!("{}ms", timeouts.connect_ms),
                    response_header_timeout: format!("{}ms", timeouts.response_ms),
                    idle_conn_timeout: "1s",
                },
            };
            let name = format!("{name}{suffix}");
            let urls =
                deployed.targets.iter().map(|target| Server { url: format!("http://{}", target.address) });
            let load_balancer =
                LoadBalancer { servers: urls.collect(), servers_transport: Some(name.clone()) };
            self.servers_transports.insert(name.clone(), transport);
            self.services.insert(name, Service { load_balancer });
        }
        Ok(name)
    }
}

/// The rules of a route, in Traefik's words, and the priority of each: the host decides first, then the prefix. A priority
/// of the default service is below those that Traefik gives by itself to the rules of others, mostly.
fn rules(route: &cutover_control::Route) -> impl Iterator<Item = (String, u32)> {
    let hosts: Vec<Option<&str>> = if route.hosts.is_empty() {
        vec![None]
    } else {
        route.hosts.iter().map(|host| Some(host.as_str())).collect()
    };
    let prefixes = route::prefixes(route);
    hosts.into_iter().flat_map(move |host| {
        prefixes.clone().map(move |prefix| {
            let (of_host, rank) = host.map_or((String::new(), 0), host_rule);
            let of_path = match prefix {
                "/" => "PathPrefix(`/`)".to_owned(),
                prefix => format!("(Path(`{prefix}`) || PathPrefix(`{prefix}/`))"),
            };
            // A prefix is shorter than the head of a request may be.
            let length = u32::try_from(prefix.len()).unwrap_or(u32::MAX).min(99_999);
            (of_host + &of_path, rank * 1_000_000 + length * 2)
        })
    })
}

/// The rule of a host, and its rank among those that take a request.
fn host_rule(host: &str) -> (String, u32) {
    match route::wildcard(host) {
        Some(below) => {
            let rank = u32::try_from(below.len()).unwrap_or(u32::MAX).min(999);
            (format!("HostRegexp(`^.+\\.{}$`) && ", below.replace('.', "\\.")), rank)
        }
        None => (format!("Host(`{host}`) && "), 1_000),
    }
}

#[cfg(test)]
mod tests {
    use cutover_control::Route;

    use super::*;

    #[test]
    fn the_host_decides_before_the_prefix() {
        let priority = |hosts: &[&str], prefix: &str| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            let route = Route { hosts, path_prefixes: vec![prefix.to_owned()], strip_path_prefix: false };
            rules(&route).map(|(_, priority)| priority).max()
        };
        let ordered = [
            priority(&[], "/"),
            priority(&[], "/api"),
            priority(&["*.example"], "/"),
            priority(&["*.a.example"], "/"),
            priority(&["*.a.example"], "/api/v2"),
            priority(&["x.a.example"], "/"),
            priority(&["x.a.example"], "/api"),
        ];
        assert!(ordered.is_sorted(), "{ordered:?}");
    }

    #[test]
    fn a_rule_stands_for_whole_segments_and_names() {
        let route = Route {
            hosts: vec!["a.example".to_owned(), "*.b.example".to_owned()],
            path_prefixes: vec!["/api".to_owned()],
            strip_path_prefix: false,
        };
        let said: Vec<_> = rules(&route).map(|(rule, _)| rule).collect();
        assert_eq!(
            said,
            [
                "Host(`a.example`) && (Path(`/api`) || PathPrefix(`/api/`))",
                "HostRegexp(`^.+\\.b\\.example$`) && (Path(`/api`) || PathPrefix(`/api/`))",
            ]
        );
    }
}
