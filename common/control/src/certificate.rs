use serde::{Deserialize, Serialize};

use crate::SecretText;

/// A certificate with its key, as a server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// PEM: the certificate itself first, then each one that signs the one before.
    pub chain: String,
    /// PEM, of the certificate's own key: PKCS#8, PKCS#1 or SEC 1.
    pub key: SecretText,
    /// The URL of the directory of the authority that it was ordered from; `None`: nobody here has ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_from: Option<String>,
}

/// What a certificate says of itself, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The host names that it is for, in lower case; `*.example.com` stands for the names one label below (RFC 9525, 6.3).
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// Since when it is valid, in seconds of Unix time.
    pub not_before: u64,
    /// Until when it is valid, in seconds of Unix time.
    pub not_after: u64,
    /// Where it was ordered, as in [`Certificate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_from: Option<String>,
}
