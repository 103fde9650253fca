use cutover_control::ApplicationProtocol;

use crate::control::Deployed;

/// A port of the replicas of a set: which one, and what is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Its place among the further ones; none: it is the one of their addresses.
    pub(crate) further: Option<usize>,
    pub(crate) protocol: ApplicationProtocol,
}

/// The ports of the replicas of a set.
#[derive(Debug)]
pub(crate) struct Ports {
    own: ApplicationProtocol,
    /// In the order of each target's endpoints.
    further: Box<[(u16, ApplicationProtocol)]>,
}

impl Ports {
    pub(crate) fn of(deployed: &Deployed) -> Self {
        let further = deployed.claims.ports.iter().map(|port| (port.number, port.application_protocol));
        Self { own: deployed.upstream.application_protocol, further: further.collect() }
    }

    /// The port of that number, which not every set has; without a number, the one of the targets' addresses.
    pub(crate) fn find(&self, number: Option<u16>) -> Option<Port> {
        let Some(number) = number else { return Some(Port { further: None, protocol: self.own }) };
        let mut further = self.further.iter().enumerate();
        let (at, (_, protocol)) = further.find(|(_, (known, _))| *known == number)?;
        Some(Port { further: Some(at), protocol: *protocol })
    }
}
