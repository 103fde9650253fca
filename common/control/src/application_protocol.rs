use serde::{Deserialize, Serialize};

/// What the proxy speaks to the replicas of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand (RFC 9113, 3.3).
    H2c,
}

impl ApplicationProtocol {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
