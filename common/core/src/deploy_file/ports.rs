//! The key `proxy.ports`: other ports of the same replicas.

use super::error::{Problem, Problems};
use super::node::Node;
use super::raw::Port;
use super::routing::{one_or_several, protocol};
use super::section::Section;
use super::text::{path_prefix, proxy_host};
use super::units::{flag, port_number};

/// Reads what stands at the key.
pub(super) fn ports(proxy: &mut Section<'_>, problems: &mut Problems) -> Option<Vec<Port>> {
    let items = proxy.list("ports", problems)?;
    Some(items.into_iter().filter_map(|(path, item)| port(path, item, problems)).collect())
}

fn port(path: String, node: &Node, problems: &mut Problems) -> Option<Port> {
    let mut section = Section::of(path.clone(), node, problems)?;
    let number = section.required("port", port_number, problems);
    let hosts = one_or_several(&mut section, ["host", "hosts"], proxy_host, problems);
    let path_prefixes = one_or_several(&mut section, ["path_prefix", "path_prefixes"], path_prefix, problems);
    let strip_path_prefix = section.value("strip_path_prefix", flag, problems);
    let protocol = section.value("protocol", protocol, problems);
    section.done(problems);
    Some(Port {
        path,
        place: node.place,
        number: number?,
        hosts,
        path_prefixes: path_prefixes.unwrap_or_default(),
        strip_path_prefix: strip_path_prefix.unwrap_or_default(),
        protocol: protocol.unwrap_or_default(),
    })
}

/// Which requests go to a port.
pub(super) struct Claim<'a> {
    pub(super) number: u16,
    pub(super) hosts: &'a [String],
    pub(super) path_prefixes: &'a [String],
}

/// What a destination makes of them, beside the service's own port. Where a request could go to several ports, the problems
/// say which.
pub(super) fn resolved(
    ports: Vec<Port>,
    own: &Claim<'_>,
    destination: &str,
    problems: &mut Problems,
) -> Vec<crate::Port> {
    let mut known: Vec<crate::Port> = Vec::new();
    for port in ports {
        let Port { path, place, number, hosts, path_prefixes, strip_path_prefix, protocol } = port;
        let hosts = hosts.filter(|hosts| !hosts.is_empty()).unwrap_or_else(|| own.hosts.to_vec());
        let port = crate::Port { number, hosts, path_prefixes, strip_path_prefix, protocol };
        let wrong = |message: String, hint: &str| Problem::new(&path, place, message).hint(hint);
        if number == own.number {
            let message = format!("port {number} is the service's own");
            problems.add(wrong(message, "what goes there stands in `proxy` itself: leave this out"));
        } else if known.iter().any(|known| known.number == number) {
            let message = format!("port {number} is given twice");
            problems.add(wrong(message, "list all its hosts and path prefixes once"));
        } else if let Some((other, common)) = own.shared(known.iter(), &Claim::of(&port)) {
            let message = format!(
                "nothing tells it apart from port {other} in destination '{destination}': both have {common}"
            );
            problems.add(wrong(message, "give it `path_prefixes` or `hosts` that no other port has"));
        }
        known.push(port);
    }
    known
}

impl<'a> Claim<'a> {
    fn of(port: &'a crate::Port) -> Self {
        Self { number: port.number, hosts: &port.hosts, path_prefixes: &port.path_prefixes }
    }

    /// The first port, of this one and the others, that has something that the last one has; and what that is.
    fn shared<'b>(
        &self,
        others: impl Iterator<Item = &'b crate::Port>,
        last: &Claim<'_>,
    ) -> Option<(u16, String)> {
        let own = self.common(last).map(|common| (self.number, common));
        own.or_else(|| others.map(Claim::of).find_map(|port| Some((port.number, port.common(last)?))))
    }

    /// A host and a prefix that both have, in words.
    fn common(&self, other: &Claim<'_>) -> Option<String> {
        let host = if self.hosts.is_empty() && other.hosts.is_empty() {
            "every host"
        } else {
            self.hosts.iter().find(|host| other.hosts.contains(host))?
        };
        let prefix = self.prefixes().find(|prefix| other.prefixes().any(|theirs| theirs == *prefix))?;
        Some(if prefix == "/" { format!("all paths of {host}") } else { format!("{prefix} of {host}") })
    }

    fn prefixes(&self) -> impl Iterator<Item = &str> {
        let every = self.path_prefixes.is_empty().then_some("/");
        self.path_prefixes.iter().map(String::as_str).chain(every)
    }
}
