use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cutover_control::{ApplicationProtocol, Route};

use super::claims::Claims;
use super::path_prefix::PathPrefix;
use super::route;
use crate::exchange::{Outgoing, Rejection, Tries};
use crate::head::host_name;
use crate::targets::{Lease, TargetSet};
use crate::traffic::{Gate, Regulation};

/// How long [`RouteTable::install`] waits for readers of the old routes; each reads for less than a microsecond.
const READERS_LIMIT: Duration = Duration::from_secs(5);

/// The longest name in DNS, as text (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// Which requests go where; read without a lock, replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    current: ArcSwap<Routes>,
}

/// One state of the table. A service without targets is routed, and answers 503.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    hosts: HashMap<String, Site>,
    /// By the name below which they are.
    wildcards: HashMap<String, Site>,
    /// All other hosts.
    default: Site,
}

/// What is routed on one host, the longest path prefix first.
#[derive(Debug, Default)]
struct Site(Vec<Place>);

/// Where the paths with a prefix go.
#[derive(Clone, Debug)]
struct Place {
    prefix: Arc<PathPrefix>,
    strip: bool,
    /// The number of the targets' port; none: the one of their addresses.
    port: Option<u16>,
    set: Option<Arc<TargetSet>>,
    regulation: Option<Arc<Regulation>>,
}

/// What a request finds at its place.
#[derive(Debug)]
pub(crate) enum Found {
    /// Where it goes.
    Target(Lease),
    /// Where it waits before it looks again.
    Gate(Arc<Gate>),
}

impl Routes {
    /// Routes what a service claims, in the form that the ledger stores.
    pub(crate) fn add(
        &mut self,
        claims: &Claims,
        set: Option<&Arc<TargetSet>>,
        regulation: Option<&Arc<Regulation>>,
    ) {
        for (port, route) in claims.routes() {
            self.add_port(port, route, set, regulation);
        }
    }

    fn add_port(
        &mut self,
        port: Option<u16>,
        route: &Route,
        set: Option<&Arc<TargetSet>>,
        regulation: Option<&Arc<Regulation>>,
    ) {
        for prefix in route::prefixes(route) {
            let prefix = Arc::new(PathPrefix::new(prefix));
            let place = Place {
                strip: route.strip_path_prefix && !prefix.is_root(),
                prefix,
                port,
                set: set.cloned(),
                regulation: regulation.cloned(),
            };
            if route.hosts.is_empty() {
                self.default.add(place.clone());
            }
            for host in &route.hosts {
                let site = match route::wildcard(host) {
                    Some(below) => self.wildcards.entry(below.to_owned()).or_default(),
                    None => self.hosts.entry(host.clone()).or_default(),
                };
                site.add(place.clone());
            }
        }
    }

    fn find(&self, host: &str, path: &str) -> Option<&Place> {
        let name = host_name(host);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.find_name(&name.to_ascii_lowercase(), path)
        } else {
            self.find_name(name, path)
        }
    }

    fn find_name(&self, name: &str, path: &str) -> Option<&Place> {
        let exact = self.hosts.get(name).and_then(|site| site.find(path));
        exact.or_else(|| self.find_below(name, path)).or_else(|| self.default.find(path))
    }

    /// By wildcard; the longest name that it is below comes first.
    fn find_below(&self, name: &str, path: &str) -> Option<&Place> {
        // What is no name in DNS may have thousands of dots, and would be looked up as often.
        if self.wildcards.is_empty() || name.len() > MAX_NAME {
            return None;
        }
        let dots = name.bytes().enumerate().filter(|(at, byte)| *at > 0 && *byte == b'.');
        let mut above = dots.filter_map(|(at, _)| self.wildcards.get(name.get(at + 1..)?));
        above.find_map(|site| site.find(path))
    }
}

impl Site {
    fn add(&mut self, place: Place) {
        let at = self.0.partition_point(|other| other.prefix.len() >= place.prefix.len());
        self.0.insert(at, place);
    }

    fn find(&self, path: &str) -> Option<&Place> {
        self.0.iter().find(|place| place.prefix.takes(path))
    }
}

impl RouteTable {
    /// What a request finds, other than the targets that were already tried.
    ///
    /// # Errors
    ///
    /// [`Rejection::NoRoute`], [`Rejection::NoTarget`], [`Rejection::Maintenance`], or [`Rejection::Malformed`] where the
    /// path may lead out of the prefix that it begins with.
    pub(crate) fn lease(&self, request: &Outgoing, tries: &mut Tries) -> Result<Found, Rejection> {
        let (routes, path) = (self.current.load(), request.path());
        let place = routes.find(request.host(), path).ok_or(Rejection::NoRoute)?;
        if place.prefix.climbs(path) {
            return Err(Rejection::Malformed("the path leads upwards with .."));
        }
        let set = place.set.as_ref();
        let lease = match &place.regulation {
            None => set.and_then(|set| set.lease(place.port, tries.tried())).ok_or(Rejection::NoTarget)?,
            Some(regulation) => match regulation.lease(set, place.port, request, tries)? {
                Found::Target(lease) => lease,
                gate @ Found::Gate(_) => return Ok(gate),
            },
        };
        Ok(Found::Target(if place.strip { lease.stripping(&place.prefix) } else { lease }))
    }

