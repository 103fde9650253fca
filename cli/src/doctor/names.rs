//! The host names that the service answers to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use cutover_core::Target;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::finding::{Finding, Part};

/// How long a name server may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether each leads to a host of the destination.
pub(super) async fn check(target: &Target) -> Vec<Finding> {
    let mut own = BTreeSet::new();
    for host in &target.hosts {
        own.extend(addresses(host.name.as_str()).await);
    }
    let mut found = Vec::new();
    // A pattern has no address of its own.
    for name in target.settings.proxy.hosts.iter().filter(|name| !name.contains('*')) {
        found.push(finding(name, &addresses(name).await, &own).of(target.key.destination.as_str()));
    }
    found
}

async fn addresses(name: &str) -> BTreeSet<IpAddr> {
    if let Ok(address) = name.parse() {
        return [address].into();
    }
    match timeout(LIMIT, lookup_host((name, 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        _ => BTreeSet::new(),
    }
}

fn finding(name: &str, found: &BTreeSet<IpAddr>, own: &BTreeSet<IpAddr>) -> Finding {
    let listed = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if found.is_empty() {
        Part::Names.advice(
            format!("{name} has no address here"),
            "make a record of it that leads to the hosts, or to what stands before them",
        )
    } else if found.is_disjoint(own) {
        Part::Names.advice(
            format!("{name} leads to {listed}, which is none of the hosts"),
            "right where a load balancer stands before them; else mend the record",
        )
    } else {
        Part::Names.good(format!("{name} leads to {listed}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_or_nowhere_is_told() {
        let all = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let own = all(&["203.0.113.7", "203.0.113.8"]);
        let grade = |found: &[&str]| finding("example.com", &all(found), &own).grade;
        assert_eq!(grade(&["203.0.113.8"]), Grade::Good);
        assert_eq!(grade(&["198.51.100.1"]), Grade::Advice);
        assert_eq!(grade(&[]), Grade::Advice);
    }

    #[tokio::test]
    async fn an_address_needs_no_name_server() {
        assert_eq!(addresses("203.0.113.7").await, ["203.0.113.7".parse().unwrap()].into());
        assert!(addresses("localhost").await.iter().all(IpAddr::is_loopback));
    }
}
