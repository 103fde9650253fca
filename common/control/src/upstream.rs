use serde::{Deserialize, Serialize};

use crate::{ApplicationProtocol, Ejection};

/// How the proxy deals with the replicas of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// For how long the share of a replica grows that has joined others or has come back, in milliseconds. 0: it has its
    /// full share at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub slow_start_ms: u64,
    /// Connections to one replica at once, with HTTP/2 requests; a request for which there is none waits as long as for a connection, then the
    /// client gets 503. `None`: as many as there are requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Connections to one replica that are kept for later requests. `None`: 256 by worker of the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_idle: Option<u32>,
    /// What is spoken to the replicas.
    #[serde(default, skip_serializing_if = "ApplicationProtocol::is_usual")]
    pub application_protocol: ApplicationProtocol,
    /// When one is left out whose requests fail.
    #[serde(default, skip_serializing_if = "Ejection::is_usual")]
    pub ejection: Ejection,
}

fn is_zero(millis: &u64) -> bool {
    *millis == 0
}
