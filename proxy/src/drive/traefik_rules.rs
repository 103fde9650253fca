use cutover_control::Route;

use crate::routes::route;

/// The rules of a route, in Traefik's words, and the priority of each: the host decides first, then the prefix. A priority
/// of the default service is below those that Traefik gives by itself to the rules of others, mostly.
pub(super) fn rules(route: &Route) -> impl Iterator<Item = (String, u32)> {
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
