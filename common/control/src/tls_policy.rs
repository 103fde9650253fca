use serde::{Deserialize, Serialize};

/// How a service insists on TLS. Whether it has TLS at all is decided by its certificates alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPolicy {
    /// Requests without TLS are sent to the same address with TLS, where there is a certificate for the host.
    pub redirect: bool,
    /// How long browsers shall use nothing but TLS from then on, in seconds (RFC 6797); 0: as long as they like.
    pub hsts_seconds: u64,
}
