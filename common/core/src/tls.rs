//! How a service is served over TLS.

use serde::{Deserialize, Serialize};

use crate::{Reference, Span};

/// Where certificates are ordered unless it is said otherwise: Let's Encrypt, whose certificates browsers trust.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How a service is served over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Where its certificate comes from.
    pub certificate: CertificateSource,
    /// Whether a request in cleartext is answered with where it is served over TLS.
    pub redirect: bool,
    /// How long a browser that was here once comes over TLS alone (RFC 6797). No time at all: it isn't told to.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub hsts: Span,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// It is ordered, and ordered anew before it ends.
    Acme(Acme),
    /// It is one's own.
    Own {
        /// The chain, in PEM, the service's own certificate first.
        certificate: Reference,
        /// Its private key, in PEM.
        key: Reference,
    },
}

/// How a certificate is ordered by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acme {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Where the authority writes to about the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// How it is shown that the hosts are ours.
    #[serde(default, skip_serializing_if = "Proof::is_usual")]
    pub proof: Proof,
}

/// How an authority is shown that a host is ours: the proxies answer what it asks the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// In cleartext, on port 80 (HTTP-01; RFC 8555, 8.3).
    #[default]
    Http,
    /// In the handshake, on port 443 (TLS-ALPN-01; RFC 8737).
    Handshake,
}

impl Tls {
    /// How its certificate is ordered; none: it is one's own.
    pub const fn acme(&self) -> Option<&Acme> {
        match &self.certificate {
            CertificateSource::Acme(acme) => Some(acme),
            CertificateSource::Own { .. } => None,
        }
    }
}

impl Proof {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
