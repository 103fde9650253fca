//! The route of a service: its one form, and what two services may not both have.

use std::net::Ipv6Addr;

use cutover_control::Route;

use super::path_prefix::PathPrefix;

/// A route in the only form that it is stored and compared in: hosts in lower case and without a final dot, prefixes
/// without a final slash. The error says what is wrong with it.
pub(crate) fn normal(route: &Route) -> Result<Route, String> {
    let host = |host: &String| {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        // Of an IPv6 address only the form that stands in requests.
        let name = if name.parse::<Ipv6Addr>().is_ok() { format!("[{name}]") } else { name };
        let wrong = || format!("{name:?} is no host name (no port, no wildcard but *. in front)");
        if is_host(&name) { Ok(name) } else { Err(wrong()) }
    };
    let prefix = |prefix: &String| {
        let wrong = || format!("{prefix:?} is no path prefix: write an absolute path, for example /api");
        PathPrefix::normal(prefix).ok_or_else(wrong)
    };
    Ok(Route {
        hosts: route.hosts.iter().map(host).collect::<Result<_, _>>()?,
        path_prefixes: route.path_prefixes.iter().map(prefix).collect::<Result<_, _>>()?,
        strip_path_prefix: route.strip_path_prefix,
    })
}

/// The name below which a wildcard host stands for all names; none: it is no wildcard.
pub(crate) fn wildcard(host: &str) -> Option<&str> {
    host.strip_prefix("*.")
}

/// The prefixes of a route, which are never none.
pub(crate) fn prefixes(route: &Route) -> impl Iterator<Item = &str> + Clone {
    let every = route.path_prefixes.is_empty().then_some("/");
    route.path_prefixes.iter().map(String::as_str).chain(every)
}

/// A host and a prefix that both routes, in their one form, claim; in words.
pub(crate) fn common(one: &Route, other: &Route) -> Option<String> {
    let host = if one.hosts.is_empty() && other.hosts.is_empty() {
        "every host without a route of its own"
    } else {
        one.hosts.iter().find(|host| other.hosts.contains(host))?
    };
    let prefix = prefixes(one).find(|prefix| prefixes(other).any(|theirs| theirs == *prefix))?;
    Some(if prefix == "/" { host.to_owned() } else { format!("{prefix} of {host}") })
}

/// Whether a text is a host name, a wildcard or an address, in the form that routes have but for its case.
pub(crate) fn is_host(host: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(of_name);
    if let Some(below) = wildcard(host) {
        return is_name(below);
    }
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    literal.map_or_else(|| is_name(host), |address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn route(hosts: &[&str], prefixes: &[&str]) -> Route {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Route { hosts: texts(hosts), path_prefixes: texts(prefixes), strip_path_prefix: false }
    }

    #[test]
    fn a_route_has_one_form() {
        let given = route(&["A.example.", "*.B.example", "::1"], &["/api/", "/"]);
        let stored = route(&["a.example", "*.b.example", "[::1]"], &["/api", "/"]);
        assert_eq!(normal(&given).unwrap(), stored);
        assert_eq!(normal(&stored).unwrap(), stored);
        for host in
            ["", "*", "*.", "*.*.example", "a.*.example", "*a.example", ".example", "a:80", "[a]", "*.[::1]"]
        {
            assert!(normal(&route(&[host], &[])).unwrap_err().contains("no host name"), "{host}");
        }
        assert!(normal(&route(&[], &["api"])).unwrap_err().contains("no path prefix"));
    }

    #[test]
    fn two_routes_conflict_where_a_host_and_a_prefix_are_the_same() {
        let conflict = |one: (&[&str], &[&str]), other: (&[&str], &[&str])| {
            common(&route(one.0, one.1), &route(other.0, other.1))
        };
        assert_eq!(conflict((&["a"], &[]), (&["b", "a"], &["/"])).unwrap(), "a");
        assert_eq!(conflict((&["*.a"], &["/x", "/api"]), (&["*.a"], &["/api"])).unwrap(), "/api of *.a");
        assert!(conflict((&[], &["/api"]), (&[], &["/api"])).unwrap().starts_with("/api of every host"));
        assert_eq!(conflict((&["a"], &["/api"]), (&["a"], &[])), None);
        assert_eq!(conflict((&["a"], &["/api"]), (&["a"], &["/api/v2"])), None);
        assert_eq!(conflict((&["*.a"], &[]), (&["a", "b.a"], &[])), None);
        assert_eq!(conflict((&[], &[]), (&["a"], &[])), None);
    }
}
