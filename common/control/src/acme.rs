use serde::{Deserialize, Serialize};

use crate::SecretText;

/// An account at a certificate authority that speaks ACME (RFC 8555). The proxies of a fleet only keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The URL of the authority's directory.
    pub directory: String,
    /// What the account is used by, in the form of whoever orders certificates.
    pub credentials: SecretText,
}

/// What a certificate authority asks a host, to see who it belongs to, and is answered for an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// Over HTTP, at `/.well-known/acme-challenge/<token>` (RFC 8555, 8.3).
    Http01 {
        /// The token in the path.
        token: String,
        /// The whole body of the answer: the key authorization.
        answer: String,
    },
    /// By a TLS handshake of the protocol `acme-tls/1` (RFC 8737).
    TlsAlpn01 {
        /// The host's name, without a wildcard.
        host: String,
        /// SHA-256 of the key authorization, in hexadecimal.
        digest: String,
    },
}
