use serde::{Deserialize, Serialize};

use crate::Span;

/// How the proxy watches the replicas that serve: by the path of the readiness probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// From one check to the next; none: the period of the readiness probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
    /// The limit of one check; none: that of the readiness probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Successes in a row that bring a replica back; at least one.
    pub successes: u32,
    /// Failures in a row that take a replica out; at least one.
    pub failures: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { period: None, timeout: None, successes: 1, failures: 3 }
    }
}

impl HealthCheck {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
