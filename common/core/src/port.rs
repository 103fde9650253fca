use serde::{Deserialize, Serialize};

use crate::ApplicationProtocol;

/// Another port on which the replicas of a service listen, and which requests go there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its number, inside the container.
    pub number: u16,
    /// Host names, as those of the service. None: what no other service takes, as the service has none either.
    pub hosts: Vec<String>,
    /// Paths, as those of the service. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_prefixes: Vec<String>,
    /// Whether the application is asked without the prefix.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_path_prefix: bool,
    /// What is spoken there.
    #[serde(default, skip_serializing_if = "ApplicationProtocol::is_usual")]
    pub protocol: ApplicationProtocol,
}
