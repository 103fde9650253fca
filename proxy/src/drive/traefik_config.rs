//! The file that Traefik's file provider reads: JSON, which is YAML. What Traefik does otherwise than Cutover's own proxy:
//!
//! - A prefix is looked for in the path that Traefik has cleaned.
//! - Of the requests that may have been seen by an application, none is sent again.
//! - Where a replica can't be reached while a canary has a share, it is drawn anew who is asked instead.
//! - A silence within an answer, and the body of a request, have no limit: a service that wants one is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use cutover_control::{Refusal, ServiceKey};
use serde::Serialize;

use crate::control::{Deployed, Ledger};
use crate::drive::set_name::{service_name, set_name};
use crate::drive::traefik_rules::rules;
use crate::traffic::{Canary, WHOLE};

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
enum Service {
    LoadBalancer(LoadBalancer),
    Weighted { services: Vec<Share> },
}

/// A service that gets a part of the requests.
#[derive(Hash, Serialize)]
struct Share {
    name: String,
    weight: u16,
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
            for deployed in service.on_duty().chain(&service.previous) {
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
        service: &crate::control::Service,
        entry_points: &[String],
    ) -> Result<(), Refusal> {
        service.on_duty().try_for_each(|deployed| refuse_limits(key, deployed))?;
        let own = service_name(key);
        let mut middlewares = Vec::new();
        if service.claims.route.strip_path_prefix && !service.claims.route.path_prefixes.is_empty() {
            let prefixes = service.claims.route.path_prefixes.clone();
            self.middlewares.insert(format!("{own}.strip"), Middleware::StripPrefix { prefixes });
            middlewares.push(format!("{own}.strip"));
        }
        let name = match &service.active {
            Some(active) => {
                let canary = service.weighted();
                let attempts =
                    active.targets.len() + canary.map_or(0, |canary| canary.deployed.targets.len());
                if attempts > 1 {
                    self.middlewares.insert(format!("{own}.retry"), Middleware::Retry { attempts });
                    middlewares.push(format!("{own}.retry"));
                }
                self.add_shares(key, active, canary)
            }
            // Without servers it answers 503.
            None => {
                for suffix in ["", FRESH] {
                    let none = LoadBalancer { servers: Vec::new(), servers_transport: None };
                    self.services.insert(format!("{own}.none{suffix}"), Service::LoadBalancer(none));
                }
                format!("{own}.none")
            }
        };
        for (at, (rule, priority)) in rules(&service.claims.route).enumerate() {
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

    /// What serves, and what gets a share of that; gives the name of both together.
    fn add_shares(&mut self, key: &ServiceKey, active: &Deployed, canary: Option<&Canary>) -> String {
        let Some(Canary { deployed, weight, .. }) = canary else { return self.add_set(key, active) };
        let canary = self.add_set(key, deployed);
        if *weight >= WHOLE {
            return canary;
        }
        let active = self.add_set(key, active);
        let name = format!("{}.shares", service_name(key));
        for suffix in ["", FRESH] {
            let share = |set: &str, weight| Share { name: format!("{set}{suffix}"), weight };
            let services = vec![share(&canary, *weight), share(&active, WHOLE - weight)];
            self.services.insert(format!("{name}{suffix}"), Service::Weighted { services });
        }
        name
    }

    fn add_set(&mut self, key: &ServiceKey, deployed: &Deployed) -> String {
        let timeouts = &deployed.timeouts;
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
            self.services.insert(name, Service::LoadBalancer(load_balancer));
        }
        name
    }
}

/// Refuses a deployment with limits that Traefik lacks.
fn refuse_limits(key: &ServiceKey, deployed: &Deployed) -> Result<(), Refusal> {
    let refused = |what: &str| {
        let message =
            format!("{key}: this host's Traefik has no limit for {what}: leave that out of the deploy file");
        Err(Refusal::Invalid { message })
    };
    if deployed.timeouts.idle_ms != 0 {
        return refused("a silence within an answer");
    }
    if deployed.max_request_body.is_some() {
        return refused("the body of a request but by holding all answers back");
    }
    Ok(())
}
