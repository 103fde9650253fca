use std::collections::BTreeSet;

use cutover_control::{Port, Route, Switch};
use serde::{Deserialize, Serialize};

use super::route;

/// Which requests are a service's, and to which port of its replicas each goes; in the one form of [`route::normal`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Those for the port of the targets' addresses.
    pub(crate) route: Route,
    /// Those for other ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<Port>,
}

impl Claims {
    /// What a switch claims. The error says what is wrong with it.
    pub(crate) fn new(switch: &Switch) -> Result<Self, String> {
        let port = |port: &Port| Ok(Port { route: route::normal(&port.route)?, ..port.clone() });
        let claims = Self {
            route: route::normal(&switch.route)?,
            ports: switch.ports.iter().map(port).collect::<Result<_, String>>()?,
        };
        let mut numbers = BTreeSet::from([0]);
        if let Some(port) = claims.ports.iter().find(|port| !numbers.insert(port.number)) {
            return Err(format!("{} is no port, or one that was named before", port.number));
        }
        let conflict = claims.ports.iter().enumerate().find_map(|(at, port)| {
            let mut before = claims.routes().take(at + 1);
            let claim = before.find_map(|(_, before)| route::common(before, &port.route))?;
            Some(format!("{claim} is routed to port {}, and to another of the same replicas", port.number))
        });
        conflict.map_or(Ok(claims), Err)
    }

    /// The route to each port; without a number, to the one of the targets' addresses.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (Option<u16>, &Route)> {
        let others = self.ports.iter().map(|port| (Some(port.number), &port.route));
        std::iter::once((None, &self.route)).chain(others)
    }

    /// A host and a prefix that both claim; in words.
    pub(crate) fn common(&self, other: &Self) -> Option<String> {
        self.routes().find_map(|(_, own)| other.routes().find_map(|(_, theirs)| route::common(own, theirs)))
    }

    /// All host names; none where one route is for any host.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        if self.routes().any(|(_, route)| route.hosts.is_empty()) {
            return Vec::new();
        }
        self.routes().flat_map(|(_, route)| &route.hosts).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cutover_control::{ApplicationProtocol, Epoch, Target};

    use super::*;

    fn route(hosts: &[&str], prefixes: &[&str]) -> Route {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Route { hosts: texts(hosts), path_prefixes: texts(prefixes), strip_path_prefix: false }
    }

    fn claims(own: Route, ports: Vec<(u16, Route)>) -> Result<Claims, String> {
        let (key, epoch) = ("d/s".parse().unwrap(), Epoch { journal: "j".to_owned(), sequence: 1 });
        let target = Target { replica: "r".to_owned(), address: "127.0.0.1:1".parse().unwrap() };
        let port = |(number, route)| Port { number, route, application_protocol: ApplicationProtocol::Http1 };
        let ports = ports.into_iter().map(port).collect();
        Claims::new(&Switch { route: own, ports, ..Switch::new(key, epoch, "d1", "r1", vec![target]) })
    }

    #[test]
    fn a_request_is_for_one_port_alone() {
        let wrong = |ports| claims(route(&["a"], &[]), ports).unwrap_err();
        assert!(wrong(vec![(1, route(&["b", "A."], &["/"]))]).starts_with("a is routed to port 1, and"));
        let twice = vec![(1, route(&["a"], &["/x"])), (2, route(&["a"], &["/y", "/x/"]))];
        assert!(wrong(twice).starts_with("/x of a is routed to port 2, and"));
        for number in [0, 1] {
            let ports = vec![(1, route(&["b"], &[])), (number, route(&["c"], &[]))];
            assert!(wrong(ports).contains("is no port, or one that was named before"), "{number}");
        }
        assert!(wrong(vec![(1, route(&["*"], &[]))]).contains("no host name"));
    }

    #[test]
    fn two_services_conflict_by_any_of_their_ports() {
        let one =
            claims(route(&["a"], &[]), vec![(1, route(&["a"], &["/x"])), (2, route(&["b"], &[]))]).unwrap();
        for (own, port, common) in [
            (route(&["b"], &[]), route(&["c"], &[]), Some("b")),
            (route(&["d"], &[]), route(&["a"], &["/x"]), Some("/x of a")),
            (route(&["a"], &["/y"]), route(&["b"], &["/x"]), None),
        ] {
            let other = claims(own, vec![(1, port)]).unwrap();
            assert_eq!(one.common(&other).as_deref(), common);
            assert_eq!(other.common(&one).as_deref(), common);
        }
    }

    #[test]
    fn the_hosts_are_those_of_all_ports_unless_one_has_any() {
        let own = || route(&["a"], &[]);
        assert_eq!(claims(own(), vec![(1, route(&["b"], &[]))]).unwrap().hosts(), ["a", "b"]);
        assert!(claims(own(), vec![(1, route(&[], &[]))]).unwrap().hosts().is_empty());
    }
}