    /// A target for a request for a path of a host, where nothing but the host and the path decides and the short
    /// way will do.
    pub(crate) fn plain_lease(&self, host: &str, path: &str) -> Option<Lease> {
        let routes = self.current.load();
        let place = routes.find(host, path)?;
        let set = place.set.as_ref()?;
        let regulates = place.regulation.as_ref().is_some_and(|regulation| regulation.regulates());
        if regulates || place.prefix.climbs(path) || !set.limits.short_way {
            return None;
        }
        // Asked before the lease, which counts.
        set.ports.find(place.port).filter(|port| port.protocol == ApplicationProtocol::Http1)?;
        let lease = set.lease(place.port, &[])?;
        Some(if place.strip { lease.stripping(&place.prefix) } else { lease })
    }

    /// Replaces the routes. When this returns, no request can begin on the old ones any more, and every request that
    /// has begun on them is counted as in flight: a target that shows none may be stopped.
    pub(crate) async fn install(&self, routes: Routes) {
        let old = self.current.swap(Arc::new(routes));
        // A reader that has loaded the old routes and not yet taken its lease holds a reference to them.
        let read = async {
            while Arc::strong_count(&old) > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(READERS_LIMIT, read).await.is_err() {
            tracing::error!("requests still read the old routes after {READERS_LIMIT:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cutover_control::{Epoch, ServiceKey, Switch, Target};

    use super::*;
    use crate::control::Deployed;

    fn routes(routes: &[(&str, &[&str], &[&str])]) -> Routes {
        let mut all = Routes::default();
        for (deployment, hosts, prefixes) in routes {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let (hosts, path_prefixes) = (texts(hosts), texts(prefixes));
            let route = Route { hosts, path_prefixes, strip_path_prefix: true };
            let (key, epoch) =
                (ServiceKey::new("production", "app"), Epoch { journal: "j".to_owned(), sequence: 1 });
            let target = Target { replica: "r".to_owned(), address: "127.0.0.1:1".parse().unwrap() };
            let switch = Switch { route, ..Switch::new(key.clone(), epoch, deployment, "r", vec![target]) };
            let deployed = Deployed::new(&switch).unwrap();
            let set = TargetSet::new(Arc::new(key), &deployed, Vec::new(), Arc::default());
            all.add(&deployed.claims, Some(&Arc::new(set)), None);
        }
        all
    }

    fn found(routes: &Routes, host: &str, path: &str) -> Option<String> {
        routes.find(host, path).map(|place| place.set.as_ref().unwrap().deployment.clone())
    }

    #[test]
    fn a_host_is_found_without_case_and_port_and_else_the_default_serves() {
        let named = routes(&[("a", &["a.example"], &[])]);
        assert_eq!(found(&named, "b.example", "/"), None);
        let both = routes(&[("a", &["a.example"], &[]), ("default", &[], &[])]);
        for (host, serves) in
            [("A.Example:8080", "a"), ("a.example.", "a"), ("b.example", "default"), ("", "default")]
        {
            assert_eq!(found(&both, host, "/").as_deref(), Some(serves), "{host}");
        }
    }

    #[test]
    fn a_name_comes_before_a_wildcard_and_of_those_the_longest_before_the_default() {
        let all = routes(&[
            ("default", &[], &[]),
            ("short", &["*.example"], &[]),
            ("long", &["*.a.example"], &[]),
            ("exact", &["x.a.example", "a.example"], &[]),
        ]);
        for (host, serves) in [
            ("x.a.example", "exact"),
            ("a.example", "exact"),
            ("y.a.example", "long"),
            ("Z.Y.A.example:80", "long"),
            ("b.example", "short"),
            ("a.b.example.", "short"),
            ("example", "default"),
            (".example", "default"),
            ("xexample", "default"),
        ] {
            assert_eq!(found(&all, host, "/").as_deref(), Some(serves), "{host}");
        }
        let endless = format!("{}example", "a.".repeat(MAX_NAME));
        assert_eq!(found(&all, &endless, "/").as_deref(), Some("default"));
    }

    #[test]
    fn of_the_services_of_a_host_the_longest_prefix_decides() {
        let all = routes(&[
            ("api", &["a.example"], &["/api", "/rpc"]),
            ("v2", &["a.example"], &["/api/v2"]),
            ("rest", &["a.example"], &[]),
        ]);
        for (path, serves) in [
            ("/api", "api"),
            ("/api/v1", "api"),
            ("/rpc/", "api"),
            ("/api/v2/x", "v2"),
            ("/api/v22", "api"),
            ("/apiary", "rest"),
            ("*", "rest"),
        ] {
            assert_eq!(found(&all, "a.example", path).as_deref(), Some(serves), "{path}");
        }
    }

    #[test]
    fn a_path_that_no_service_of_a_host_takes_goes_to_the_next_one() {
        let all = routes(&[
            ("exact", &["a.b.example"], &["/exact"]),
            ("long", &["*.b.example"], &["/long"]),
            ("short", &["*.example"], &["/short", "/exact"]),
            ("default", &[], &["/default"]),
        ]);
        for (path, serves) in [
            ("/exact", Some("exact")),
            ("/long", Some("long")),
            ("/short", Some("short")),
            ("/default", Some("default")),
            ("/", None),
        ] {
            assert_eq!(found(&all, "a.b.example", path).as_deref(), serves, "{path}");
        }
    }

    #[test]
    fn only_a_prefix_is_stripped() {
        let all = routes(&[("api", &[], &["/", "/api"])]);
        let strips = |path| all.find("a", path).unwrap().strip;
        assert!(strips("/api/x") && !strips("/x"));
    }
}
