use serde::{Deserialize, Serialize};

use crate::{ApplicationProtocol, Route};

/// Another port of a service's replicas, beside the one that is in their addresses.
///
/// The replicas are the same: what goes to any of their ports is in flight on them, limited and counted with the rest, and only
/// the port of their addresses is asked for its health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its number, at the IP address of each replica.
    pub number: u16,
    /// Which requests go there. A host and a prefix of it belong to one port alone.
    pub route: Route,
    /// What is spoken there.
    #[serde(default, skip_serializing_if = "ApplicationProtocol::is_usual")]
    pub application_protocol: ApplicationProtocol,
}
